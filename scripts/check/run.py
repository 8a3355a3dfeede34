# SPDX-License-Identifier: GPL-2.0
"""Runs one scenario, or one build, and says what came of it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import ktap
from ktap import FAILED, OK, Result
from scenario import GUEST_RUN, KERNELS, Scenario
from store import Outcome

# In these states the module is loaded, and its KUnit suites run.
LOADS = {"off", "always", "adaptive", "unloaded"}
SUITE = "deferred_flush_core"
# Lines of a log that are shown for a failure.
TAIL = 60


class Children:
    """The processes that run, each the leader of a group of its own: none of them outlives this."""

    # Seconds between SIGTERM and SIGKILL.
    GRACE = 10.0

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: set[subprocess.Popen] = set()
        self.stopped = False

    def call(self, command: list[str], log: Path, limit: int, env: dict[str, str] | None = None,
             cwd: Path | None = None) -> int:
        """The exit status of a command whose output goes to a file; 124 after the time limit."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            with self.lock:
                if self.stopped:
                    return 130
                child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                         stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd,
                                         env={**os.environ, **(env or {})})
                self.running.add(child)
            try:
                return child.wait(limit)
            except subprocess.TimeoutExpired:
                output.write(f"no end after {limit} s\n".encode())
                self.end(child)
                return 124
            finally:
                # What it left behind, if anything.
                self.end(child)
                with self.lock:
                    self.running.discard(child)

    @classmethod
    def end(cls, child: subprocess.Popen) -> None:
        """Ends a process with its group: first politely."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                break
            for _ in range(int(10 * cls.GRACE)):
                child.poll()
                try:
                    os.killpg(child.pid, 0)
                except ProcessLookupError:
                    return
                time.sleep(0.1)

    def stop(self) -> None:
        """Ends all, for good."""
        with self.lock:
            self.stopped = True
            running = list(self.running)
        enders = [threading.Thread(target=self.end, args=(child,)) for child in running]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()


def tail(path: Path, lines: int = TAIL) -> str:
    """The end of a log, or nothing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(line.rstrip("\r") for line in text.splitlines()[-lines:])


