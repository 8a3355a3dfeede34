#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# CPUs of nohz_full= get no IPI for a kernel flush while they are in user mode, not even a first one.
# MODULE_DIR is where the module is.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
tracing=/sys/kernel/tracing
isolated=$(cat /sys/devices/system/cpu/nohz_full 2>/dev/null)
rounds=100

ktap_print_header
case $isolated in
'' | *null*)
	ktap_skip_all "no CPUs in nohz_full="
	exit "$KSFT_SKIP"
	;;
esac
if [ ! -f "$module" ]; then
	ktap_skip_all "no $module"
	exit "$KSFT_SKIP"
fi
ktap_set_plan 3

cpu=${isolated%%[,-]*}
insmod "$module"
taskset -c "$cpu" sh -c 'while :; do :; done' &
spinner=$!
sleep 1
echo >$tracing/trace
echo 1 >$tracing/events/deferred_flush/enable
TEST_IDLE=64 TEST_ROUNDS=$rounds taskset -c 0 "$(dirname "$0")/vfree_storm" \
	-r vfree_storm.pages_8.frees_and_counts >/dev/null 2>&1
echo 0 >$tracing/events/deferred_flush/enable
grep -E " (ipi|defer): target=$cpu " $tracing/trace >./isolated.txt
kill $spinner
# CPUs with the plain policy are asked at their exits.
asked=$(awk -v cpu="$cpu" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "asked") column = i }
	$1 == cpu { print $column }' /sys/kernel/debug/deferred_flush/stats)
rmmod deferred_flush

ipis=$(grep -c ' ipi: ' ./isolated.txt)
deferred=$(grep -c ' defer: ' ./isolated.txt)
ktap_print_msg "cpu=$cpu ipis=$ipis deferred=$deferred asked=$asked"
if [ "$asked" = 0 ]; then
	ktap_test_pass "promises_without_being_asked"
else
	ktap_test_fail "promises_without_being_asked"
fi
if [ "$ipis" -eq 0 ]; then
	ktap_test_pass "no_ipi_for_a_kernel_flush"
else
	ktap_test_fail "no_ipi_for_a_kernel_flush"
fi
if [ "$deferred" -ge "$rounds" ]; then
	ktap_test_pass "all_were_deferred"
else
	ktap_test_fail "all_were_deferred"
fi
ktap_finished
