# SPDX-License-Identifier: GPL-2.0
"""What a kernel may patch, by its own tables."""

import bisect
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from image import Image

# Kinds of the sites of patch 2.
ANY, NOPTI, PTI = 0, 1, 2
# The call in what replaces it stands for one of what is called by pointer.
DIRECT_CALL = 1 << 17


@dataclass(frozen=True)
class Label:
    """A jump label: where it may jump to, and the name of its key."""
    target: int
    key: str
    sealed: bool


@dataclass(frozen=True)
class StaticCall:
    """The name of its key."""
    key: str
    sealed: bool


@dataclass(frozen=True)
class Alternative:
    """Instructions in place of others, and where those end."""
    start: int
    size: int
    resume: int
    direct: bool


@dataclass(frozen=True)
class Site:
    """A hook that is patched while all CPUs are stopped, and where it ends if it is not armed."""
    start: int
    end: int
    resume: int
    kind: int


@dataclass
class Places:
    """By address."""
    labels: dict[int, Label] = field(default_factory=dict)
    calls: dict[int, StaticCall] = field(default_factory=dict)
    fentries: set[int] = field(default_factory=set)
    alternatives: dict[int, list[Alternative]] = field(default_factory=dict)
    sites: dict[int, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replacements = sorted({one.start: one for every in self.alternatives.values()
                                    for one in every if one.size}.items())

    def at(self, address: int) -> Iterator[tuple[str, str]]:
        """What can be patched there: kind and key."""
        if address in self.fentries:
            yield "fentry", "-"
        if call := self.calls.get(address):
            yield "sealed-call" if call.sealed else "static-call", call.key
        if label := self.labels.get(address):
            yield "sealed-key" if label.sealed else "key", label.key

    def replacement(self, address: int) -> Alternative | None:
        """The one that an instruction belongs to."""
        at = bisect.bisect_right(self.replacements, address, key=lambda one: one[0]) - 1
        if at >= 0 and address < self.replacements[at][0] + self.replacements[at][1].size:
            return self.replacements[at][1]
        return None


def sealed(image: Image, address: int) -> bool:
    """Is it read-only once the kernel has booted?"""
    start, end = image.address("__start_ro_after_init"), image.address("__end_ro_after_init")
    return start is not None and end is not None and start <= address < end


def labels(image: Image) -> dict[int, Label]:
    """Of struct jump_entry."""
    found = {}
    for base, data in image.tables("__jump_table", "__start___jump_table", "__stop___jump_table"):
        for at, (code, target, key) in enumerate(struct.iter_unpack("<iiq", data)):
            entry = base + 16 * at
            address = (entry + 8 + key) & ~3
            found[entry + code] = Label(entry + 4 + target, image.variable(address),
                                        sealed(image, address))
    return found


def static_calls(image: Image) -> dict[int, StaticCall]:
    """Of struct static_call_site."""
    found = {}
    for base, data in image.tables(".static_call_sites", "__start_static_call_sites",
                                   "__stop_static_call_sites"):
        for at, (code, key) in enumerate(struct.iter_unpack("<ii", data)):
            entry = base + 8 * at
            address = (entry + 4 + key) & ~3
            found[entry + code] = StaticCall(image.variable(address).removeprefix("__SCK__"),
                                             sealed(image, address))
    return found


def fentries(image: Image) -> set[int]:
    """Where the function tracer can be called."""
    return {address for _, data in image.tables("__mcount_loc", "__start_mcount_loc",
                                                "__stop_mcount_loc")
            for (address,) in struct.iter_unpack("<Q", data)}


def alternatives(image: Image) -> dict[int, list[Alternative]]:
    """Of struct alt_instr."""
    found: dict[int, list[Alternative]] = {}
    for base, data in image.tables(".altinstructions", "__alt_instructions",
                                   "__alt_instructions_end"):
        for at, (code, replacement, flags, size, length) in enumerate(
                struct.iter_unpack("<iiIBB", data)):
            entry = base + 14 * at
            found.setdefault(entry + code, []).append(Alternative(
                entry + 4 + replacement, length, entry + code + size, bool(flags & DIRECT_CALL)))
    return found


def sites(image: Image) -> dict[int, Site]:
    """Of struct deferred_flush_site."""
    base, data = image.between("__deferred_flush_sites", "__deferred_flush_sites_end")
    found = {}
    for at, (offset, length, resume, kind, _) in enumerate(struct.iter_unpack("<iBBBB", data)):
        start = base + 8 * at + offset
        found[start] = Site(start, start + length, start + resume, kind)
    return found


def places(image: Image) -> Places:
    """All of them."""
    return Places(labels(image), static_calls(image), fentries(image), alternatives(image),
                  sites(image))
