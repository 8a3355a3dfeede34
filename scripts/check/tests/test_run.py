# SPDX-License-Identifier: GPL-2.0
"""Running a scenario: what counts as what, and that nothing stays behind."""

import os
import tempfile
import threading
import time
import unittest
from pathlib import Path

import support
from ktap import FAILED, OK
from run import Children, Runner
from scenario import Scenario
from store import Outcome


class Scripts(unittest.TestCase):
    """With scripts of its own instead of boot.sh and the like."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "scripts").mkdir()
        build = self.top / "build"
        build.mkdir()
        real = Path(os.environ.get("BUILD") or support.TOP / "build")
        (build / "kernel-src").symlink_to((real / "kernel-src").resolve())
        self.children = Children()
        Children.GRACE = 1.0
        self.runner = Runner(self.top, build, self.children)

    def script(self, name, text):
        path = self.top / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/bash\n" + text, encoding="utf-8")
        path.chmod(0o755)

    def host(self, text, fmt="status", **other):
        self.script("x.sh", text)
        return self.runner.run(Scenario("h", "c", "check", 1, run="x.sh", format=fmt, **other))

    def guest(self, text, **other):
        """boot.sh is called with --out DIR first."""
        self.script("boot/boot.sh", f'out=$2\nmkdir -p "$out"\n{text}')
        other = {"format": "ktap", "states": ["absent"], "tests": ["t"], **other}
        return self.runner.run(Scenario("g", "c", "check", 1, machine="sticky", kernel="patched",
                                        cpus=1, **other), other.get("base"))

    TAP = 'printf "## test a\\nTAP version 13\\n1..1\\nok 1 x\\n## exit 0\\n" >"$out/output"\n'

    def test_exit_status(self):
        self.assertFalse(self.host("exit 0").failed)
        outcome = self.host("echo why; exit 3")
        self.assertTrue(outcome.failed)
        self.assertIn("why", outcome.tail)

    def test_a_script_that_is_not_there(self):
        (self.top / "scripts/x.sh").unlink(missing_ok=True)
        with self.assertRaises(OSError):
            self.runner.run(Scenario("h", "c", "check", 1, run="x.sh", format="status"))

    def test_no_result_is_no_pass(self):
        for fmt in ("ktap", "cargo", "exits"):
            self.assertTrue(self.host("exit 0", fmt).failed, fmt)

    def test_cargo_that_fails_behind_its_tests(self):
        self.assertFalse(self.host('echo "test a ... ok"', "cargo").failed)
        self.assertTrue(self.host('echo "test a ... ok"; exit 101', "cargo").failed)

    def test_time_limit(self):
        self.script("x.sh", "sleep 1000 & sleep 1000")
        start = time.monotonic()
        self.runner.children.call([str(self.top / "scripts/x.sh")], self.top / "log", 1)
        self.assertLess(time.monotonic() - start, 10)
        self.assertIn("no end after 1 s", (self.top / "log").read_text(encoding="utf-8"))

    def test_what_it_leaves_behind_is_ended(self):
        self.host(f"sleep 1000 & echo $! >{self.top}/pid")
        pid = int((self.top / "pid").read_text(encoding="utf-8"))
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_stop_ends_what_runs(self):
        self.script("x.sh", f'trap "" TERM\necho $$ >{self.top}/pid\nwhile :; do sleep 1; done')
        thread = threading.Thread(target=self.runner.run, args=(
            Scenario("h", "c", "check", 1, run="x.sh", format="status"),))
        thread.start()
        while not (self.top / "pid").exists() or not (self.top / "pid").read_text(encoding="utf-8"):
            time.sleep(0.05)
        self.children.stop()
        thread.join(20)
        self.assertFalse(thread.is_alive())
        with self.assertRaises(ProcessLookupError):
            os.kill(int((self.top / "pid").read_text(encoding="utf-8")), 0)

    def test_guest_passes(self):
        outcome = self.guest(self.TAP)
        self.assertEqual([r.status for r in outcome.results], [OK, OK])

    def test_guest_that_fails_though_its_tests_pass(self):
        self.assertTrue(self.guest(self.TAP + "exit 1").failed)

    def test_guest_without_output(self):
        self.assertTrue(self.guest("exit 0").failed)
        self.assertTrue(self.guest("exit 1").failed)

    def test_kunit_counts(self):
        log = 'printf "[ 1.0] KTAP version 1\\n1..1\\nnot ok 1 u\\n" >"$out/dmesg"\n'
        self.assertTrue(self.guest(self.TAP + log).failed)

    def test_no_kunit_is_no_pass_where_the_module_is_loaded(self):
        self.assertTrue(self.guest(self.TAP, states=["always"]).failed)
        log = ('printf "[ 1.0] KTAP version 1\\n1..1\\n    KTAP version 1\\n    # Subtest: {0}\\n    1..1\\n'
               '    ok 1 u\\nok 1 {0}\\n" >"$out/dmesg"\n')
        for suite, failed in (("rust_fmt", True), ("deferred_flush_core", False)):
            outcome = self.guest(self.TAP + log.format(suite), states=["always"])
            self.assertEqual(outcome.failed, failed, suite)

    def test_what_an_earlier_run_left_does_not_count(self):
        self.assertFalse(self.guest(self.TAP).failed)
        self.assertTrue(self.guest("exit 0").failed)

    def test_retries_of_the_boot_are_counted(self):
        self.assertEqual(self.guest(self.TAP + 'echo 2 >"$out/retries"').retries, 2)

    def test_tries(self):
        text = (self.TAP + f'echo >>{self.top}/count\n'
                f'[[ $(wc -l <{self.top}/count) -ge 2 ]]')
        outcome = self.guest(text, tries=3)
        self.assertEqual((outcome.failed, outcome.retries), (False, 1))

    def test_broken_has_to_fail(self):
        text = 'printf "## test a\\nTAP version 13\\n1..1\\n{}ok 1 v.sees\\n" >"$out/output"; exit 1\n'
        self.assertFalse(self.guest(text.format("not "), broken=["sees"]).failed)
        self.assertTrue(self.guest(text.format(""), broken=["sees"]).failed)
        self.assertTrue(self.guest("exit 1", broken=["sees"]).failed)

    def exits(self, base, *codes):
        lines = "".join(f'echo "## test p{i}"; echo "## exit {c}"; ' for i, c in enumerate(codes))
        self.script("boot/boot.sh", f'mkdir -p "$2"; ({lines}) >"$2/output"')
        return self.runner.run(Scenario("e", "c", "all", 1, machine="sticky", kernel="patched",
                                        cpus=1, run="boot.sh", format="exits"), base)

    def test_exits_are_compared(self):
        base = self.exits(None, 0, 1)
        self.assertFalse(base.failed)
        self.assertFalse(self.exits(base, 0, 1).failed)
        self.assertTrue(self.exits(base, 0, 0).failed)
        self.assertTrue(self.exits(base, 0).failed)

    def test_a_program_that_is_missing(self):
        self.assertTrue(self.exits(None, 0, 127).failed)

    def test_an_empty_baseline_is_no_pass(self):
        outcome = self.exits(Outcome("b", []))
        self.assertEqual([r.status for r in outcome.results], [FAILED])


if __name__ == "__main__":
    unittest.main()
