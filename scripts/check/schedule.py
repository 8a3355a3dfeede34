# SPDX-License-Identifier: GPL-2.0
"""Runs tasks beside one another, as far as the cores go."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

NO_TIME = "no time left"
# Seconds.
QUIET = 30.0


@dataclass
class Task:
    """needs are names of other tasks.  A task whose need fails does not run."""

    name: str
    threads: int
    run: Callable[[], bool]
    needs: set[str] = field(default_factory=set)
    seconds: float = 0.0
    # Those with a lower rank first; among them the longest.
    rank: int = 0


class Schedule:
    """Call run() once.  dropped(task, why) tells of a task that could not be run, and quiet(names) of
    those that run when none has ended for a while.
    """

    def __init__(self, tasks: list[Task], cores: int,
                 dropped: Callable[[Task, str], None],
                 clock: Callable[[], float] = time.monotonic,
                 deadline: float | None = None,
                 quiet: Callable[[list[str]], None] = lambda names: None) -> None:
        self.waiting = sorted(tasks, key=lambda task: (task.rank, -task.seconds))
        self.cores = cores
        self.dropped = dropped
        self.clock = clock
        self.deadline = deadline
        self.quiet = quiet
        self.finished: dict[str, bool] = {}
        self.ended: queue.Queue[tuple[Task, bool]] = queue.Queue()
        self.running: list[Task] = []
        self.stopped = False
        # Dropped for lack of time, and what needs it is, too.
        self.late: set[str] = set()

    def _start(self, task: Task) -> None:
        def body() -> None:
            passed = False
            try:
                passed = task.run()
            finally:
                self.ended.put((task, passed))
        self.running.append(task)
        threading.Thread(target=body, name=task.name, daemon=True).start()

    def _drop(self) -> None:
        """Takes out what can no longer run."""
        known = {task.name for task in self.waiting + self.running} | set(self.finished)
        again = True
        while again:
            again = False
            for task in list(self.waiting):
                late_need = next((n for n in sorted(task.needs) if n in self.late), None)
                bad = next((n for n in sorted(task.needs)
                            if n not in known or self.finished.get(n) is False), None)
                late = late_need or (self.deadline is not None and
                                     self.clock() + task.seconds > self.deadline)
                if bad or late or self.stopped:
                    self.waiting.remove(task)
                    self.finished[task.name] = False
                    if late and not self.stopped:
                        self.late.add(task.name)
                    self.dropped(task, "stopped" if self.stopped else
                                 NO_TIME if late else f"{bad} failed")
                    again = True

    def _ready(self) -> Task | None:
        free = self.cores - sum(task.threads for task in self.running)
        for task in self.waiting:
            if task.threads <= free or not self.running:
                if all(self.finished.get(name) for name in task.needs):
                    return task
        return None

    def run(self) -> None:
        """Until nothing is left."""
        while True:
            self._drop()
            while task := self._ready():
                self.waiting.remove(task)
                self._start(task)
                self._drop()
            if not self.running:
                break
            try:
                task, passed = self.ended.get(timeout=QUIET)
            except queue.Empty:
                self.quiet([task.name for task in self.running])
                continue
            self.running.remove(task)
            self.finished[task.name] = passed
        assert not self.waiting, "tasks wait for one another"
