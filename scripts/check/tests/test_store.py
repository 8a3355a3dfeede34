# SPDX-License-Identifier: GPL-2.0
"""Kept results: a pass at the first try, with the same inputs, of this week."""

import dataclasses
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import support
from inputs import Inputs, digest
from ktap import FAILED, OK, Result
from scenario import TESTS, Scenario
from store import AGAIN, DAYS, Outcome, Store


class Chance:
    """One that never, or always, asks for another run."""

    def __init__(self, value):
        self.value = value

    def randrange(self, _end):
        return self.value


class Kept(unittest.TestCase):
    """What is given back."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def store(self, fresh=False, now=1000.0, chance=1):
        return Store(self.folder, fresh, now, Chance(chance))

    def kept(self, outcome, **other):
        self.store().put("key", outcome)
        return self.store(**other).get("key")

    PASS = Outcome("s", [Result("a", OK)], 3.0, exits={"p": 1})

    def test_a_pass(self):
        found = self.kept(self.PASS)
        self.assertEqual((found.results, found.exits, found.cached), (self.PASS.results, {"p": 1}, True))

    def test_not_another_key(self):
        self.store().put("key", self.PASS)
        self.assertIsNone(self.store().get("other"))

    def test_no_failure(self):
        self.assertIsNone(self.kept(Outcome("s", [Result("a", OK), Result("b", FAILED)])))

    def test_nothing_that_ran_nothing(self):
        self.assertIsNone(self.kept(Outcome("s", [])))

    def test_no_pass_after_a_retry(self):
        self.assertIsNone(self.kept(Outcome("s", [Result("a", OK)], retries=1)))

    def test_a_failure_ends_an_earlier_pass(self):
        self.store().put("key", self.PASS)
        self.assertIsNone(self.kept(Outcome("s", [Result("a", FAILED)])))

    def test_not_when_all_shall_run(self):
        self.assertIsNone(self.kept(self.PASS, fresh=True))

    def test_not_after_a_week(self):
        self.assertIsNotNone(self.kept(self.PASS, now=1000.0 + DAYS * 86400 - 1))
        self.assertIsNone(self.kept(self.PASS, now=1000.0 + DAYS * 86400 + 1))

    def test_some_run_again(self):
        self.assertIsNone(self.kept(self.PASS, chance=0))
        self.assertGreater(AGAIN, 1)

    def test_damaged(self):
        (self.folder / "key.json").write_text("{", encoding="utf-8")
        self.assertIsNone(self.store().get("key"))

    def test_a_failure_comes_first_the_next_time(self):
        self.store().ran(Outcome("a/b", [Result("a", OK)]), "key")
        self.store().ran(Outcome("a/b", [Result("a", FAILED)]), "key")
        self.assertEqual(self.store().last("a/b")["time"], 0.0)

    def test_history(self):
        self.assertEqual(self.store().last("a/b")["time"], 0.0)
        self.store().ran(Outcome("a/b", [Result("a", OK)], 7.0), "key")
        self.assertEqual(self.store().last("a/b"), {"time": 1000.0, "key": "key", "seconds": 7.0})


class Keys(unittest.TestCase):
    """What a result depends on."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        for name, text in {
            "scripts/boot/boot.sh": "calls scripts/guest/enter.sh", "scripts/guest/enter.sh": "",
            "scripts/guest/selftests.sh": "sources guest/lib.sh", "scripts/guest/lib.sh": "",
            "scripts/gates/lib.sh": "", "scripts/other.sh": "", "scripts/build/module.sh": "",
            f"{TESTS}/Makefile": "", f"{TESTS}/common.h": "", f"{TESTS}/storm.c": "int main",
            f"{TESTS}/isolated.sh": "runs storm", f"{TESTS}/apart.c": "",
            "rust/protocol/word.rs": "", "rust/test_module/deferred_flush_test.rs": "",
            "Kbuild": "",
        }.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in ("a/out-1", "b/out-1", "m/out-1"):
            (self.top / "cache" / name).mkdir(parents=True)
        (self.top / "build").mkdir()
        self.link("kernel", "a/out-1")
        self.link("kernel-mainline", "m/out-1")
        self.guest = Scenario("s", "c", "check", 1, machine="stock", kernel="patched", cpus=1,
                              states=["always"], tests=["isolated.sh@always"], format="ktap")

    def link(self, name, target):
        path = self.top / "build" / name
        path.unlink(missing_ok=True)
        path.symlink_to(self.top / "cache" / target)

    def key(self, scenario=None):
        return Inputs(self.top, self.top / "build").key(scenario or self.guest)

    def changes(self, name, scenario=None):
        """Whether the key changes with a file."""
        before = self.key(scenario)
        (self.top / name).write_text("changed", encoding="utf-8")
        return self.key(scenario) != before

    def test_stays(self):
        self.assertEqual(self.key(), self.key())

    def test_changes_with_what_it_runs(self):
        for name in (f"{TESTS}/storm.c", f"{TESTS}/isolated.sh", f"{TESTS}/common.h",
                     "scripts/boot/boot.sh", "scripts/guest/enter.sh", "scripts/guest/lib.sh",
                     "rust/protocol/word.rs"):
            with self.subTest(name):
                self.setUp()
                self.assertTrue(self.changes(name))

    def test_a_script_may_run_any_test(self):
        script = dataclasses.replace(self.guest, states=[], tests=[], run="selftests.sh")
        self.assertTrue(self.changes(f"{TESTS}/apart.c", script))

    def test_unloaded_runs_a_test_of_its_own(self):
        (self.top / f"{TESTS}/load_unload.sh").write_text("", encoding="utf-8")
        unloaded = dataclasses.replace(self.guest, states=["unloaded"])
        self.assertFalse(self.changes(f"{TESTS}/load_unload.sh"))
        (self.top / f"{TESTS}/load_unload.sh").write_text("", encoding="utf-8")
        self.assertTrue(self.changes(f"{TESTS}/load_unload.sh", unloaded))

    def test_settings_count(self):
        before = self.key()
        for name in ("TEST_ARGS", "TEST_MS"):
            with unittest.mock.patch.dict("os.environ", {name: "1"}):
                self.assertNotEqual(self.key(), before)

    def test_stays_with_what_it_does_not_run(self):
        for name in (f"{TESTS}/apart.c", "scripts/other.sh", "scripts/gates/lib.sh"):
            self.assertFalse(self.changes(name))

    def test_changes_with_the_kernel(self):
        before = self.key()
        self.link("kernel", "b/out-1")
        self.assertNotEqual(self.key(), before)

    def test_changes_with_its_line(self):
        before = self.key()
        self.guest.append = "pti=off"
        self.assertNotEqual(self.key(), before)

    def test_stays_with_its_level_and_time(self):
        before = self.key()
        self.guest.level, self.guest.seconds = "all", 99
        self.assertEqual(self.key(), before)

    def test_changes_with_the_baseline(self):
        inputs = Inputs(self.top, self.top / "build")
        self.assertNotEqual(inputs.key(self.guest, "1"), inputs.key(self.guest, "2"))

    def test_mainline_depends_on_little(self):
        mainline = dataclasses.replace(self.guest, kernel="mainline")
        self.assertFalse(self.changes("rust/protocol/word.rs", mainline))
        before = self.key(mainline)
        self.link("kernel", "b/out-1")
        self.assertEqual(self.key(mainline), before)
        self.assertTrue(self.changes("rust/test_module/deferred_flush_test.rs", mainline))

    def test_digest_keeps_parts_apart(self):
        self.assertNotEqual(digest("ab", "c"), digest("a", "bc"))


if __name__ == "__main__":
    unittest.main()
