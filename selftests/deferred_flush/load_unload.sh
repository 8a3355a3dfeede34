#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Load, storm and unload the module ROUNDS times while other CPUs spin in user mode, call
# getppid(), or flush user pages. That no splat appeared is judged by whoever reads the kernel log.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
rounds=${ROUNDS:-5}
here=$(dirname "$0")

ktap_print_header
needs_tools taskset awk
needs_test_module
needs_module "$module"
ktap_set_plan 2

cpus=$(nproc)
cpu=1
while [ "$cpu" -lt "$cpus" ]; do
	case $((cpu % 3)) in
	0) load taskset -c "$cpu" "$here/flush_loop" dontneed 3 1000000000 >/dev/null ;;
	1) load taskset -c "$cpu" sh -c 'while :; do :; done' ;;
	2) load "$here/syscall_loop" "$cpu" ;;
	esac
	cpu=$((cpu + 1))
done

failed=0
deferred=0
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	insmod "$module" || { failed=$((failed + 1)); continue; }
	TEST_ROUNDS=20 "$here/vfree_storm" -r vfree_storm.pages_8.frees_and_counts >/dev/null 2>&1 || failed=$((failed + 1))
	deferred=$((deferred + $(awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "deferred") column = i }
		$1 == "all" { print $column }' /sys/kernel/debug/deferred_flush/stats)))
	rmmod deferred_flush || failed=$((failed + 1))
done
stop_loads

ktap_print_msg "rounds=$rounds failed=$failed deferred=$deferred"
if [ "$failed" -eq 0 ]; then
	ktap_test_pass "load_storm_unload"
else
	ktap_test_fail "load_storm_unload"
fi
if [ "$cpus" -eq 1 ]; then
	ktap_test_skip "flushes_were_deferred: one CPU"
elif [ "$deferred" -gt 0 ]; then
	ktap_test_pass "flushes_were_deferred"
else
	ktap_test_fail "flushes_were_deferred"
fi
ktap_finished
