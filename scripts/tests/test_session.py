# SPDX-License-Identifier: GPL-2.0
"""One run at a time in build/, one maker of a cache entry, and nothing left when they are ended."""

import os
import signal
import unittest
from pathlib import Path

import scratch
from scratch import runs, wait_for


class SessionCase(scratch.ScratchCase):
    """With a kernel build that lasts."""

    def setUp(self) -> None:
        super().setUp()
        self.tools()
        self.kernel_source()
        (self.top / "scripts/build/configs/base.config").write_text("CONFIG_X=y\n")
        (self.top / "scripts/build/configs/deferred_flush.config").write_text("CONFIG_Y=y\n")
        self.count = self.dir / "count"

    def builds(self) -> int:
        """How often a kernel was built."""
        return len(self.count.read_text().splitlines()) if self.count.exists() else 0

    def building(self) -> int:
        """The process of a build that is under way."""
        pid = Path(f"{self.count}.pid")
        self.assertTrue(wait_for(lambda: pid.exists() and pid.read_text().strip()))
        return int(pid.read_text())

    def finished(self) -> list[Path]:
        """The kernels that are there."""
        return list(self.cache.glob("src-*/out-*/.finished"))


class Lock(SessionCase):
    """Two runs at once."""

    def test_a_second_run_in_the_same_build(self) -> None:
        first = self.start("build/kernel.sh", SECONDS_OF_MAKE="30")
        self.building()
        for script in ("build/kernel.sh", "demo.sh", "build/qemu.sh"):
            rc, output = self.run_script(script)
            self.assertEqual(1, rc)
            self.assertEqual(
                f"error: {self.build} is in use by another run, process {first.pid}\n", output)
        self.assertEqual(1, self.builds())

    def test_make_clean_is_one_too(self) -> None:
        self.start("build/kernel.sh", SECONDS_OF_MAKE="30")
        self.building()
        rc, output = self.run_script("lib/session.py", "rm", "-rf", str(self.build))
        self.assertEqual(1, rc)
        self.assertIn("in use by another run", output)
        self.assertTrue((self.build / "log").exists())

    def test_the_lock_of_a_dead_run_is_none(self) -> None:
        first = self.start("build/kernel.sh", SECONDS_OF_MAKE="30")
        self.building()
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        rc, output = self.run_script("build/kernel.sh")
        self.assertEqual(0, rc, output)

    def test_scripts_of_one_run(self) -> None:
        self.stub("outer.sh", '. "$(dirname "$0")/lib/lib.sh"\n"$TOP/scripts/build/kernel.sh" && echo done',
                  self.top / "scripts")
        rc, output = self.run_script("outer.sh")
        self.assertEqual(0, rc, output)
        self.assertIn("done", output)

    def test_two_clones_build_once(self) -> None:
        other = self.dir / "other"
        self.copy_checkout(other)
        for config in ("base", "deferred_flush"):
            path = f"scripts/build/configs/{config}.config"
            (other / path).write_text((self.top / path).read_text())
        first = self.start("build/kernel.sh", SECONDS_OF_MAKE="2")
        self.building()
        rc, output = self.run_script(f"{other}/scripts/build/kernel.sh", SECONDS_OF_MAKE="2")
        self.assertEqual(0, rc, output)
        self.assertIn("another run makes out-", output)
        self.assertEqual(0, first.wait(10))
        self.assertEqual(1, self.builds())
        self.assertEqual(os.path.realpath(self.build / "kernel"),
                         os.path.realpath(other / "build/kernel"))

    def test_an_entry_whose_maker_failed_is_made_by_who_waited(self) -> None:
        first = self.start("build/kernel.sh", SECONDS_OF_MAKE="2")
        self.building()
        second = self.start("build/kernel.sh", BUILD=str(self.dir / "second"))
        while "waiting for it" not in (line := second.stdout.readline() if second.stdout else ""):
            self.assertTrue(line)
        first.terminate()
        output, _ = second.communicate(timeout=20)
        self.assertEqual(0, second.returncode, output)
        self.assertEqual((2, 1), (self.builds(), len(self.finished())))


