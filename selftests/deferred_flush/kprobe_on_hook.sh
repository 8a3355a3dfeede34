#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A breakpoint sits on an entry hook: CPUs cannot be had to promise, and no hook is changed. It is a
# kprobe in ret_from_fork(), where only a kernel with selftests/mutants takes one.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
policy=/sys/kernel/debug/deferred_flush/policy
stats=/sys/kernel/debug/deferred_flush/stats
tracing=/sys/kernel/tracing
probes=$tracing/kprobe_events
optimization=/proc/sys/debug/kprobes-optimization
group=deferred_flush_test

probe() { # NAME WHERE: one that is hit from now on
	echo "p:$group/$1 $2" >>$probes && echo 1 >"$tracing/events/$group/$1/enable"
}

no_probe() { # NAME
	echo 0 >"$tracing/events/$group/$1/enable"
	echo "-:$group/$1" >>$probes
}

# What reads the text of two functions that have hooks, whenever a file is opened.
probe_text() {
	arguments=
	for function in ret_from_fork entry_SYSCALL_64; do
		for offset in 0 64 128 192 256 320 384 448; do
			arguments="$arguments @$function+$offset:x8[64]"
		done
	done
	probe text "do_sys_openat2 $arguments"
}

# Their text, a byte a line.
text() {
	: >$tracing/trace
	: </dev/null
	grep -m 1 ' text: ' $tracing/trace | grep -o '0x[0-9a-f]*[,}]' | tr -d ',}'
}

# Of the two texts, the first byte of ret_from_fork() that is not the same.
first_difference() { # TEXT TEXT
	cmp -s "$1" "$2" || diff "$1" "$2" | sed -n '1s/^\([0-9]*\).*/\1/p' |
		awk '$1 <= 512 { print $1 - 1 }'
}

refused() { # COMMAND...
	before=$(dmesg | grep -c 'deferred_flush: .*(breakpoint?)')
	! "$@" 2>./refused.txt && [ "$(dmesg | grep -c 'deferred_flush: .*(breakpoint?)')" -eq $((before + 1)) ] &&
		grep -q 'Device or resource busy' ./refused.txt
}

loads_and_arms() {
	insmod "$module" policy=1 && text >./armed && ! cmp -s ./armed ./none && grep -q '\[always\]' $policy
}

nobody_is_away() {
	[ -z "$(awk 'NR > 1 && $2 == 1' $stats)" ]
}

set_policy() {
	# A builtin may not say what went wrong.
	env printf "%s" "$1" >$policy
}

check() { # NAME COMMAND...
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

ktap_print_header
needs_tracing
[ -e $probes ] || skip_all "no CONFIG_KPROBE_EVENTS"
! echo "p:$group/hook ret_from_fork" 2>/dev/null >>$probes && skip_all "no hook takes a kprobe"
echo "-:$group/hook" >>$probes
needs_module "$module"
# An optimized probe changes more than one byte, and later.
if [ -e $optimization ]; then
	optimized=$(cat $optimization)
	echo 0 >$optimization
fi
ktap_set_plan 12

probe_text
text >./none
[ "$(wc -l <./none)" -eq 1024 ] || ktap_print_msg "cannot read the text"
check "loads" loads_and_arms
rmmod deferred_flush
text >./after
check "unloading_restores_the_text" cmp ./none ./after
hook=$(first_difference ./none ./armed)
ktap_print_msg "bytes=$(wc -l <./none) hook=ret_from_fork+$hook"

# Patched out, and with a probe.
check "takes_a_probe_on_a_hook" probe hook "ret_from_fork+$hook"
text >./probed
check "loading_is_refused" refused insmod "$module" policy=1
check "module_is_not_there" [ ! -d /sys/module/deferred_flush ]
text >./after
check "text_is_the_same" cmp ./probed ./after
insmod "$module" policy=0
check "policy_is_refused" refused set_policy always
check "nobody_promises" nobody_is_away
rmmod deferred_flush
no_probe hook

# Armed, and with a probe: it cannot be patched out, and that does no harm.
check "loads_without_the_probe" loads_and_arms
probe hook "ret_from_fork+$hook"
check "unloads_with_a_probe" rmmod deferred_flush
no_probe hook
check "loads_where_hooks_stayed" loads_and_arms
rmmod deferred_flush
text >./after
check "unloading_restores_the_text_again" cmp ./none ./after

no_probe text
[ -z "${optimized:-}" ] || echo "$optimized" >$optimization
ktap_finished
