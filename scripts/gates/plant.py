#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Overwrites the beginning of a function, in a copy of a kernel, by a call of another.

Usage: plant.py VMLINUX FUNCTION CALLEE >COPY
"""
import struct
import sys

from image import File

CALL, RETURN = b"\xe8", b"\xc3"


def main() -> None:
    """The copy."""
    kernel = File(sys.argv[1])
    found = {symbol.name: symbol.address for symbol in kernel.symbols()}
    start, callee = (found[name] for name in sys.argv[2:])
    section = next(one for one in kernel.sections if start in one)
    at = section.offset + start - section.address
    code = CALL + struct.pack("<i", callee - start - 5) + RETURN
    sys.stdout.buffer.write(kernel.data[:at] + code + kernel.data[at + len(code):])


if __name__ == "__main__":
    main()
