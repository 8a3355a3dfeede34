#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the selftests in the states given as arguments, each test's TAP under a "## test"
# line, for tap.py. "unloaded" means: after being unloaded under load. TESTS= runs these only,
# TEST_ARGS= with these arguments.
set -euo pipefail
. "$TOP/scripts/guest-lib.sh"

run() {
	local rc=0
	echo "## test $state/$1"
	# shellcheck disable=SC2086 # arguments of the harness
	"$BUILD/selftests/$1" ${TEST_ARGS:-} 2>&1 || rc=$?
	echo "## exit $rc"
}

export MODULE_DIR
insmod "$MODULE_DIR/deferred_flush_test.ko"
for state in "$@"; do
	case $state in
	unloaded)
		enter_state absent
		run load_unload.sh
		;;
	*)
		enter_state "$state"
		;;
	esac
	tests="vfree_storm vfree_coherence munmap_storm mprotect_storm freed_tables bpf_storm"
	# Needs counters of the TLB.
	[[ -z $("$BUILD/selftests/tlb_counters") ]] || tests+=" asids"
	# Loads the test module anew.
	tests+=" set_memory"
	# What these look for is the module's doing.
	[[ $state != always ]] || tests+=" user_flush user_flush_32 user_flush_pending user_flush_pending_32 hotplug"
	[[ $state != adaptive ]] || tests+=" hotplug"
	for test in ${TESTS:-$tests}; do
		run "$test"
	done
	if [[ $state = always && -z ${TESTS:-} ]]; then
		echo "## stats"
		cat "$STATS"
		enter_state absent
		run parameters.sh
		run tracepoints.sh
		run reload_coherence.sh
	fi
done
