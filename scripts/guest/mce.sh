#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: machine checks (scripts/boot/machine_check.py) hit CPU 1, which is away in user mode for
# most of the time, while flushes are deferred. Then the coherence tests.
# Output: TAP, and that of the tests.
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

count() { awk '$1 == "MCE:" { print $3 }' /proc/interrupts; }

enter_state always
insmod "$MODULE_DIR/deferred_flush_test.ko"
TEST_ROUNDS=1000000 taskset -c 0 "$BUILD/selftests/vfree_storm" >/dev/null 2>&1 &
storm=$!
taskset -c 1 bash -c 'while :; do :; done' &
spinner=$!
echo "## test always/mce"
echo "TAP version 13"
echo "1..3"
for i in 1 2 3; do
	before=$(count) deferred=$(stat_sum deferred) verdict="not ok"
	sleep 1
	: >"$OUT/machine-check-$i"
	for _ in $(seq 100); do
		if [[ $(count) -gt $before && $(stat_sum deferred) -gt $deferred ]]; then
			verdict=ok
			break
		fi
		sleep 0.1
	done
	echo "# machine checks $(($(count) - before)), deferred $(($(stat_sum deferred) - deferred))"
	echo "$verdict $i flushes_are_deferred_and_a_machine_check_is_handled"
done
# The harness has a child, which has the test module open.
pkill vfree_storm
while pgrep vfree_storm >/dev/null; do sleep 0.1; done
kill $spinner
# Anything but SIGTERM has ended them before.
for job in $storm $spinner; do
	wait "$job" || [[ $? -eq 143 ]]
done
rmmod deferred_flush_test
echo "## exit 0"
exec selftests.sh always
