#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The selftests as they are installed, and selftests/deferred_flush/config, as far as no guest is needed.

Needs build/kernel-src. That what is installed really runs is guest/installed.sh's to show.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
SELFTESTS = TOP / "selftests/deferred_flush"
KERNEL_SRC = pathlib.Path(os.environ.get("BUILD", TOP / "build")) / "kernel-src"
LIB = "deferred_flush_test.sh"
SOURCE_LINE = f'command . "$(dirname "$0")/{LIB}" || exit 1'
SYMBOL = re.compile(r"\bCONFIG_[A-Z0-9_]+")


def without_comments(path: pathlib.Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sh":
        return re.sub(r"^\s*#.*$", "", text, flags=re.M)
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)


def named_symbols(folder: pathlib.Path) -> set[str]:
    """What the messages of the tests name."""
    files = [path for path in folder.iterdir() if path.suffix in (".c", ".h", ".sh")]
    return {symbol for path in files for symbol in SYMBOL.findall(without_comments(path))}


def config_symbols(*paths: pathlib.Path) -> set[str]:
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return {line.split("=")[0] for line in lines if re.match(r"CONFIG_[A-Z0-9_]+=[ym]$", line)}


def shell_tests(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob("*.sh")
                  if path.name not in (LIB, "ktap_helpers.sh"))


class ConfigTest(unittest.TestCase):
    def test_config_is_what_the_tests_name(self) -> None:
        self.assertEqual(config_symbols(SELFTESTS / "config"), named_symbols(SELFTESTS))

    def test_the_guests_kernel_has_it_all(self) -> None:
        configs = TOP / "scripts/build/configs"
        self.assertLessEqual(
            config_symbols(SELFTESTS / "config"),
            config_symbols(configs / "base.config", configs / "deferred_flush.config"))

    def test_a_symbol_in_a_message_is_found_and_one_in_a_comment_is_not(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "a.c").write_text(
                'SKIP(return, "no CONFIG_A"); /* CONFIG_B */\n// CONFIG_C\n', encoding="utf-8")
            (pathlib.Path(folder) / "b.sh").write_text(
                'skip_all "no CONFIG_D"\n\t# CONFIG_E\n', encoding="utf-8")
            self.assertEqual({"CONFIG_A", "CONFIG_D"}, named_symbols(pathlib.Path(folder)))


