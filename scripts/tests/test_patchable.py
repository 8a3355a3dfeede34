# SPDX-License-Identifier: GPL-2.0
"""The walk of the gate "patchable", and its list: on kernels of a few lines. That it reads real files is
what its controls show."""

import contextlib
import io
import struct
import tempfile
import unittest
from types import SimpleNamespace

import scratch
import patchable
from flow import Place, Walk
from image import EXECUTABLE, FUNCTION, Section, Symbol
from machine_code import Code, Kind, kind_of
from places import Alternative, Label, Places, Site, StaticCall

# Functions are 0x100 bytes apart. Those from 0x8000 on may be instrumented.
STEP, LOUD, SIZE = 0x10, 0x8000, 0x100
CODES = {"call": b"\xe8", "jmp": b"\xe9", "cs call": b"\x2e\xe8"}


class Image:
    """Functions, by name: their instructions, 0x10 bytes each. A call or jump names a function, or
    a line of this one by its number."""

    def __init__(self, quiet: dict[str, str], loud: dict[str, str] | None = None):
        self.lines: dict[int, str] = {}
        self.symbols: dict[str, list[Symbol]] = {}
        self.code: list[Symbol] = []
        self.files = [SimpleNamespace(path="kernel", sections=[])]
        self.memory = bytearray(0x10000)
        section = Section(".text", 1, EXECUTABLE, 0, 0, len(self.memory), 0)
        self.sections = [(section, self.files[0])]
        for base, functions in ((SIZE, quiet), (LOUD, loud or {})):
            for number, name in enumerate(functions):
                symbol = Symbol(name, base + number * SIZE, SIZE, FUNCTION, 1)
                self.symbols[name] = [symbol]
                self.code.append(symbol)
        for name, text in {**quiet, **(loud or {})}.items():
            start = self.symbols[name][0].address
            for number, line in enumerate(text.split("; ")):
                mnemonic, _, target = line.rpartition(" ")
                if target.isdigit():
                    line = f"{mnemonic} {start + int(target) * STEP:x}"
                at = start + number * STEP
                if target in self.symbols:
                    to = self.symbols[target][0].address
                    line = f"{mnemonic} {to:x} <{target}>"
                    if mnemonic in CODES:
                        code = CODES[mnemonic]
                        size = len(code) + 4
                        self.memory[at:at + size] = code + struct.pack("<i", to - at - size)
                self.lines[at] = line

    def address(self, name: str) -> int | None:
        """All of the quiet functions are one area."""
        if name in ("__noinstr_text_start", "__noinstr_text_end"):
            return 0 if name.endswith("start") else LOUD
        return self.symbols[name][0].address if name in self.symbols else None

    def function(self, address: int) -> tuple[int, int, str]:
        """Start, end and name."""
        start = address & -SIZE
        name = next((one.name for one in self.code if one.address == start), f"{address:#x}")
        return start, start + SIZE, name

    def begins(self, address: int) -> bool:
        """Does a function?"""
        return any(one.address == address for one in self.code)

    def variable(self, address: int) -> str:
        """Its name."""
        return f"variable_{address:x}"

    def read(self, address: int, size: int) -> bytes:
        """Nothing but calls and jumps of functions."""
        return bytes(self.memory[address:address + size])

    def objdump(self, _path: str, start: int, end: int) -> list[str]:
        """A part of the listing."""
        return [f"{address:x}:\t{line}" for address, line in sorted(self.lines.items())
                if start <= address < end]

    def line(self, name: str, number: int) -> int:
        """The address of a line."""
        return self.symbols[name][0].address + number * STEP


class WalkCase(unittest.TestCase):
    """Walks, and what they find."""

    def walk(self, image: Image, places: Places | None = None, known: list[Place] | None = None,
             stops: set[int] | None = None) -> Walk:
        """A walk of this image."""
        return Walk(Code(image, image.objdump), places or Places(), stops or set(),  # type: ignore[arg-type]
                    known or [])

    def found(self, walk: Walk) -> list[str]:
        """Its places, in order."""
        self.assertEqual(walk.errors, [])
        return sorted(map(str, walk.found))

    def call(self, image: Image, places: Places | None = None, known: list[Place] | None = None,
             stops: set[int] | None = None) -> list[str]:
        """What a walk finds that begins with the function main."""
        walk = self.walk(image, places, known, stops)
        walk.call(image.line("main", 0))
        return self.found(walk)

    def behind(self, image: Image, name: str, number: int) -> list[str]:
        """What a walk finds that begins behind a line."""
        walk = self.walk(image)
        walk.behind(image.line(name, number))
        return self.found(walk)


