#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Static keys go on and off while other CPUs run what they are in. For emulators: TCG as it comes keeps
# code that is no longer in memory, and then this is an oops (patches/qemu-7.2).
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

events=/sys/kernel/tracing/events
keys="sched/sched_switch sched/sched_waking timer/timer_start timer/hrtimer_start raw_syscalls irq/softirq_entry"
end=$(($(date +%s) + 10))
rounds=0

all() {
	for key in $keys; do
		echo "$1" >"$events/$key/enable"
	done
}

ktap_print_header
needs_tools taskset
needs_tracing
needs_two_cpus
needs_symbol arch_jump_label_transform_apply CONFIG_JUMP_LABEL
ktap_set_plan 1

tainted=$(cat /proc/sys/kernel/tainted)
cpu=1
while [ "$cpu" -lt "$(nproc)" ]; do
	load taskset -c "$cpu" sh -c 'while :; do /bin/true; done'
	cpu=$((cpu + 1))
done
while [ "$(date +%s)" -lt "$end" ]; do
	all 1
	all 0
	rounds=$((rounds + 1))
done
stop_loads
ktap_print_msg "rounds=$rounds"
if [ "$rounds" -gt 0 ] && [ "$(cat /proc/sys/kernel/tainted)" = "$tainted" ]; then
	ktap_test_pass "code_that_is_gone_does_not_run"
else
	ktap_test_fail "code_that_is_gone_does_not_run"
fi
ktap_finished
