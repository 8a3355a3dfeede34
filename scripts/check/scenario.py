# SPDX-License-Identifier: GPL-2.0
"""The list of scenarios, scenarios/*.toml: what is run, on what, and for which claim.

A scenario is one guest, or one script on the host.  The list is checked as a whole when it is read: a
mistake in it is one error, before anything is built.  level says where it is run:

check   in `make check`
rotate  those that have waited longest, in `make check`; all in `make check-all`
all     in `make check-all`

A [[gate]] stands for two scenarios: a gate of scripts/gates.sh, and its controls, which plant what it is
there for.  [groups] are names for several programs, in all files.
"""

import dataclasses
import fnmatch
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEVELS = ("check", "rotate", "all")
MACHINES = ("stock", "mended", "sticky")
KERNELS = {
    # kernel: (link in build/, its modules)
    "patched": ("kernel", "module/rust"),
    "mainline": ("kernel-mainline", "module-kernel-mainline/rust"),
    "debug": ("kernel-debug", "module-kernel-debug/rust"),
    "mutants": ("kernel-mutants", "module-debug/rust"),
}
# Where the programs are, and what runs them in a guest.
TESTS = "selftests/deferred_flush"
GUEST_RUN = "selftests.sh"
STATES = ("absent", "off", "always", "adaptive", "unloaded")
# What is built, and what each needs.
ARTIFACTS = {
    "setup": (),
    "kernel": ("setup",),
    "modules": ("kernel",),
    "qemu": ("setup",),
    "machine": ("setup",),
    "mainline": ("modules",),
    "debug": ("modules",),
    "mutants": ("modules",),
    "kselftests": ("mainline",),
}
# How a script says what came of it: by its exit status; KTAP; cargo's lines; or by the exit statuses of
# the programs that it runs, compared with those in another scenario, the baseline.
FORMATS = ("status", "ktap", "cargo", "exits")


class ListError(Exception):
    """The list of scenarios, or what was asked of it, is wrong."""


@dataclass
class Scenario:
    """One line of the list.  Times are in seconds, on two cores without KVM."""

    name: str
    claim: str
    level: str
    seconds: int
    machine: str = ""
    kernel: str = ""
    cpus: int = 0
    append: str = ""
    memory: str = ""
    states: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    run: str = ""
    format: str = ""
    inputs: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    cores: int = 0
    limit: int = 0
    tries: int = 1
    # Options for boot.sh, and for QEMU; {build}, {out} and {tmp} are filled in.
    boot: list[str] = field(default_factory=list)
    qemu: str = ""
    # A script on the host that runs beside the guest, until that ends.
    beside: str = ""
    # These results have to be failures, and nothing else is looked at: the guest has a bug.
    broken: list[str] = field(default_factory=list)
    # Each program has to exit as it does there.
    baseline: str = ""

    @property
    def guest(self) -> bool:
        return bool(self.machine)

    @property
    def time_limit(self) -> int:
        return self.limit or 5 * self.seconds + 120

    def needs(self) -> set[str]:
        """The artifacts that it uses, without what these need."""
        found = {name for name in self.inputs if name in ARTIFACTS}
        if self.guest:
            found |= {{"patched": "kernel"}.get(self.kernel, self.kernel), "modules"}
            if self.machine != "stock":
                found.add("qemu")
        return found | {"setup"}

    def builds(self) -> set[str]:
        """The artifacts that have to be there: KTAP is read by the kernel tree's parser."""
        found = self.needs()
        if self.format == "ktap" and not found & {"kernel", "mainline"}:
            found.add("kernel")
        return found

    def commands(self) -> list[tuple[str, list[str]]]:
        """The scripts that it runs, each with its arguments."""
        run = self.run or GUEST_RUN if self.guest else self.run
        lines = [("scripts/guest" if self.guest else "scripts", run), ("scripts", self.beside)]
        return [(f"{folder}/{words[0]}", words[1:]) for folder, line in lines if (words := line.split())]

    def threads(self, cores: int) -> int:
        """How many cores it keeps busy, of those that there are."""
        return max(1, min(self.cores or self.cpus or 1, cores))


def _check(scenario: Scenario, top: Path) -> None:
    def require(condition: bool, what: str) -> None:
        if not condition:
            raise ListError(f"scenario {scenario.name}: {what}")

    def known(what: str, value: str, among: tuple[str, ...]) -> None:
        require(value in among, f"{what} = {value!r}: must be one of {', '.join(among)}")

    known("level", scenario.level, LEVELS)
    require(scenario.seconds > 0, "seconds must be above 0")
    require(bool(scenario.claim), "has no claim")
    require(bool(scenario.run) != bool(scenario.states), "needs either run or states")
    require(not scenario.tests or bool(scenario.states), "tests go with states")
    known("format", scenario.format, FORMATS)
    if scenario.guest:
        known("machine", scenario.machine, MACHINES)
        known("kernel", scenario.kernel, tuple(KERNELS))
        require(1 <= scenario.cpus <= 64, "cpus must be from 1 to 64")
        require(scenario.format in ("ktap", "exits"), "the output of a guest is KTAP, or exits")
        for state in scenario.states:
            known("states", state, STATES)
        require(bool(scenario.tests) or not scenario.states, "has no tests")
        for test in scenario.tests:
            source, _, state = test.partition("@")
            source = source if source.endswith(".sh") else source.removesuffix("_32") + ".c"
            require((top / TESTS / source).exists(), f"there is no {TESTS}/{source}")
            require(not state or state in scenario.states, f"{test}: {state} is not in states")
    else:
        for key in ("kernel", "append", "states", "boot", "qemu", "beside", "broken"):
            require(not getattr(scenario, key), f"{key} is for guests")
        require(bool(scenario.inputs), "has no inputs")
    for name in scenario.inputs:
        require(name in ARTIFACTS or (top / name).exists(), f"there is no input {name}")
    for script, _ in scenario.commands():
        require((top / script).exists(), f"there is no {script}")


