# SPDX-License-Identifier: GPL-2.0
"""Wrong settings: one error each, before anything is built."""

import shutil
import unittest
from pathlib import Path

import scratch
import settings


class Values(unittest.TestCase):
    """Numbers and words."""

    def errors(self, script: str = "check.sh", **env: str) -> list[str]:
        """What is wrong with these settings."""
        return settings.check({"HOME": "/home/user"} | env, script)

    def test_right_ones(self) -> None:
        self.assertEqual([], self.errors())
        self.assertEqual([], self.errors(
            CPUS="64", TURNS="1", TEST_MS="300", TEST_ROUNDS="40", ROUNDS="3", SOAK_SECONDS="60",
            JOBS="2", CHECK_MINUTES="87", QEMU="sticky", ACCEL="tcg", FRESH="1", BUILD="build",
            TMPDIR="/tmp/a_b-c+d.e", XDG_CACHE_HOME="/var/cache"))

    def test_an_empty_one_is_not_set(self) -> None:
        self.assertEqual([], self.errors(CPUS="", QEMU="", KDIR=""))

    def test_wrong_numbers(self) -> None:
        for name, (least, most) in settings.NUMBERS.items():
            for value in (str(least - 1), str(most + 1), "abc", "1.5", "-1", "1 ", "1e2", "\u0661"):
                with self.subTest(name=name, value=value):
                    errors = self.errors(**{name: value})
                    self.assertEqual(1, len(errors), errors)
                    self.assertIn(f"{name}={value}: must be a number from {least} to", errors[0])

    def test_the_demo_needs_two_cpus(self) -> None:
        self.assertEqual([], self.errors(CPUS="1"))
        self.assertEqual(["CPUS=1: must be a number from 2 to 64"],
                         self.errors("demo.sh", CPUS="1"))

    def test_wrong_words(self) -> None:
        self.assertEqual(["QEMU=foo: must be stock or sticky"], self.errors(QEMU="foo"))
        self.assertEqual(["ACCEL=hvf: must be kvm or tcg"], self.errors(ACCEL="hvf"))

    def test_two_errors_are_two_lines(self) -> None:
        self.assertEqual(2, len(self.errors(CPUS="0", QEMU="foo")))

    def test_no_home(self) -> None:
        self.assertIn("neither HOME nor XDG_CACHE_HOME", settings.check({}, "")[0])
        self.assertEqual([], settings.check({"XDG_CACHE_HOME": "/var/cache"}, ""))

    def test_paths(self) -> None:
        for name in ("BUILD", "TMPDIR", "XDG_CACHE_HOME", "HOME"):
            for character in " @,:%#'$=\"\\\n~\u00e9":
                with self.subTest(name=name, character=character):
                    errors = self.errors(**{name: f"/tmp/a{character}b"})
                    self.assertEqual(1, len(errors), errors)
                    self.assertIn(repr(character), errors[0])
                    self.assertIn("A-Z a-z 0-9 . _ + - and / do", errors[0])


