#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists files and functions that are too long to be read in one go.

Usage: sizes.py TREE REASONS     REASONS: lines of FILE FUNCTION, with a reason behind #
Output: one line for each fault, also for each reason that is not needed any more.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 60
SUFFIXES = (".rs", ".c", ".h", ".S", ".sh", ".py", ".toml", ".rst", ".md", ".awk")


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Names and lengths."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def brace_functions(text: str, suffix: str) -> Iterator[tuple[str, int]]:
    """The same for what ends with a brace in the column in which it began."""
    begin = {
        ".rs": r"(\s*)(?:pub(?:\([^)]*\))? )?(?:const |unsafe |extern \"C\" )*fn (\w+)",
        ".sh": r"(\s*)(?:function )?([\w-]+)\(\) [({]",
    }.get(suffix, r"()[A-Za-z_][^=;]*?\b(\w+)\s*\((?!.*;$)")
    name, indent, start = "", "", 0
    for number, line in enumerate(text.splitlines()):
        if name and re.match(rf"{indent}[}})]", line):
            yield name, number - start + 1
            name = ""
        if not name and (match := re.match(begin, line)) and not line.rstrip().endswith(("}", ";")):
            indent, name, start = match[1], match[2], number


def files(tree: Path) -> Iterator[Path]:
    """What is under version control, or else all; patches are as long as they have to be."""
    done = subprocess.run(["git", "-C", tree, "ls-files", "-co", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() or [str(p.relative_to(tree)) for p in tree.rglob("*")]
    for name in sorted(names):
        if (tree / name).is_file() and Path(name).suffix in SUFFIXES:
            yield Path(name)


def main() -> None:
    """One line for each."""
    tree = Path(sys.argv[1])
    reasons = {line.split("#")[0].strip() for line in Path(sys.argv[2]).read_text("utf-8").splitlines()
               if re.match(r"\S.*\s#\s\S", line) and not line.startswith("#")}
    needed = set()
    looked_at = 0
    for name in files(tree):
        text = (tree / name).read_text(encoding="utf-8")
        looked_at += 1
        if (lines := text.count("\n")) > FILE_LINES:
            print(f"{name}: {lines} lines")
        if name.suffix in (".toml", ".rst", ".md", ".awk", ".S"):
            continue
        found = python_functions(text) if name.suffix == ".py" else brace_functions(text, name.suffix)
        for function, length in found:
            if length <= FUNCTION_LINES:
                continue
            if f"{name} {function}" in reasons:
                needed.add(f"{name} {function}")
            else:
                print(f"{name} {function}: {length} lines")
    for reason in sorted(reasons - needed):
        print(f"{reason}: needs no reason any more")
    if not looked_at:
        print("no files")


if __name__ == "__main__":
    main()
