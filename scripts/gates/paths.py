#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists paths in documents, comments and messages that lead nowhere.

Usage: paths.py TREE KERNEL QEMU     KERNEL and QEMU: the patched sources
Output: one line for each fault: FILE:LINE: PATH

A path is what begins with a folder of the project, of the kernel or of QEMU; and any name of a script,
a Rust source or a document: such a one has to be somewhere. Code is read for its comments only, and for
what it tells people to run.
"""

import fnmatch
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OURS = ("rust", "scripts", "selftests", "patches", "Documentation")
KERNEL = ("arch", "drivers", "include", "kernel", "mm", "tools", "samples", "lib", "block", "fs")
QEMU = ("target", "accel", "softmmu", "hw")
PATH = re.compile(r"(?<![\w/.$}*%-])((?:" + "|".join(OURS + KERNEL + QEMU) + r")/[\w.*{},/+-]*[\w*}/])")
NAME = re.compile(r"(?<![\w/.$}*%{+-])([A-Za-z][\w+-]*\.(?:sh|py|rs|rst|litmus))\b(?![\w/*])")
COMMENT = re.compile(r"(?:^|\s)(?:#|//[/!]?|/?\*)\s(.*)|\brun (scripts/.*)")
# Of the kernel, and where.
FOREIGN = {"kunit_parser.py": "tools/testing/kunit", "run_kselftest.sh": "tools/testing/selftests",
           "ktap_helpers.sh": "tools/testing/selftests/kselftest"}
# Made by a build, or by a test in a scratch folder; or stands for any.
NOT_OURS = re.compile(r"\b(?:N-name|my_test|DIR|x|outer)\b|000[0-9N]|/out")
SKIPPED = re.compile(r"^(?:patches/|selftests/mutants/\d|rust/host/Cargo\.lock|COPYING|"
                     r"scripts/(?:check/)?tests/|scripts/gates/[a-z]+\.sh)")


def braces(text: str) -> Iterator[str]:
    """a{b,c} stands for ab and ac."""
    parts = [part.split(",") for part in re.split(r"[{}]", text)]
    yield from map("".join, itertools.product(*parts))


def listed(tree: Path) -> list[str]:
    """What is under version control, or else all."""
    done = subprocess.run(["git", "-C", tree, "ls-files", "-co", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() or [str(p.relative_to(tree)) for p in tree.rglob("*")]
    return [name for name in names if (tree / name).is_file()]


def there(path: str, roots: list[Path]) -> bool:
    """Is it in one of them? A * stands for something, a / at the end for a folder."""
    return any(any(root.glob(path.rstrip("/"))) if "*" in path else (root / path).exists()
               for root in roots)


def faults(tree: Path, kernel: Path, qemu: Path) -> Iterator[str]:
    """One line for each."""
    names = listed(tree)
    basenames = {Path(name).name for name in names}
    for name in sorted(names):
        if SKIPPED.search(name):
            continue
        try:
            lines = (tree / name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        inside = False
        for number, line in enumerate(lines, 1):
            if Path(name).suffix not in (".rst", ".md"):
                doc = name.endswith(".py") and line.count('"""')
                comment = COMMENT.search(line)
                if not (inside or doc):
                    line = " ".join(filter(None, comment.groups())) if comment else ""
                inside ^= doc == 1
            for match in PATH.finditer(line):
                if NOT_OURS.search(match[1]):
                    continue
                roots = [tree, kernel] if match[1].split("/")[0] not in QEMU else [qemu]
                if not all(there(path, roots) for path in braces(match[1])):
                    yield f"{name}:{number}: {match[1]}"
            for match in NAME.finditer(line):
                if match[1] in basenames or NOT_OURS.search(match[1]):
                    continue
                if not (kernel / FOREIGN.get(match[1], "-") / match[1]).exists():
                    yield f"{name}:{number}: {match[1]}"


def main() -> None:
    """See above."""
    found = list(faults(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
    print(*found, sep="\n", end="\n" if found else "")


if __name__ == "__main__":
    main()
