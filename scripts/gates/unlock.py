#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Takes away every LOCK that word.py has listed, in copies of the files.

Usage: unlock.py DIRECTORY <LISTING     where the copies go
"""
import os
import struct
import sys

LOCK, NOP = 0xf0, 0x90


def sections(image: bytes) -> dict[str, tuple[int, int]]:
    """Address and file offset of the sections of an ELF64 file, by name."""
    (table,) = struct.unpack_from("<Q", image, 0x28)
    size, count, names = struct.unpack_from("<HHH", image, 0x3a)
    headers = [struct.unpack_from("<IIQQQ", image, table + at * size) for at in range(count)]
    strings = headers[names][4]

    def name(at: int) -> str:
        return image[strings + at:image.index(b"\0", strings + at)].decode()

    return {name(header[0]): (header[3], header[4]) for header in headers}


def main() -> None:
    """Each line: locked FILE SECTION ADDRESS FUNCTION: INSTRUCTION."""
    images: dict[str, bytearray] = {}
    for line in sys.stdin:
        kind, path, section, where, _ = line.split(None, 4)
        if kind != "locked":
            continue
        if path not in images:
            with open(path, "rb") as file:
                images[path] = bytearray(file.read())
        image = images[path]
        address, offset = sections(image)[section]
        at = offset + int(where, 16) - address
        # It may come behind the segment prefix.
        lock = image.index(LOCK, at, at + 2)
        image[at:lock + 1] = bytes([NOP]) + image[at:lock]
    for path, image in images.items():
        with open(os.path.join(sys.argv[1], os.path.basename(path)), "wb") as file:
            file.write(image)


if __name__ == "__main__":
    main()
