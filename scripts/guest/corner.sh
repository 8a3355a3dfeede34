#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the selftests in one of the corners, after a look whether it is the one.
# cpuidle: CPUs idle in the loop of the ACPI processor driver, in any of its states or only in the one
# that polls. That one is woken without an interrupt, and promises anew many times per tick.
# Usage: corner.sh numa|64-possible|cpuidle-any|cpuidle-poll STATE...|-- COMMAND...
set -euo pipefail

is() { # FILE CONTENTS
	[[ $(cat "$1") = "$2" ]] || { echo "$1: $(cat "$1"), not $2"; exit 1; }
}

cpuidle=/sys/devices/system/cpu/cpuidle
corner=$1
shift
case $corner in
numa) is /sys/devices/system/node/online 0-1 ;;
64-possible) is /sys/devices/system/cpu/possible 0-63 ;;
cpuidle-any | cpuidle-poll)
	# udev loads it, if it finds it.
	insmod "$BUILD/kernel/drivers/acpi/processor.ko" 2>/dev/null || udevadm settle
	is $cpuidle/current_driver acpi_idle
	if [[ $corner = cpuidle-poll ]]; then
		# No other state wakes up in no time. The request holds as long as the file is open.
		exec 3>/dev/cpu_dma_latency
		printf '\0\0\0\0' >&3
	fi
	;;
*) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
esac
if [[ $1 = -- ]]; then
	"${@:2}"
else
	selftests.sh "$@"
fi
if [[ $corner = cpuidle-* ]]; then
	grep . /sys/devices/system/cpu/cpu1/cpuidle/state*/{name,usage}
fi
