#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Say what the CPUs of a guest do that does not end.

Usage: registers.py SECONDS MONITOR SYSTEM_MAP
Waits that long, then looks twice, two seconds apart.  MONITOR is the abstract socket of QEMU's
monitor.  What looks like a return address on the stack may be an old one.
"""

import bisect
import re
import socket
import sys
import time
from pathlib import Path

PROMPT = b"(qemu) "
# Enough for the callers of what waits; in words of 64 bits.
STACK = 96


class Symbols:
    """The kernel's code, by System.map."""

    def __init__(self, lines: list[str]) -> None:
        found = sorted((int(address, 16), name) for address, kind, name in map(str.split, lines)
                       if kind in "tTwW")
        self.addresses = [address for address, _ in found]
        self.names = [name for _, name in found]

    def name(self, address: int) -> str:
        """NAME+OFFSET, or "" for what is no code."""
        at = bisect.bisect_right(self.addresses, address) - 1
        if at < 0 or address - self.addresses[at] > 0x10000:
            return ""
        return f"{self.names[at]}+{address - self.addresses[at]:#x}"


class Monitor:
    """A QEMU that listens."""

    def __init__(self, name: str) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(20)
        self.connection.connect(f"\0{name}")
        self.answer()

    def answer(self) -> str:
        """All until it asks again."""
        text = b""
        while not text.endswith(PROMPT):
            part = self.connection.recv(65536)
            if not part:
                raise OSError("QEMU has gone")
            text += part
        return text.decode(errors="replace")

    def ask(self, command: str) -> str:
        """What it says to that."""
        self.connection.sendall(command.encode() + b"\n")
        return self.answer()


def report(monitor: Monitor, symbols: Symbols) -> str:
    """A line for each CPU, and one for the stack of those in the kernel."""
    lines = []
    for cpu, text in enumerate(monitor.ask("info registers -a").split("CPU#")[1:]):
        found = {key: value for key, value in re.findall(r"\b(RIP|RSP|CR3|RFL|CPL|HLT)=([0-9a-f]+)", text)}
        rip = int(found.get("RIP", "0"), 16)
        where = symbols.name(rip)
        lines.append(f"CPU {cpu}: {where or hex(rip)}"
                     + "".join(f" {key}={value}" for key, value in found.items() if key != "RIP"))
        if where and "RSP" in found:
            monitor.ask(f"cpu {cpu}")
            words = re.findall(r"0x([0-9a-f]{16})\b", monitor.ask(f"x /{STACK}gx 0x{found['RSP']}"))
            names = filter(None, (symbols.name(int(word, 16)) for word in words))
            lines.append(f"    {' '.join(names)}")
    return "\n".join(lines)


def main() -> None:
    seconds, name, system_map = sys.argv[1:]
    time.sleep(float(seconds))
    symbols = Symbols(Path(system_map).read_text(encoding="ascii").splitlines())
    monitor = Monitor(name)
    print(report(monitor, symbols), flush=True)
    time.sleep(2)
    print("2 s later:", report(monitor, symbols), sep="\n")


if __name__ == "__main__":
    main()
