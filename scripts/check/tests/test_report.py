# SPDX-License-Identifier: GPL-2.0
"""report.py: what people and machines get to see."""

import json
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

import support  # noqa: F401 pylint: disable=unused-import
import report
from ktap import FAILED, OK, SKIPPED, Result
from scenario import Scenario
from store import Outcome

GOOD = Outcome("a/good", [Result("x", OK), Result("y", SKIPPED, "no KVM")], 7.0)
BAD = Outcome("a/bad", [Result("z", FAILED, "stale \x00 hit")], 9.0, tail="the console")
CACHED = Outcome("b/cached", [Result("w", OK)], cached=True)
NOT_RUN = {"b/late": "no time"}


class Report(unittest.TestCase):
    """All forms of it."""

    def test_lines(self):
        self.assertEqual(report.line(GOOD), "ok          a/good (1 passed, 1 skipped, 7 s)")
        self.assertEqual(report.line(BAD), "not ok      a/bad (0 passed, 1 failed, 9 s)")
        self.assertTrue(report.line(CACHED).startswith("ok (cached) b/cached"))

    def test_a_failure_says_why_and_how_to_repeat_it(self):
        text = report.failure(BAD, "log")
        for part in ("not ok a/bad: z", "stale", "| the console", "make check FRESH=1 TESTS=a/bad"):
            self.assertIn(part, text)

    def test_at_the_end_a_failure_is_brief(self):
        long = Outcome("a/long", [Result("z", FAILED)], tail="\n".join(f"line {n}" for n in range(60)))
        self.assertIn("| line 0\n", report.failure(long, "log"))
        text = report.failure(long, "log", brief=True)
        self.assertNotIn("| line 39\n", text)
        self.assertIn("| line 40\n", text)
        self.assertIn("| line 59\n", text)

    def test_the_table_counts_by_claim(self):
        scenarios = [Scenario(name, claim, "check", 1) for name, claim in (
            ("a/good", "first"), ("a/bad", "first"), ("b/cached", "second"), ("b/late", "second"))]
        lines = report.table(scenarios, {o.name: o for o in (GOOD, BAD, CACHED)}).splitlines()
        self.assertEqual(lines[1].split(), ["first", "1", "1", "1", ".", "."])
        self.assertEqual(lines[2].split(), ["second", "1", ".", ".", "1", "1"])

    def test_skips_are_named_with_their_reasons(self):
        self.assertEqual(report.skips([GOOD, BAD]), "skipped: y (no KVM): a/good\n")

    def test_the_slowest_are_those_that_ran(self):
        self.assertEqual(report.slowest([GOOD, BAD, CACHED]), "slowest: a/bad 9 s, a/good 7 s\n")

    def test_closing(self):
        self.assertEqual(report.closing([GOOD, BAD, CACHED]), "2 passed, 1 failed, 1 skipped")

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            report.save(Path(folder), [GOOD, BAD, CACHED], NOT_RUN, 16)
            root = ET.parse(Path(folder, "check.xml")).getroot()
            data = json.loads(Path(folder, "check.json").read_text(encoding="utf-8"))
            names = sorted(p.name for p in Path(folder, "ktap").iterdir())
        suites = {suite.get("name"): suite for suite in root}
        self.assertEqual(sorted(suites), ["a/bad", "a/good", "b/cached", "b/late"])
        self.assertEqual(suites["a/bad"].get("failures"), "1")
        self.assertEqual(suites["a/bad"].find("testcase/failure").text, "stale ? hit")
        self.assertEqual(suites["a/good"].find("testcase/skipped").text, "no KVM")
        self.assertEqual(suites["b/cached"].find("properties/property").get("name"), "cached")
        # Nobody who counts may take it for one that passed.
        self.assertEqual(suites["b/late"].get("skipped"), "1")
        self.assertEqual(suites["b/late"].find("testcase/skipped").text, "not run: no time")
        self.assertEqual(data["not_run"], NOT_RUN)
        self.assertEqual(names, ["a-bad.ktap", "a-good.ktap", "b-cached.ktap"])


if __name__ == "__main__":
    unittest.main()
