# SPDX-License-Identifier: GPL-2.0
"""The tests: builds what they need, runs the scenarios of scenarios/*.toml, and reports.

Usage: python3 scripts/check [check|all|list]
  check  what `make check` runs; all: everything; list: the scenarios, and what they are for
Settings, by the environment:
  TESTS=PATTERN...   only scenarios with these names, or parts of names; NAME:PROGRAM for one program
  FRESH=1            believe no earlier result
  CHECK_MINUTES=N    end by then: what would take longer is left out, or ended, and named
  BUILD=, JOBS=, KDIR=, KERNEL_SRC= and those of the tests: as for the other scripts
Exit: 0; 1 if a test failed, or none ran; 2 for bad input; 130 when it was interrupted.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("error: this needs Python 3.11 or newer")

# pylint: disable=wrong-import-position
import plan
import report
from inputs import Inputs
from ktap import FAILED, Result
from run import Children, Runner, tail
from scenario import ARTIFACTS, ListError, Scenario, artifacts, read, select
from schedule import NO_TIME, Schedule, Task
from store import Outcome, Store

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD") or TOP / "build")
# A guest boots on one core, and its tests wait for much of the time.
OVERCOMMIT = 2
# Seconds that have to be left for it.
SLOW_BUILDS = {"mainline": 600, "debug": 900, "mutants": 300, "kselftests": 120}
# Short forms: the mutants show that they see enough.
DEFAULTS = {"TEST_MS": "300", "TEST_ROUNDS": "40"}


def number(name: str) -> float | None:
    """A setting that is a number of minutes above 0."""
    text = os.environ.get(name, "")
    if not text:
        return None
    if not text.isdigit() or int(text) == 0:
        raise ListError(f"{name}={text}: must be a number above 0")
    return float(text)


class Check:
    """One run."""

    def __init__(self, scenarios: list[Scenario], level: str, store: Store) -> None:
        self.scenarios = scenarios
        self.level = level
        self.store = store
        self.inputs = Inputs(TOP, BUILD)
        self.children = Children()
        self.runner = Runner(TOP, BUILD, self.children)
        self.outcomes: dict[str, Outcome] = {}
        self.not_run: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.lock = threading.Lock()
        self.sources = ""
        self.late = False
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        """A line of progress."""
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        done = len(self.outcomes) + len(self.not_run)
        print(f"[{minutes:3}:{seconds:02} {done:3}/{len(self.scenarios)}] {text}", flush=True)

    def build(self, name: str) -> bool:
        """Builds an artifact."""
        start = time.monotonic()
        good = self.runner.artifact(name)
        with self.lock:
            self.say(f"{'built' if good else 'NOT BUILT':12}{name} "
                     f"({time.monotonic() - start:.0f} s)")
            if not good and not self.children.stopped:
                logs = sorted((BUILD / "log").glob(f"build-{name}-*.log"))
                print("\n".join(f"    | {text}" for text in tail(logs[-1], 30).splitlines()),
                      flush=True)
        return good

    def test(self, scenario: Scenario) -> bool:
        """Runs a scenario, or takes an earlier pass."""
        baseline = self.outcomes.get(scenario.baseline)
        try:
            key = self.inputs.key(scenario, self.keys.get(scenario.baseline, ""))
            outcome = self.store.get(key)
            if not outcome:
                outcome = self.runner.run(scenario, baseline)
                if not self.children.stopped:
                    # What was built, or is run, may be of before an edit.
                    if Inputs(TOP, BUILD).sources() == self.sources:
                        self.store.put(key, outcome)
                    self.store.ran(outcome, key)
        except Exception as error:  # pylint: disable=broad-exception-caught
            key = ""
            outcome = Outcome(scenario.name, [Result("runner", FAILED, repr(error))])
        if self.children.stopped:
            return False
        with self.lock:
            self.keys[scenario.name] = key
            self.outcomes[scenario.name] = outcome
            self.say(report.line(outcome))
            if outcome.failed:
                print(report.failure(outcome, self.where(scenario)), flush=True)
        return not outcome.failed

    def where(self, scenario: Scenario) -> str:
        """What there is to read about a failure."""
        return str(self.runner.out(scenario) if scenario.guest else self.runner.log(scenario.name))

    def drop(self, task: Task, why: str) -> None:
        """Notes what could not be run: for lack of time, or because something before it failed."""
        if task.name in ARTIFACTS:
            return
        with self.lock:
            if why == NO_TIME or self.children.stopped:
                self.not_run[task.name] = NO_TIME if self.late else why
            else:
                self.outcomes[task.name] = Outcome(task.name, [Result("could be run", FAILED, why)])

    def _key(self, scenario: Scenario) -> str:
        try:
            base = next((s for s in self.scenarios if s.name == scenario.baseline), None)
            return self.inputs.key(scenario, self._key(base) if base else "")
        except OSError:
            return ""

    def run(self) -> int:
        """Everything; returns the exit status."""
        minutes = number("CHECK_MINUTES")
        cores = os.cpu_count() or 1
        ranks = plan.ranks(self.scenarios, self.level, self.store, self._key)
        # Their values are kept, and what is not there yet will be built.
        self.inputs = Inputs(TOP, BUILD)
        self.sources = self.inputs.sources()
        # First, and with something single-threaded beside them.
        room = OVERCOMMIT * cores
        tasks = [Task(name, room - 1, lambda name=name: self.build(name), set(ARTIFACTS[name]),
                      SLOW_BUILDS.get(name, 0), rank=-1)
                 for name in artifacts(self.scenarios)]
        for s in self.scenarios:
            needs = s.builds() | ({s.baseline} if s.baseline else set())
            tasks.append(Task(s.name, s.threads(cores), lambda s=s: self.test(s), needs,
                              s.seconds, ranks[s.name]))
        schedule = Schedule(tasks, room, self.drop,
                            deadline=self.start + 60 * minutes if minutes else None,
                            quiet=lambda names: self.say(f"{'running':12}{', '.join(names)}"))
        return self._run(schedule, minutes)

    def _run(self, schedule: Schedule, minutes: float | None) -> int:
        def interrupted(_number, _frame) -> None:
            schedule.stopped = True
            raise KeyboardInterrupt

        def time_is_up() -> None:
            self.late = schedule.stopped = True
            self.children.stop()
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, interrupted)
        timer = threading.Timer(60 * minutes if minutes else threading.TIMEOUT_MAX, time_is_up)
        timer.daemon = True
        timer.start()
        try:
            schedule.run()
            timer.cancel()
        except KeyboardInterrupt:
            print("interrupted: ending what runs", file=sys.stderr, flush=True)
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(name, signal.SIG_IGN)
            self.children.stop()
            return 130
        return self._report()

    def _report(self) -> int:
        for s in self.scenarios:
            if s.name in self.outcomes or s.name in self.not_run:
                continue
            if self.late:
                self.not_run[s.name] = NO_TIME
            else:
                self.outcomes[s.name] = Outcome(s.name, [Result("ends", FAILED, "no result")])
        outcomes = [self.outcomes[s.name] for s in self.scenarios if s.name in self.outcomes]
        seconds = time.monotonic() - self.start
        report.save(BUILD / "report", outcomes, self.not_run, seconds)
        failed = [o for o in outcomes if o.failed]
        print()
        print(report.table(self.scenarios, self.outcomes))
        print()
        print(report.skips(outcomes), end="")
        print(report.named("cached", [o.name for o in outcomes if o.cached]), end="")
        print(report.named("not run", [f"{n} ({why})" for n, why in self.not_run.items()]), end="")
        print(report.named("passed after a retry",
                           [o.name for o in outcomes if o.retries and not o.failed]), end="")
        print(report.slowest(outcomes), end="")
        where = {s.name: self.where(s) for s in self.scenarios}
        for outcome in failed:
            print(report.failure(outcome, where[outcome.name], brief=True))
        print(f"{seconds / 60:.1f} minutes; results in {BUILD}/report: check.xml (JUnit), "
              "check.json, ktap/")
        if not outcomes:
            print("not ok: no test ran")
        print(report.closing(outcomes), flush=True)
        return 1 if failed or not outcomes else 0


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    level = arguments[0] if arguments else "check"
    if len(arguments) > 1 or level not in ("check", "all", "list"):
        print(__doc__, file=sys.stderr)
        return 2
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        number("CHECK_MINUTES")
        scenarios = read(TOP / "scripts/check/scenarios", TOP)
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        store = Store(Path(home, "deferred-flush/results"), os.environ.get("FRESH", "") not in ("", "0"))
        tests = os.environ.get("TESTS", "")
        if level == "list" or tests == "list":
            for s in scenarios:
                print(f"{s.level:7}{s.seconds:4} s  {s.name:34} {s.claim}")
            return 0
        if tests:
            chosen, level = select(scenarios, tests), "check"
            # For the scripts it has another meaning: programs of one guest.
            del os.environ["TESTS"]
        else:
            chosen = plan.of_level(scenarios, level, store)
        foreign = [s.name for s in chosen if os.environ.get("KDIR") and
                   s.needs() & {"mainline", "mutants", "debug", "kselftests"}]
        store.fresh |= bool(os.environ.get("KDIR"))
        store.expire()
    except ListError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    check = Check([s for s in chosen if s.name not in foreign], level, store)
    check.not_run = {name: "KDIR=" for name in foreign}
    return check.run()


if __name__ == "__main__":
    if os.environ.get("SESSION_BUILD") != str(BUILD.absolute()) and "list" not in (
            *sys.argv[1:], os.environ.get("TESTS")):
        # Checks the settings, locks build/, and leaves nothing running.
        os.execv(TOP / "scripts/lib/session.py", ["session.py", sys.executable, "-B", *sys.argv])
    sys.exit(main(sys.argv[1:]))
