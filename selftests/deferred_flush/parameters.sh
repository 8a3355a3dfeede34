#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Parameters and debugfs files of deferred_flush.ko: bad input is refused with one clear line, and
# leaves things as they were.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
# Built with DEBUG=1, if it is beside the other.
debug_module=$(dirname "$MODULE_DIR")-debug/$(basename "$MODULE_DIR")/deferred_flush.ko
policy=/sys/kernel/debug/deferred_flush/policy
stats=/sys/kernel/debug/deferred_flush/stats

refuses() { # NAME PARAMETER MESSAGE
	before=$(dmesg | grep -c "deferred_flush: $3")
	if insmod "$module" "$2" 2>/dev/null; then
		rmmod deferred_flush
		ktap_test_fail "$1"
	elif [ -d /sys/module/deferred_flush ] ||
	     [ "$(dmesg | grep -c "deferred_flush: $3")" -ne $((before + 1)) ]; then
		ktap_test_fail "$1"
	else
		ktap_test_pass "$1"
	fi
}

check() { # NAME COMMAND...
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

not() {
	! "$@"
}

policy_is() {
	grep -q "\[$1\]" "$policy"
}

someone_is_away() {
	awk 'NR > 1 && $2 == 1 { found = 1 } END { exit !found }' "$stats"
}

write_fails() { # FILE TEXT
	! printf '%s' "$2" >"$1"
} 2>/dev/null

# What is no number, or none that fits.
fuzz_parameters() {
	for parameter in policy ceiling user_ceiling wait_ceiling credit debug; do
		for value in "" -1 0x 08 1e3 4294967296 18446744073709551616 \
			"$(head -c 9 /dev/urandom | base64)" "$(head -c 3000 /dev/urandom | base64 -w 0)"; do
			if insmod "$module" "$parameter=$value" 2>/dev/null; then
				echo "# accepted: $parameter=$value"
				rmmod deferred_flush
				return 1
			fi
		done
	done
	[ ! -d /sys/module/deferred_flush ]
}

fuzz_policy() {
	for size in 1 2 5 8 9 31 4096 70000; do
		for _ in 1 2 3 4; do
			# No lower case letters: it is no policy.
			head -c "$size" /dev/urandom | LC_ALL=C tr '[:lower:]' '[:upper:]' >"$policy" && return 1
			policy_is adaptive || return 1
		done
	done
} 2>/dev/null

ktap_print_header
needs_module "$module"
dmesg >/dev/null 2>&1 || skip_all "no kernel log: CONFIG_PRINTK, or not root"
ktap_set_plan 25

refuses "policy_out_of_range" policy=3 "policy=3: must be"
refuses "ceiling_out_of_range" ceiling=4097 "ceiling=4097: must be"
refuses "user_ceiling_out_of_range" user_ceiling=4097 "user_ceiling=4097: must be"
refuses "wait_ceiling_out_of_range" wait_ceiling=4097 "wait_ceiling=4097: must be"
refuses "credit_out_of_range" credit=1000001 "credit=1000001: must be"
refuses "debug_out_of_range" debug=7 "debug=7: must be"
refuses "debug_needs_a_debug_build" debug=1 "debug=1: this module was built without"

check "noise_for_parameters_is_refused" fuzz_parameters
check "loads" insmod "$module"
check "policy_adaptive_is_the_default" policy_is adaptive
check "loads_once_only" sh -c "! insmod '$module' 2>/dev/null"
check "unknown_policy_is_refused" write_fails "$policy" sometimes
check "empty_policy_is_refused" write_fails "$policy" " "
check "long_policy_is_refused" write_fails "$policy" "always always always always"
check "noise_for_the_policy_is_refused" fuzz_policy
check "refused_policies_change_nothing" policy_is adaptive
echo always >"$policy"
check "policy_can_be_always" policy_is always
echo adaptive >"$policy"
check "policy_can_be_adaptive" policy_is adaptive
echo off >"$policy"
check "policy_can_be_switched_off" policy_is off
check "nobody_is_away_when_off" not someone_is_away
check "stats_cannot_be_written" write_fails "$stats" 0
check "unloads" rmmod deferred_flush
if [ -f "$debug_module" ] && insmod "$debug_module" debug=2; then
	check "armed_without_a_policy_shows_none" not grep -q '\[' "$policy"
	check "armed_without_a_policy_nobody_is_away" not someone_is_away
	echo always >"$policy"
	check "armed_without_a_policy_it_can_be_chosen" policy_is always
	rmmod deferred_flush
else
	for name in armed_without_a_policy_shows_none armed_without_a_policy_nobody_is_away \
		armed_without_a_policy_it_can_be_chosen; do
		ktap_test_skip "$name: no $debug_module"
	done
fi
ktap_finished
