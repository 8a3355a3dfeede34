#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run a command as one session: with checked settings, alone in build/, and leaving nothing behind.

Usage: session.py COMMAND [ARG]...       the scripts run themselves below it (lib.sh)
Exit:  that of COMMAND; 128 and the signal that ended it; 2 for wrong settings; 1 if another session
       uses build/.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import settings

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PR_SET_CHILD_SUBREAPER = 36
# These change nothing in build/ that another one reads.
UNLOCKED = ("accel.sh", "boot.sh", "clean-cache.sh")


def die(message: str) -> NoReturn:
    """One error."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


@contextlib.contextmanager
def locked(build: Path) -> Iterator[None]:
    """Nobody else uses build/. The kernel gives up the lock of who dies."""
    try:
        build.mkdir(parents=True, exist_ok=True)
        lock = open(build / ".lock", "a+", encoding="utf-8")
    except OSError as error:
        die(f"BUILD={build}: {error.strerror}")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            die(f"{build} is in use by another run, process {lock.read().strip() or '?'}")
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield


def descendants() -> set[int]:
    """The processes below this one that still run."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(pid.split(" ", 1)[0]))
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        new = children.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found


def reap(wanted: int) -> int | None:
    """Collect who has ended; the status of WANTED, if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == wanted:
                status = os.waitstatus_to_exitcode(wait_status)
    return status


def end_all() -> None:
    """End what runs below this process: it is asked to, and then not asked."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        told: set[int] = set()
        end = time.monotonic() + seconds
        while (left := descendants()) and time.monotonic() < end:
            for pid in left - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= left
            time.sleep(0.05)
            reap(0)


def supervise(command: list[str], env: dict[str, str]) -> int:
    """Run COMMAND, and see to it that nothing survives it or a signal to this process."""
    # Who has lost its parent becomes a child of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING | {signal.SIGCHLD})
    try:
        child = os.posix_spawnp(command[0], command, env, setsigmask=(), setsigdef=ENDING)
    except OSError as error:
        die(f"{command[0]}: {error.strerror}")
    while True:
        number = signal.sigwait(ENDING | {signal.SIGCHLD})
        status = reap(child) if number == signal.SIGCHLD else 128 + number
        if status is not None:
            end_all()
            return status if status >= 0 else 128 - status


def main() -> int:
    """See above."""
    command = sys.argv[1:]
    if not command:
        print((__doc__ or "").split("\n\n")[1], file=sys.stderr)
        return 2
    script = os.path.basename(command[0])
    if status := settings.report(settings.check(os.environ, script), os.environ):
        return status
    build = Path(os.environ.get("BUILD") or settings.TOP / "build").absolute()
    # Of this name for the scripts below.
    env = os.environ | {"BUILD": str(build), "SESSION_BUILD": str(build)}
    with contextlib.nullcontext() if script in UNLOCKED else locked(build):
        return supervise(command, env)


if __name__ == "__main__":
    sys.exit(main())
