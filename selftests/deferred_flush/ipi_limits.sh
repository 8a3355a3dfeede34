#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# vfree() interrupts no CPU that is in user mode or idle. Judged by /proc/interrupts, not by what the
# module counts: of the interrupts without it, 3% may be left, for CPUs that are in the kernel at that
# moment, or 1% and one for every other tick, up to a tenth. The same limit has to fail with policy off.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
policy=/sys/kernel/debug/deferred_flush/policy
here=$(dirname "$0")
# With the module a flush takes a tenth of the time.
few=200
many=2000
# So seldom that the policy adaptive gives up between two flushes, if the ticks there do not tell it
# otherwise.
seldom=30
pause_ms=100

# udev sees to a module that has come, on CPUs that are to be idle.
settle() {
	! command -v udevadm >/dev/null || udevadm settle
}

field() { # NAME
	sed -n "s/^# result: .* $1=\([0-9]*\).*/\1/p" ./storm.txt
}

# Sets user and idle: the interrupts of these CPUs, less those of a control interval.
storm() { # ROUNDS [PAUSE_MS]
	TEST_IDLE=1 TEST_ROUNDS=$1 TEST_PAUSE_MS=${2:-0} "$here/vfree_storm" \
		-r vfree_storm.pages_8.frees_and_counts >./storm.txt 2>&1
	if [ "$(field flushes)" != "$1" ]; then
		cat ./storm.txt
		ktap_exit_fail_msg "there was no storm"
	fi
	user=$(($(field ipis_storm) - $(field ipis_control)))
	idle=$(($(field idle_storm) - $(field idle_control)))
	[ $user -ge 0 ] || user=0
	[ $idle -ge 0 ] || idle=0
	user_ticks=$(field ticks)
	idle_ticks=$(field idle_ticks)
}

# STATE WHO COUNT TICKS ROUNDS BASE: true if of BASE in $few flushes no more than the limit are left.
few_are_left() {
	mainline=$(($6 * $5 / few))
	limit=$(left_at_most "$mainline" "$4")
	fewer=$(awk "BEGIN { printf \"%.2f\", 100 - 100 * $3 / $mainline }")
	ktap_print_msg "$1: $3 interrupts of $2 CPUs in $5 flushes and $4 ticks, at most $limit," \
		"$mainline without the module: $fewer% fewer"
	[ "$3" -le "$limit" ]
}

many_are_left() {
	! few_are_left "$@"
}

ktap_print_header
cpus=$(nproc)
[ "$cpus" -ge 3 ] || skip_all "fewer than three CPUs"
needs_tools awk
needs_test_module
needs_module "$module"
ktap_set_plan 9

users=$((cpus - 2))
settle
storm $few
base_user=$user base_idle=$idle
ktap_print_msg "no module: $user interrupts of $users user CPUs in $few flushes, $idle of an idle one"
# Mainline: each flush interrupts each CPU.
ktap_test_result "no_module_interrupts_user_cpus" [ "$user" -ge $((few * users * 9 / 10)) ]
ktap_test_result "no_module_interrupts_idle_cpus" [ "$idle" -ge $((few * 9 / 10)) ]

insmod "$module" policy=0
settle
storm $few
ktap_test_result "off_fails_the_limit_for_user_cpus" \
	many_are_left off user "$user" "$user_ticks" $few "$base_user"
ktap_test_result "off_fails_the_limit_for_idle_cpus" \
	many_are_left off idle "$idle" "$idle_ticks" $few "$base_idle"
for state in always adaptive; do
	echo $state >$policy
	storm $many
	ktap_test_result "${state}_interrupts_no_user_cpu" \
		few_are_left $state user "$user" "$user_ticks" $many "$base_user"
	ktap_test_result "${state}_interrupts_no_idle_cpu" \
		few_are_left $state idle "$idle" "$idle_ticks" $many "$base_idle"
done

storm $seldom $pause_ms
ktap_print_msg "adaptive: $user interrupts of $users user CPUs in $seldom flushes, every $pause_ms ms"
# Those of other origin, about one per second and CPU, are a larger part of these than of the above.
ktap_test_result "adaptive_promises_at_ticks" [ "$user" -le $((seldom * users / 4)) ]
rmmod deferred_flush
ktap_finished
