#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest, with 2 CPUs: what "always", and "adaptive" with some values of credit, make of loads on
# CPU 1 while CPU 0 flushes a few times per second, or all the time.
# Output: lines with the flushes, those for which CPU 1 was interrupted and not, and the promises that
# were asked for; all of about 2 s.
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

insmod "$MODULE_DIR/deferred_flush_test.ko"

storm() { # ROUNDS
	TEST_ROUNDS=$1 taskset -c 0 "$BUILD/selftests/vfree_storm" \
		-r vfree_storm.pages_1.frees_and_counts >/dev/null 2>&1
}

stress() {
	exec stress-ng --quiet --taskset 1 --temp-path /tmp --timeout 1000 "$@"
}

flush() { # few|many
	local end=$((SECONDS + 2))
	while [[ $SECONDS -lt $end ]]; do
		if [[ $1 = few ]]; then storm 1; else storm 500; fi
	done
}

for load in spin getppid pipe futex messaging mix; do
	for rate in few many; do
		for setting in "always 8" "adaptive 1" "adaptive 4" "adaptive 8" "adaptive 16" "adaptive 64"; do
			read -r policy credit <<<"$setting"
			case $load in
			spin) taskset -c 1 bash -c 'while :; do :; done' & ;;
			getppid) "$BUILD/selftests/syscall_loop" 1 & ;;
			pipe) taskset -c 1 perf bench sched pipe -l 100000000 >/dev/null 2>&1 & ;;
			futex) stress --futex 1 & ;;
			mix) stress --cpu 1 --pipe 1 --switch 1 --vm 1 --vm-bytes 8M --timer 1 & ;;
			messaging) taskset -c 1 perf bench sched messaging -g 1 -l 100000000 >/dev/null 2>&1 & ;;
			esac
			pid=$!
			sleep 1
			insmod "$MODULE" policy=0 credit="$credit"
			echo "$policy" >/sys/kernel/debug/deferred_flush/policy
			flush "$rate"
			flushes=$(stat_sum flushes) ipis=$(stat_sum ipis)
			echo "credit load=$load rate=$rate policy=$policy credit=$credit flushes=$flushes" \
				"interrupted=$ipis deferred=$(stat_sum deferred)" \
				"catch_ups=$(stat_sum catch_ups) asked=$(stat_sum asked)"
			rmmod deferred_flush
			# A load that ended by itself was none.
			kill "$pid"
			wait "$pid" || [[ $? -eq 143 ]]
		done
	done
done
