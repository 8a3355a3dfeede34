# SPDX-License-Identifier: GPL-2.0
"""A whole run, of scenarios that are scripts."""

import contextlib
import importlib.util
import io
import json
import os
import signal
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import support
from run import Children
from scenario import Scenario
from store import Store

SPEC = importlib.util.spec_from_file_location("check_main", support.TOP / "scripts/check/__main__.py")
main = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(main)


class Limit(unittest.TestCase):
    """CHECK_MINUTES=."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        real = Path(os.environ.get("BUILD") or support.TOP / "build")
        (self.top / "build").mkdir()
        (self.top / "build/kernel-src").symlink_to((real / "kernel-src").resolve())
        self.addCleanup(setattr, Children, "GRACE", Children.GRACE)
        Children.GRACE = 1.0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def scenario(self, name, text):
        """A script."""
        path = self.top / f"scripts/{name}.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/bash\n" + text, encoding="utf-8")
        path.chmod(0o755)
        return Scenario(name, "claim", "check", 1, run=f"{name}.sh", format="status")

    def run_all(self, scenarios, seconds):
        """The exit status, and the report."""
        with mock.patch.multiple(main, TOP=self.top, BUILD=self.top / "build",
                                 number=lambda name: seconds / 60,
                                 artifacts=lambda scenarios: []), \
                mock.patch.object(Scenario, "builds", lambda self: set()), \
                mock.patch.object(main.Inputs, "sources", lambda self: "same"), \
                contextlib.redirect_stdout(io.StringIO()) as said:
            code = main.Check(scenarios, "check", Store(self.top / "results", False)).run()
        return code, json.loads((self.top / "build/report/check.json").read_text()), said.getvalue()

    def test_what_does_not_end_is_ended_and_named(self):
        start = time.monotonic()
        code, report, said = self.run_all([self.scenario("short", "exit 0"),
                                           self.scenario("long", "sleep 60")], 3)
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(0, code, said)
        self.assertIn("not run: long (no time left)", said)
        self.assertIn("1 passed, 0 failed", said)
        self.assertIn("long", json.dumps(report))

    def test_a_failure_stays_one(self):
        code, _, said = self.run_all([self.scenario("bad", "exit 1"),
                                      self.scenario("long", "sleep 60")], 3)
        self.assertEqual(1, code, said)
        self.assertIn("not run: long (no time left)", said)

    def test_nothing_in_time_is_no_pass(self):
        code, _, said = self.run_all([self.scenario("long", "sleep 60")], 2)
        self.assertEqual(1, code, said)
        self.assertIn("no test ran", said)


if __name__ == "__main__":
    unittest.main()
