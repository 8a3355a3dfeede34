# SPDX-License-Identifier: GPL-2.0
"""The code of a kernel: its instructions, where they lead, and what must not be instrumented."""

import bisect
import re
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

from disassembly import Instruction, parse
from image import EXECUTABLE, NOBITS, WRITABLE, Image

# By symbols in the kernel; what replaces instructions at boot, and slow paths until then, by section.
QUIET = (("__entry_text_start", "__entry_text_end"), ("__noinstr_text_start", "__noinstr_text_end"),
         ("__cpuidle_text_start", "__cpuidle_text_end"),
         ("__static_call_text_start", "__static_call_text_end"))
QUIET_SECTIONS = re.compile(r"\.(noinstr|entry|cpuidle)\.text|\.static_call\.text|"
                            r"\.altinstr_(replacement|aux)")
# Replace indirect calls and returns, from boot on.
CALL_THUNK = re.compile(r"__x86_indirect_\w*thunk_\w+")
RETURN_THUNK = re.compile(r"__x86_return_thunk|(srso|srso_alias|retbleed|its|call_depth)_return_thunk")
THUNK = re.compile(rf"{CALL_THUNK.pattern}|{RETURN_THUNK.pattern}|(srso|retbleed)_\w*(safe_ret|untrain_ret)")
USER = re.compile(r"iretq?|sysret[lq]?|sysexit[lq]?|eretu")
# The handler of #UD takes the promise back.
TRAP = re.compile(r"ud[012][abwlq]?|int3")
KPROBE_BLACKLIST = ("__start_kprobe_blacklist", "__stop_kprobe_blacklist")
LONGEST = 15
# LEA of an address that is relative to it.
LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]")
JUMP = re.compile(r"j\w+|loop\w*")


class Kind(Enum):
    """What an instruction does to the flow."""
    GOES_ON = auto()
    CALL = auto()
    JUMP = auto()
    BRANCH = auto()
    RETURN = auto()
    LEAVE = auto()
    TRAP = auto()
    BAD = auto()


@dataclass(frozen=True)
class Step:
    """One instruction; where it leads to is not known if it does so by a pointer."""
    instruction: Instruction
    kind: Kind
    target: int | None
    end: int


def kind_of(mnemonic: str) -> Kind:
    """What it does."""
    mnemonic = mnemonic.split(",")[0]
    for kind, pattern in ((Kind.CALL, r"l?call[wq]?"), (Kind.JUMP, r"l?jmp[wq]?"),
                          (Kind.RETURN, r"l?ret[fwlq]*"), (Kind.LEAVE, USER), (Kind.BRANCH, JUMP),
                          (Kind.TRAP, TRAP), (Kind.LEAVE, r"erets"), (Kind.BAD, r"\(bad\)")):
        if re.fullmatch(pattern, mnemonic):
            return kind
    return Kind.GOES_ON


def step(instruction: Instruction, end: int) -> Step:
    """With its target."""
    kind, target = kind_of(instruction.mnemonic), None
    if kind in (Kind.CALL, Kind.JUMP, Kind.BRANCH) and instruction.operands:
        if re.fullmatch("[0-9a-f]+", instruction.operands[0]):
            target = int(instruction.operands[0], 16)
    return Step(instruction, kind, target, end)


