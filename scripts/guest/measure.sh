#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: instructions per system call in each state of the module: one that does nothing, and
# some that flush 1 and 10 pages.
# Usage: measure.sh mainline|patched
set -euo pipefail

COUNT=100000
debug_module=$BUILD/module-debug/rust/deferred_flush.ko

value() { # STATE WHAT INSTRUCTIONS
	echo "value state=$1 what=$2 instructions=$3"
}

sample() { # STATE
	local ticks
	# What the boot or the loading of a module left behind shall not count.
	sleep 5
	for _ in 1 2 3 4 5 6 7 8 9; do
		value "$1" getppid "$("$BUILD/selftests/syscall_loop" 0 "$COUNT")"
	done
	for op in dontneed munmap mprotect; do
		for pages in 1 10; do
			for _ in 1 2 3; do
				ticks=$(taskset -c 0 "$BUILD/selftests/flush_loop" "$op" "$pages" 1000)
				ticks=${ticks#*ticks=}
				value "$1" "$op-$pages" "${ticks%% *}"
			done
		done
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
insmod "$debug_module" policy=2
sample adaptive
rmmod deferred_flush
