#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Takes away every LOCK that word.py has listed, in copies of the files.

Usage: unlock.py DIRECTORY <LISTING     where the copies go
"""
import os
import sys

from image import File

LOCK, NOP = 0xf0, 0x90


def main() -> None:
    """Each line: locked FILE SECTION ADDRESS FUNCTION: INSTRUCTION."""
    images: dict[str, bytearray] = {}
    places: dict[str, dict[str, int]] = {}
    for line in sys.stdin:
        kind, path, section, where, _ = line.split(None, 4)
        if kind != "locked":
            continue
        if path not in images:
            kernel = File(path)
            images[path] = bytearray(kernel.data)
            places[path] = {one.name: one.offset - one.address for one in kernel.sections}
        image = images[path]
        at = places[path][section] + int(where, 16)
        # It may come behind the segment prefix.
        lock = image.index(LOCK, at, at + 2)
        image[at:lock + 1] = bytes([NOP]) + image[at:lock]
    for path, image in images.items():
        with open(os.path.join(sys.argv[1], os.path.basename(path)), "wb") as file:
            file.write(image)


if __name__ == "__main__":
    main()
