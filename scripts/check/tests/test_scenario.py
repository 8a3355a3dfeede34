# SPDX-License-Identifier: GPL-2.0
"""The list: its mistakes, its patterns, and what make check takes of it."""

import re
import tempfile
import unittest
from pathlib import Path

import support
import plan
from ktap import OK, Result
from scenario import ListError, Scenario, artifacts, read, select
from store import Outcome, Store

HOST = 'name = "h"\nclaim = "c"\nlevel = "check"\nseconds = 1\nrun = "boot/boot.sh"\ninputs = ["rust"]\n'
GUEST = ('name = "g"\nclaim = "c"\nlevel = "all"\nseconds = 1\nmachine = "sticky"\n'
         'kernel = "patched"\ncpus = 2\nstates = ["always"]\ntests = ["asids"]\n')


# What tests are made of, the state "unloaded", and what runs the 32-bit programs where installed.
HELPERS = ("deferred_flush_test", "syscall_loop", "flush_loop", "tlb_counters",
           "load_unload", "programs_32")


class List(unittest.TestCase):
    """Reading it."""

    def read(self, *tables, head=""):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "scenarios.toml")
            path.write_text(head + "".join(f"[[scenario]]\n{t}" for t in tables), encoding="utf-8")
            return read(Path(folder), support.TOP)

    def text(self):
        return "".join(p.read_text(encoding="utf-8") for p in (support.CHECK / "scenarios").iterdir())

    def test_the_list_of_the_project(self):
        self.assertTrue(read(support.CHECK / "scenarios", support.TOP))

    def test_a_gate_is_two_scenarios(self):
        gate = '[[gate]]\nname = "callers"\ninputs = ["rust"]\nseconds = 1\n'
        both = self.read(head=gate + "control_seconds = 2\n")
        self.assertEqual([(s.name, s.run, s.seconds, s.level) for s in both],
                         [("sources/callers", "gates.sh callers", 1, "check"),
                          ("sources/callers-control", "gates.sh control callers", 2, "check")])
        self.assertTrue(all(s.inputs == ["rust", "scripts/gates"] for s in both))
        with self.assertRaisesRegex(ListError, "a gate without 'control_seconds'"):
            self.read(head=gate)

    def test_several_files(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.toml").write_text(f"[[scenario]]\n{HOST}", encoding="utf-8")
            Path(folder, "b.toml").write_text(f"[[scenario]]\n{GUEST}", encoding="utf-8")
            self.assertEqual([s.name for s in read(Path(folder), support.TOP)], ["h", "g"])
            Path(folder, "c.toml").write_text(f"[[scenario]]\n{HOST}", encoding="utf-8")
            with self.assertRaisesRegex(ListError, "twice"):
                read(Path(folder), support.TOP)

    def test_every_selftest_is_in_it(self):
        text = self.text()
        missing = [p.name for p in sorted((support.TOP / "selftests/deferred_flush").iterdir())
                   if p.suffix in (".c", ".sh") and p.stem not in HELPERS
                   and not re.search(rf'["@ :]{p.stem}(_32|\.sh)?["@ ]', text)]
        self.assertEqual(missing, [])

    def test_every_mutant_is_run(self):
        folder = support.TOP / "selftests/mutants"
        text = self.text()
        groups, lines = [], []
        for line in (folder / "expected").read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words and words[0] == "@":
                groups.append(words[1])
            elif words and not line.startswith("#"):
                lines.append(words[0])
                self.assertIn(words[1], groups)
        self.assertEqual([g for g in groups if f'"mutants.sh {g}"' not in text], [])
        patches = {p.stem for p in folder.glob("*.patch")} - {"0000-select"}
        self.assertEqual(patches - set(lines), set())
        # 1 and 2 are a control, and for measuring.
        source = (support.TOP / "rust/entry/mutants.rs").read_text(encoding="utf-8")
        numbers = set(re.findall(r"const \w+: u32 = (\d+);", source)) - {"1", "2"}
        self.assertEqual(numbers, {n.split("-")[1] for n in lines if n.startswith("module-")})

    def test_good(self):
        self.assertEqual([s.name for s in self.read(HOST, GUEST)], ["h", "g"])

    def test_groups(self):
        line = GUEST.replace('["asids"]', '["group:x", "asids"]')
        found = self.read(line, head='[groups]\nx = ["bpf_storm@always", "hotplug@adaptive"]\n')
        self.assertEqual(found[0].tests, ["bpf_storm@always", "asids"])

    def test_mistakes(self):
        for table, message in {
            "": "no scenario",
            HOST + "nonsense = 1\n": "unknown: nonsense",
            HOST.replace('"check"', '"sometimes"'): "level",
            HOST.replace("boot/boot.sh", "nothing.sh"): "no scripts/nothing.sh",
            HOST.replace('"rust"', '"nothing"'): "no input nothing",
            HOST.replace("seconds = 1", "seconds = 0"): "seconds",
            HOST.replace('claim = "c"\n', ""): "claim",
            HOST + 'append = "x"\n': "append is for guests",
            GUEST.replace('"asids"', '"nothing"'): "no selftests/deferred_flush/nothing.c",
            GUEST.replace('"asids"', '"asids@off"'): "off is not in states",
            GUEST.replace('"asids"', '"group:nothing"'): "no group nothing",
            GUEST.replace('["always"]', '["never"]'): "states",
            GUEST.replace("sticky", "foo"): "machine",
            GUEST.replace("cpus = 2", "cpus = 0"): "cpus",
            GUEST + 'run = "boot.sh"\n': "either run or states",
            GUEST + 'baseline = "nothing"\n': "no baseline",
        }.items():
            with self.subTest(message), self.assertRaisesRegex(ListError, message):
                self.read(*([table] if table else []))
        with self.assertRaisesRegex(ListError, "twice"):
            self.read(HOST, HOST)


def passed(name):
    """An outcome that is remembered."""
    return Outcome(name, [Result("a", OK)])


def scenario(name, level="check", seconds=10, **other):
    """One without what does not matter."""
    return Scenario(name, "c", level, seconds, **other)


class Choice(unittest.TestCase):
    """Patterns, levels, order."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.all = [scenario("a/one", tests=["x", "y@always"]), scenario("a/two", baseline="b/one"),
                    scenario("b/one", level="all")]

    def names(self, pattern):
        return [s.name for s in select(self.all, pattern)]

    def test_patterns(self):
        self.assertEqual(self.names("a/one"), ["a/one"])
        self.assertEqual(self.names("*/one"), ["a/one", "b/one"])
        self.assertEqual(self.names("ne b/one"), ["a/one", "b/one"])

    def test_the_baseline_comes_along(self):
        self.assertEqual(self.names("a/two"), ["a/two", "b/one"])

    def test_one_program(self):
        self.assertEqual(select(self.all, "a:y")[0].tests, ["y@always"])
        with self.assertRaises(ListError):
            self.names("a:z")

    def test_no_match_is_an_error(self):
        with self.assertRaisesRegex(ListError, "TESTS=nothing"):
            self.names("a/one nothing")

    def test_rotation_takes_what_waited_longest(self):
        some = [scenario(name, "rotate", 100) for name in "abc"] + [scenario("d", "all")]
        for now, name in enumerate("bac"):
            Store(self.folder, False, 100.0 + now).ran(passed(name), "key")
        store = Store(self.folder, False)
        self.assertEqual([s.name for s in plan.of_level(some, "check", store)], ["b"])
        self.assertEqual(plan.of_level(some, "all", store), some)

    def test_what_has_changed_comes_first(self):
        some = [scenario(name, "all") for name in ("old", "older", "changed", "never")]
        some.append(scenario("first"))
        for now, name in ((300.0, "old"), (200.0, "older"), (400.0, "changed")):
            Store(self.folder, False, now).ran(passed(name), "key")
        store = Store(self.folder, False)
        found = plan.ranks(some, "all", store, lambda s: "new" if s.name == "changed" else "key")
        self.assertEqual(sorted(found, key=lambda n: found[n]),
                         ["first", "changed", "never", "older", "old"])
        self.assertEqual(found["changed"], found["never"])

    def test_artifacts_in_order(self):
        guest = scenario("g", machine="sticky", kernel="patched")
        self.assertEqual(artifacts([guest]), ["setup", "kernel", "modules", "qemu"])
        guest = scenario("m", machine="mended", kernel="patched")
        self.assertEqual(artifacts([guest]), ["setup", "kernel", "modules", "qemu"])
        self.assertEqual(artifacts([scenario("h", inputs=["rust"])]), ["setup"])
        self.assertEqual(artifacts([scenario("k", inputs=["machine"], format="ktap")]),
                         ["setup", "kernel", "machine"])


if __name__ == "__main__":
    unittest.main()
