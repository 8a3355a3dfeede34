#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: start a second kernel while CPUs are away and flushes are deferred. It has the same
# command line, so this runs again, and then the coherence tests.
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

boot_id=$(cat /proc/sys/kernel/random/boot_id)
if [[ ! -e $OUT/first-kernel ]]; then
	enter_state always
	insmod "$MODULE_DIR/deferred_flush_test.ko"
	for ((cpu = 1; cpu < $(nproc); cpu++)); do
		taskset -c "$cpu" bash -c 'while :; do :; done' &
	done
	TEST_ROUNDS=1000000 taskset -c 0 "$BUILD/selftests/vfree_storm" >/dev/null 2>&1 &
	sleep 1
	echo "$boot_id $(stat_sum deferred)" >"$OUT/first-kernel"
	sync
	exec python3 "$TOP/scripts/guest/kexec.py" "$BUILD/kernel/arch/x86/boot/bzImage"
fi

read -r first deferred <"$OUT/first-kernel"
[[ $first != "$boot_id" && $deferred -gt 0 ]]
echo "the second kernel; the first had deferred $deferred flushes"
exec selftests.sh always
