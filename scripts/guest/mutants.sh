#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest, on build/kernel-mutants: choose one deliberate bug after the other, and see the test
# fail that is named in selftests/mutants/expected.
# Usage: mutants.sh GROUP [MUTANT]...     default: all of the group
#        mutants.sh none STATE...        no bug chosen: selftests.sh has to pass
# Output: each as a test of its own, in TAP. What the tests say is in $OUT/mutant-NAME.log.
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"
. "$TOP/scripts/guest/mutants-lib.sh"

choice=/sys/kernel/debug/deferred_flush_mutant

counter_is() {
	"$BUILD/selftests/tlb_counters" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# Whoever loads the module, the tests included, shall load it with this bug.
mkdir -p "$OUT/bin"
cat >"$OUT/bin/insmod" <<-'END'
	#!/bin/sh
	case ${MODULE_MUTANT:+$1} in
	*/deferred_flush.ko) set -- "$@" "debug=$MODULE_MUTANT" ;;
	esac
	exec /sbin/insmod "$@"
END
chmod +x "$OUT/bin/insmod"
export PATH=$OUT/bin:$PATH

choose() { # MUTANT
	MODULE_MUTANT=
	number=0
	case $1 in
	none) MODULE_DIR=$BUILD/module/rust ;;
	module-*)
		MODULE_MUTANT=${1#module-}
		MODULE_MUTANT=${MODULE_MUTANT%%-*}
		MODULE_DIR=$BUILD/module-debug/rust
		;;
	*)
		MODULE_DIR=$BUILD/module/rust
		number=$((10#${1%%-*}))
		;;
	esac
	MODULE=$MODULE_DIR/deferred_flush.ko
	export MODULE_DIR MODULE_MUTANT
}

# How often it was reached. The module says so when it goes.
reached() {
	if [[ -n $MODULE_MUTANT ]]; then
		dmesg | sed -n "s/.*deferred_flush: debug=$MODULE_MUTANT: reached \([0-9]*\) times.*/\1/p" | tail -n 1
	else
		cat "${choice}_reached"
	fi
}

run_mutant() { # NAME
	local log=$OUT/mutant-$1.log before=0 after=0 start=$SECONDS count plan=1 rc=0 run runs spoilt=0
	find_mutant "$1"
	[[ $counter = - ]] || plan=2
	echo "## test mutant/$1"
	echo "TAP version 13"
	echo "1..$plan"
	choose "$1"
	[[ -d /sys/module/deferred_flush_test ]] || insmod "$BUILD/module/rust/deferred_flush_test.ko"
	enter_state "$state"
	[[ $counter = - ]] || before=$(counter_is "$counter")
	echo "$number" >$choice
	runs=$(setting runs 1)
	for ((run = 1; run <= runs; run++)); do
		rc=0
		TEST_MS=$(setting ms "${TEST_MS:-300}") TEST_ROUNDS=$(setting rounds 20) \
			timeout -k 5 "$(setting limit 60)" \
			"$BUILD/selftests/$program" "${filter[@]}" >"$log" 2>&1 || rc=$?
		! caught "$log" || break
		# The bug may corrupt the program that looks for it, which may have no end then. That is no
		# verdict.
		if broken "$log" && [[ $spoilt -lt 3 ]]; then
			spoilt=$((spoilt + 1)) runs=$((runs + 1))
		fi
	done
	# Also flushes all that is stale.
	echo 0 >$choice
	[[ $counter = - ]] || after=$(counter_is "$counter")
	enter_state absent
	count=$(reached)
	echo "# $program: run $((run > runs ? runs : run)), exit $rc, reached ${count:-0} times, $((SECONDS - start)) s"
	sed -nE '/^(not ok|# .*(:Expected|: Test (terminated|failed)))/s/^/# /p' "$log" | head -n 3
	if caught "$log"; then
		echo "ok 1 caught by $program: $test"
	elif [[ $rc -eq 124 || $rc -eq 137 ]]; then
		echo "not ok 1 no end of $program: $test (reached ${count:-0} times)"
	elif [[ ${count:-0} -eq 0 ]]; then
		echo "not ok 1 not reached by $program: $test"
	else
		echo "not ok 1 survived $program: $test (reached $count times)"
	fi
	if [[ $counter != - ]]; then
		if [[ $after -gt $before ]]; then
			echo "ok 2 $counter moves"
		else
			echo "not ok 2 $counter stays at $after"
		fi
	fi
	echo "## exit 0"
}

refuses() { # TEXT
	local rc=0
	printf '%s' "$1" 2>/dev/null >$choice || rc=$?
	[[ $rc -ne 0 && $(cat $choice) = 0 ]]
}

check_choice() {
	local number=0 bad
	echo "## test mutants/choice"
	echo "TAP version 13"
	echo "1..6"
	for bad in " " x -1 64 4294967297; do
		number=$((number + 1))
		if refuses "$bad"; then echo -n ok; else echo -n not ok; fi
		echo " $number refuses \"$bad\""
	done
	echo 63 >$choice
	if [[ $(cat $choice) = 63 ]]; then echo "ok 6 takes a number"; else echo "not ok 6 takes a number"; fi
	echo 0 >$choice
	echo "## exit 0"
}

[[ -w $choice ]] || { echo "this kernel has no mutants: not build/kernel-mutants" >&2; exit 2; }
chosen=$1
shift
if [[ $chosen = none ]]; then
	check_choice
	exec selftests.sh "$@"
fi
[[ $# -gt 0 ]] || read -ra all < <(names "$chosen" | tr '\n' ' ')
choose none
for name in "${@:-${all[@]}}"; do
	run_mutant "$name"
done
