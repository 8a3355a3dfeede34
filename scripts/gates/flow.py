# SPDX-License-Identifier: GPL-2.0
"""Walks the control flow, from some places up to others, and notes what can be patched on the way.

Calls are followed into functions, as long as these may not be instrumented, and behind calls only what
returns goes on. A walk may also begin in the middle of a function: from there it goes on in all callers.
Both ways of a branch, of a jump label and of an alternative are taken. A trap is the end: its handler
takes the promise back.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from machine_code import CALL_THUNK, RETURN_THUNK, Code, Kind, Step
from places import Places

# What a static call does that has nothing to call.
NOTHING = "__static_call_return0"
TRAMPOLINE = "__SCT__"
IDLE = ("hlt", "mwait", "mwaitx")
PADDING = re.compile(r"nop|xchg")


@dataclass(frozen=True)
class Place:
    """Something that can be patched, or cannot be followed: its kind, the function, and what."""
    kind: str
    function: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.function} {self.what}"


@dataclass(frozen=True)
class Frame:
    """The function that is walked, by its start: was it called in this walk, or does the walk come from
    its middle, and go on in its callers?"""
    start: int
    called: bool


Node = tuple[int, Frame]


class Walk:
    """One walk, and what it has found."""

    def __init__(self, code: Code, places: Places, stops: set[int],
                 known: Iterable[Place] = ()):
        self.code, self.places, self.stops = code, places, stops
        # Calls that are not made here, and bits that are not set; and those that have been met.
        self.known = set(known)
        self.used: set[Place] = set()
        self.found: dict[Place, Node] = {}
        self.hits: set[int] = set()
        self.errors: list[str] = []
        self.before: dict[Node, Node | None] = {}
        self.seen: set[int] = set()
        self.ends: set[str] = set()
        self.waiting: dict[int, set[Node]] = defaultdict(set)
        self.returned: set[int] = set()
        self.left: set[int] = set()
        self.pending: deque[Node] = deque()
        self.node: Node | None = None

    # --- results
    def name(self, address: int) -> str:
        """The function that an address is in. What replaces an instruction belongs to that one."""
        replacement = self.places.replacement(address)
        return self.code.image.function(replacement.resume - 1 if replacement else address)[2]

    def path(self, node: Node | None) -> list[str]:
        """The functions on the way to it."""
        names: list[str] = []
        while node:
            name = self.name(node[0])
            if names[-1:] != [name] and not self.code.is_aux(node[0]):
                names.append(name)
            node = self.before[node]
        return names[::-1]

    def note(self, kind: str, address: int, what: str) -> None:
        """A place, as seen from the present node."""
        if self.node:
            self.found.setdefault(Place(kind, self.name(address), what), self.node)

    # --- the walk
    def call(self, address: int) -> None:
        """Begin with a function."""
        frame = Frame(address, True)
        self.push(address, frame)
        if not self.code.is_quiet(address):
            name = self.name(address)
            self.found.setdefault(Place("text", name, name), (address, frame))
        self.run()

    def behind(self, address: int) -> None:
        """Begin behind an instruction, in the middle of a function."""
        one = self.code.at(address)
        if not one:
            self.errors.append(f"no instruction at {address:#x}")
            return
        self.push(one.end, Frame(self.code.image.function(address)[0], False))
        self.run()

    def push(self, address: int, frame: Frame) -> None:
        """Go on there, some time."""
        if (address, frame) not in self.before:
            self.before[address, frame] = self.node
            self.pending.append((address, frame))

    def run(self) -> None:
        """All that can be reached."""
        while self.pending:
            self.node = self.pending.popleft()
            self.visit(*self.node)
        self.node = None

    def visit(self, address: int, frame: Frame) -> None:
        """One instruction."""
        one = self.code.at(address)
        if not one or one.kind == Kind.BAD:
            self.errors.append(f"no instruction at {address:#x}, by {' > '.join(self.path(self.node))}")
            return
        self.seen.add(address)
        for kind, what in self.places.at(address):
            self.note(kind, address, what)
        if address in self.stops:
            self.hits.add(address)
            return
        if label := self.places.labels.get(address):
            self.push(label.target, frame)
            self.push(one.end, frame)
            return
        for other in self.places.alternatives.get(address, ()):
            self.push(other.start if other.size and not other.direct else other.resume, frame)
        if site := self.places.sites.get(address):
            self.push(site.resume, frame)
        self.leave(one, frame)

    def leave(self, one: Step, frame: Frame) -> None:
        """From an instruction to those behind it."""
        address = one.instruction.address
        if one.kind == Kind.LEAVE:
            self.ends.add(one.instruction.mnemonic)
        elif one.kind == Kind.RETURN:
            self.leave_function(frame)
        elif one.kind in (Kind.CALL, Kind.JUMP) and one.target is None:
            self.by_pointer(one, frame)
        elif one.kind in (Kind.CALL, Kind.JUMP, Kind.BRANCH) and one.target is not None:
            ways = self.ways(one, frame)
            if False in ways:
                self.go_on(one, frame)
            if True in ways:
                self.transfer(one, one.target, frame)
        elif one.kind == Kind.GOES_ON:
            self.go_on(one, frame)
            if one.instruction.mnemonic in IDLE:
                self.ends.add(one.instruction.mnemonic)
        elif one.kind != Kind.TRAP:
            self.errors.append(f"no way on from {address:#x}: {one.instruction.text}")

    def knows(self, kind: str, function: str, what: str) -> bool:
        """Is it known of a function?"""
        fact = Place(kind, function, what)
        if fact in self.known:
            self.used.add(fact)
        return fact in self.known

    def ways(self, one: Step, frame: Frame) -> set[bool]:
        """Whether a branch is taken: both, unless it is on a bit that is known to be clear."""
        if one.kind != Kind.BRANCH:
            return {True}
        before = self.before[one.instruction.address, frame]
        test = self.code.at(before[0]) if before else None
        taken = {"je": True, "jne": False}.get(one.instruction.mnemonic)
        if test and taken is not None and test.end == one.instruction.address and \
                test.instruction.mnemonic.startswith("test") and self.knows(
                    "clear", self.name(one.instruction.address), test.instruction.operands[0].lstrip("$")):
            return {taken}
        return {True, False}

    def go_on(self, one: Step, frame: Frame) -> None:
        """Behind the instruction, be it in what replaces another."""
        replacement = self.places.replacement(one.instruction.address)
        if replacement and one.end >= replacement.start + replacement.size:
            self.push(replacement.resume, frame)
            return
        # What does not return may have been called last.
        if (one.kind == Kind.CALL or PADDING.match(one.instruction.mnemonic)) and \
                self.code.image.begins(one.end):
            return
        self.push(one.end, frame)

    def transfer(self, one: Step, target: int, frame: Frame) -> None:
        """A call, or a jump, to a known place."""
        address = one.instruction.address
        start, end, name = self.code.image.function(target)
        caller = self.name(address)
        if name.startswith(TRAMPOLINE) and address not in self.places.calls:
            self.note("static-call", address, name.removeprefix(TRAMPOLINE))
        if self.knows("cut", caller, name):
            self.back(one, frame)
        elif RETURN_THUNK.fullmatch(name):
            self.leave_function(frame)
        elif CALL_THUNK.fullmatch(name):
            self.by_pointer(one, frame)
        elif name == NOTHING and caller.startswith(TRAMPOLINE):
            self.back(one, frame)
        elif not self.code.is_quiet(target) and not (
                one.kind != Kind.CALL and start <= address < end):
            self.note("text", address, name)
            self.back(one, frame)
        elif one.kind == Kind.CALL:
            self.waiting[target].add((address, frame))
            self.push(target, Frame(target, True))
            if target in self.returned:
                self.go_on(one, frame)
        else:
            self.push(target, frame)

    def back(self, one: Step, frame: Frame) -> None:
        """From what is called, or jumped to, and not followed."""
        if one.kind == Kind.CALL:
            self.go_on(one, frame)
        else:
            self.leave_function(frame)

    def by_pointer(self, one: Step, frame: Frame) -> None:
        """Follows a pointer if it is in the image, as those to paravirtual functions; and notes it."""
        address = one.instruction.address
        held = one.instruction.target
        if held is not None and one.instruction.operands[0].endswith("(%rip)"):
            self.note("pointer", address, self.code.image.variable(held))
            target = int.from_bytes(self.code.image.read(held, 8), "little")
            if target:
                self.transfer(one, target, frame)
                return
        else:
            self.note("pointer", address, "-")
        self.back(one, frame)

    # --- returns
    def leave_function(self, frame: Frame) -> None:
        """To where it has been called in this walk; or to all that call it."""
        if frame.called:
            if frame.start not in self.returned:
                self.returned.add(frame.start)
                for address, caller in self.waiting[frame.start]:
                    self.resume(address, caller)
        else:
            self.to_callers(frame.start)

    def resume(self, address: int, frame: Frame) -> None:
        """Behind a call."""
        if one := self.code.at(address):
            self.go_on(one, frame)

    def to_callers(self, start: int) -> None:
        """To all that call a function, or what jumps into it. From one that may be instrumented it goes on
        in assembly only: that is no more than the way to user mode, where all of them lead in the end."""
        if start in self.left:
            return
        self.left.add(start)
        start, end, _ = self.code.image.function(start)
        for one in self.code.into(start, end, assembly=not self.code.is_quiet(start)):
            address = one.instruction.address
            if self.code.is_aux(address):
                # A part of this function.
                continue
            replacement = self.places.replacement(address)
            caller = self.code.image.function(replacement.resume - 1 if replacement else address)
            if not self.code.is_quiet(address):
                self.note("text", start, caller[2])
            if one.kind == Kind.CALL:
                self.go_on(one, Frame(caller[0], False))
            else:
                self.to_callers(caller[0])
        for what in self.code.pointers(start):
            self.note("returns", start, what)
