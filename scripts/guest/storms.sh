#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the storms with the module absent, off, always and adaptive, in turns.
# Output: "## run ...", the test's own lines, "## end ...", for report.py.
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

# Not irq_vectors:call_function*: see Documentation/testing.rst.
EVENTS=tlb:tlb_flush,task-clock,context-switches,cpu-migrations,page-faults

# Open all the time: their static keys, in __schedule() and elsewhere, are not toggled at each run,
# which stock TCG does not always survive. See Documentation/testing.rst.
perf stat -a -o /dev/null -e "$EVENTS" -- sleep infinity &
trap 'kill %1' EXIT
sleep 1

insmod "$MODULE_DIR/deferred_flush_test.ko"
bad=0
for ((turn = 1; turn <= ${TURNS:-2}; turn++)); do
	for state in absent off always adaptive; do
		enter_state "$state"
		for storm in vfree vfree-mixed munmap mprotect munmap-local mprotect-local; do
			where=()
			case $storm in
			# One thread, whose mm has never been on another CPU: no shootdown.
			*-local) where=(taskset -c 0) ;;
			# Half of the CPUs idle.
			*-mixed) where=(env "TEST_IDLE=$(($(nproc) / 2))") ;;
			esac
			deferred=$(stat_sum deferred) catch_ups=$(stat_sum catch_ups)
			rc=0
			echo "## tlb $("$BUILD/selftests/tlb_counters")"
			echo "## run turn=$turn state=$state storm=$storm"
			perf stat -a -x, -o "$OUT/perf-$state-$storm-$turn.csv" -e "$EVENTS" -- \
				"${where[@]}" "$BUILD/selftests/${storm%-*}_storm" || rc=$?
			echo "## end rc=$rc deferred=$(($(stat_sum deferred) - deferred))" \
				"catch_ups=$(($(stat_sum catch_ups) - catch_ups))" \
				"$("$BUILD/selftests/tlb_counters")"
			[[ $rc -eq 0 ]] || bad=1
		done
	done
done
enter_state absent
exit $bad
