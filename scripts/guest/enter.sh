#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: run a command, save the kernel log and the status where the host finds them.
# Usage: enter.sh COMMAND [ARG]...       (by boot.sh, which sets TOP, BUILD and OUT)
set -uo pipefail

export PATH=$TOP/scripts/guest:$PATH
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
rc=0
(cd "$OUT" && "$@") >"$OUT/output" 2>&1 || rc=$?
dmesg >"$OUT/dmesg"
echo "$rc" >"$OUT/status"
sync
