# SPDX-License-Identifier: GPL-2.0
"""Results, and what they are read from: KTAP by the kernel tree's own parser, and cargo's lines.

A guest prints the TAP of each program between "## test NAME" and "## exit STATUS".
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

OK, FAILED, SKIPPED = "ok", "not ok", "skip"

# Exit statuses of kselftest: pass, and skip.
KSFT_PASS, KSFT_SKIP = 0, 4

TOP_LEVEL_RESULT = re.compile(r"^(not )?ok \d+")
PLAN = re.compile(r"^1\.\.(\d+)")
TIMESTAMP = re.compile(r"^\[\s*\d+\.\d+\](\[[^]]*\])? ")


@dataclass
class Result:
    """One result.  why is for people: the reason of a skip, or what a failure said."""

    name: str
    status: str
    why: str = ""


@dataclass
class Section:
    """What one program printed, and its exit status; None if it did not end."""

    name: str
    lines: list[str]
    exit: int | None = None


class Parser:
    """kunit_parser.py of the kernel tree."""

    def __init__(self, source: Path) -> None:
        tools = source / "tools" / "testing" / "kunit"
        if not (tools / "kunit_parser.py").exists():
            raise FileNotFoundError(f"{tools}/kunit_parser.py")
        sys.path.insert(0, str(tools))
        try:
            import kunit_parser  # pylint: disable=import-outside-toplevel
            import kunit_printer  # pylint: disable=import-outside-toplevel
        finally:
            sys.path.remove(str(tools))
        self.kunit: ModuleType = kunit_parser
        self.printer = kunit_printer.null_printer

    def _leaves(self, test, prefix: str) -> list[Result]:
        status_of = self.kunit.TestStatus
        if test.subtests:
            name = f"{prefix}/{test.name}" if test.name != "main" else prefix
            results = [leaf for sub in test.subtests for leaf in self._leaves(sub, name)]
            bad = test.counts.errors or test.name != "main" and test.status == status_of.FAILURE
            if bad and all(leaf.status != FAILED for leaf in results):
                results.append(Result(name, FAILED, "it failed as a whole, or its KTAP is not in order"))
            return results
        status = {
            status_of.SUCCESS: OK,
            status_of.SKIPPED: SKIPPED,
        }.get(test.status, FAILED)
        why = test.skip_reason if status == SKIPPED else ""
        if status == FAILED:
            why = "\n".join(test.log[-20:])
        return [Result(f"{prefix}: {test.name.strip() or 'no result'}", status, why)]

    def section(self, section: Section, prefix: str) -> list[Result]:
        """The results of one program.  One that broke off, or has none, has failed."""
        name = f"{prefix}/{section.name}" if prefix else section.name
        if section.exit is None:
            rest = "did not end"
        else:
            rest = f"exit {section.exit}"
        plan = next((int(m.group(1)) for line in section.lines if (m := PLAN.match(line))), None)
        # The parser stops at the end of the plan.
        seen = sum(1 for line in section.lines if TOP_LEVEL_RESULT.match(line))
        skip = next((line for line in section.lines if line.startswith("1..0 # SKIP")), None)
        if skip and seen == 0 and section.exit in (KSFT_PASS, KSFT_SKIP):
            return [Result(name, SKIPPED, skip.removeprefix("1..0 # SKIP").strip())]
        if plan is None or seen == 0:
            why = "\n".join([rest, *section.lines[-20:]])
            return [Result(name, FAILED, why)]
        test = self.kunit.parse_run_tests(section.lines, self.printer)
        results = self._leaves(test, name)
        failed = any(result.status == FAILED for result in results)
        if seen != plan:
            results.append(Result(name, FAILED, f"{seen} results, planned {plan}; {rest}"))
        elif section.exit not in (KSFT_PASS, KSFT_SKIP) and not failed:
            results.append(Result(name, FAILED, rest))
        return results

    def kunit_log(self, text: str) -> list[Result]:
        """KUnit's results in a kernel log.  Each counts once for all loads, and a failure always."""
        blocks: list[list[str]] = []
        for line in text.splitlines():
            line = TIMESTAMP.sub("", line)
            if line.startswith("KTAP version"):
                blocks.append([])
            if blocks:
                blocks[-1].append(line)
        merged: dict[str, Result] = {}
        for block in blocks:
            if any(line.startswith("1..0") for line in block[:3]):
                continue
            for result in self._leaves(self.kunit.parse_run_tests(block, self.printer), "kunit"):
                if result.name not in merged or result.status == FAILED:
                    merged[result.name] = result
        return list(merged.values())


def sections(text: str) -> list[Section]:
    """The programs in a guest's output."""
    found: list[Section] = []
    for line in text.splitlines():
        if line.startswith("## test "):
            found.append(Section(line.removeprefix("## test ").strip(), []))
        elif line.startswith("## exit ") and found and found[-1].exit is None:
            found[-1].exit = int(line.removeprefix("## exit "))
        elif found and found[-1].exit is None:
            found[-1].lines.append(line)
    return found


def cargo(text: str) -> list[Result]:
    """The results in the output of `cargo test`."""
    statuses = {"ok": OK, "ignored": SKIPPED}
    found = re.findall(r"^test (.*?)(?: - should panic)? \.\.\. (\w+)", text, re.MULTILINE)
    return [Result(name, statuses.get(verdict, FAILED)) for name, verdict in found]


def emit(results: list[Result]) -> str:
    """The results as KTAP."""
    lines = ["KTAP version 1", f"1..{len(results)}"]
    for number, result in enumerate(results, 1):
        if result.status == FAILED:
            lines += [f"# {line}" for line in result.why.splitlines()]
        verdict = "not ok" if result.status == FAILED else "ok"
        skip = f" # SKIP {result.why}" if result.status == SKIPPED else ""
        lines.append(f"{verdict} {number} {result.name.replace('#', '')}{skip}")
    return "\n".join(lines) + "\n"