class Trees(scratch.ScratchCase):
    """KDIR=, KERNEL_SRC=, QEMU_SRC="""

    def setUp(self) -> None:
        super().setUp()
        self.tools()
        self.tree = self.dir / "tree"
        self.config = {"RUST": "y", "X86_DEFERRED_FLUSH": "y",
                       "RUSTC_VERSION_TEXT": '"rustc 1.99.0"',
                       "BINDGEN_VERSION_TEXT": '"bindgen 0.72.1"'}

    def kdir(self) -> list[str]:
        """What is wrong with a built kernel."""
        shutil.rmtree(self.tree, ignore_errors=True)
        (self.tree / "arch/x86/boot").mkdir(parents=True)
        for name in ("arch/x86/boot/bzImage", "Module.symvers"):
            (self.tree / name).touch()
        (self.tree / ".config").write_text(
            "".join(f"CONFIG_{symbol}={value}\n" for symbol, value in self.config.items()))
        return settings.check(self.env | {"KDIR": str(self.tree)})

    def test_kdir(self) -> None:
        self.assertEqual([], self.kdir())
        self.assertEqual([], settings.warnings(self.env | {"KDIR": str(self.tree)}))

    def test_kdir_is_none(self) -> None:
        error, = settings.check(self.env | {"KDIR": "/nonexistent"})
        self.assertIn("KDIR=/nonexistent is not a built kernel tree", error)

    def test_kdir_without_rust(self) -> None:
        del self.config["RUST"]
        error, = self.kdir()
        self.assertIn("without CONFIG_RUST", error)
        self.assertIn("bindgen is not in PATH", error)

    def test_kdir_without_the_patches(self) -> None:
        del self.config["X86_DEFERRED_FLUSH"]
        self.assertIn("no CONFIG_X86_DEFERRED_FLUSH=y", self.kdir()[0])

    def test_kdir_of_another_rustc(self) -> None:
        self.config["RUSTC_VERSION_TEXT"] = '"rustc 1.85.0 (Debian)"'
        error, = self.kdir()
        self.assertIn("was built with rustc 1.85.0 (Debian), but", error)
        self.assertIn("is rustc 1.99.0", error)

    def test_kdir_of_another_bindgen_and_compiler(self) -> None:
        self.config["BINDGEN_VERSION_TEXT"] = '"bindgen 0.65.1"'
        self.config["CC_VERSION_TEXT"] = '"gcc (Debian) 3.3"'
        self.assertEqual([], self.kdir())
        texts = settings.warnings(self.env | {"KDIR": str(self.tree)})
        self.assertEqual(2, len(texts), texts)
        self.assertRegex(texts[0], "bindgen 0.65.1, but .* is bindgen 0.72.1")
        self.assertRegex(texts[1], r"gcc \(Debian\) 3.3, but gcc is gcc")

    def test_kdir_is_refused_before_anything_is_built(self) -> None:
        del self.config["RUST"]
        self.kdir()
        rc, output = self.run_script("demo.sh", KDIR=str(self.tree))
        self.assertEqual(2, rc)
        self.assertEqual(1, len(output.splitlines()), output)
        self.assertFalse(self.build.exists())

    def test_kernel_src(self) -> None:
        def errors() -> list[str]:
            return settings.check(self.env | {"KERNEL_SRC": str(self.tree)})
        self.assertIn("is not a kernel source tree", errors()[0])
        (self.tree / "arch/x86").mkdir(parents=True)
        (self.tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 0\n")
        self.assertIn("is Linux 7.2: the patches are for 7.3", errors()[0])
        (self.tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n")
        self.assertEqual([], errors())

    def test_kernel_src_and_kdir(self) -> None:
        self.kdir()
        errors = settings.check(self.env | {"KDIR": str(self.tree), "KERNEL_SRC": str(self.tree)})
        self.assertIn("give one of them", errors[0])

    def test_qemu_src(self) -> None:
        def errors() -> list[str]:
            return settings.check(self.env | {"QEMU_SRC": str(self.tree)})
        self.assertIn("is not a QEMU source tree", errors()[0])
        (self.tree / "softmmu").mkdir(parents=True)
        (self.tree / "VERSION").write_text("8.0.1\n")
        self.assertIn("is QEMU 8.0.1: the patches are for 7.2", errors()[0])
        (self.tree / "VERSION").write_text("7.2.9\n")
        self.assertEqual([], errors())


class Scripts(scratch.ScratchCase):
    """The scripts ask."""

    SCRIPTS = ("demo.sh", "soak.sh", "measure.sh", "build/kernel.sh", "build/qemu.sh",
               "build/module.sh", "build/setup.sh", "clean-cache.sh")

    def one_error(self, result: tuple[int, str], text: str) -> None:
        """Nothing but this."""
        rc, output = result
        self.assertEqual(2, rc, output)
        line, = output.splitlines()
        self.assertTrue(line.startswith("error: "), line)
        self.assertIn(text, line)
        self.assertFalse(self.build.exists())

    def test_every_script(self) -> None:
        for script in self.SCRIPTS + ("boot/boot.sh",):
            with self.subTest(script=script):
                self.one_error(self.run_script(script, CPUS="0"), "CPUS=0: must be a number")

    def test_a_demo_with_one_cpu(self) -> None:
        self.one_error(self.run_script("demo.sh", CPUS="1"), "CPUS=1: must be a number from 2")

    def test_no_home(self) -> None:
        del self.env["HOME"], self.env["XDG_CACHE_HOME"]
        self.one_error(self.run_script("demo.sh"), "neither HOME nor XDG_CACHE_HOME is set")

    def test_a_checkout_in_a_bad_place(self) -> None:
        for name in ("a b", "a@b", "a,b", "a:b", "a%b", "a#b", "a'b", "a$b", "a=b", "\u00e9"):
            with self.subTest(name=name):
                top = self.dir / name / "checkout"
                self.copy_checkout(top)
                self.one_error(self.run_script(f"{top}/scripts/demo.sh"),
                               f"the checkout {top}: a path with")
                self.assertFalse((top / "build").exists())

    def test_a_link_to_a_bad_place(self) -> None:
        bad = self.dir / "a b"
        self.copy_checkout(bad)
        link = self.dir / "link"
        link.symlink_to(bad)
        self.env["BUILD"] = str(self.dir / "build")
        (self.dir / "build").symlink_to(self.dir / "c d")
        self.one_error(self.run_script("demo.sh"), f"BUILD= {self.dir / 'c d'}: a path with ' '")
        del self.env["BUILD"]
        self.one_error(self.run_script(f"{link}/scripts/demo.sh"), f"the checkout {bad}: a path with ' '")

    def test_arguments_that_nobody_reads(self) -> None:
        for script in ("demo.sh", "soak.sh", "measure.sh", "build/qemu.sh", "build/setup.sh"):
            with self.subTest(script=script):
                rc, output = self.run_script(script, "nonsense")
                self.assertEqual(2, rc)
                self.assertIn(Path(script).name, output)
        self.assertEqual([], [path for path in self.cache.iterdir() if Path(path).is_dir()])


if __name__ == "__main__":
    unittest.main()
