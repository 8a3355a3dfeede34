#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the guest: one CPU makes the memory of a PCI device appear and disappear, while the others set
their timers, in the registers of their APICs. Each change gives the regions of memory new numbers. A
CPU that uses an old one writes to another device, and its timer is lost.
Usage: memory_map.py [SECONDS]
Output: TAP."""

import mmap
import os
import sys
import time
from pathlib import Path

COMMAND, MEMORY = 4, 2
# The SATA controller of the Q35 machine, for which the guests' kernel has no driver.
UNUSED = (0x8086, 0x2922)


def find(name: tuple[int, int]) -> Path:
    for device in Path("/sys/bus/pci/devices").iterdir():
        if name == tuple(int((device / id_).read_text(), 16) for id_ in ("vendor", "device")):
            return device
    sys.exit("error: no SATA controller")


def sleep_on(cpu: int, turns: memoryview) -> int:
    """A process that counts how often it wakes up."""
    if pid := os.fork():
        return pid
    os.sched_setaffinity(0, {cpu})
    while True:
        time.sleep(50e-6)
        turns[cpu] += 1


def main() -> None:
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 10)
    cpus = sorted(os.sched_getaffinity(0))
    turns = memoryview(mmap.mmap(-1, 8 * (cpus[-1] + 1))).cast("Q")
    sleepers = [sleep_on(cpu, turns) for cpu in cpus[1:]]

    os.sched_setaffinity(0, cpus[:1])
    config = os.open(find(UNUSED) / "config", os.O_RDWR)
    rounds = 0
    while time.monotonic() < end:
        for bits in (0, MEMORY):
            os.pwrite(config, bits.to_bytes(2, "little"), COMMAND)
        rounds += 1
    before = turns.tolist()
    time.sleep(1)
    gone = [cpu for cpu in cpus[1:] if turns[cpu] == before[cpu]]
    print("## test memory-map\nTAP version 13\n1..1")
    print(f"# rounds={rounds} timers={sum(before)} gone={gone}")
    print("ok" if rounds > 100 and not gone else "not ok", "1 no_timer_is_lost")
    print("## exit 0")
    for pid in sleepers:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
