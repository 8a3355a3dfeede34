#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Each of the three ceilings reaches what it is for: with 0, that never happens, while the other two do.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
here=$(dirname "$0")

sum() { # COLUMN
	awk -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i }
		$1 == "all" { print $column }' /sys/kernel/debug/deferred_flush/stats
}

# With one ceiling of 0, what each is about takes place: flushes of kernel pages one by one, of user
# pages at exits, and of user pages by who waits for others.
load_and_flush() { # PARAMETER
	insmod "$module" policy=1 "$1=0"
	TEST_ROUNDS=20 "$here/vfree_storm" -r vfree_storm.pages_8.frees_and_counts >/dev/null 2>&1
	taskset -c 0 "$here/flush_loop" dontneed 3 50 >/dev/null
	TEST_MS=50 "$here/munmap_storm" >/dev/null 2>&1
	counts="pages=$(sum pages) user_ranges=$(sum user_ranges) user_now=$(sum user_now)"
	rmmod deferred_flush
	ktap_print_msg "$1=0: $counts"
}

# True if this column is 0, and no other.
only_is_0() { # COLUMN
	for count in $counts; do
		case $count in
		"$1=0") ;;
		"$1="* | *=0) return 1 ;;
		esac
	done
}

ktap_print_header
needs_two_cpus
needs_tools awk taskset
needs_test_module
needs_module "$module"
if ! grep -qw pti /proc/cpuinfo || ! grep -qw pcid /proc/cpuinfo; then
	skip_all "no PTI with PCIDs"
fi
ktap_set_plan 3
load_and_flush ceiling
ktap_test_result "ceiling_0_flushes_no_kernel_page_by_itself" only_is_0 pages
load_and_flush user_ceiling
ktap_test_result "user_ceiling_0_leaves_no_ranges_to_the_exit" only_is_0 user_ranges
load_and_flush wait_ceiling
ktap_test_result "wait_ceiling_0_has_nobody_flush_while_it_waits" only_is_0 user_now
ktap_finished
