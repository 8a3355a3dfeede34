#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One line of the real series, changed by make tree and make series, on the kernel in the cache.

Usage: test_tree.py
"""

import difflib
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("BUILD") or TOP / "build")


class Real(unittest.TestCase):
    """In a copy of the checkout: what is written there is nobody else's."""

    def setUp(self) -> None:
        PLACE.mkdir(parents=True, exist_ok=True)
        self.dir = Path(tempfile.mkdtemp(prefix="test-tree-", dir=PLACE))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        for name in ("scripts", "patches"):
            shutil.copytree(TOP / name, self.dir / name)
        self.tree = self.dir / "tree"
        self.patches, = (self.dir / "patches").glob("linux-*")
        self.env = {key: value for key, value in os.environ.items()
                    if key not in ("BUILD", "SESSION_BUILD", "KDIR", "KERNEL_SRC", "SERIES")}
        self.env |= {"TREE": str(self.tree), "GIT_SEQUENCE_EDITOR": "true", "GIT_EDITOR": "true",
                     "EMAIL": "me@example.org", "GIT_AUTHOR_NAME": "Me", "GIT_COMMITTER_NAME": "Me"}

    def run_it(self, *command: str | Path) -> str:
        """What it says; it has to work."""
        done = subprocess.run(command, check=False, text=True, env=self.env, cwd=self.dir,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(done.stdout, end="")
        self.assertEqual(0, done.returncode, command)
        return done.stdout

    def series(self) -> dict[str, list[str]]:
        """All lines, but for the names of blobs."""
        blob = re.compile("^index .*\n", re.MULTILINE)
        return {path.name: blob.sub("", path.read_text()).splitlines()
                for path in sorted(self.patches.iterdir())}

    @staticmethod
    def comment(series: dict[str, list[str]]) -> tuple[str, str, str]:
        """A patch, a file of it, and a line of a comment that no other patch shows."""
        everything = "\n".join(line for lines in series.values() for line in lines)
        for name, lines in series.items():
            file = ""
            for line in lines:
                if line.startswith("+++ b/"):
                    file = line[6:]
                elif (re.match(r"\+ \* [A-Z][a-z].*[a-z]$", line) and
                      everything.count(line[1:]) == 1):
                    return name, file, line[1:]
        raise LookupError("no such comment")

    def test_one_line(self) -> None:
        before = self.series()
        self.run_it(self.dir / "scripts/tree.sh", "--no-build")
        self.assertIn("is this series already", self.run_it(self.dir / "scripts/series.sh"))
        self.assertEqual(before, self.series())

        name, file, line = self.comment(before)
        changed = line + ", or so"
        path = self.tree / file
        path.write_text(path.read_text().replace(line + "\n", changed + "\n"))
        subject = re.search(r"^Subject: \[.*?\] (.*(\n .*)*)", "\n".join(before[name]),
                            re.MULTILINE)
        assert subject
        self.run_it("git", "-C", self.tree, "commit", "-qa", "-m",
                    "fixup! " + subject[1].replace("\n", ""))
        self.run_it("git", "-C", self.tree, "rebase", "-q", "-i", "--autosquash",
                    "deferred-flush-base")
        self.run_it(self.dir / "scripts/series.sh", "--no-build")
        after = self.series()
        self.assertEqual(before.keys(), after.keys())
        found = [(patch, difference) for patch, lines in after.items()
                 for difference in difflib.ndiff(before[patch], lines) if difference[0] in "+-"]
        self.assertEqual([(name, f"- +{line}"), (name, f"+ +{changed}")], found)


if __name__ == "__main__":
    unittest.main()
