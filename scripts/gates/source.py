#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists what source code does, by file and function, comments left out.

Usage: source.py calls PATTERN FILE...    calls of functions that match, one line each:
                                          FILE FUNCTION CALLEE
       source.py promises FILE...         what may set AWAY, or changes the word without LOCK:
                                          FILE FUNCTION HOW
Tests within Rust files do not count. The files are named as they are given.
"""
import re
import sys
from collections.abc import Iterator

# Comments, and strings, which may look like them.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
TESTS = re.compile(r"^[ \t]*#\[cfg\((?:all\()?test\b", re.M)

STATEMENT_ENDS = re.compile(r"[;{}]")
# A store to something, with AWAY in what is stored; or one by assembly.
STORE = re.compile(r"\b(\w*(?:write|WRITE_ONCE|store|xchg|exchange|swap|fetch_\w+|cpu_or|set_bit)\w*)!?\s*\(.*"
                   r"\b(?:DEFERRED_FLUSH_)?AWAY\b", re.S)
ASSIGNMENT = re.compile(r"(?<![=!<>])(\|?=)(?!=)[^=]*\b(?:DEFERRED_FLUSH_)?AWAY\b", re.S)
ASSEMBLY = re.compile(r"^\s*(?:\w+:\s*)?((?:lock\s+)?(?:mov|or|xor|add|inc|bts|btc|xchg|cmpxchg|xadd)"
                      r"[bwlq]?)\s.*(?:deferred_flush_cpu\b(?!\s*\+)|\bDEFERRED_FLUSH_AWAY)", re.M)
UNLOCKED = re.compile(r"\b((?:raw|this)_cpu_\w*(?:xchg|add|sub|or|and|inc|dec)\w*)\s*\("
                      r"\s*deferred_flush_cpu\.state", re.S)


def strip(text: str, strings: bool) -> str:
    """Without comments, and strings if wanted; lines stay."""
    def blank(match: re.Match[str]) -> str:
        if match[0].startswith('"') and not strings:
            return match[0]
        return ('""' if match[0].startswith('"') else " ") + "\n" * match[0].count("\n")
    return TOKEN.sub(blank, text)


def without_tests(text: str) -> str:
    """Without what is compiled for tests only: an item, to its closing brace or semicolon."""
    while match := TESTS.search(text):
        depth, end = 0, len(text)
        for at in range(match.start(), len(text)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0 and text[at] in "};":
                end = at + 1
                break
        text = text[:match.start()] + text[end:]
    return text


def read(path: str, strings: bool) -> str:
    """The code in a file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    text = strip(text, strings)
    return without_tests(text) if path.endswith(".rs") else text


def functions(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Pairs of function and line, in the kernel's style: a function begins in the first column."""
    name = candidate = macro = ""
    for line in text.split("\n"):
        if macro or re.match(r"#\s*define\b", line):
            macro = macro or "#define:" + line.split("define", 1)[1].split("(")[0].split()[0]
            yield macro, line
            if not line.endswith("\\"):
                macro = ""
            continue
        if path.endswith(".rs"):
            if match := re.search(r"\bfn (\w+)", line):
                name = match[1]
            yield name, line
            continue
        if path.endswith(".S"):
            if match := re.match(r"(?:SYM_\w+\((\w+)|(\w+):|\.macro (\w+))", line):
                name = match[1] or match[2] or match[3]
            yield name, line
            continue
        if match := re.match(r"\.macro (\w+)", line):
            name = match[1]
        elif match := re.match(r"[A-Za-z_][^=;]*?(\w+)\s*\(", line):
            candidate = match[1]
            # All of it in one line.
            if line.rstrip().endswith("}") and "{" in line:
                yield candidate, line.split("{", 1)[1]
                continue
        if line.startswith("{"):
            name = candidate
        yield name, line if name else ""
        if line.startswith(("}", ".endm")):
            name = ""


def calls(pattern: str, paths: list[str]) -> Iterator[str]:
    """Who calls what matches."""
    call = re.compile(rf"\b({pattern})\s*\(")
    for path in paths:
        for name, line in functions(path, read(path, strings=True)):
            # After the name of a macro, what is in parentheses is no call.
            if name.startswith("#define:") and re.match(r"#\s*define\b", line):
                line = re.sub(r"^#\s*define\s+\w+(\([^)]*\))?", "", line)
            for match in call.finditer(line):
                yield f"{path} {name} {match[1]}"


def promises(paths: list[str]) -> Iterator[str]:
    """Who may set AWAY, and by what."""
    for path in paths:
        name, statement = "", ""
        for name, line in functions(path, read(path, strings=False)):
            if match := ASSEMBLY.match(line):
                yield f"{path} {name} {match[1]}"
                continue
            *ends, rest = STATEMENT_ENDS.split(line)
            for end in ends:
                statement += "\n" + end
                for pattern in (STORE, ASSIGNMENT, UNLOCKED):
                    if match := pattern.search(statement):
                        yield f"{path} {name} {match[1]}"
                        break
                statement = ""
            statement += "\n" + rest


def main() -> None:
    """One line for each."""
    if sys.argv[1] == "calls":
        found = calls(sys.argv[2], sys.argv[3:])
    else:
        found = promises(sys.argv[2:])
    for line in sorted(found):
        print(line)


if __name__ == "__main__":
    main()