class SourceTest(unittest.TestCase):
    def test_shell_tests_fail_without_what_they_source(self) -> None:
        """A plain `.` of a missing file ends a shell with 2, which is XFAIL."""
        for path in shell_tests(SELFTESTS):
            with self.subTest(path.name):
                lines = path.read_text(encoding="utf-8").splitlines()
                code = [line for line in lines if line and not line.startswith("#")]
                self.assertEqual(SOURCE_LINE, code[0])
                self.assertTrue(os.access(path, os.X_OK))

    def exit_status(self, body: str) -> int:
        """Of a test with this body, in a folder with all that is sourced."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            shutil.copy(SELFTESTS / LIB, folder)
            shutil.copy(KERNEL_SRC / "tools/testing/selftests/kselftest/ktap_helpers.sh", folder)
            test = folder / "test.sh"
            test.write_text(f"{SOURCE_LINE}\nktap_print_header\n{body}\n", encoding="utf-8")
            return subprocess.run(["sh", test], stdin=subprocess.DEVNULL, timeout=20, check=False,
                                  capture_output=True).returncode

    def test_exit_statuses(self) -> None:
        passes = "ktap_test_pass a; "
        for body, status in (
                ("ktap_set_plan 1; " + passes + "ktap_finished", 0),
                ("ktap_set_plan 1; ktap_test_fail a; ktap_finished", 1),
                ('skip_all "no CONFIG_A"', 4),
                ("needs_tools sh no_such_tool", 4),
                ("needs_symbol no_such_symbol CONFIG_A", 4),
                # Those of kselftest's that no test means.
                ("ktap_set_plan 1; " + passes + ". ./missing.sh", 1),
                ("ktap_set_plan 1; " + passes + 'echo "$((1 + % 2))"', 1),
                ("ktap_set_plan 1; " + passes + "exit 2", 1),
                ("ktap_set_plan 1; " + passes + "exit 3", 1),
                ("ktap_set_plan 1; " + passes + "if then", 1),
                # Not all of its results, or none.
                ("ktap_set_plan 2; " + passes + "exit 0", 1),
                ("exit 0", 1),
                ("ktap_set_plan 1; " + passes + "kill -TERM $$; sleep 5", 1)):
            with self.subTest(body):
                self.assertEqual(status, self.exit_status(body))

    def test_loads_end_with_the_test(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            pid_file = pathlib.Path(folder) / "pid"
            self.exit_status(f"load sleep 60; echo $! >{pid_file}; exit 1")
            pid = int(pid_file.read_text(encoding="utf-8"))
            # Killed; who reaps it may take its time.
            stat = pathlib.Path(f"/proc/{pid}/stat")
            self.assertTrue(not stat.exists() or ") Z " in stat.read_text(encoding="utf-8"))


class InstallTest(unittest.TestCase):
    """Nothing is run here that would change this machine."""

    base: pathlib.Path
    log: str

    @classmethod
    def install(cls, to: str, *settings: str) -> str:
        out = cls.base / f"out-{to}"
        result = subprocess.run(
            ["make", "-C", SELFTESTS, f"KERNEL_SRC={KERNEL_SRC.resolve()}", f"OUTPUT={out}",
             f"INSTALL_PATH={cls.base / to}", *settings, "kselftest_install"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=300, check=False)
        if result.returncode:
            raise RuntimeError(result.stdout)
        return result.stdout

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="installed-")
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.log = cls.install("all")
        cls.tests = cls.base / "all" / "deferred_flush"

    def runner(self, tests: pathlib.Path, test: str, **env: str) -> str:
        """What kselftest's runner says about a test in that folder."""
        script = f"cd {tests}; . {self.base}/all/kselftest/runner.sh; run_many {test}"
        result = subprocess.run(
            ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
            env={**os.environ, "BASE_DIR": str(self.base / "all"), **env})
        return result.stdout

    def broken(self, *missing: str) -> pathlib.Path:
        """A copy of the tests without these, where no ../kselftest is."""
        to = pathlib.Path(tempfile.mkdtemp(dir=self.base)) / "deferred_flush"
        shutil.copytree(self.tests, to)
        for name in missing:
            (to / name).unlink()
        return to

    def test_each_test_is_installed(self) -> None:
        listed = (self.base / "all" / "kselftest-list.txt").read_text(encoding="utf-8").split()
        self.assertIn("deferred_flush:parameters.sh", listed)
        self.assertIn("deferred_flush:vfree_coherence", listed)
        # static_keys.sh is there, but tests the emulator.
        for path in shell_tests(SELFTESTS):
            self.assertTrue((self.tests / path.name).is_file(), path)
            self.assertEqual(path.name != "static_keys.sh",
                             f"deferred_flush:{path.name}" in listed, path)
        self.assertNotIn(f"deferred_flush:{LIB}", listed)
        for entry in listed:
            self.assertTrue(os.access(self.tests / entry.split(":")[1], os.X_OK), entry)
        for name in ("config", "settings", LIB, "ktap_helpers.sh"):
            self.assertTrue((self.tests / name).is_file(), name)
        self.assertRegex((self.tests / "settings").read_text(encoding="utf-8"),
                         r"(?m)^timeout=\d+$")

    def test_what_the_shell_tests_call_is_installed(self) -> None:
        called = set()
        for path in shell_tests(SELFTESTS):
            called |= set(re.findall(r'"(?:\$here|\$\(dirname "\$0"\))/([a-z_]+)',
                                     path.read_text(encoding="utf-8")))
        self.assertLessEqual({"vfree_storm", "syscall_loop", "flush_loop"}, called)
        for name in called:
            self.assertTrue(list(self.tests.glob(f"{name}*")), name)

    def test_the_folder_is_enough(self) -> None:
        for tests in (self.tests, self.broken()):
            output = self.runner(tests, "parameters.sh", MODULE_DIR=str(self.base))
            self.assertRegex(output, r"(?m)^ok 1 .*: parameters.sh # SKIP")
            self.assertRegex(output, r"1\.\.0 # SKIP no ")

    def test_without_what_is_sourced_it_fails(self) -> None:
        for missing in (LIB, "ktap_helpers.sh"):
            with self.subTest(missing):
                output = self.runner(self.broken(missing), "parameters.sh")
                self.assertRegex(output, r"(?m)^not ok 1 .*: parameters.sh # exit=1")

    def test_ktap_helpers_may_be_where_kselftest_has_it(self) -> None:
        tests = self.broken("ktap_helpers.sh")
        shutil.copytree(self.base / "all" / "kselftest", tests.parent / "kselftest")
        self.assertRegex(self.runner(tests, "parameters.sh", MODULE_DIR=str(self.base)),
                         r"(?m)^ok 1 .*: parameters.sh # SKIP")

    def test_with_multilib_there_is_no_warning(self) -> None:
        if not (self.tests / "user_flush_32").exists():
            self.skipTest("no multilib here")
        self.assertNotIn("Warning", self.log)

    def test_without_multilib_32_bit_programs_are_left_out(self) -> None:
        stub = self.base / "cc-without-multilib"
        stub.write_text('#!/bin/sh\nfor arg; do [ "$arg" != -m32 ] || exit 1; done\n'
                        'exec gcc "$@"\n', encoding="utf-8")
        stub.chmod(0o755)
        log = self.install("no-multilib", f"CC={stub}", "USERCFLAGS=-O0")
        tests = self.base / "no-multilib" / "deferred_flush"
        self.assertIn("without user_flush_32", log)
        self.assertTrue((tests / "user_flush").exists())
        self.assertEqual([], list(tests.glob("*_32")))
        self.assertRegex(self.runner(tests, "programs_32.sh"),
                         r"(?m)^ok 1 .*: programs_32.sh # SKIP")

    def test_settings_that_are_no_numbers_are_refused(self) -> None:
        for value in ("abc", "-1", "1s", "0x10"):
            result = subprocess.run([self.tests / "munmap_storm"], check=False, text=True,
                                    capture_output=True, timeout=20,
                                    env={**os.environ, "TEST_MS": value})
            self.assertEqual(1, result.returncode, value)
            self.assertIn(f"TEST_MS={value}: must be a number", result.stdout)


if __name__ == "__main__":
    unittest.main()
