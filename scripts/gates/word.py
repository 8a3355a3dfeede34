#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists what is done to the promise word, deferred_flush_cpu.state, in what has been built.

Other CPUs write the word: each read-modify-write needs LOCK, this_cpu_*() is not enough. And a plain
store that sets AWAY is a promise, which only two functions may make.

Found are accesses by name, and by pointer as far as it can be followed in the registers of a function.

Usage: word.py FILE...      kernel images, modules and objects
Exit:  0; 1 if an access lacks LOCK, a promise is in the wrong place, or nothing was found.
"""
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from disassembly import Instruction, parse

SYMBOL = "deferred_flush_cpu"
PAGE = 4096
# Who has a pointer to it from elsewhere, as an argument.
ARGUMENTS = {"5hooks5defer": "rsi", "5hooks6record": "rdi"}
# Each has to be there with at least one locked access. The rest depends on what the compiler inlines.
WANTED = {
    "vmlinux": ["entry_SYSCALL_64", "entry_SYSENTER_compat", "entry_SYSCALL_compat", "error_entry",
                "asm_exc_nmi", "deferred_flush_take_back"],
    "deferred_flush.ko": ["5hooks5defer"],
}
# go_away() is inline in these.
PROMISES = ["deferred_flush_go_idle", "deferred_flush_leave_kernel"]

CHANGES = re.compile(r"(add|adc|sub|sbb|and|or|xor|inc|dec|neg|not|bts|btr|btc|xadd|xchg|cmpxchg|"
                     r"cmpxchg8b|cmpxchg16b|shl|shr|sal|sar|rol|ror|rcl|rcr|shld|shrd)[bwlq]?$")
STORES = re.compile(r"(v?mov\w*|set\w+|stos\w*|movs[bwlq])$")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
MEMORY = re.compile(r"^(?:%([a-z]s):)?(-?0x[0-9a-f]+)?(?:\((%\w+)?(?:,(%\w+))?(?:,\d)?\))?$")
CLOBBERED = ["rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"]
LEGACY = {"a": "rax", "b": "rbx", "c": "rcx", "d": "rdx"}


@dataclass
class Function:
    """All of one function."""
    section: str
    name: str
    code: list[Instruction] = field(default_factory=list)


def functions(path: str, hints: list[str] | None) -> Iterator[Function]:
    """The functions in a file; of a kernel, only those in which one of the hints appears."""
    with subprocess.Popen(["objdump", "-drw", "--no-show-raw-insn", path], text=True,
                          stdout=subprocess.PIPE, errors="replace") as process:
        assert process.stdout
        section, name, lines, wanted = "", "", [], hints is None
        for line in process.stdout:
            if line[0] == " " or line[:8] == "ffffffff" and line[16] == ":":
                lines.append(line)
                wanted = wanted or any(hint in line for hint in hints or ())
                continue
            if wanted and lines:
                yield function(section, name, lines)
            if match := FUNCTION.match(line):
                name = match[1]
            elif line.startswith("Disassembly of section "):
                section = line.split()[-1].rstrip(":")
            lines, wanted = [], hints is None
        if wanted and lines:
            yield function(section, name, lines)
    if process.returncode:
        sys.exit(f"error: objdump failed on {path} (exit {process.returncode})")


def function(section: str, name: str, lines: list[str]) -> Function:
    """Parses one function."""
    result = Function(section, name)
    for line in lines:
        if instruction := parse(line.rstrip("\n")):
            if result.code:
                result.code[-1].end = instruction.address
            result.code.append(instruction)
    # Enough for the last one, which is no access.
    result.code[-1].end = result.code[-1].address + 1
    return result


def register(name: str) -> str:
    """The 64-bit register that it is part of."""
    name = name.lstrip("%")
    if match := re.fullmatch(r"[re]?([abcd])[xlh]", name):
        return LEGACY[match[1]]
    if match := re.fullmatch(r"[re]?([sd]i|[sb]p)l?", name):
        return "r" + match[1]
    return re.sub(r"^(r\d+)[bwd]$", r"\1", name)


def signed(value: int) -> int:
    """Of 64 bits."""
    return value - (1 << 64) if value >> 63 else value


State = dict[str, frozenset[int]]


def join(one: State | None, other: State) -> State:
    """What holds on either way."""
    if one is None:
        return dict(other)
    return {name: one.get(name, frozenset()) | other.get(name, frozenset())
            for name in one.keys() | other.keys()}


class Pointers:
    """Which registers may point into the page, and where to, ahead of each instruction."""

    def __init__(self, address: int | None, function: Function):
        self.address = address
        self.offsets: State = {}
        code = function.code
        index = {instruction.address: at for at, instruction in enumerate(code)}
        before: list[State | None] = [None] * len(code)
        reached = self.edges(code, index)
        # What nothing leads to is reached by a jump that is patched in: with anything.
        orphans = set(range(1, len(code))).difference(*reached)
        anything: State = {argument: frozenset({0}) for name, argument in ARGUMENTS.items()
                           if name in function.name}
        todo = [(0, anything)]
        while todo:
            at, state = todo.pop()
            merged = join(before[at], state)
            if merged != before[at]:
                before[at] = merged
                after = self.follow(code[at], merged)
                todo += [(to, after) for to in reached[at]]
                wider = join(anything, after)
                if wider != anything:
                    anything = wider
                    todo += [(to, anything) for to in orphans]
            if not todo:
                # Loops of such code.
                todo = [(to, anything) for to, known in enumerate(before) if known is None][:1]
        self.before = before

    @staticmethod
    def edges(code: list[Instruction], index: dict[int, int]) -> list[list[int]]:
        """Which instructions may come after each."""
        result = []
        for at, instruction in enumerate(code):
            after = []
            if not re.match(r"jmp|ret|ud2|iret|sysret", instruction.mnemonic) and \
                    at + 1 < len(code):
                after.append(at + 1)
            if instruction.mnemonic.startswith("j") and instruction.operands:
                target = instruction.operands[0].split()[0]
                if re.fullmatch("[0-9a-f]+", target) and int(target, 16) in index:
                    after.append(index[int(target, 16)])
            result.append(after)
        return result

    def at(self, position: int) -> "Pointers":
        """As of this instruction."""
        self.offsets = self.before[position] or {}
        return self

    def inside(self, value: int) -> set[int]:
        """The offset of an absolute address in the page."""
        if self.address is None:
            return set()
        offset = (value - self.address) % (1 << 64)
        return {offset} if offset < PAGE else set()

    def named(self, instruction: Instruction) -> set[int]:
        """The offset that a relocation, or a relative address, names."""
        if instruction.relocation:
            where, what = instruction.relocation
            match = re.fullmatch(rf"R_X86_64_(\w+)\s+{SYMBOL}([+-]0x[0-9a-f]+)?", what)
            if not match:
                return set()
            offset = int(match[2] or "0", 16)
            if match[1] in ("PC32", "PLT32", "GOTPCREL"):
                offset += instruction.end - where
            return {offset}
        return self.inside(instruction.target) if instruction.target is not None else set()

    def memory(self, instruction: Instruction, operand: str) -> set[int]:
        """The offsets in the page that a memory operand may have."""
        match = MEMORY.match(operand)
        if not match or not operand:
            return set()
        if "(%rip)" in operand or instruction.relocation:
            if found := self.named(instruction):
                return found
        displacement = int(match[2] or "0", 16)
        found = self.inside(displacement)
        for base in (match[3], match[4]):
            if base:
                found |= {offset + displacement for offset in self.offsets.get(register(base), ())}
        return found

    def follow(self, instruction: Instruction, state: State) -> State:
        """What is in the registers behind the instruction."""
        self.offsets = state
        state = dict(state)
        mnemonic, operands = instruction.mnemonic, instruction.operands
        if mnemonic.startswith("call"):
            for name in CLOBBERED:
                state.pop(name, None)
            return state
        if not operands or not operands[-1].startswith("%") or ":" in operands[-1] or \
                re.match(r"(cmp|test|push|bt)[bwlq]?$|j", mnemonic):
            return state
        source, to = operands[0], register(operands[-1])
        found: set[int] = set()
        if source.startswith("$"):
            value = int(source[1:], 16)
            if re.match(r"(mov|add)(abs)?[lq]?$", mnemonic):
                found |= self.inside(value) | self.named(instruction)
            if re.match(r"(add|sub)[lq]?$", mnemonic):
                sign = 1 if mnemonic.startswith("add") else -1
                found |= {offset + sign * signed(value) for offset in state.get(to, ())}
        elif mnemonic.startswith("lea"):
            found = self.memory(instruction, source)
        elif source.startswith("%") and ":" not in source:
            if re.match(r"(mov|add|xchg|cmov\w+)[lq]?$", mnemonic):
                found |= state.get(register(source), frozenset())
            if mnemonic.startswith("xchg"):
                state[register(source)] = state.get(to, frozenset())
        elif re.match(r"add[lq]?$", mnemonic):
            # The offset of a CPU to what is in memory, or the other way round.
            found |= self.memory(instruction, source)
        if len(operands) > 1 and re.match(r"(add|cmov\w+)[lq]?$", mnemonic) and \
                not source.startswith("$"):
            found |= state.get(to, frozenset())
        state[to] = frozenset(offset for offset in found if -PAGE < offset < PAGE)
        return state


def accesses(path: str) -> Iterator[tuple[str, Function, Instruction]]:
    """What is done to the word: locked, unlocked, promise, unknown, zero or read."""
    symbols = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    match = re.search(rf"^([0-9a-f]+) [DdVBb] {SYMBOL}$", symbols, re.M)
    address = int(match[1], 16) if match else None
    hints = None
    if address is not None:
        # As objdump has it: by name, as an address, and as a negative displacement.
        hints = [f"<{SYMBOL}", f"{address >> 12:x}", f"-{(1 << 64) - address >> 12:#x}"]
    for code in functions(path, hints):
        found = Pointers(address, code)
        for position, instruction in enumerate(code.code):
            pointers = found.at(position)
            operands = instruction.operands
            last = pointers.memory(instruction, operands[-1]) if operands else set()
            both = last.union(*(pointers.memory(instruction, operand) for operand in operands))
            if instruction.mnemonic.startswith(("lea", "nop", "prefetch", "call", "jmp")):
                continue
            change = CHANGES.match(instruction.mnemonic)
            exchange = instruction.mnemonic.startswith("xchg")
            if change and any(0 <= offset < 8 for offset in (both if exchange else last)):
                yield "locked" if instruction.locked or exchange else "unlocked", code, instruction
            elif STORES.match(instruction.mnemonic) and any(0 <= offset < 8 for offset in last):
                kind = "unknown"
                if operands[0].startswith("$"):
                    value = int(operands[0][1:], 16)
                    kind = "promise" if value & 1 else "unknown" if value else "zero"
                yield kind, code, instruction
            elif any(0 <= offset < 8 for offset in both):
                yield "read", code, instruction


def main() -> int:
    """Lists all files; the errors come last."""
    errors: list[str] = []
    changes = unlocked = 0
    for path in sys.argv[1:]:
        count = 0
        locked: set[str] = set()
        for kind, code, instruction in accesses(path):
            count += 1
            if kind == "read":
                continue
            print(f"{kind} {path} {code.section} {instruction.address:#x} {code.name}: "
                  f"{instruction.text}")
            changes += kind in ("locked", "unlocked")
            unlocked += kind == "unlocked"
            if kind == "locked":
                locked.add(code.name)
            if kind == "unknown" or kind == "promise" and code.name not in PROMISES:
                errors.append(f"a store to the word in {code.name} that may promise")
        if not count:
            errors.append(f"{path}: no access to the word")
        errors += [f"{path}: nothing with LOCK in {name}"
                   for name in WANTED.get(os.path.basename(path), ())
                   if not any(name in function for function in locked)]
    if unlocked:
        errors.insert(0, f"{unlocked} of {changes} accesses without LOCK")
    for error in errors:
        print(f"error: {error}")
    return bool(errors or not sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
