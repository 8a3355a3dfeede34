#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# User pages are flushed while the module comes and goes: what it has recorded must not be lost on the
# way, nor be mistaken for all there is.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
policy=/sys/kernel/debug/deferred_flush/policy
here=$(dirname "$0")

ktap_print_header
needs_two_cpus
needs_tools taskset
needs_module "$module"
ktap_set_plan 3

rm -f ./reload.stop
# Hooks go on and off with the policy, which takes less time than loading. On a CPU that the tests leave
# alone, but for those with threads on all.
reloads() {
	turns=0
	loaded=0
	while [ ! -e ./reload.stop ]; do
		insmod "$module" policy=1 || break
		loaded=$((loaded + 1))
		for _ in 1 2 3 4 5 6 7 8; do
			echo off >$policy
			echo always >$policy
			turns=$((turns + 1))
		done
		rmmod deferred_flush || break
	done
	echo "turns=$turns loaded=$loaded" >./reload.count
}
load reloads
taskset -p 2 $! >/dev/null

run() { # NAME PROGRAM ARGUMENT...
	name=$1
	program=$2
	shift 2
	rc=0
	"$here/$program" "$@" >./reload.txt 2>&1 || rc=$?
	# A TAP of its own: as comments.
	sed 's/^/# /' ./reload.txt
	if [ "$rc" -eq 0 ] && all_passed ./reload.txt; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

run "user_flushes" user_flush -v syscall
run "user_flushes_with_others" user_flush_pending

touch ./reload.stop
wait_for_loads
ktap_print_msg "$(cat ./reload.count)"
if [ ! -d /sys/module/deferred_flush ] && ! grep -q 'loaded=0' ./reload.count; then
	ktap_test_pass "comes_and_goes"
else
	ktap_test_fail "comes_and_goes"
fi
ktap_finished
