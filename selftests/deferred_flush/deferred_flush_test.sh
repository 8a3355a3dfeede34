# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the shell tests share. They source it as
#	command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1
# Without "command" the shell would end with 2, as for most errors; and for kselftest that is XFAIL,
# which is ok. So only 0, 1 and 4 (skipped) come out of a test, and 0 only with all of its results.
PATH=$PATH:/sbin:/usr/sbin
loads=
may_unload=

# load COMMAND...: in the background, until the test ends or stop_loads.
load() {
	"$@" &
	loads="$loads $!"
}

stop_loads() {
	for pid in $loads; do
		# One that has just begun loses others.
		kill -9 "$pid" 2>/dev/null
	done
	loads=
}

# Of those that end by themselves: then their numbers are another process's.
wait_for_loads() {
	wait
	loads=
}

# A test that is ended before its time may have loaded it, or just be at it.
unload() {
	sleep 1
	for _ in 1 2 3; do
		[ -d /sys/module/deferred_flush ] || return
		rmmod deferred_flush 2>/dev/null || sleep 1
	done
}

at_exit() {
	rc=$?
	# A second one would end this.
	trap '' HUP INT TERM
	stop_loads
	[ $rc -eq 0 ] || [ -z "$may_unload" ] || unload
	case $rc in
	0) [ "${KSFT_NUM_TESTS:-0}" -gt 0 ] && [ "$KTAP_TESTNO" -gt "$KSFT_NUM_TESTS" ] || exit 1 ;;
	4) ;;
	*) exit 1 ;;
	esac
}
trap at_exit EXIT
trap 'exit 1' HUP INT TERM

for dir in "$(dirname "$0")" "$(dirname "$0")/../kselftest"; do
	[ ! -r "$dir/ktap_helpers.sh" ] || break
done
if [ ! -r "$dir/ktap_helpers.sh" ]; then
	echo "# no ktap_helpers.sh beside $0, nor in ../kselftest" >&2
	exit 1
fi
. "$dir/ktap_helpers.sh"

# Where the modules are: MODULE_DIR, or where modprobe finds them.
if [ -z "${MODULE_DIR:-}" ]; then
	path=$(modinfo -n deferred_flush 2>/dev/null) || path=/lib/modules/$(uname -r)/none
	MODULE_DIR=${path%/*}
fi
export MODULE_DIR

# all_passed FILE: the TAP of a program, with all of its results and no bad one. A program whose memory is
# wrong may end with status 0 in the middle.
all_passed() {
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$1" | head -n 1)
	[ -n "$plan" ] && [ "$(grep -cE '^(not )?ok [0-9]' "$1")" -eq "$plan" ] && ! grep -q '^not ok' "$1"
}

# --- what a test needs, or else it skips, and says what is missing
skip_all() {
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

needs_tools() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip_all "no $tool"
	done
}

needs_root() {
	[ "$(id -u)" -eq 0 ] || skip_all "not root"
}

needs_two_cpus() {
	[ "$(nproc)" -gt 1 ] || skip_all "one CPU, or no CONFIG_SMP"
}

needs_debugfs() {
	grep -qw debugfs /proc/filesystems || skip_all "no CONFIG_DEBUG_FS"
	grep -q ' /sys/kernel/debug debugfs ' /proc/mounts || skip_all "debugfs is not mounted"
}

needs_tracing() {
	grep -qw tracefs /proc/filesystems ||
		skip_all "no events: CONFIG_FTRACE, and CONFIG_ENABLE_DEFAULT_TRACERS or a tracer"
	grep -q ' /sys/kernel/tracing tracefs ' /proc/mounts || skip_all "tracefs is not mounted"
}

# Where there are no symbols, this cannot be told.
needs_symbol() { # SYMBOL CONFIG
	[ ! -r /proc/kallsyms ] || grep -q " $1\$" /proc/kallsyms || skip_all "no $2"
}

no_module() { # PATH
	[ -e /proc/modules ] || skip_all "no CONFIG_MODULES"
	needs_symbol rust_helper_mutex_lock CONFIG_RUST
	skip_all "no $1 (by modprobe, or MODULE_DIR=)"
}

# The storms need it. Stays loaded.
needs_test_module() {
	needs_root
	[ ! -e /dev/deferred_flush_test ] || return 0
	path=$MODULE_DIR/deferred_flush_test.ko
	[ -f "$path" ] || no_module "$path"
	insmod "$path" || ktap_exit_fail_msg "$path cannot be loaded"
	[ -e /dev/deferred_flush_test ] || skip_all "no /dev/deferred_flush_test: CONFIG_DEVTMPFS"
}

# The test is going to load and unload it.
needs_module() { # PATH
	needs_root
	needs_symbol deferred_flush_register CONFIG_X86_DEFERRED_FLUSH
	[ -f "$1" ] || no_module "$1"
	needs_symbol module_refcount CONFIG_MODULE_UNLOAD
	[ ! -d /sys/module/deferred_flush ] || skip_all "deferred_flush is loaded: unload it"
	needs_debugfs
	may_unload=1
}

# left_at_most FLUSHES TICKS: how many interrupts a storm may leave that would be FLUSHES. A CPU in its tick
# is in the kernel, and gets its IPI. Where the host is busy there are more ticks to a flush, and they take
# longer: beside a compiler up to 147 of 4000 were left, in 422 ticks, and up to 69 where it was quiet.
# Never more than a tenth, or a slow storm could leave all.
left_at_most() {
	by_flushes=$(($1 * 3 / 100))
	by_ticks=$(($1 / 100 + $2 / 2))
	[ $by_ticks -le $(($1 / 10)) ] || by_ticks=$(($1 / 10))
	echo $((by_flushes > by_ticks ? by_flushes : by_ticks))
}
