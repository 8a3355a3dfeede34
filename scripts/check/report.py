# SPDX-License-Identifier: GPL-2.0
"""What a run came to: lines while it runs, a table by claim, KTAP, JUnit XML and JSON."""

import dataclasses
import json
import re
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import ktap
from ktap import FAILED, OK, SKIPPED
from scenario import Scenario
from store import Outcome, write

SLOWEST = 10
# Lines of a failure's log that are shown again at the end; the last ones say where CPUs are.
BRIEF = 20


def count(outcomes: list[Outcome], status: str) -> int:
    """The results with this status."""
    return sum(1 for o in outcomes for r in o.results if r.status == status)


def line(outcome: Outcome) -> str:
    """One line for a scenario that has ended."""
    total = len(outcome.results)
    bad = count([outcome], FAILED)
    skipped = count([outcome], SKIPPED)
    verdict = "not ok" if outcome.failed else "ok (cached)" if outcome.cached else "ok"
    notes = [f"{total - skipped - bad} passed"]
    notes += [f"{bad} failed"] if bad else []
    notes += [f"{skipped} skipped"] if skipped else []
    notes += [f"retries: {outcome.retries}"] if outcome.retries else []
    notes.append(f"{outcome.seconds:.0f} s")
    return f"{verdict:12}{outcome.name} ({', '.join(notes)})"


def failure(outcome: Outcome, where: str, brief: bool = False) -> str:
    """All that helps with a failure: what failed, why, the console, and how to repeat it."""
    lines = []
    for result in outcome.results:
        if result.status == FAILED:
            lines.append(f"not ok {outcome.name}: {result.name}")
            lines += [f"    | {text}" for text in result.why.splitlines()]
    if outcome.tail:
        shown = outcome.tail.splitlines()
        lines += [f"    | {text}" for text in (shown[-BRIEF:] if brief else shown)]
    lines.append(f"    again: make check FRESH=1 TESTS={outcome.name}    more: {where}")
    return "\n".join(lines)


def table(scenarios: list[Scenario], outcomes: dict[str, Outcome]) -> str:
    """By claim: what was tested, and what came of it."""
    rows = [("claim", "passed", "failed", "skipped", "cached", "not run")]
    claims: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        claims.setdefault(scenario.claim, []).append(scenario)
    for claim, some in claims.items():
        found = [outcomes[s.name] for s in some if s.name in outcomes]
        numbers = (count(found, OK), count(found, FAILED), count(found, SKIPPED),
                   sum(1 for o in found if o.cached), len(some) - len(found))
        rows.append((claim, *(str(n) if n else "." for n in numbers)))
    width = max(len(row[0]) for row in rows)
    return "\n".join(row[0].ljust(width) + "".join(cell.rjust(9) for cell in row[1:])
                     for row in rows)


def named(title: str, names: list[str]) -> str:
    """A list of names that fits a terminal; nothing for none."""
    if not names:
        return ""
    return textwrap.fill(f"{title}: {', '.join(names)}", 100, subsequent_indent="    ",
                         break_on_hyphens=False) + "\n"


def skips(outcomes: list[Outcome]) -> str:
    """Every skip with its reason; the same ones together."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        for result in outcome.results:
            if result.status == SKIPPED:
                why = result.why or "no reason given"
                reasons.setdefault(f"{result.name} ({why})", []).append(outcome.name)
    return "".join(f"skipped: {what}: {', '.join(names)}\n" for what, names in reasons.items())


def slowest(outcomes: list[Outcome]) -> str:
    """The scenarios that took longest, of those that ran."""
    ran = sorted((o for o in outcomes if not o.cached), key=lambda o: -o.seconds)[:SLOWEST]
    return named("slowest", [f"{o.name} {o.seconds:.0f} s" for o in ran])


def closing(outcomes: list[Outcome]) -> str:
    """The last line."""
    return (f"{count(outcomes, OK)} passed, {count(outcomes, FAILED)} failed, "
            f"{count(outcomes, SKIPPED)} skipped")


def _printable(text: str) -> str:
    """Without what XML does not allow."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def junit(outcomes: list[Outcome], not_run: dict[str, str]) -> str:
    """JUnit XML: a suite for each scenario. One that was not run is skipped, with the reason."""
    root = ET.Element("testsuites")
    for outcome in outcomes:
        suite = ET.SubElement(root, "testsuite", {
            "name": outcome.name, "tests": str(len(outcome.results)),
            "failures": str(count([outcome], FAILED)),
            "skipped": str(count([outcome], SKIPPED)), "time": f"{outcome.seconds:.1f}"})
        if outcome.cached:
            properties = ET.SubElement(suite, "properties")
            ET.SubElement(properties, "property", {"name": "cached", "value": "true"})
        for result in outcome.results:
            case = ET.SubElement(suite, "testcase",
                                 {"classname": outcome.name, "name": _printable(result.name)})
            if result.status == FAILED:
                ET.SubElement(case, "failure").text = _printable(result.why)
            elif result.status == SKIPPED:
                ET.SubElement(case, "skipped").text = _printable(result.why)
    for name, why in not_run.items():
        suite = ET.SubElement(root, "testsuite", {"name": name, "tests": "1", "skipped": "1"})
        case = ET.SubElement(suite, "testcase", {"classname": name, "name": name})
        ET.SubElement(case, "skipped").text = _printable(f"not run: {why}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def save(folder: Path, outcomes: list[Outcome], not_run: dict[str, str], seconds: float) -> None:
    """Writes check.xml, check.json and a KTAP file for each scenario."""
    for old in (folder / "ktap").glob("*.ktap"):
        old.unlink()
    for outcome in outcomes:
        write(folder / "ktap" / (outcome.name.replace("/", "-") + ".ktap"),
              ktap.emit(outcome.results))
    write(folder / "check.xml", junit(outcomes, not_run))
    data = {"seconds": round(seconds), "not_run": not_run,
            "scenarios": [{**dataclasses.asdict(o), "failed": o.failed} for o in outcomes]}
    write(folder / "check.json", json.dumps(data, indent=1) + "\n")