def _expand(scenario: Scenario, groups: dict[str, list[str]]) -> list[str]:
    """Its tests, with groups replaced by what is in them: of that, what it has the state for."""
    tests = []
    for test in scenario.tests:
        kind, _, name = test.partition(":")
        if kind != "group":
            tests.append(test)
        elif name not in groups:
            raise ListError(f"scenario {scenario.name}: there is no group {name}")
        else:
            tests += [t for t in groups[name]
                      if not t.partition("@")[2] or t.partition("@")[2] in scenario.states]
    return tests


def _gate(gate: dict[str, Any]) -> list[dict[str, Any]]:
    """The gate as a scenario, and its controls as another."""
    try:
        name, control = gate.pop("name"), gate.pop("control_seconds")
        gate["inputs"] = [*gate["inputs"], "scripts/gates"]
    except KeyError as error:
        raise ListError(f"a gate without {error}") from error
    common = {"level": "check"} | gate
    return [
        {**common, "name": f"sources/{name}", "run": f"gates.sh {name}",
         "claim": "the sources are in order"},
        {**common, "name": f"sources/{name}-control", "run": f"gates.sh control {name}",
         "claim": "the gates see what they are there for", "seconds": control},
    ]


def _load(folder: Path) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """The groups and the scenarios in all files of the list, as they are written there."""
    groups: dict[str, list[str]] = {}
    tables: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            with path.open("rb") as file:
                whole = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ListError(f"{path.name}: {error}") from error
        groups |= whole.pop("groups", {})
        tables += whole.pop("scenario", [])
        for gate in whole.pop("gate", []):
            tables += _gate(gate)
        if whole:
            raise ListError(f"{path.name}: unknown: {', '.join(sorted(whole))}")
    if not tables:
        raise ListError(f"{folder.name}: no scenario in it")
    return groups, tables


def read(folder: Path, top: Path) -> list[Scenario]:
    """All scenarios.  Raises ListError for the first mistake."""
    groups, tables = _load(folder)
    scenarios: dict[str, Scenario] = {}
    for table in tables:
        name = table.get("name", "(without a name)")
        unknown = set(table) - {entry.name for entry in dataclasses.fields(Scenario)}
        if unknown:
            raise ListError(f"scenario {name}: unknown: {', '.join(sorted(unknown))}")
        try:
            scenario = Scenario(**table)
        except TypeError as error:
            raise ListError(f"scenario {name}: {error}") from error
        scenario.tests = _expand(scenario, groups)
        scenario.format = scenario.format or ("ktap" if scenario.guest else "status")
        if name in scenarios:
            raise ListError(f"scenario {name}: is there twice")
        _check(scenario, top)
        scenarios[name] = scenario
    for scenario in scenarios.values():
        if scenario.baseline and scenario.baseline not in scenarios:
            raise ListError(f"scenario {scenario.name}: no baseline {scenario.baseline}")
    return list(scenarios.values())


def select(scenarios: list[Scenario], patterns: str) -> list[Scenario]:
    """Those that a pattern names: a shell pattern, or a part of the name.

    PATTERN:TEST runs just this program of the scenario.
    """
    chosen: dict[str, Scenario] = {}
    for pattern in patterns.split():
        where, _, test = pattern.partition(":")
        found = [s for s in scenarios if fnmatch.fnmatchcase(s.name, where)]
        found = found or [s for s in scenarios if where in s.name]
        if test:
            found = [dataclasses.replace(s, tests=kept) for s in found
                     if (kept := [t for t in s.tests if t.partition("@")[0] == test])]
        if not found:
            raise ListError(f"TESTS={pattern}: matches no scenario; `make check TESTS=list` shows them")
        for scenario in found:
            chosen.setdefault(scenario.name, scenario)
    # What another one is compared with comes along.
    for scenario in list(chosen.values()):
        if scenario.baseline:
            chosen.setdefault(scenario.baseline,
                              next(s for s in scenarios if s.name == scenario.baseline))
    return list(chosen.values())


def artifacts(scenarios: list[Scenario]) -> list[str]:
    """What has to be built for them, in an order in which it can be."""
    wanted: set[str] = set()

    def want(name: str) -> None:
        for other in ARTIFACTS[name]:
            want(other)
        wanted.add(name)

    for scenario in scenarios:
        for name in scenario.builds():
            want(name)
    return [name for name in ARTIFACTS if name in wanted]