class Down(WalkCase):
    """Calls, branches, and what is patched."""

    def test_kinds(self) -> None:
        """Of instructions."""
        for mnemonic, kind in (("call", Kind.CALL), ("jmp", Kind.JUMP), ("jne,pt", Kind.BRANCH),
                               ("ret", Kind.RETURN), ("retq", Kind.RETURN), ("iretq", Kind.LEAVE),
                               ("sysretl", Kind.LEAVE), ("ud2", Kind.TRAP), ("(bad)", Kind.BAD),
                               ("hlt", Kind.GOES_ON), ("endbr64", Kind.GOES_ON)):
            self.assertEqual(kind_of(mnemonic), kind, mnemonic)

    def test_both_ways_of_a_branch(self) -> None:
        """One call on each."""
        image = Image({"main": "je 3; call a; ret; call b; ret"}, {"a": "ret", "b": "ret"})
        self.assertEqual(self.call(image), ["text main a", "text main b"])

    def test_only_what_returns_goes_on(self) -> None:
        """Not behind a function that ends in a trap, or in user mode."""
        image = Image({"main": "call f; call g; call a; ret", "f": "ret", "g": "je 2; ud2; iretq"},
                      {"a": "ret"})
        self.assertEqual(self.call(image), [])

    def test_recursion(self) -> None:
        """Ends, and returns by the other way."""
        image = Image({"main": "call f; call a; ret", "f": "je 3; call f; ret; ret"}, {"a": "ret"})
        self.assertEqual(self.call(image), ["text main a"])

    def test_tail_call(self) -> None:
        """What is jumped to returns to the caller."""
        image = Image({"main": "call f; call a; ret", "f": "jmp g", "g": "ret"}, {"a": "ret"})
        self.assertEqual(self.call(image), ["text main a"])

    def test_last_call_does_not_return(self) -> None:
        """The next function is not part of this one."""
        image = Image({"main": "; ".join(["nop"] * 15 + ["call panic"]), "next": "call a; ret"},
                      {"panic": "ret", "a": "ret"})
        self.assertEqual(self.call(image), ["text main panic"])

    def test_jump_label(self) -> None:
        """Either way, whatever is there now."""
        image = Image({"main": "jmp 3; call a; ret; call b; ret"}, {"a": "ret", "b": "ret"})
        label = Label(image.line("main", 3), "k", False)
        self.assertEqual(self.call(image, Places(labels={image.line("main", 0): label})),
                         ["key main k", "text main a", "text main b"])

    def test_alternative(self) -> None:
        """What replaces an instruction belongs to its function, and goes on behind it."""
        image = Image({"main": "ud2; ud2; call b; ret", "replacement": "call a"}, {"a": "ret", "b": "ret"})
        other = Alternative(image.line("replacement", 0), SIZE, image.line("main", 2), False)
        places = Places(alternatives={image.line("main", 0): [other]})
        self.assertEqual(self.call(image, places), ["text main a", "text main b"])

    def test_site(self) -> None:
        """If it is not armed it is skipped."""
        image = Image({"main": "ud2; call a; ret"}, {"a": "ret"})
        start = image.line("main", 0)
        self.assertEqual(self.call(image), [])
        self.assertEqual(self.call(image, Places(sites={start: Site(start, start, start + STEP, 0)})),
                         ["text main a"])

    def test_stop(self) -> None:
        """Is named, if it is a jump label, and passed on no way."""
        image = Image({"main": "nop; call a; ret"}, {"a": "ret"})
        start = image.line("main", 0)
        places = Places(labels={start: Label(start + STEP, "k", True)})
        self.assertEqual(self.call(image, places, stops={start}), ["sealed-key main k"])

    def test_static_calls(self) -> None:
        """By the table, or by the trampoline; nothing is called by that of nothing."""
        image = Image({"main": "call __SCT__x; call __SCT__y; call a; ret", "__SCT__x": "ret",
                       "__SCT__y": "jmp __static_call_return0"}, {"__static_call_return0": "ret", "a": "ret"})
        places = Places(calls={image.line("main", 0): StaticCall("x", True)})
        self.assertEqual(self.call(image, places),
                         ["sealed-call main x", "static-call main y", "text main a"])

    def test_pointer(self) -> None:
        """Named, and passed; a return thunk is a return."""
        image = Image({"main": "call *%rax; call a; jmp __x86_return_thunk"},
                      {"__x86_return_thunk": "call a", "a": "ret"})
        self.assertEqual(self.call(image), ["pointer main -", "text main a"])

    def test_cut(self) -> None:
        """What is known not to be called."""
        image = Image({"main": "call f; ret", "f": "call a; ret"}, {"a": "ret"})
        self.assertEqual(self.call(image, known=[Place("cut", "main", "f")]), [])
        self.assertEqual(self.call(image, known=[Place("cut", "f", "main")]), ["text f a"])

    def test_clear(self) -> None:
        """A bit that is not set: the one way of both branches, and of no others."""
        known = [Place("clear", "main", "0x40")]
        for branch, way in (("je", "b"), ("jne", "a")):
            image = Image({"main": f"testb $0x40,(%rdi); {branch} 4; call a; ret; call b; ret"},
                          {"a": "ret", "b": "ret"})
            self.assertEqual(self.call(image, known=known), [f"text main {way}"])
            self.assertEqual(self.call(image, known=[Place("clear", "main", "0x4")]),
                             ["text main a", "text main b"])

    def test_nowhere(self) -> None:
        """What is no code is an error."""
        image = Image({"main": "(bad)"})
        walk = self.walk(image)
        walk.call(image.line("main", 0))
        self.assertEqual(walk.errors, [f"no instruction at {SIZE:#x}, by main"])

    def test_root_that_may_be_instrumented(self) -> None:
        """Is a place by itself."""
        self.assertEqual(self.call(Image({}, {"main": "ret"})), ["text main main"])


