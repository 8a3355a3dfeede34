#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Without INVPCID (noinvpcid), nobody executes it: not the kernel, and not the module. Only the sticky
# QEMU counts; its CPU has it all the same.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
here=$(dirname "$0")

executed() {
	"$here/tlb_counters" | tr ' ' '\n' | awk -F = '/^invpcid/ { sum += $2 } END { print sum }'
}

passes() { # COMMAND...
	TEST_MS=${TEST_MS:-200} "$@" >./test.txt 2>&1 && return
	cat ./test.txt
	return 1
}

ktap_print_header
! grep -qw invpcid /proc/cpuinfo || skip_all "INVPCID is in use: boot with noinvpcid"
[ -n "$("$here/tlb_counters")" ] || skip_all "this machine does not count INVPCIDs"
needs_tools awk
needs_test_module
needs_module "$module"
ktap_set_plan 5
insmod "$module" policy=1
# Other ASIDs catch up, ...
ktap_test_result "other_process" passes "$here/vfree_coherence" \
	-r vfree_coherence.user.other_process_sees_the_new_mapping
# ... user pages are flushed at exits, and by who waits for others.
ktap_test_result "user_flush" passes "$here/user_flush" -r user_flush.syscall.copies_in_any_order
ktap_test_result "munmap_storm" passes "$here/munmap_storm"
asids=$(awk '$1 == "all" { print $(NF - 1) + $(NF - 2) }' /sys/kernel/debug/deferred_flush/stats)
rmmod deferred_flush
ktap_test_result "user_flush_without_the_module" passes "$here/user_flush" \
	-r user_flush.syscall.copies_in_any_order
ktap_print_msg "INVPCIDs since boot: $(executed); ASIDs that asked the module: $asids"
ktap_test_result "nobody_executes_invpcid" [ "$(executed)" -eq 0 ]
ktap_finished
