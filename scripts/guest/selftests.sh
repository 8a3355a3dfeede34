#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the programs of TESTS= in each of the states given as arguments; PROGRAM@STATE in this
# one only. The TAP of each is printed between "## test" and "## exit" lines. "unloaded" means: after
# being unloaded under load. TEST_ARGS= are arguments for all programs.
# Usage: selftests.sh STATE...
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

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
	for test in $TESTS; do
		[[ $test = *@* && $test != *@"$state" ]] || run "${test%@*}"
	done
	if [[ $state = always ]]; then
		echo "## stats"
		cat "$STATS"
	fi
done
