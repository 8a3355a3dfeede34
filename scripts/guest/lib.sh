# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced in the guest: the states of the module that runs are made in.

STATS=/sys/kernel/debug/deferred_flush/stats
MODULE_DIR=${MODULE_DIR:-$BUILD/module/rust}
MODULE=$MODULE_DIR/deferred_flush.ko

loaded() {
	[[ -d /sys/module/deferred_flush ]]
}

# enter_state absent|off|always|adaptive: load or unload the module accordingly.
enter_state() {
	case $1 in
	absent) ! loaded || rmmod deferred_flush ;;
	off | always | adaptive)
		loaded || insmod "$MODULE" policy=0
		echo "$1" >/sys/kernel/debug/deferred_flush/policy
		;;
	*) echo "no such state: $1" >&2; return 2 ;;
	esac
}

# stat_sum COLUMN: over all CPUs; 0 if the module is not loaded.
stat_sum() {
	if ! loaded; then
		echo 0
		return
	fi
	awk -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i }
		$1 == "all" { print $column }' "$STATS"
}
