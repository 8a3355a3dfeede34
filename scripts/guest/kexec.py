#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Start another kernel with this one's command line: kexec_file_load() and reboot().

Usage: kexec.py IMAGE
Does not return; exit 1 with the error if it does.
"""

import ctypes
import os
import sys

SYS_KEXEC_FILE_LOAD = 320
KEXEC_FILE_NO_INITRAMFS = 4
LINUX_REBOOT_CMD_KEXEC = 0x45584543


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    image = os.open(sys.argv[1], os.O_RDONLY)
    with open("/proc/cmdline", "rb") as file:
        command_line = file.read().strip() + b"\0"
    if libc.syscall(SYS_KEXEC_FILE_LOAD, image, -1, ctypes.c_ulong(len(command_line)),
                    command_line, ctypes.c_ulong(KEXEC_FILE_NO_INITRAMFS)) == 0:
        libc.reboot(LINUX_REBOOT_CMD_KEXEC)
    sys.exit(f"kexec: {os.strerror(ctypes.get_errno())}")


main()
