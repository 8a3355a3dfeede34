#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the settings, before anything is built.

Usage: settings.py [SCRIPT]     of this script, default: of any
Exit:  0; 2 with one line for each setting that is wrong.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).absolute().parents[2]

NUMBERS = {
    "CPUS": (1, 64),
    "TURNS": (1, 1000),
    "TEST_MS": (1, 3_600_000),
    "TEST_ROUNDS": (1, 10_000_000),
    "ROUNDS": (1, 1_000_000),
    "SOAK_SECONDS": (60, 1_000_000),
    "CHECK_MINUTES": (1, 100_000),
    "JOBS": (1, 4096),
    "DAYS": (0, 100_000),
}
WORDS = {"QEMU": ("stock", "sticky"), "ACCEL": ("kvm", "tcg"), "FRESH": ("0", "1"),
         "SERIES": ("linux", "qemu")}

# Kbuild, virtme-ng and QEMU each stumble over some of the others.
PATH = re.compile(r"[A-Za-z0-9._+/-]*", re.ASCII)


def constant(name: str) -> str:
    """A version that lib.sh names."""
    lib = (TOP / "scripts/lib/lib.sh").read_text(encoding="utf-8")
    found = re.search(rf"^{name}=(\S+)$", lib, re.MULTILINE)
    if not found:
        raise KeyError(name)
    return found[1]


def check_paths(env: Mapping[str, str]) -> list[str]:
    """The folders that builds and guests use."""
    errors = []
    cache = "XDG_CACHE_HOME" if env.get("XDG_CACHE_HOME") else "HOME"
    if not env.get(cache):
        errors.append("neither HOME nor XDG_CACHE_HOME is set: downloads and builds are kept there")
    paths = {"the checkout": str(TOP)}
    paths |= {f"{name}=": env.get(name, "") for name in ("BUILD", "TMPDIR", cache, "KDIR", "TREE")}
    reported: list[str] = []
    for name, path in paths.items():
        for spelling in {path: 0, os.path.realpath(path): 0} if path else ():
            bad = sorted(set(PATH.sub("", spelling)))
            if not bad or any(spelling.startswith(above) for above in reported):
                continue
            reported.append(spelling)
            errors.append(
                f"{name} {spelling}: a path with {' '.join(map(repr, bad))} does not work; "
                "A-Z a-z 0-9 . _ + - and / do"
            )
            break
    return errors


def check_values(env: Mapping[str, str], script: str) -> list[str]:
    """Numbers and words."""
    errors = []
    for name, (least, most) in NUMBERS.items():
        value = env.get(name, "")
        if name == "CPUS" and script == "demo.sh":
            least = 2  # who frees, and who is to be interrupted
        if value and not (re.fullmatch("[0-9]{1,9}", value) and least <= int(value) <= most):
            errors.append(f"{name}={value}: must be a number from {least} to {most}")
    for name, words in WORDS.items():
        if env.get(name) and env[name] not in words:
            errors.append(f"{name}={env[name]}: must be {' or '.join(words)}")
    return errors


def check_sources(env: Mapping[str, str]) -> list[str]:
    """Trees that the user gives."""
    errors = []
    if env.get("KDIR") and env.get("KERNEL_SRC"):
        errors.append("KDIR= and KERNEL_SRC=: give one of them")
    if tree := env.get("KERNEL_SRC"):
        wanted = constant("KERNEL_SERIES")
        try:
            makefile = Path(tree, "Makefile").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            makefile = ""
        words = [re.search(rf"^{name} = (\d+)$", makefile, re.MULTILINE)
                 for name in ("VERSION", "PATCHLEVEL")]
        if not all(words) or not Path(tree, "arch/x86").is_dir():
            errors.append(f"KERNEL_SRC={tree} is not a kernel source tree")
        elif (version := ".".join(word[1] for word in words if word)) != wanted:
            errors.append(f"KERNEL_SRC={tree} is Linux {version}: the patches are for {wanted}")
    if tree := env.get("QEMU_SRC"):
        wanted = constant("QEMU_SERIES")
        try:
            version = Path(tree, "VERSION").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            version = ""
        if not version or not Path(tree, "softmmu").is_dir():
            errors.append(f"QEMU_SRC={tree} is not a QEMU source tree")
        elif not version.startswith(wanted + "."):
            errors.append(f"QEMU_SRC={tree} is QEMU {version}: the patches are for {wanted}")
    if env.get("KDIR"):
        errors += check_kdir(env)
    return errors


def version_of(*command: str) -> str:
    """The first line of COMMAND --version; empty if there is no such program (yet)."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.partition("\n")[0].strip()


def read_config(kdir: str) -> dict[str, str]:
    """The symbols that are set."""
    lines = Path(kdir, ".config").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match("CONFIG_.*=", line))


def check_kdir(env: Mapping[str, str]) -> list[str]:
    """A kernel that the user has built: can modules be built for it with what is used here?"""
    kdir = env["KDIR"]
    name = f"KDIR={kdir}"
    if not all(Path(kdir, file).is_file()
               for file in (".config", "arch/x86/boot/bzImage", "Module.symvers")):
        return [f"{name} is not a built kernel tree (.config, bzImage, Module.symvers)"]
    config = read_config(kdir)
    if config.get("CONFIG_RUST") != "y":
        return [f"{name} was built without CONFIG_RUST: a plain make drops it, without a word, "
                "where bindgen is not in PATH or Rust is too old. See make rustavailable there, "
                "set CONFIG_RUST=y again and rebuild it"]
    if config.get("CONFIG_X86_DEFERRED_FLUSH") != "y":
        return [f"{name} has no CONFIG_X86_DEFERRED_FLUSH=y: apply "
                f"patches/linux-{constant('KERNEL_SERIES')} and set it"]
    # Crates can only be used by the compiler that made them.
    rustc = f"{env.get('RUST_PREFIX') or '/usr/bin'}/rustc"
    return [f"{text}: RUST_PREFIX= names the folder of another, or rebuild the kernel"
            for text in differs(name, config, "RUSTC", rustc)]


def differs(name: str, config: Mapping[str, str], symbol: str, command: str) -> list[str]:
    """Was the kernel built with another version than that of COMMAND?"""
    built = config.get(f"CONFIG_{symbol}_VERSION_TEXT", "").strip('"')
    used = version_of(command)
    if not built or not used or built == used:
        return []
    return [f"{name} was built with {built}, but {command} is {used}"]


def warnings(env: Mapping[str, str]) -> list[str]:
    """What may work: modules of a built kernel need no bindgen, and C of another compiler links."""
    if not env.get("KDIR"):
        return []
    config = read_config(env["KDIR"])
    cache = env.get("XDG_CACHE_HOME") or env.get("HOME", "") + "/.cache"
    bindgen = f"{cache}/deferred-flush/bindgen-{constant('BINDGEN_VERSION')}/bin/bindgen"
    name = f"KDIR={env['KDIR']}"
    return differs(name, config, "BINDGEN", bindgen) + differs(name, config, "CC", "gcc")


def check(env: Mapping[str, str], script: str = "") -> list[str]:
    """All that is wrong, one line each."""
    return check_paths(env) + check_values(env, script) + check_sources(env)


def report(errors: list[str], env: Mapping[str, str]) -> int:
    """Print what is wrong; the exit status."""
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        return 2
    for warning in warnings(env):
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def main() -> int:
    """See above."""
    return report(check(os.environ, *sys.argv[1:2]), os.environ)


if __name__ == "__main__":
    sys.exit(main())
