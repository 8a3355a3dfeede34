# SPDX-License-Identifier: GPL-2.0
"""Where a CPU may be away: what to walk, from where, and up to where."""

import re
from collections.abc import Iterable, Iterator

from flow import IDLE, Place, Walk
from image import Image
from machine_code import THUNK, Code, Kind, Step
from places import ANY, NOPTI, PTI, Places, Site

WORD, ARMED, TAKE_BACK = "deferred_flush_cpu", "deferred_flush_armed", "deferred_flush_take_back"
# What promises, and what comes behind.
PROMISES = {"deferred_flush_leave_kernel": "exit", "deferred_flush_go_idle": "idle"}
STAGES = ("entry", "exit", "idle", "hook")
ENTRY = re.compile(r"asm_\w+|entry_SYS\w+|irq_entries_start|spurious_entries_start")
# Called by the kernel; labels in others; returns at once.
NO_ENTRY = re.compile(r"asm_load_gs_index|\w+_(safe_stack|unsafe_stack|after_hwframe|end)|"
                      r"entry_SYSCALL32_ignore")
# There is no PTI with FRED.
KERNEL_CR3 = re.compile(r"asm_fred_\w+|asm_exc_nmi_kvm_vmx")
WANTED = ("entry_SYSCALL_64", "asm_exc_page_fault", "asm_exc_nmi", "asm_exc_machine_check",
          "asm_exc_debug", "asm_exc_int3", "asm_exc_double_fault", "asm_common_interrupt",
          "asm_sysvec_apic_timer_interrupt")
IDTS = ("early_idts", "def_idts", "apic_idts")
# ->enter() and ->enter_s2idle() of cpuidle, wherever they are.
DRIVER = re.compile(r"intel_idle(_irq|_ibrs|_xstate|_hlt\w*|_s2idle)?|acpi_idle_enter(_s2idle)?|"
                    r"acpi_idle_lpi_enter|poll_idle|default_enter_idle")
WANTED_ENDS = {"exit": (("iretq",), ("sysretq",)), "idle": (IDLE,)}


