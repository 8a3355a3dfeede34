# SPDX-License-Identifier: GPL-2.0
"""KTAP: what counts as a pass, and what must not."""

import os
import unittest
from pathlib import Path

import support  # pylint: disable=unused-import
import ktap
from ktap import FAILED, OK, SKIPPED

BUILD = Path(os.environ.get("BUILD") or support.TOP / "build")


class Sections(unittest.TestCase):
    """A guest's output, cut into programs."""

    def test_programs_and_exits(self):
        found = ktap.sections("noise\n## test a\nx\n## exit 0\nnoise\n## test b\ny\n")
        self.assertEqual([(s.name, s.lines, s.exit) for s in found],
                         [("a", ["x"], 0), ("b", ["y"], None)])


class Programs(unittest.TestCase):
    """One program, by the kernel tree's parser."""

    def setUp(self):
        self.parser = ktap.Parser(BUILD / "kernel-src")

    def statuses(self, text, status=0):
        section = ktap.Section("t", text.splitlines(), status)
        return [(r.name, r.status) for r in self.parser.section(section, "")]

    def test_pass_fail_and_skip(self):
        text = ("TAP version 13\n1..3\n# Starting 3 tests\n#  RUN  global.a ...\nok 1 global.a\n"
                "# b.c:12:b:Expected 0 (0) == stale (3)\nnot ok 2 global.b\n"
                "ok 3 global.c # SKIP one CPU\n# Totals\n")
        self.assertEqual(self.statuses(text, 1), [("t: global.a", OK), ("t: global.b", FAILED),
                                                  ("t: global.c", SKIPPED)])

    def test_a_failure_says_why(self):
        section = ktap.Section("t", "TAP version 13\n1..1\n# Expected 0 == stale\nnot ok 1 a".splitlines(), 1)
        self.assertIn("Expected 0 == stale", self.parser.section(section, "")[0].why)

    def test_skip_of_all(self):
        self.assertEqual(self.statuses("TAP version 13\n1..0 # SKIP no perf\n", 4), [("t", SKIPPED)])

    def test_fewer_results_than_planned(self):
        self.assertIn(FAILED, dict(self.statuses("TAP version 13\n1..2\nok 1 a\n")).values())

    def test_more_results_than_planned(self):
        text = "TAP version 13\n1..1\nok 1 a\nnot ok 2 b\n"
        self.assertIn(FAILED, dict(self.statuses(text, 1)).values())

    def test_bad_exit_though_all_passed(self):
        self.assertIn(("t", FAILED), self.statuses("TAP version 13\n1..1\nok 1 a\n", 139))

    def test_exit_of_xfail_is_no_pass(self):
        self.assertIn(("t", FAILED), self.statuses("TAP version 13\n1..1\nok 1 a\n", 2))

    def test_did_not_end(self):
        self.assertIn(("t", FAILED), self.statuses("TAP version 13\n1..1\nok 1 a\n", None))

    def test_nothing_at_all(self):
        self.assertEqual(self.statuses("", 0), [("t", FAILED)])

    def test_no_plan(self):
        self.assertEqual(self.statuses("TAP version 13\nok 1 a\n", 0), [("t", FAILED)])

    def test_skip_with_a_bad_exit(self):
        self.assertEqual(self.statuses("TAP version 13\n1..0 # SKIP x\n", 1), [("t", FAILED)])

    def test_subtests(self):
        text = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..2\n"
                "    ok 1 a\n    not ok 2 b\nnot ok 1 s\n")
        self.assertEqual(self.statuses(text, 1), [("t/s: a", OK), ("t/s: b", FAILED)])

    def test_a_suite_that_fails_as_a_whole(self):
        text = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n"
                "    ok 1 a\nnot ok 1 s\n")
        self.assertIn(FAILED, dict(self.statuses(text)).values())

    def test_a_failure_in_front_of_a_skip_of_all(self):
        self.assertIn(FAILED, dict(self.statuses("TAP version 13\nnot ok 1 a\n1..0 # SKIP x\n")).values())

    def test_what_is_emitted_is_read_again(self):
        results = [ktap.Result("a", OK), ktap.Result("b", FAILED, "why"), ktap.Result("c", SKIPPED, "no")]
        self.assertEqual(self.statuses(ktap.emit(results), 1),
                         [("t: a", OK), ("t: b", FAILED), ("t: c", SKIPPED)])


class Kunit(unittest.TestCase):
    """KUnit in a kernel log."""

    LOAD = ("[    5.1] KTAP version 1\n[    5.1] 1..1\n[    5.1]     KTAP version 1\n"
            "[    5.1]     # Subtest: suite\n[    5.1]     1..1\n[    5.2]     {}ok 1 case\n"
            "[    5.2] {}ok 1 suite\n[    5.3] other\n")

    def setUp(self):
        self.parser = ktap.Parser(BUILD / "kernel-src")

    def test_every_load_counts_once(self):
        log = self.LOAD.format("", "") * 3
        self.assertEqual([(r.name, r.status) for r in self.parser.kunit_log(log)],
                         [("kunit/suite: case", OK)])

    def test_a_failure_in_one_load_stays(self):
        log = self.LOAD.format("", "") + self.LOAD.format("not ", "not ") + self.LOAD.format("", "")
        self.assertEqual([r.status for r in self.parser.kunit_log(log)], [FAILED])

    def test_none(self):
        self.assertEqual(self.parser.kunit_log("[    1.0] hello\n"), [])


class Cargo(unittest.TestCase):
    """Lines of cargo."""

    def test_lines(self):
        text = ("running 3 tests\ntest log::tests::a ... ok\ntest b - should panic ... ok\n"
                "test c ... FAILED\ntest d ... ignored\n")
        self.assertEqual([(r.name, r.status) for r in ktap.cargo(text)],
                         [("log::tests::a", OK), ("b", OK), ("c", FAILED), ("d", SKIPPED)])


if __name__ == "__main__":
    unittest.main()
