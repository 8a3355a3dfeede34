# SPDX-License-Identifier: GPL-2.0
"""Tasks beside one another."""

import threading
import time
import unittest
from unittest import mock

import support  # pylint: disable=unused-import
import schedule
from schedule import Schedule, Task


class Tasks(unittest.TestCase):
    """The order, the cores, and what cannot run."""

    def setUp(self):
        self.lock = threading.Lock()
        self.order = []
        self.busy = self.most = 0
        self.dropped = {}

    def task(self, name, threads=1, needs=(), passes=True, **other):
        def run():
            with self.lock:
                self.order.append(name)
                self.busy += threads
                self.most = max(self.most, self.busy)
            time.sleep(0.02)
            with self.lock:
                self.busy -= threads
            return passes
        return Task(name, threads, run, set(needs), **other)

    def run_all(self, tasks, cores=2, **other):
        Schedule(tasks, cores, lambda task, why: self.dropped.update({task.name: why}), **other).run()

    def test_no_more_than_the_cores(self):
        self.run_all([self.task(str(i), threads=1 + i % 2) for i in range(9)])
        self.assertEqual((len(self.order), self.most), (9, 2))

    def test_small_ones_run_side_by_side(self):
        self.run_all([self.task("a"), self.task("b")])
        self.assertEqual(self.most, 2)

    def test_one_that_wants_more_than_there_is(self):
        self.run_all([self.task("big", threads=8), self.task("small")])
        self.assertEqual(sorted(self.order), ["big", "small"])

    def test_needs_come_first(self):
        self.run_all([self.task("b", needs=["a"], seconds=9), self.task("a")])
        self.assertEqual(self.order, ["a", "b"])

    def test_rank_before_length(self):
        self.run_all([self.task("long", seconds=9, rank=1), self.task("short", seconds=1),
                      self.task("longer", seconds=5)], cores=1)
        self.assertEqual(self.order, ["longer", "short", "long"])

    def test_what_needs_a_failure_is_dropped(self):
        self.run_all([self.task("a", passes=False), self.task("b", needs=["a"]),
                      self.task("c", needs=["b"]), self.task("d")])
        self.assertEqual(sorted(self.order), ["a", "d"])
        self.assertEqual(self.dropped, {"b": "a failed", "c": "b failed"})

    def test_an_exception_is_a_failure(self):
        def run():
            raise ValueError("expected in this test")
        hook, threading.excepthook = threading.excepthook, lambda args: None
        try:
            self.run_all([Task("a", 1, run), self.task("b", needs=["a"])])
        finally:
            threading.excepthook = hook
        self.assertEqual(self.dropped, {"b": "a failed"})

    def test_tells_what_runs_when_nothing_ends(self):
        told = []
        with mock.patch.object(schedule, "QUIET", 0.005):
            self.run_all([self.task("a"), self.task("b")], quiet=told.append)
        self.assertEqual(["a", "b"], told[0])

    def test_a_need_that_does_not_exist(self):
        self.run_all([self.task("a", needs=["nothing"])])
        self.assertEqual(self.dropped, {"a": "nothing failed"})

    def test_no_time_left(self):
        self.run_all([self.task("long", seconds=9), self.task("short", seconds=1)],
                     clock=lambda: 0.0, deadline=5.0)
        self.assertEqual((self.order, self.dropped), (["short"], {"long": "no time left"}))

    def test_what_needs_something_late_is_late(self):
        self.run_all([self.task("build", seconds=9), self.task("test", needs=["build"])],
                     clock=lambda: 0.0, deadline=5.0)
        self.assertEqual(self.dropped, {"build": "no time left", "test": "no time left"})


if __name__ == "__main__":
    unittest.main()
