#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge the output of guest-selftests.sh and KUnit's in the kernel log.

Usage: tap.py PREFIX OUTPUT [DMESG]      without DMESG: no kernel ran
Prints one line per test, "ok|not ok|skip NAME", for check.sh to count. A test program without
its plan's number of results, or with a bad exit, is a failure.
"""

import re
import sys

RESULT = re.compile(r"^\s*(not ok|ok) \d+\s*-?\s*(.*)$")


def emit(kind, name):
    print(f"{kind} {name}")


def result(match, prefix):
    name = match.group(2)
    if "# SKIP" in name:
        emit("skip", f"{prefix}: {name}")
    else:
        emit(match.group(1), f"{prefix}: {name}")


def selftests(prefix, path):
    test, plan, seen, failed = None, None, 0, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("## test "):
                test, plan, seen, failed = line[8:], None, 0, False
            elif line.startswith("## exit ") and test:
                code = int(line[8:])
                where = f"{prefix}/{test}"
                if plan is None or seen != plan:
                    emit("not ok", f"{where}: {seen} results, planned {plan}")
                elif code not in (0, 4) and not failed:
                    emit("not ok", f"{where}: exit {code}")
                test = None
            elif test and re.match(r"^1\.\.\d+", line):
                plan = int(re.match(r"^1\.\.(\d+)", line).group(1))
                if "SKIP" in line:
                    emit("skip", f"{prefix}/{test}: {line}")
            elif test and not line.startswith(" ") and (match := RESULT.match(line)):
                seen += 1
                failed |= match.group(1) == "not ok"
                result(match, f"{prefix}/{test}")
    if test:
        emit("not ok", f"{prefix}/{test}: did not end")


def kunit(prefix, path):
    """The suites run at every load; each result counts once, and a failure always."""
    seen = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        suite = None
        for line in file:
            text = re.sub(r"^\[[^]]*\] ", "", line.rstrip("\n"))
            if match := re.match(r"^\s+# Subtest: (\S+)", text):
                suite = match.group(1)
            elif suite and text.startswith("    ") and (match := RESULT.match(text)):
                name = f"{prefix}/kunit/{suite}: {match.group(2)}"
                if seen.get(name) != "not ok":
                    seen[name] = match.group(1)
    for name, kind in seen.items():
        emit(kind, name)
    if not seen:
        emit("not ok", f"{prefix}/kunit: no suite ran")


def main(argv):
    if len(argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    selftests(argv[1], argv[2])
    if len(argv) == 3:
        return 0
    try:
        kunit(argv[1], argv[3])
    except FileNotFoundError:
        # The guest died; boot.sh has said so.
        emit("not ok", f"{argv[1]}/kunit: no kernel log")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
