#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists what can be patched or instrumented at run time where a CPU may be away, in what has been built.

A CPU that has promised to catch up may run old text, and use stale translations, until the hook. Looked
at are, in stages:
  entry   from user mode, or from idle, up to the hook in C, which ends the promise without PTI; with PTI
          the entry code ends it before, in its own hook
  exit    from the promise to user mode
  idle    from the promise to the hook, through the idle instruction, and in all of what idles
  hook    in the hook itself, and in the modules' .noinstr.text

Usage: patchable.py LIST VMLINUX [MODULE]...    MODULE: linked to the kernel's addresses
Exit:  0; 1 if there is something that is not in LIST, or nothing to walk.

LIST has what may be there, a line each, with the reason:
  STAGE KIND FUNCTION WHAT [if SYMBOL] # REASON
FUNCTION and WHAT are patterns. What is not found is an error, but for kernels without SYMBOL. Kinds:
  key, static-call         patched at run time; WHAT is the key
  sealed-key, sealed-call  the same, but read-only once the kernel has booted
  fentry                   the function tracer
  text                     text that can be instrumented: WHAT is called, or returned to, by FUNCTION
  pointer                  a call by a pointer, if known of which variable
  returns                  a function whose address is in WHAT: where it may return to is not known
What is known of the code, and makes the walk shorter, or longer:
  cut                      FUNCTION does not call WHAT here
  calls                    FUNCTION may call WHAT, by a pointer or a static call
  clear                    a branch in FUNCTION, by a test of the bits WHAT, finds none of them
"""

import fnmatch
import re
import sys
from dataclasses import dataclass

from flow import Place
from image import Image
from machine_code import Code
from places import places
from stages import STAGES, Kernel

KINDS = ("key", "static-call", "sealed-key", "sealed-call", "fentry", "text", "pointer", "returns")
FACTS = ("cut", "calls", "clear")
LINE = re.compile(r"(\S+) (\S+) (\S+) (\S+)(?: if (\w+))?\s+# \S.*")


@dataclass
class Line:
    """Of the list."""
    stage: str
    place: Place
    symbol: str | None
    used: bool = False

    def matches(self, stage: str, place: Place) -> bool:
        """Is it about this place?"""
        return (stage, place.kind) == (self.stage, self.place.kind) and \
            fnmatch.fnmatchcase(place.function, self.place.function) and \
            fnmatch.fnmatchcase(place.what, self.place.what)


def read_list(path: str) -> list[Line]:
    """All of it."""
    lines = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.startswith("#") or not text.strip():
                continue
            match = LINE.fullmatch(text.rstrip())
            if not match or match[1] not in STAGES or match[2] not in KINDS + FACTS:
                sys.exit(f"error: {path}:{number}: no line of the list: {text.rstrip()}")
            lines.append(Line(match[1], Place(match[2], match[3], match[4]), match[5]))
    return lines


def facts(lines: list[Line]) -> dict[str, list[Place]]:
    """What is known, by stage."""
    return {stage: [line.place for line in lines if line.stage == stage and line.place.kind in FACTS]
            for stage in STAGES}


def compare(kernel: Kernel, lines: list[Line]) -> list[str]:
    """What is found and not listed, and the other way round."""
    errors = []
    for (stage, place), path in sorted(kernel.found.items(), key=lambda one: (one[0][0], str(one[0][1]))):
        matching = [line for line in lines if line.matches(stage, place)]
        for line in matching:
            line.used = True
        if not matching:
            errors.append(f"not in the list: {stage} {place}, by {path}")
    for line in lines:
        line.used |= (line.stage, line.place) in kernel.used
        if not line.used and (line.symbol is None or line.symbol in kernel.image.symbols):
            errors.append(f"only in the list: {line.stage} {line.place}")
    return errors


def main() -> int:
    """All stages, then the errors."""
    lines = read_list(sys.argv[1])
    image = Image(sys.argv[2:])
    kernel = Kernel(image, Code(image), places(image), facts(lines))
    kernel.run()
    errors = kernel.errors + compare(kernel, lines)
    for error in errors:
        print(f"error: {error}")
    for stage, seen in kernel.seen.items():
        found = [place.kind for one, place in kernel.found if one == stage]
        functions = {image.function(address)[0] for address in seen}
        print(f"{stage}: {len(seen)} instructions in {len(functions)} functions, {len(found)} places, "
              f"{found.count('pointer') + found.count('returns')} of them not followed")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
