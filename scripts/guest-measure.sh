#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: instructions per system call in each state of the module.
# Usage: guest-measure.sh mainline|patched
set -euo pipefail

COUNT=100000
debug_module=$BUILD/module-debug/rust/deferred_flush.ko

sample() {
	# What the boot or the loading of a module left behind shall not count.
	sleep 5
	for _ in 1 2 3 4 5 6 7 8 9; do
		echo "value state=$1 instructions=$("$BUILD/selftests/syscall_loop" 0 "$COUNT")"
	done
}

if [[ $1 = mainline ]]; then
	sample mainline
	exit
fi
sample absent
insmod "$debug_module" policy=0
sample off
rmmod deferred_flush
insmod "$debug_module" debug=2
sample armed-no-promise
rmmod deferred_flush
insmod "$debug_module" policy=1
sample always
rmmod deferred_flush