class Ending(SessionCase):
    """A run that is ended."""

    def test_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for whole_group in (False, True):
                with self.subTest(signal=number, whole_group=whole_group):
                    Path(f"{self.count}.pid").unlink(missing_ok=True)
                    run = self.start("build/kernel.sh", SECONDS_OF_MAKE="30")
                    child = self.building()
                    (os.killpg if whole_group else os.kill)(run.pid, number)
                    self.assertEqual(128 + number, run.wait(10))
                    self.assertFalse(runs(child))
                    self.assertEqual([], self.finished())

    def test_a_child_that_left_its_group_and_parent(self) -> None:
        pid = self.dir / "pid"
        run = self.start("lib/session.py", "bash", "-c",
                         f"setsid sh -c 'sleep 60 & echo $! >{pid}' & wait; sleep 60")
        self.assertTrue(wait_for(lambda: pid.exists() and pid.read_text().strip()))
        run.terminate()
        self.assertEqual(128 + signal.SIGTERM, run.wait(10))
        self.assertFalse(runs(int(pid.read_text())))

    def test_a_child_that_hears_no_signal(self) -> None:
        pid = self.dir / "pid"
        session = self.top / "scripts/lib/session.py"
        session.write_text(session.read_text().replace("SIGTERM, 10)", "SIGTERM, 1)"))
        run = self.start("lib/session.py", "bash", "-c",
                         f"trap '' TERM; echo $$ >{pid}; sleep 60; sleep 60")
        self.assertTrue(wait_for(lambda: pid.exists() and pid.read_text().strip()))
        run.terminate()
        self.assertEqual(128 + signal.SIGTERM, run.wait(10))
        self.assertFalse(runs(int(pid.read_text())))

    def test_what_is_left_at_the_end(self) -> None:
        pid = self.dir / "pid"
        rc, _ = self.run_script("lib/session.py", "bash", "-c",
                                f"sleep 60 >/dev/null 2>&1 & echo $! >{pid}; exit 7")
        self.assertEqual(7, rc)
        self.assertFalse(runs(int(pid.read_text())))

    def test_exit_by_a_signal_of_its_own(self) -> None:
        rc, _ = self.run_script("lib/session.py", "bash", "-c", "kill -KILL $$")
        self.assertEqual(128 + signal.SIGKILL, rc)

    def test_the_next_run_starts_anew(self) -> None:
        run = self.start("build/kernel.sh", SECONDS_OF_MAKE="30")
        self.building()
        run.terminate()
        run.wait(10)
        stale, = self.cache.glob("src-*/out-*")
        (stale / "half-made").touch()
        rc, output = self.run_script("build/kernel.sh")
        self.assertEqual(0, rc, output)
        self.assertEqual(2, self.builds())
        self.assertFalse((stale / "half-made").exists())
        self.assertEqual((0, 2), (self.run_script("build/kernel.sh")[0], self.builds()))


class Disk(SessionCase):
    """A disk that is full, and what is done about it."""

    def df(self, mib: int) -> None:
        """So much is free."""
        self.stub("df", f"echo; echo x 1 1 {mib} 1% /")

    def test_too_little_for_a_kernel(self) -> None:
        self.df(1000)
        rc, output = self.run_script("build/kernel.sh")
        self.assertEqual(1, rc)
        self.assertIn(f"error: a kernel needs 4000 MiB in {self.cache}, and 1000 are free: "
                      "make clean-cache", output)
        self.assertEqual(0, self.builds())
        self.assertEqual([], list(self.cache.glob("src-*/.finished")))

    def test_it_is_full_in_a_step(self) -> None:
        full = self.dir / "full"
        self.stub("make", f"{scratch.MAKE}\ncase $* in *bzImage*) touch {full}; exit 1; esac")
        self.stub("df", f"free=9999; [ ! -e {full} ] || free=3; echo; echo x 1 1 $free 1% /")
        rc, output = self.run_script("build/kernel.sh")
        self.assertEqual(1, rc)
        self.assertRegex(output, r"error: build the kernel .* failed .*; the disk is full\n$")

    def test_clean_cache(self) -> None:
        self.assertEqual(0, self.run_script("build/kernel.sh")[0])
        tree, = self.cache.glob("src-*")
        old = self.entry("src-old")
        (old / "out-x").mkdir()
        for path in (old / "out-x", old / ".finished", old):
            os.utime(path, (0, 0))
        unused_tool = self.cache / "bindgen-0.72.1"
        for path in (unused_tool / ".finished", unused_tool):
            os.utime(path, (0, 0))
        rc, output = self.run_script("clean-cache.sh")
        self.assertEqual(0, rc, output)
        self.assertIn("removing src-old", output)
        self.assertEqual((False, True, True),
                         (old.exists(), tree.exists(), unused_tool.exists()))

    def test_clean_cache_keeps_what_is_made_and_what_was_used(self) -> None:
        self.assertEqual(0, self.run_script("build/kernel.sh")[0])
        tree, = self.cache.glob("src-*")
        marks = [*tree.glob("out-*/.finished"), tree / ".finished", *tree.glob("out-*"), tree]
        for path in marks:
            os.utime(path, (0, 0))
        self.assertEqual(0, self.run_script("build/kernel.sh")[0])
        self.run_script("clean-cache.sh")
        self.assertTrue(tree.exists())
        for path in marks:
            os.utime(path, (0, 0))
        run = self.start("lib/session.py", "flock", str(self.cache / f".locks/{tree.name}"),
                         "sh", "-c", f"touch {self.dir}/held; sleep 30")
        self.assertTrue(wait_for((self.dir / "held").exists))
        self.run_script("clean-cache.sh")
        self.assertTrue(tree.exists())
        run.terminate()
        run.wait(10)
        self.run_script("clean-cache.sh")
        self.assertFalse(tree.exists())


class Image(SessionCase):
    """What is built is the same whoever builds it."""

    def test_who_and_when_are_fixed(self) -> None:
        self.stub("make", f'echo "$*" >>{self.dir}/make\n{scratch.MAKE}')
        self.assertEqual(0, self.run_script("build/kernel.sh")[0])
        last = (self.dir / "make").read_text().splitlines()[-1]
        for name in ("TIMESTAMP", "USER", "HOST", "VERSION"):
            self.assertRegex(last, rf" KBUILD_BUILD_{name}=\S+ ")


if __name__ == "__main__":
    unittest.main()
