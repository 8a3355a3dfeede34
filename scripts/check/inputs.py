# SPDX-License-Identifier: GPL-2.0
"""What the result of a scenario depends on, as a key.

The key of a kernel or QEMU is the name of its folder in the cache, which is made of its sources, its
patches, its configuration and the versions of the compilers.  Modules and test programs count by their sources: the scenario that builds
them anew with the same compiler gets the same.  The guest's root is the host's, so that the host's
packages count, too.
"""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
from functools import cache, cached_property
from pathlib import Path

from scenario import KERNELS, TESTS, Scenario

# These say when and how to run it, not what is run.
NOT_INPUTS = ("claim", "level", "seconds", "limit", "cores", "tries")
LINKS = {
    "kernel": "kernel", "mainline": "kernel-mainline", "debug": "kernel-debug",
    "mutants": "kernel-mutants", "qemu": "qemu",
}
# Sources that an artifact is made of, besides kernels.
SOURCES = {
    "modules": ["rust", "Kbuild", "scripts/build/module.sh"],
    "machine": ["selftests/machine"],
    "kselftests": ["scripts/build/kselftests.sh"],
    "setup": [],
}
# Settings that reach a test.
SETTINGS = ("TEST_MS", "TEST_ROUNDS", "TEST_ARGS", "ROUNDS", "ACCEL", "KDIR", "KERNEL_SRC", "QEMU_SRC",
            "QEMU_FIRMWARE", "RUST_PREFIX", "STATIC_BIN", "LOOM_MAX_PREEMPTIONS", "PROPTEST_CASES")


def digest(*parts: str | bytes) -> str:
    """A key made of these, in this order."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:32]


class Inputs:
    """The keys of all inputs, each computed once."""

    def __init__(self, top: Path, build: Path) -> None:
        self.top = top
        self.build = build
        self.file = cache(self._file)
        self.artifact = cache(self._artifact)
        self.closure = cache(self._closure)

    def _file(self, path: Path) -> str:
        """Of a file, or of a folder with all that is in it."""
        if not path.is_dir():
            return digest(path.read_bytes())
        ignored = {"target", "__pycache__"}
        files = sorted(p for p in path.rglob("*") if p.is_file() and
                       not ignored & set(p.relative_to(path).parts))
        return digest(*(part for p in files
                        for part in (str(p.relative_to(path)), p.read_bytes())))

    def _artifact(self, name: str) -> str:
        parts = [name]
        if name in LINKS:
            link = self.build / LINKS[name]
            # Outside the cache the name says nothing.
            image = link / "arch/x86/boot/bzImage"
            if name == "kernel" and os.environ.get("KDIR"):
                parts += [self.file(image), self.file(link / ".config")]
            else:
                parts.append("/".join(link.resolve().parts[-2:]))
        for source in SOURCES.get(name, []):
            parts.append(self.file(self.top / source))
        if name == "modules":
            parts.append(self.artifact("kernel"))
        if name == "kselftests":
            parts.append(self.artifact("mainline"))
        return digest(*parts)

    @cached_property
    def sources_by_name(self) -> dict[str, list[Path]]:
        """Scripts and tests, by their names or, if they are built, those of the programs."""
        found: dict[str, list[Path]] = {}
        for folder in ("scripts", TESTS):
            for path in sorted((self.top / folder).rglob("*")):
                if path.is_file() and path.suffix in (".c", ".sh", ".py", ".h", ""):
                    found.setdefault(path.stem if path.suffix == ".c" else path.name, []).append(path)
        return found

    def named(self, word: str, by: Path) -> list[Path]:
        """The files that WORD, a path or its end, may mean in the file BY."""
        *folders, name = word.split("/")
        paths = self.sources_by_name.get(name, [])
        for wanted in (folders[-1] if folders else "", by.parent.name):
            paths = [p for p in paths if p.parent.name == wanted] or paths
        return paths

    def _closure(self, name: str) -> list[Path]:
        """A script, or a test, with what it names in turn."""
        found: set[Path] = set()
        todo = [self.top / name]
        while todo:
            path = todo.pop()
            if path in found:
                continue
            found.add(path)
            text = path.read_text(encoding="utf-8", errors="replace")
            for word in set(re.findall(r"[A-Za-z0-9_./-]+", text)):
                todo += self.named(word, path)
        return sorted(found)

    @cached_property
    def host(self) -> str:
        """The host's packages and processors."""
        try:
            packages = subprocess.run(["dpkg-query", "-W"], check=True, capture_output=True).stdout
        except (OSError, subprocess.CalledProcessError):
            packages = Path("/etc/os-release").read_bytes()
        tools = []
        for tool in ("cargo", "rustc"):
            try:
                done = subprocess.run([tool, "-Vv"], check=False, capture_output=True)
                tools.append(done.stdout)
            except OSError:
                tools.append(b"")
        model = ""
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "flags")):
                model = line
                if line.startswith("flags"):
                    break
        return digest(packages, *tools, model, str(os.cpu_count()), str(os.access("/dev/kvm", os.W_OK)))

    def sources(self) -> str:
        """Of all that the artifacts and scenarios of this tree are made of."""
        return digest(*(self.file(self.top / name)
                        for name in ("rust", "selftests", "scripts", "patches", "Kbuild")))

    def key(self, scenario: Scenario, baseline: str = "") -> str:
        """Of one scenario; baseline is the key of the one that it is compared with."""
        line = {k: v for k, v in dataclasses.asdict(scenario).items() if k not in NOT_INPUTS}
        parts = [json.dumps(line, sort_keys=True), self.host, baseline]
        parts += [f"{name}={os.environ.get(name, '')}" for name in SETTINGS]
        wanted = sorted(scenario.needs())
        for name in wanted:
            # Mainline's results depend on nothing of ours but the test module.
            if name == "modules" and scenario.kernel == "mainline":
                parts += [self.file(p) for p in sorted((self.top / "rust/test_module").iterdir())]
            else:
                parts.append(self.artifact(name))
        files: set[Path] = set()
        for name in scenario.inputs:
            if name not in SOURCES and name not in LINKS:
                files.add(self.top / name)
        scripts = [script for script, _ in scenario.commands()]
        if scenario.guest:
            scripts += ["scripts/boot/boot.sh", "scripts/guest/enter.sh"]
            files |= {self.top / TESTS / "Makefile", *(self.top / TESTS).glob("*.h")}
            if scenario.run:
                # The script may run any of them.
                files.add(self.top / TESTS)
            tests = [test.partition("@")[0] for test in scenario.tests]
            if "unloaded" in scenario.states:
                tests.append("load_unload.sh")
            scripts += [f"{TESTS}/{test if test.endswith('.sh') else test.removesuffix('_32') + '.c'}"
                        for test in tests]
        for script in scripts:
            files |= set(self.closure(script))
        parts += [part for p in sorted(files) for part in (str(p.relative_to(self.top)), self.file(p))]
        return digest(*parts)


def modules_of(kernel: str) -> str:
    """Where the modules for a kernel are, below build/."""
    return KERNELS[kernel][1]
