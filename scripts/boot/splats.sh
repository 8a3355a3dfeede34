#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Look for splats in kernel logs.
# Usage: splats.sh LOG...
# Exit:  0 clean; 1 splats, printed; 2 a log is missing or empty: that is not a clean log.
set -euo pipefail

deny='BUG:|WARNING:|Oops:|Kernel panic|general protection fault|double fault|rcu: INFO|soft lockup'
deny+='|hard LOCKUP|blocked for more than|scheduling while atomic|possible recursive locking'
deny+='|suspicious RCU|inconsistent lock state|circular locking|unable to handle|Bad page|stack guard'

for log in "$@"; do
	[[ -s $log ]] || { echo "$log is missing or empty" >&2; exit 2; }
	found=$(grep -aE "$deny" "$log") || [[ $? -eq 1 ]]
	[[ -z $found ]] || { printf '%s\n' "$found" | head -n 20 >&2; exit 1; }
done
