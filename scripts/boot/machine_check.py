#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Inject machine checks into CPU 1 of a guest, one for each of FILE-1, FILE-2 and so on that appears.

Usage: machine_check.py MONITOR FILE
MONITOR is the socket of QEMU's monitor.  Ends with the guest.
"""

import os
import socket
import sys
import time

# An error that is signalled, but asks for nothing (SDM volume 3B, "UCR Error Classification"): VAL, UC,
# EN, MISCV, ADDRV, S, not AR.
STATUS = 0xBD00000000000134
# RIPV, EIPV, MCIP and, so that the other CPUs are left alone, LMCES.
MCG_STATUS = 0xF
# The address is physical, with a page's resolution.
ADDRESS = 0x1000
MISC = 0x8C


def main() -> None:
    monitor, wanted = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        for _ in range(100):
            try:
                connection.connect(monitor)
                break
            except OSError:
                time.sleep(0.1)
        connection.settimeout(0.1)
        count = 1
        while True:
            # Left where they are: the guest may not see that a file is gone, and fail to make it again.
            if os.path.exists(f"{wanted}-{count}"):
                count += 1
                connection.sendall(
                    f"mce 1 1 {STATUS:#x} {MCG_STATUS:#x} {ADDRESS:#x} {MISC:#x}\n".encode())
            try:
                if not connection.recv(4096):
                    break
            except TimeoutError:
                pass


main()
