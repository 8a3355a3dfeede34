#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Instructions that the module adds to a system call that does nothing, entry and exit included, in each
# of its states: at most as many as below (Documentation/measuring.rst). Only where RDTSC counts
# instructions: under QEMU's -icount. The module with DEBUG=1, which arms without a promise, has to be
# beside the other.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
debug_module=$(dirname "$MODULE_DIR")-debug/$(basename "$MODULE_DIR")/deferred_flush.ko
here=$(dirname "$0")

# The least of some: interrupts only add.
instructions() {
	# What the boot or the loading of a module left behind.
	sleep 3
	for _ in 1 2 3 4 5; do
		"$here/syscall_loop" 0 100000
	done | sort -n | head -n 1
}

# limit STATE INSTRUCTIONS MODULE [PARAMETER]...
limit() {
	name=${1}_takes_no_more_than_$2_instructions
	state=$1
	at_most=$2
	shift 2
	if ! insmod "$@"; then
		ktap_test_fail "$name"
		return
	fi
	count=$(instructions)
	rmmod deferred_flush
	ktap_print_msg "$state: $count, $absent without the module"
	# There are fractions, of ticks.
	if awk "BEGIN { exit !($count - $absent < $at_most + 0.5) }"; then
		ktap_test_pass "$name"
	else
		ktap_test_fail "$name"
	fi
}

ktap_print_header
[ "$("$here/syscall_loop" 0 0)" = 2.00 ] || skip_all "RDTSC does not count instructions"
needs_tools awk
needs_module "$module"
[ -f "$debug_module" ] || skip_all "no $debug_module"
# A test and a branch at entry, the same at exit; of these, two instructions are there when patched out.
armed=2
# The promise, and its end: in assembly with PTI, else in C.
always=33
if grep -qw pti /proc/cpuinfo; then
	always=16
fi
ktap_set_plan 4
absent=$(instructions)
limit off 0 "$module" policy=0
limit armed $armed "$debug_module" debug=2
# No tick, and no flush, of this loop is a reason to promise.
limit adaptive $armed "$module" policy=2
limit always $always "$module" policy=1
ktap_finished
