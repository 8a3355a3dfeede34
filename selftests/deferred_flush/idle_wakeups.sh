#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A vfree storm wakes no idle CPU: power:cpu_idle comes on each way into idle and out of it. The CPU
# has to be isolated, or it is woken for whatever else there is to do.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
here=$(dirname "$0")
# With the module a flush takes a tenth of the time.
rounds=300
many=3000
last=$(($(nproc --all) - 1))

# events COMMAND...: of the last CPU, which idles.
events() {
	taskset -c 0 perf stat -a -C "$last" -x, -o ./events.csv -e power:cpu_idle -- "$@" >./storm.txt 2>&1
	grep -v '^#' ./events.csv | cut -d, -f1
}

# Prints nothing if the storm did not take place.
storm() { # ROUNDS
	events env TEST_IDLE=64 TEST_ROUNDS="$1" "$here/vfree_storm" \
		-r vfree_storm.pages_8.frees_and_counts >./events.txt
	! grep -q "result: .* flushes=$1 " ./storm.txt || cat ./events.txt
}

elapsed_ms() {
	sed -n 's/.*elapsed_ms=\([0-9]*\).*/\1/p' ./storm.txt
}

ktap_print_header
needs_tools perf taskset awk
[ -e /proc/sys/kernel/perf_event_paranoid ] || skip_all "no CONFIG_PERF_EVENTS"
needs_tracing
[ "$last" -gt 0 ] || skip_all "one CPU"
case ,$(cat /sys/devices/system/cpu/isolated), in
*[,-]$last,*) ;;
*)
	skip_all "the last CPU is not in isolcpus="
	;;
esac
needs_test_module
needs_module "$module"
ktap_set_plan 3

awake=$(storm $rounds)
ktap_print_msg "without the module: $awake events in $rounds flushes"
# A wakeup is two events. An IPI that finds it awake is none.
if [ "${awake:-0}" -ge "$rounds" ]; then
	ktap_test_pass "flushes_wake_without_the_module"
else
	ktap_test_fail "flushes_wake_without_the_module"
fi

for policy in 1 2; do
	insmod "$module" policy=$policy || continue
	count=$(storm $many)
	# What there is anyway: for as long as the storm and its control interval.
	control=$(events sleep "$(awk -v ms="$(elapsed_ms)" 'BEGIN { print 0.4 + 2 * ms / 1000 }')")
	rmmod deferred_flush
	ktap_print_msg "policy $policy: $count events in $many flushes, $control without a storm"
	# At most 3% of those per flush without the module.
	if [ -n "$count" ] && [ -n "$control" ] &&
	   [ "$(((count - control) * 100 * rounds))" -le "$((awake * 3 * many))" ]; then
		ktap_test_pass "policy_${policy}_wakes_nobody"
	else
		ktap_test_fail "policy_${policy}_wakes_nobody"
	fi
done
ktap_finished
