# SPDX-License-Identifier: GPL-2.0
"""Sections and symbols of an ELF64 file, and of several that have been linked to run together."""

import bisect
import re
import struct
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SYMTAB, NOBITS = 2, 8
EXECUTABLE, ALLOCATED, WRITABLE = 4, 2, 1
FUNCTION, OBJECT, NOTYPE = 2, 1, 0
GLOBAL = 1
ABSOLUTE = 0xfff1
# Not the name of a function: what tools add, and where sections begin and end.
OTHER = re.compile(r"(\.L|__pfx_|__cfi_|\$).*|__\w+_text_(start|end)|_[es](init)?text")
# What the compiler has made of a function.
COMPILED = re.compile(r"(\.(isra|constprop|part|cold)(\.\d+)?)+$")


@dataclass(frozen=True)
class Section:
    """One section of a file."""
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


@dataclass(frozen=True)
class Symbol:
    """A name of an address."""
    name: str
    address: int
    size: int
    type: int
    bound: int


class File:
    """One ELF file."""

    def __init__(self, path: str):
        self.path = path
        self.data = Path(path).read_bytes()
        if self.data[:5] != b"\x7fELF\x02":
            sys.exit(f"error: {path} is no ELF64 file")
        (table,) = struct.unpack_from("<Q", self.data, 0x28)
        size, count, names = struct.unpack_from("<HHH", self.data, 0x3a)
        headers = [struct.unpack_from("<IIQQQQI", self.data, table + at * size)
                   for at in range(count)]
        self.sections = [Section(self.string(headers[names][4] + header[0]), *header[1:])
                         for header in headers]

    def string(self, at: int) -> str:
        """The text at an offset in the file."""
        return self.data[at:self.data.index(b"\0", at)].decode(errors="replace")

    def symbols(self) -> list[Symbol]:
        """Those that have a place in it."""
        found = []
        for table in self.sections:
            if table.type != SYMTAB:
                continue
            strings = self.sections[table.link].offset
            for name, info, _, index, address, size in struct.iter_unpack(
                    "<IBBHQQ", self.data[table.offset:table.offset + table.size]):
                if name and 0 < index < len(self.sections) and info & 15 <= FUNCTION:
                    found.append(Symbol(self.string(strings + name), address, size, info & 15,
                                        info >> 4))
        return found


class Image:
    """A kernel, and modules that have been linked to it."""

    def __init__(self, paths: list[str]):
        self.files = [File(path) for path in paths]
        self.symbols: dict[str, list[Symbol]] = {}
        code: dict[int, Symbol] = {}
        data: dict[int, Symbol] = {}
        self.sections = [(section, file) for file in self.files for section in file.sections
                         if section.flags & ALLOCATED and section.size]
        text = [section for section, _ in self.sections if section.flags & EXECUTABLE]
        for symbol in sorted((symbol for file in self.files for symbol in file.symbols()),
                             key=lambda one: (one.address, one.type == NOTYPE, one.bound != GLOBAL)):
            self.symbols.setdefault(symbol.name, []).append(symbol)
            if OTHER.fullmatch(symbol.name):
                continue
            if symbol.type != OBJECT and any(symbol.address in section for section in text):
                code.setdefault(symbol.address, symbol)
            else:
                data.setdefault(symbol.address, symbol)
        self.code, self.data = list(code.values()), list(data.values())

    @cached_property
    def starts(self) -> list[int]:
        """Where code with a name begins."""
        return [symbol.address for symbol in self.code]

    @cached_property
    def objects(self) -> list[int]:
        """Where data with a name begins."""
        return [symbol.address for symbol in self.data]

    def address(self, name: str) -> int | None:
        """Of a symbol, if there is one."""
        return self.symbols[name][0].address if name in self.symbols else None

    def read(self, address: int, size: int) -> bytes:
        """What is there in the file."""
        for section, file in self.sections:
            if address in section and section.type != NOBITS:
                at = section.offset + address - section.address
                return file.data[at:at + min(size, section.address + section.size - address)]
        return b""

    def between(self, begin: str, end: str) -> tuple[int, bytes]:
        """Address and contents of what two symbols enclose."""
        start, stop = self.address(begin), self.address(end)
        if start is None or stop is None:
            return 0, b""
        return start, self.read(start, stop - start)

    def tables(self, section: str, begin: str, end: str) -> list[tuple[int, bytes]]:
        """A table of the kernel, between symbols, and those of the modules, in sections."""
        found = [self.between(begin, end)]
        for file in self.files[1:]:
            found += [(one.address, self.read(one.address, one.size)) for one in file.sections
                      if one.name == section and one.size]
        return [(address, data) for address, data in found if data]

    def function(self, address: int) -> tuple[int, int, str]:
        """Start, end and name of the function that an address is in; as good as it gets in
        assembly."""
        at = bisect.bisect_right(self.starts, address) - 1
        inside = [section for section, _ in self.sections if address in section]
        if at < 0 or not inside or self.starts[at] not in inside[0]:
            return address, address + 1, f"{address:#x}"
        for symbol in reversed(self.code[max(0, at - 20):at + 1]):
            if symbol.type == FUNCTION and symbol.address <= address < symbol.address + symbol.size:
                return symbol.address, symbol.address + symbol.size, COMPILED.sub("", symbol.name)
        symbol = self.code[at]
        end = self.starts[at + 1] if at + 1 < len(self.starts) else address + 1
        return symbol.address, end, symbol.name

    def begins(self, address: int) -> bool:
        """Does a function begin there that is no label in assembly?"""
        at = bisect.bisect_left(self.starts, address)
        return at < len(self.starts) and self.starts[at] == address and \
            self.code[at].type == FUNCTION

    def variable(self, address: int) -> str:
        """The name of the variable that an address is in."""
        at = bisect.bisect_right(self.objects, address) - 1
        for symbol in reversed(self.data[max(0, at - 20):at + 1]):
            if symbol.type == OBJECT and symbol.address <= address < symbol.address + symbol.size:
                return symbol.name
        return self.data[at].name if at >= 0 else f"{address:#x}"