class Up(WalkCase):
    """From the middle of a function to its callers."""

    def test_callers(self) -> None:
        """All of them, and theirs; not what is before the call."""
        image = Image({"leave": "call before; nop; ret", "f": "call before; call leave; call a; ret",
                       "g": "call f; call b; iretq"}, {"before": "ret", "a": "ret", "b": "ret"})
        self.assertEqual(self.behind(image, "leave", 1), ["text f a", "text g b"])

    def test_caller_that_may_be_instrumented(self) -> None:
        """Is a place; what it calls, too; but not who calls it."""
        image = Image({"leave": "nop; ret"}, {"f": "call leave; call a; ret", "a": "ret", "g": "call f; ret"})
        self.assertEqual(self.behind(image, "leave", 0), ["text f a", "text leave f"])

    def test_prefix(self) -> None:
        """A call with one is found by its bytes, too; what only looks like a call is none."""
        image = Image({"leave": "nop; ret"}, {"f": "cs call leave; ret", "g": "call leave; ret"})
        image.lines[image.line("g", 0)] = "movabs $0x1234,%rax"
        self.assertEqual(self.behind(image, "leave", 0), ["text leave f"])

    def test_tail_caller(self) -> None:
        """Has been left, but its return may be hooked; its callers go on."""
        image = Image({"leave": "nop; ret", "f": "jmp leave", "g": "call f; call a; ret"},
                      {"h": "jmp leave", "a": "ret"})
        self.assertEqual(self.behind(image, "leave", 0), ["text g a", "text leave h"])

    def test_path(self) -> None:
        """Says how it came there."""
        image = Image({"leave": "nop; ret", "f": "call leave; call g; ret", "g": "call a; ret"}, {"a": "ret"})
        walk = self.walk(image)
        walk.behind(image.line("leave", 0))
        self.assertEqual(walk.path(walk.found[Place("text", "g", "a")]), ["leave", "f", "g"])


class ListCase(unittest.TestCase):
    """The list, and what is compared with it."""

    def read(self, text: str) -> list[patchable.Line]:
        """A list."""
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            return patchable.read_list(file.name)

    def compare(self, text: str, *found: tuple[str, str]) -> list[str]:
        """What differs. FOUND: stage and place, as in the list."""
        places = {(stage, Place(*place.split())): "f > g" for stage, place in found}
        image = SimpleNamespace(symbols={"here": []})
        kernel = SimpleNamespace(found=places, used=set(), image=image)
        return patchable.compare(kernel, self.read(text))  # type: ignore[arg-type]

    def test_lines(self) -> None:
        """Comments and empty lines are none."""
        (line,) = self.read("# comment\n\nentry key f* k if here # why\n")
        self.assertEqual((line.stage, line.place, line.symbol), ("entry", Place("key", "f*", "k"), "here"))

    def test_bad_lines(self) -> None:
        """No reason, an unknown stage or kind."""
        for text in ("entry key f k", "entry key f k #", "entry key f k if # why", "way key f k # why",
                     "entry thing f k # why", "entry key f # why"):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                self.read(text + "\n")

    def test_listed(self) -> None:
        """By patterns, in this stage."""
        self.assertEqual(self.compare("entry key f* k # why\n", ("entry", "key f2 k")), [])
        self.assertEqual(self.compare("entry key f* k # why\n", ("exit", "key f2 k")),
                         ["not in the list: exit key f2 k, by f > g", "only in the list: entry key f* k"])

    def test_kind_is_no_pattern(self) -> None:
        """A key that is no longer sealed is another place."""
        self.assertIn("not in the list: entry key f k, by f > g",
                      self.compare("entry sealed-key f k # why\n", ("entry", "key f k")))

    def test_other_kernels(self) -> None:
        """A line for a symbol that is not there."""
        self.assertEqual(self.compare("entry key f k if elsewhere # why\n"), [])
        self.assertEqual(self.compare("entry key f k if here # why\n"), ["only in the list: entry key f k"])
        self.assertEqual(self.compare("idle cut f k if here # why\n"), ["only in the list: idle cut f k"])

    def test_own_list(self) -> None:
        """Can be read, and allows no text that takes probes."""
        lines = patchable.read_list(str(scratch.TOP / "scripts/gates/patchable.txt"))
        self.assertGreater(len(lines), 20)
        self.assertEqual([], [line.place.what for line in lines if line.place.kind == "text"])


if __name__ == "__main__":
    unittest.main()
