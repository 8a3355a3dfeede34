#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The events of deferred_flush.ko: each appears in a storm, and the module can be unloaded, or fail to
# load, while they are on.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
tracing=/sys/kernel/tracing
here=$(dirname "$0")

ktap_print_header
needs_tools taskset
needs_tracing
needs_test_module
needs_module "$module"
ktap_set_plan 8

insmod "$module"
echo >$tracing/trace
echo 1 >$tracing/events/deferred_flush/enable
# The probes of catch_up are added by a worker.
sleep 1
# One CPU stays in the kernel, and has to be interrupted.
[ "$(nproc)" -eq 1 ] || load taskset -c 1 dd if=/dev/zero of=/dev/null bs=16M 2>/dev/null
TEST_ROUNDS=20 "$here/vfree_storm" >/dev/null 2>&1
stop_loads
taskset -c 0 "$here/flush_loop" dontneed 3 10 >/dev/null
cp $tracing/trace ./trace.txt

for event in ipi defer catch_up; do
	if grep -q " $event: " ./trace.txt; then
		ktap_test_pass "$event"
	elif [ "$(nproc)" -eq 1 ]; then
		ktap_test_skip "$event: one CPU"
	else
		ktap_test_fail "$event"
	fi
done
# User flushes are recorded only if the user page tables have PCIDs of their own.
if ! grep -qw pti /proc/cpuinfo || ! grep -qw pcid /proc/cpuinfo; then
	ktap_test_skip "record: no PTI with PCIDs"
elif grep -q " record: .* how=ranges" ./trace.txt; then
	ktap_test_pass "record"
else
	ktap_test_fail "record"
fi
if rmmod deferred_flush; then ktap_test_pass "unloads_while_on"; else ktap_test_fail "unloads_while_on"; fi
# What it left in the kernel's own tracepoints would run now.
sleep 1
if insmod "$module" && rmmod deferred_flush; then
	ktap_test_pass "loads_again"
else
	ktap_test_fail "loads_again"
fi

# They come on ahead of what may fail, and their worker with them.
if ! echo ":mod:deferred_flush" >>$tracing/set_event 2>/dev/null; then
	ktap_test_skip "on_from_the_start: no events of modules to come"
	ktap_test_skip "nothing_stays_of_a_failed_load: no events of modules to come"
	ktap_finished
fi
insmod "$module"
if [ "$(cat $tracing/events/deferred_flush/catch_up/enable)" = 1 ]; then
	ktap_test_pass "on_from_the_start"
else
	ktap_test_fail "on_from_the_start"
fi
rmmod deferred_flush
loaded=0
for _ in 1 2 3 4 5; do
	echo ":mod:deferred_flush" >>$tracing/set_event
	# Refused: see parameters.sh.
	if insmod "$module" debug=7 2>/dev/null; then
		loaded=$((loaded + 1))
		rmmod deferred_flush
	fi
done
sleep 1
if [ $loaded -eq 0 ] && insmod "$module" && rmmod deferred_flush; then
	ktap_test_pass "nothing_stays_of_a_failed_load"
else
	ktap_test_fail "nothing_stays_of_a_failed_load"
fi
ktap_finished