class Kernel:
    """One kernel, and what has been found in it."""

    def __init__(self, image: Image, code: Code, places: Places, known: dict[str, list[Place]]):
        self.image, self.code, self.places, self.known = image, code, places, known
        self.errors: list[str] = []
        # With the way there.
        self.found: dict[tuple[str, Place], str] = {}
        self.used: set[tuple[str, Place]] = set()
        self.seen: dict[str, set[int]] = {stage: set() for stage in STAGES}
        self.hooks = self.c_hooks()
        self.early = {site.start for site in self.places.sites.values() if self.is_early(site)}

    # --- hooks
    def soon(self, address: int, steps: int) -> set[str]:
        """What is called within a few instructions."""
        names: set[str] = set()
        one = self.code.at(address) if steps else None
        if not one:
            return names
        if one.kind == Kind.CALL:
            return {self.image.function(one.target)[2]} if one.target is not None else names
        if one.kind in (Kind.JUMP, Kind.BRANCH) and one.target is not None:
            names |= self.soon(one.target, steps - 1)
        if one.kind in (Kind.BRANCH, Kind.GOES_ON):
            names |= self.soon(one.end, steps - 1)
        return names

    def c_hooks(self) -> set[int]:
        """Where a promise ends, in C: by the key, or by a site if PTI is off."""
        found = {address for address, label in self.places.labels.items()
                 if label.key == ARMED and self.code.is_quiet(address) and
                 TAKE_BACK in self.soon(label.target, 4)}
        if not found:
            self.errors.append(f"no hook with {ARMED}")
        for kind in (ANY, NOPTI, PTI):
            if all(site.kind != kind for site in self.places.sites.values()):
                self.errors.append(f"no hook of the kind {kind}")
        for site in self.places.sites.values():
            if site.kind == NOPTI:
                found.add(site.start)
                if not any(TAKE_BACK in self.soon(one.target, 2) for one in self.inside(site)
                           if one.kind == Kind.BRANCH and one.target is not None):
                    self.errors.append(f"the hook in {self.image.function(site.start)[2]} leads nowhere")
        return found

    def inside(self, site: Site) -> Iterator[Step]:
        """Its instructions."""
        one = self.code.at(site.start)
        while one and one.instruction.address < site.end:
            yield one
            one = self.code.at(one.end)

    def is_early(self, site: Site) -> bool:
        """Is it one of those that write CR3?"""
        one = self.code.at(site.start)
        return site.kind == PTI or \
            site.kind == ANY and one is not None and one.instruction.mnemonic.startswith("btr")

    # --- walks
    def walk(self, stage: str) -> Walk:
        """A new one, which a hook ends."""
        return Walk(self.code, self.places, self.hooks if stage != "hook" else set(),
                    self.known.get(stage, ()))

    def done(self, stage: str, walk: Walk) -> None:
        """Keeps what it has found, with what is called by pointer, as far as that is known."""
        for fact in self.known.get(stage, ()):
            address = self.image.address(fact.what)
            if fact.kind == "calls" and address is not None:
                walk.call(address)
                walk.used.add(fact)
        self.seen[stage] |= walk.seen
        self.errors += [f"{stage}: {error}" for error in walk.errors]
        self.used |= {(stage, fact) for fact in walk.used}
        for place, node in walk.found.items():
            self.found.setdefault((stage, place), " > ".join(walk.path(node)))

    def run(self) -> None:
        """All stages."""
        self.entry()
        self.away()
        self.hook()
        self.thunks()
        for stage, seen in self.seen.items():
            if not seen:
                self.errors.append(f"{stage}: nothing to walk")

    # --- entry
    def entries(self) -> dict[str, int]:
        """By name: all that look like one, and what the IDT has."""
        found = {}
        start, end = (self.image.address(f"__entry_text_{edge}") or 0 for edge in ("start", "end"))
        for symbol in self.image.code:
            if start <= symbol.address < end and ENTRY.fullmatch(symbol.name) and \
                    not NO_ENTRY.fullmatch(symbol.name):
                found[symbol.name] = symbol.address
        for name in IDTS:
            for symbol in self.image.symbols.get(name, ()):
                data = self.image.read(symbol.address, symbol.size)
                for at in range(0, len(data) - 7, 8):
                    address = int.from_bytes(data[at:at + 8], "little")
                    if start <= address < end:
                        found.setdefault(self.image.function(address)[2], address)
        return found

    def entry(self) -> None:
        """Each entry up to a hook."""
        found = self.entries()
        self.errors += [f"no entry {name}" for name in WANTED if name not in found]
        for name, address in sorted(found.items()):
            walk = self.walk("entry")
            walk.call(address)
            if not walk.hits:
                self.errors.append(f"no hook in C behind {name}")
            if not walk.seen & self.early and not KERNEL_CR3.fullmatch(name):
                self.errors.append(f"no hook in the entry code behind {name}")
            self.done("entry", walk)

    # --- exit and idle
    def promises(self) -> dict[str, list[int]]:
        """The stores that promise, by function."""
        found: dict[str, list[int]] = {name: [] for name in PROMISES}
        word = self.image.address(WORD)
        for address, one in self.code.steps.items():
            operands = one.instruction.operands
            if word is not None and one.instruction.target == word and \
                    re.fullmatch(r"mov[bwlq]", one.instruction.mnemonic) and \
                    re.fullmatch(r"\$0x[0-9a-f]*[13579bdf]", operands[0]):
                found.setdefault(self.image.function(address)[2], []).append(address)
        return found

    def away(self) -> None:
        """From each promise on; and whatever idles is walked from its start, too."""
        walks = {stage: self.walk(stage) for stage in ("exit", "idle")}
        for name, stores in self.promises().items():
            if name not in PROMISES:
                self.errors.append(f"a promise in {name}, and nobody knows what comes behind")
            elif not stores:
                self.errors.append(f"no promise in {name}")
            else:
                for address in stores:
                    walks[PROMISES[name]].behind(address)
        for address in self.idlers():
            walks["idle"].call(address)
        for stage, walk in walks.items():
            for ends in WANTED_ENDS[stage]:
                if not walk.ends.intersection(ends):
                    self.errors.append(f"{stage}: no {', '.join(ends)}")
            if stage == "idle" and not walk.hits:
                self.errors.append("no hook behind idle")
            self.done(stage, walk)

    def idlers(self) -> Iterable[int]:
        """Functions that idle: what is known by name, and all in .cpuidle.text that do not promise
        themselves."""
        areas = [(section.address, section.address + section.size)
                 for section, _ in self.image.sections if section.name == ".cpuidle.text"]
        areas.append((self.image.address("__cpuidle_text_start") or 0,
                      self.image.address("__cpuidle_text_end") or 0))
        promise = [self.image.address(name) or 0 for name, stage in PROMISES.items() if stage == "idle"]
        callers = {self.image.function(one.instruction.address)[0]
                   for address in promise for one in self.code.into(*self.image.function(address)[:2])}
        found = []
        for symbol in self.image.code:
            inside = any(start <= symbol.address < end for start, end in areas)
            if self.image.begins(symbol.address) and symbol.address not in callers and (
                    inside or DRIVER.fullmatch(symbol.name)):
                found.append(symbol.address)
        return found

    # --- the hook
    def hook(self) -> None:
        """What ends the promise, and what it calls in the module."""
        walk = self.walk("hook")
        address = self.image.address(TAKE_BACK)
        if address is None:
            self.errors.append(f"no {TAKE_BACK}")
        else:
            walk.call(address)
        for section in (one for file in self.image.files[1:] for one in file.sections):
            if section.name == ".noinstr.text":
                for symbol in self.image.code:
                    if symbol.address in section and self.image.begins(symbol.address):
                        walk.call(symbol.address)
        self.done("hook", walk)

    def thunks(self) -> None:
        """What runs on each return and indirect call, also behind the promise."""
        for address in {*self.places.labels, *self.places.calls, *self.places.fentries}:
            name = self.image.function(address)[2]
            if THUNK.fullmatch(name):
                for kind, what in self.places.at(address):
                    self.found.setdefault(("exit", Place(kind, name, what)), name)
