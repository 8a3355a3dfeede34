#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What runs behind a promise, and before it is kept, takes no probe: it would run on what may be stale.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

tracing=/sys/kernel/tracing
probes=$tracing/kprobe_events
group=deferred_flush_test
functions="ret_from_fork ret_from_fork_asm deferred_flush_take_back deferred_flush_go_idle
deferred_flush_leave_kernel vc_forward_exception do_syscall_64 exc_nmi"

# takes KIND FUNCTION: a probe of this kind (p: at its start, r: at its return)
takes() {
	if ! echo "$1:$group/hook $2" >>$probes 2>/dev/null; then
		return 1
	fi
	echo "-:$group/hook" >>$probes
}

ktap_print_header
needs_tracing
[ -e $probes ] || skip_all "no CONFIG_KPROBE_EVENTS"
takes p do_sys_openat2 || skip_all "no kprobe on do_sys_openat2()"

there=
for function in $functions; do
	! grep -q " $function\$" /proc/kallsyms || there="$there $function"
done
# shellcheck disable=SC2086 # Words.
set -- $there
ktap_set_plan $#
for function; do
	if takes p "$function" || takes r "$function"; then
		ktap_test_fail "${function}_takes_no_probe"
	else
		ktap_test_pass "${function}_takes_no_probe"
	fi
done
ktap_finished
