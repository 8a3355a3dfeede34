#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# An isolated CPU in user mode gets no IPI for a kernel flush, by /proc/interrupts. Those of nohz_full=
# promise always; those of isolcpus= alone are asked as all others. Tests each CPU in one of them.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
here=$(dirname "$0")
few=100
many=1000

# Prints a list of CPUs: nothing for "(null)".
cpu_list() {
	grep -xs '[0-9,-]*' "/sys/devices/system/cpu/$1"
}

is_in() { # CPU LIST
	for range in $(echo "$2" | tr , ' '); do
		[ "$1" -lt "${range%-*}" ] || [ "$1" -gt "${range#*-}" ] || return 0
	done
	return 1
}

field() { # NAME
	sed -n "s/^# result: .* $1=\([0-9]*\).*/\1/p" ./storm.txt
}

# Sets ipis, of a CPU in user mode, less those of a control interval, and its ticks.
storm() { # CPU ROUNDS
	TEST_ROUNDS=$2 taskset -c "0,$1" "$here/vfree_storm" \
		-r vfree_storm.pages_8.frees_and_counts >./storm.txt 2>&1
	if [ "$(field flushes)" != "$2" ]; then
		cat ./storm.txt
		ktap_exit_fail_msg "there was no storm"
	fi
	ipis=$(($(field ipis_storm) - $(field ipis_control)))
	ticks=$(field ticks)
}

# How often a CPU was asked whether it goes on to promise.
asked() { # CPU
	awk -v cpu="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "asked") column = i }
		$1 == cpu { print $column }' /sys/kernel/debug/deferred_flush/stats
}

test_cpu() { # CPU
	kind=isolcpus
	if is_in "$1" "$nohz_full"; then
		kind=nohz_full
		! is_in "$1" "$isolcpus" || kind=nohz_full_and_isolcpus
	fi
	storm "$1" $few
	ktap_print_msg "cpu $1, $kind: $ipis IPIs in $few flushes without the module"
	ktap_test_result "${kind}_each_flush_interrupts_without_the_module" [ "$ipis" -ge $((few * 9 / 10)) ]

	insmod "$module"
	storm "$1" $many
	asked=$(asked "$1")
	rmmod deferred_flush
	# One of nohz_full= has few ticks, but some: each may cost a flush, or, on a busy host, two.
	at_most=$((many / 100 + ticks))
	# The others have all of theirs, and the first flushes ask them.
	[ $kind != isolcpus ] || at_most=$(left_at_most $many "$ticks")
	ktap_print_msg "cpu $1, $kind: $ipis IPIs in $many flushes and $ticks ticks, at most $at_most," \
		"asked $asked times"
	ktap_test_result "${kind}_no_flush_interrupts" [ "$ipis" -le "$at_most" ]
	if [ $kind = isolcpus ]; then
		ktap_test_result "${kind}_is_asked" [ "$asked" -gt 0 ]
	else
		ktap_test_result "${kind}_promises_without_being_asked" [ "$asked" -eq 0 ]
	fi
}

ktap_print_header
nohz_full=$(cpu_list nohz_full)
isolcpus=$(cpu_list isolated)
cpus=
cpu=1
while [ $cpu -lt "$(nproc --all)" ]; do
	if is_in $cpu "$nohz_full,$isolcpus"; then cpus="$cpus $cpu"; fi
	cpu=$((cpu + 1))
done
[ -n "$cpus" ] || skip_all "no CPU in nohz_full= or isolcpus="
needs_tools awk taskset
needs_test_module
needs_module "$module"
ktap_set_plan $(($(echo "$cpus" | wc -w) * 3))
for cpu in $cpus; do
	test_cpu "$cpu"
done
ktap_finished