def text_of(path: Path) -> str:
    """What is in a file, if it is there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class Runner:
    """Runs scenarios and builds of one checkout."""

    def __init__(self, top: Path, build: Path, children: Children) -> None:
        self.top = top
        self.build = build
        self.children = children
        self.scripts = top / "scripts"
        self._parser: ktap.Parser | None = None
        self._lock = threading.Lock()

    @property
    def parser(self) -> ktap.Parser:
        """Of the kernel's source, which is there as soon as something has to be parsed."""
        with self._lock:
            if self._parser is None:
                for link in ("kernel-src", "kernel-mainline-src"):
                    try:
                        self._parser = ktap.Parser(self.build / link)
                        break
                    except FileNotFoundError:
                        pass
                else:
                    raise FileNotFoundError("no tools/testing/kunit in the kernel source")
            return self._parser

    def log(self, name: str) -> Path:
        """Where the output of a scenario or a build goes."""
        return self.build / "log" / (name.replace("/", "-") + ".log")

    def out(self, scenario: Scenario) -> Path:
        """Where a guest leaves its console, output and kernel log."""
        return self.build / "guest" / scenario.name.replace("/", "-")

    def artifact(self, name: str) -> bool:
        """Builds one; False if that failed."""
        commands = {
            "setup": [["build/setup.sh"]],
            "kernel": [["build/kernel.sh"]],
            "modules": [["build/module.sh"]],
            "qemu": [["build/qemu.sh"]],
            "mainline": [["build/kernel.sh", "--mainline", "--name", "kernel-mainline"],
                         ["build/module.sh", "kernel-mainline"]],
            "debug": [["build/kernel.sh", "--name", "kernel-debug", "--config",
                       str(self.scripts / "build/configs/debug.config")],
                      ["build/module.sh", "kernel-debug"]],
            "mutants": [["build/kernel.sh", "--mutants", "--name", "kernel-mutants"]],
            "kselftests": [["build/kselftests.sh"]],
            "machine": [["boot/machine.sh", "build"]],
        }
        for number, (script, *args) in enumerate(commands[name]):
            log = self.log(f"build-{name}-{number}")
            if self.children.call([str(self.scripts / script), *args], log, limit=3600):
                return False
        return True

    def run(self, scenario: Scenario, baseline: Outcome | None = None) -> Outcome:
        """Runs it, as often as it may be tried."""
        start = time.monotonic()
        outcome = Outcome(scenario.name, [])
        for attempt in range(scenario.tries):
            outcome = self._once(scenario, baseline)
            outcome.retries += attempt
            if not outcome.failed or self.children.stopped:
                break
        outcome.seconds = round(time.monotonic() - start, 1)
        return outcome

    def _once(self, scenario: Scenario, baseline: Outcome | None) -> Outcome:
        log = self.log(scenario.name)
        # Nothing of an earlier run counts.
        shutil.rmtree(self.out(scenario), ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="df-") as tmp:
            values = {"build": str(self.build), "out": str(self.out(scenario)), "tmp": tmp}
            command = self._command(scenario, values)
            env = {key: value.format(**values) for key, value in scenario.env.items()}
            if scenario.guest:
                env.setdefault("MODULE_DIR", str(self.build / KERNELS[scenario.kernel][1]))
                if scenario.tests:
                    env["TESTS"] = " ".join(scenario.tests)
            beside = None
            if scenario.beside:
                words = scenario.beside.format(**values).split()
                beside = threading.Thread(target=self.children.call, args=(
                    [str(self.scripts / words[0]), *words[1:]],
                    self.log(scenario.name + "-beside"), scenario.time_limit))
                beside.start()
            # The guest has the limit; what is around it, some more.
            status = self.children.call(command, log, scenario.time_limit + 60, env, self.top)
            if beside:
                beside.join()
        return self._judge(scenario, status, log, baseline)

    def _command(self, scenario: Scenario, values: dict[str, str]) -> list[str]:
        if not scenario.guest:
            script, *args = scenario.run.format(**values).split()
            return [str(self.scripts / script), *args]
        command = [str(self.scripts / "boot/boot.sh"), "--out", values["out"],
                   "--kernel", KERNELS[scenario.kernel][0], "--qemu", scenario.machine,
                   "--cpus", str(scenario.cpus), "--append", scenario.append,
                   "--timeout", str(scenario.time_limit), *scenario.boot]
        if scenario.memory:
            command += ["--memory", scenario.memory]
        if scenario.qemu:
            command += ["--qemu-opts", scenario.qemu.format(**values)]
        run = scenario.run.format(**values).split() or [GUEST_RUN, *scenario.states]
        return [*command, "--", *run]

    def _judge(self, scenario: Scenario, status: int, log: Path,
               baseline: Outcome | None) -> Outcome:
        outcome = Outcome(scenario.name, [])
        output = log
        if scenario.guest:
            output = self.out(scenario) / "output"
            outcome.retries = int(text_of(self.out(scenario) / "retries").strip() or 0)
        text = text_of(output)
        # What a script on the host says of guests that it had to boot again.
        outcome.retries += len(re.findall(r"^# .*: the guest died, boot number", text, re.MULTILINE))
        sections = ktap.sections(text)
        if scenario.broken:
            outcome.results = self._broken(scenario, text)
        elif scenario.format == "cargo":
            outcome.results = ktap.cargo(text)
        elif scenario.format == "ktap":
            for section in sections:
                outcome.results += self.parser.section(section, "")
            if scenario.guest:
                kunit = self.parser.kunit_log(text_of(self.out(scenario) / "dmesg"))
                outcome.results += kunit
                # The kernel has suites of its own.
                if LOADS & set(scenario.states) and not any(SUITE in r.name for r in kunit):
                    outcome.results.append(Result("kunit", FAILED, f"no {SUITE} in the kernel log"))
        elif scenario.format == "exits":
            self._exits(outcome, sections, baseline)
        if not scenario.broken:
            # The script, or the guest as a whole: boots, no splat, nothing stale.
            what = "guest: ends, no splat" if scenario.guest else scenario.run
            if scenario.machine == "sticky":
                what += ", no stale hit"
            if scenario.format in ("ktap", "exits") and not sections and not status:
                outcome.results.append(Result(what, FAILED, "it ran no test"))
            elif scenario.format == "cargo" and not outcome.results and not status:
                outcome.results.append(Result(what, FAILED, "it ran no test"))
            elif status:
                outcome.results.append(Result(what, FAILED, f"exit {status}"))
            else:
                outcome.results.append(Result(what, OK))
        if outcome.failed:
            outcome.tail = tail(log)
            if scenario.guest and not outcome.tail:
                # It ended in order; otherwise boot.sh has shown it.
                outcome.tail = tail(self.out(scenario) / "console", 20)
        return outcome

    @staticmethod
    def _broken(scenario: Scenario, text: str) -> list[Result]:
        results = []
        lines = text.splitlines()
        for name in scenario.broken:
            seen = any(line.startswith("not ok ") and line.endswith(name) for line in lines)
            results.append(Result(f"{name} fails, as it must", OK if seen else FAILED,
                                  "" if seen else "it did not fail, or did not run"))
        return results

    @staticmethod
    def _exits(outcome: Outcome, sections: list[ktap.Section], baseline: Outcome | None) -> None:
        outcome.exits = {s.name: s.exit for s in sections if s.exit is not None}
        wanted = baseline.exits if baseline else outcome.exits
        for name, code in wanted.items():
            found = outcome.exits.get(name)
            # 127: the shell has not found it.
            good = found == code and code != 127
            outcome.results.append(Result(
                f"{name}: exit {code}", OK if good else FAILED,
                "" if good else f"exit {found}, in {baseline.name if baseline else 'itself'} {code}"))
