# SPDX-License-Identifier: GPL-2.0
"""Instructions, as objdump has them."""

import re
from dataclasses import dataclass

PREFIXES = {"lock", "rep", "repz", "repnz", "data16", "addr32", "cs", "ds", "es", "ss", "notrack",
            "bnd", "xacquire", "xrelease", "rex.W"}
LINE = re.compile(r"^ *([0-9a-f]+):\t([^\t#]*?) *(?:# ([0-9a-f]+).*?)?(?:\t([0-9a-f]+): (.*))?$")


@dataclass
class Instruction:
    """One instruction; target is the address that its operand has relative to it."""
    address: int
    text: str
    mnemonic: str
    operands: list[str]
    locked: bool
    target: int | None
    end: int = 0
    relocation: tuple[int, str] | None = None


def split(operands: str) -> list[str]:
    """The operands, at the commas that are in no parentheses."""
    return re.split(r",(?![^(]*\))", operands) if operands else []


def parse(line: str) -> Instruction | None:
    """The instruction in a line of objdump -drw."""
    match = LINE.match(line)
    if not match or not match[2]:
        return None
    words = match[2].split(None)
    locked = False
    # A prefix may stand alone, in what replaces one.
    while words[1:] and words[0] in PREFIXES:
        locked |= words[0] == "lock"
        words = words[1:]
    relocation = (int(match[4], 16), match[5]) if match[4] else None
    return Instruction(int(match[1], 16), match[2], words[0], split(words[1]) if words[1:] else [],
                       locked, int(match[3], 16) if match[3] else None, relocation=relocation)
