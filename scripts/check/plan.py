# SPDX-License-Identifier: GPL-2.0
"""Which scenarios a run is made of, and in which order."""

from collections.abc import Callable

from scenario import Scenario
from store import Store

# `make check` runs of the rotating scenarios those that have waited longest, for so many seconds; one at
# least.
ROTATE_SECONDS = 150


def of_level(scenarios: list[Scenario], level: str, store: Store) -> list[Scenario]:
    """Those of `make check`, or all."""
    if level == "all":
        return scenarios
    left, rotated = ROTATE_SECONDS, set()
    waiting = [s for s in scenarios if s.level == "rotate"]
    for scenario in sorted(waiting, key=lambda s: store.last(s.name)["time"]):
        if scenario.seconds <= left or not rotated:
            left -= scenario.seconds
            rotated.add(scenario.name)
    return [s for s in scenarios if s.level == "check" or s.name in rotated]


def ranks(scenarios: list[Scenario], level: str, store: Store,
          key: Callable[[Scenario], str]) -> dict[str, int]:
    """First what make check has; then what has changed since it ran; then what ran longest ago.

    key gives "" for a scenario whose inputs are still to be built: they have changed.
    """
    if level != "all":
        return {s.name: 0 for s in scenarios}
    last = {s.name: store.last(s.name) for s in scenarios}
    ages = sorted({entry["time"] for entry in last.values()})
    found = {}
    for scenario in scenarios:
        entry = last[scenario.name]
        if scenario.level == "check":
            found[scenario.name] = 0
        elif not entry["key"] or entry["key"] != key(scenario):
            found[scenario.name] = 1
        else:
            found[scenario.name] = 2 + ages.index(entry["time"])
    # A baseline comes no later than what waits for it.
    for scenario in scenarios:
        if scenario.baseline in found:
            found[scenario.baseline] = min(found[scenario.baseline], found[scenario.name])
    return found
