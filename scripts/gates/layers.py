#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists what uses something that it should not know, and circles.

Usage: layers.py TREE [NM-OUTPUT]     NM-OUTPUT: of `nm -A -g` on the objects of selftests/machine
Output: one line for each fault. What is in a comment, or only in tests, does not count.

Folders may use those that are named for them. Within a folder the files have to be in an order: by
`use`, `mod` and `include!` in Rust, imports in Python, and symbols in C.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import source

# What each folder may use. A command at the top of scripts/ counts as the folder of its name.
MAY = {
    "rust/protocol": "",
    "rust/entry": "rust/protocol",
    "rust/module": "rust/protocol rust/entry",
    "rust/test_module": "",
    "rust/host": "rust/protocol",
    "selftests/deferred_flush": "rust/test_module",
    "selftests/machine": "",
    "scripts/lib": "selftests/machine",
    "scripts/build": "scripts/lib selftests rust",
    "scripts/guest": "selftests",
    "scripts/boot": "scripts/lib scripts/build scripts/guest selftests",
}
# Of the kernel: the protocol runs on the host, too.
FREE = {"rust/protocol": re.compile(r"\b(?:kernel|std|alloc|bindings)::"),
        "rust/host": re.compile(r"\bkernel::")}
WORD = re.compile(r"(?<![\w/-])(?:\$TOP\"?/|TOP / \"|\.\./\.\./)?"
                  r"((?:scripts|selftests|rust)/[\w./-]+)")
Edges = dict[str, set[str]]


def circles(edges: Edges) -> Iterator[list[str]]:
    """Files that use one another, each circle once."""
    seen: set[frozenset[str]] = set()
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            circle = path[path.index(name):]
            if frozenset(circle) not in seen:
                seen.add(frozenset(circle))
                yield [*circle, name]
        elif name not in done:
            for other in sorted(edges.get(name, ())):
                yield from visit(other, [*path, name])
            done.add(name)
    for name in sorted(edges):
        yield from visit(name, [])


def rust_names(text: str) -> set[str]:
    """The modules of this crate, or next to this one, that a file names."""
    found = set(re.findall(r"\b(?:crate|super)::(?:protocol::)?(\w+)", text))
    for group in re.findall(r"\b(?:crate|super)::(?:protocol::)?\{([^}]*)\}", text):
        found |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
    return found


def rust(tree: Path) -> tuple[Edges, list[str]]:
    """Who uses whom; and what protocol and host may not name."""
    edges: Edges = defaultdict(set)
    faults = []
    files = [p for p in sorted((tree / "rust").rglob("*.rs"))
             if p.name != "build.rs" and not {"target", "tests"} & set(p.relative_to(tree).parts)]
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_name[path.stem].append(path)
    for path in files:
        name = str(path.relative_to(tree))
        text = source.read(str(path), strings=False)
        for line in re.findall(r'(?:#\[path = |include!\()"([^"]+)"', text):
            edges[name].add(str((path.parent / line).resolve().relative_to(tree.resolve())))
        for word in rust_names(text):
            for other in by_name.get(word, ()):
                # A module is next to who names it, or where MAY lets it be.
                if other != path and (other.parent == path.parent or not any(
                        p.parent == path.parent for p in by_name[word])):
                    edges[name].add(str(other.relative_to(tree)))
        pattern = FREE.get(str(path.parent.relative_to(tree)))
        if pattern and (match := pattern.search(text)):
            faults.append(f"{name} uses {match[0]}")
    return edges, faults


def c_symbols(nm_output: str) -> Edges:
    """Who uses whose symbols."""
    users, owners = defaultdict(set), {}
    for line in Path(nm_output).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(?:.*/)?([^/]+)\.o:(?:\S+)?\s+(\w) (\w+)$", line):
            if match[2] == "U":
                users[match[3]].add(match[1])
            else:
                owners[match[3]] = match[1]
    edges: Edges = defaultdict(set)
    for symbol, names in users.items():
        for name in names:
            if symbol in owners:
                edges[f"selftests/machine/{name}"].add(f"selftests/machine/{owners[symbol]}")
    # The exceptions of machine.c begin in start.S, and end there.
    edges.pop("selftests/machine/start", None)
    return edges


def python(tree: Path) -> Edges:
    """Imports of files that are in the same folder."""
    edges: Edges = defaultdict(set)
    for path in sorted((tree / "scripts").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE):
            other = path.parent / f"{word}.py"
            if other.exists():
                edges[str(path.relative_to(tree))].add(str(other.relative_to(tree)))
    return edges


def unit(path: str) -> str:
    """The folder that a path counts for."""
    first, _, rest = path.partition("/")
    if first == "scripts" and "/" not in rest:
        return f"scripts/{rest.partition('.')[0]}"
    return "/".join(path.split("/")[:2])


def texts(tree: Path) -> Edges:
    """The folders that scripts and selftests name, by a path. Gates name what they look at."""
    edges: Edges = defaultdict(set)
    for top in ("scripts", "selftests"):
        for path in sorted((tree / top).rglob("*")):
            name = str(path.relative_to(tree))
            if {"tests", "gates"} & set(name.split("/")) or path.suffix not in (".sh", ".c", ".h", ".py"):
                continue
            text = re.sub(r"(?m)(^|\s)#[ !].*$", "", path.read_text(encoding="utf-8"))
            text = re.sub(r'"""(?s:.*?)"""|/\*(?s:.*?)\*/', "", text)
            edges[name] |= set(WORD.findall(text))
            for word in re.findall(r'dirname "\$0"\)/\.\./(\w+)/', text):
                edges[name].add(f"scripts/{word}/")
    return edges


def allowed(name: str, other: str) -> bool:
    """May the file NAME use OTHER?"""
    here, there = unit(name), unit(other)
    if here == there or here not in MAY:
        return True
    return any(there == one or there.startswith(one + "/") for one in MAY[here].split())


def main() -> None:
    """One line for each."""
    tree = Path(sys.argv[1])
    rust_edges, faults = rust(tree)
    for edges in (rust_edges, texts(tree)):
        faults += [f"{name} uses {other}" for name, others in edges.items()
                   for other in sorted(others) if not allowed(name, other)]
    c_edges = c_symbols(sys.argv[2]) if len(sys.argv) > 2 else {}
    folders: Edges = defaultdict(set)
    for name, others in [*rust_edges.items(), *texts(tree).items()]:
        folders[unit(name)] |= {unit(other) for other in others} - {unit(name)}
    for edges in (rust_edges, c_edges, python(tree), folders):
        faults += ["circle: " + " -> ".join(circle) for circle in circles(edges)]
    print(*faults, sep="\n", end="\n" if faults else "")


if __name__ == "__main__":
    main()