class Code:
    """All of it, disassembled as far as needed."""

    def __init__(self, image: Image, objdump: Callable[[str, int, int], list[str]] | None = None):
        self.image = image
        self.objdump = objdump or disassemble
        self.steps: dict[int, Step] = {}
        self.text = [section for section, _ in image.sections if section.type != NOBITS and
                     section.flags & EXECUTABLE and not section.flags & WRITABLE]
        self.quiet = self.quiet_areas()
        for start, end in self.quiet:
            self.load(start, end)

    def quiet_areas(self) -> list[tuple[int, int]]:
        """What may not be instrumented, but for thunks; sorted, and not twice."""
        areas = []
        for begin, end in QUIET:
            start, stop = self.image.address(begin), self.image.address(end)
            if start is not None and stop is not None and start < stop:
                areas.append((start, stop))
        areas += [(section.address, section.address + section.size)
                  for section, _ in self.image.sections if QUIET_SECTIONS.fullmatch(section.name)]
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(areas):
            if merged and start < merged[-1][1]:
                start, stop = merged[-1][0], max(stop, merged.pop()[1])
            merged.append((start, stop))
        return merged

    def is_quiet(self, address: int) -> bool:
        """Is it out of the reach of kprobes and tracers?"""
        at = bisect.bisect_right(self.quiet, (address, 1 << 64)) - 1
        return at >= 0 and address < self.quiet[at][1] or \
            bool(THUNK.fullmatch(self.image.function(address)[2]))

    def is_aux(self, address: int) -> bool:
        """Is it a slow path, until alternatives are in place?"""
        return any(address in section and section.name == ".altinstr_aux"
                   for section, _ in self.image.sections)

    def load(self, start: int, end: int, most: int | None = None) -> None:
        """Disassemble a part, or the first instructions of it."""
        path = next(file.path for section, file in self.image.sections if start in section)
        found = [one for one in map(parse, self.objdump(path, start, end)) if one]
        ends = [one.address for one in found[1:]] + [end]
        for instruction, behind in list(zip(found, ends))[:most]:
            self.steps.setdefault(instruction.address, step(instruction, behind))

    def at(self, address: int) -> Step | None:
        """The instruction there."""
        if address not in self.steps:
            start, end, _ = self.image.function(address)
            if end - start > 1 and start not in self.steps:
                self.load(start, end)
        if address not in self.steps and any(address in section for section in self.text):
            # In the middle of another, or out of step with what is before.
            self.load(address, address + LONGEST, 1)
        return self.steps.get(address)

    def branches(self) -> Iterator[tuple[int, int]]:
        """Pairs of target and source, of all calls and jumps. Outside of what is disassembled they are
        guessed: bytes that look like one with 32 bits."""
        for address, one in list(self.steps.items()):
            if one.target is not None:
                yield one.target, address
        look = re.compile(rb"[\xe8\xe9]|\x0f[\x80-\x8f]")
        for section in self.text:
            data = self.image.read(section.address, section.size)
            for match in look.finditer(data):
                if match.end() + 4 <= len(data):
                    (offset,) = struct.unpack_from("<i", data, match.end())
                    yield section.address + match.end() + 4 + offset, section.address + match.start()

    def into(self, start: int, end: int, assembly: bool = False) -> list[Step]:
        """The calls and jumps from elsewhere into a function; or only those in assembly."""
        first = bisect.bisect_left(self.index, (start, 0))
        last = bisect.bisect_left(self.index, (end, 0))
        found: list[Step] = []
        for target, source in sorted(set(self.index[first:last])):
            caller = self.image.function(source)[0]
            if start <= source < end or assembly and self.image.begins(caller):
                continue
            self.at(caller)
            # Prefixes may come before it.
            before = [self.steps.get(source - size) for size in range(3)]
            found += [one for one in before if one and one.target == target]
        return found

    @cached_property
    def index(self) -> list[tuple[int, int]]:
        """Of branches(), by target."""
        return sorted(self.branches())

    @cached_property
    def leas(self) -> dict[int, list[int]]:
        """Where an address is loaded by LEA, as guessed."""
        found: dict[int, list[int]] = defaultdict(list)
        for section in self.text:
            data = self.image.read(section.address, section.size)
            for match in LEA.finditer(data):
                if match.end() + 4 <= len(data):
                    (offset,) = struct.unpack_from("<i", data, match.end())
                    found[section.address + match.end() + 4 + offset].append(
                        section.address + match.start())
        return found

    def pointers(self, address: int) -> list[str]:
        """The variables, and functions, that have the address of a function in them."""
        found = {self.image.function(place)[2] for place in self.leas.get(address, ())}
        listed, end = (self.image.address(name) or 0 for name in KPROBE_BLACKLIST)
        for section, _ in self.image.sections:
            if section.type == NOBITS:
                continue
            data = self.image.read(section.address, section.size)
            wanted = struct.pack("<Q", address)[:4 if section in self.text else 8]
            at = data.find(wanted)
            while at >= 0:
                place = section.address + at
                if section in self.text:
                    found.add(self.image.function(place)[2])
                elif not listed <= place < end:
                    found.add(self.image.variable(place))
                at = data.find(wanted, at + 1)
        return sorted(found)


def disassemble(path: str, start: int, end: int) -> list[str]:
    """The lines of objdump."""
    done = subprocess.run(["objdump", "-dw", "--no-show-raw-insn", f"--start-address={start:#x}",
                           f"--stop-address={end:#x}", path], capture_output=True, text=True,
                          errors="replace", check=False)
    if done.returncode:
        sys.exit(f"error: objdump failed on {path} (exit {done.returncode})")
    return done.stdout.splitlines()
