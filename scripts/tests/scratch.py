# SPDX-License-Identifier: GPL-2.0
"""A checkout in a scratch folder, with programs of the tests' own in PATH."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts/lib"), str(TOP / "scripts/gates")]

# Does what kernel.sh expects of Kbuild; SECONDS makes it slow.
MAKE = """\
for arg; do case $arg in
O=*) out=${arg#O=} ;;
KCONFIG_ALLCONFIG=*) cp "${arg#*=}" "$out/.config" ;;
bzImage)
    echo built >>"$COUNT"
    sleep "${SECONDS_OF_MAKE:-0}" & echo $! >"$COUNT.pid"; wait
    mkdir -p "$out/arch/x86/boot"; touch "$out/arch/x86/boot/bzImage" "$out/Module.symvers" ;;
esac; done
"""


def runs(pid: int) -> bool:
    """Is it there, and not just a status that nobody has fetched?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 20) -> bool:
    """Until CONDITION holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class ScratchCase(unittest.TestCase):
    """Runs the scripts of a copy."""

    def setUp(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="scratch"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.top = self.dir / "checkout"
        self.build = self.top / "build"
        self.cache = self.dir / "cache/deferred-flush"
        self.stubs = self.dir / "stubs"
        for folder in (self.stubs, self.cache, self.dir / "home", self.dir / "tmp"):
            folder.mkdir(parents=True)
        self.copy_checkout(self.top)
        self.env = {
            "PATH": f"{self.stubs}:{os.environ['PATH']}", "HOME": str(self.dir / "home"),
            "XDG_CACHE_HOME": str(self.dir / "cache"), "TMPDIR": str(self.dir / "tmp"),
            "RUST_PREFIX": str(self.stubs), "COUNT": str(self.dir / "count"), "LC_ALL": "C",
        }

    def copy_checkout(self, to: Path) -> None:
        """The scripts; a patch each for trees that are just a file."""
        shutil.copytree(TOP / "scripts", to / "scripts",
                        ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for project in ("linux-7.3", "qemu-7.2"):
            patch = to / f"patches/{project}/0001-x.patch"
            patch.parent.mkdir(parents=True)
            patch.write_text("--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n")

    def stub(self, name: str, body: str, folder: Path | None = None) -> Path:
        """A program."""
        path = (folder or self.stubs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
        return path

    def entry(self, name: str) -> Path:
        """A finished cache entry."""
        path = self.cache / name
        path.mkdir(parents=True)
        (path / ".finished").touch()
        return path

    def tools(self) -> None:
        """What a kernel is built with."""
        self.stub("rustc", "echo rustc 1.99.0")
        self.stub("bindgen", "echo bindgen 0.72.1", self.entry("bindgen-0.72.1") / "bin")
        self.stub("make", MAKE)

    def kernel_source(self) -> None:
        """A kernel source that is there already."""
        self.stub("xz", "exec cat")  # not what is tested
        tree = self.dir / "linux-7.3"
        tree.mkdir()
        (tree / "file").write_text("old\n")
        origin = self.entry("linux-source-7.3")
        subprocess.run(["tar", "-cf", origin / "linux-7.3.tar.xz", "-C", self.dir, "linux-7.3"],
                       check=True)

    def start(self, script: str, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start a script (of another checkout: by its path), in a process group of its own."""
        process = subprocess.Popen(
            [self.top / "scripts" / script, *args], env=self.env | env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            process_group=0)
        self.addCleanup(self.stop, process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> None:
        """Leave nothing, whatever the test found."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def run_script(self, script: str, *args: str, **env: str) -> tuple[int, str]:
        """Run a script: its exit status and all it said."""
        process = self.start(script, *args, **env)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output
