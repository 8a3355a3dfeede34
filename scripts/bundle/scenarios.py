#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Print those scenarios that the bundle can run, for its run.sh: NAME|APPEND|STATES|TESTS|ENV.

That is selftests on the sticky QEMU with the patched kernel, and nothing else on the host.
"""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS / "check"))
import scenario  # noqa: E402 pylint: disable=wrong-import-position


def fits(one: scenario.Scenario) -> bool:
    """Whether it is a guest that needs only what is in the bundle."""
    return (one.machine == "sticky" and one.kernel == "patched" and bool(one.states)
            and not (one.qemu or one.boot or one.beside or one.broken or one.baseline))


def main() -> int:
    """Prints them.  Suite is those two that have a PTI mode and all tests."""
    lines = {}
    for one in scenario.read(SCRIPTS / "check/scenarios", SCRIPTS.parent):
        if fits(one):
            env = " ".join(f"{name}={value}" for name, value in one.env.items())
            lines[one.name] = "|".join((one.name, one.append, " ".join(one.states),
                                        " ".join(one.tests), env))
    for name in ("sticky/pti-on", "sticky/pti-off"):
        if name not in lines:
            print(f"error: the list of scenarios has no {name}", file=sys.stderr)
            return 1
    print(*lines.values(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
