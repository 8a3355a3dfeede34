#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: everything at once for SOAK_SECONDS: the module loaded and unloaded with each policy,
# vfree, munmap, mprotect, BPF and test_vmalloc storms, stress-ng, CPU hotplug, perf NMIs or timers, and
# user mode. What is not there is left out, with a line that says so.
# Fails if a storm finds something stale. Splats and stale hits are the host's to find.
set -uo pipefail
. "$TOP/scripts/guest/lib.sh"

end=$(($(date +%s) + SOAK_SECONDS))
tests=$BUILD/selftests
bad=$OUT/failures
: >"$bad"
# What has to have its CPUs does without the one that comes and goes.
last=$(($(nproc --all) - 1))
steady=0-$((last - 1))
running() { [[ $(date +%s) -lt $end ]]; }
# have NAME PROGRAM-OR-FILE
have() {
	command -v "$2" >/dev/null || [[ -f $2 ]] || { echo "soak: skipped $1: no $2"; return 1; }
}

# again NAME COMMAND...: until the time is up, and count.
again() {
	local name=$1 count=0 rc
	shift
	while running; do
		rc=0
		"$@" >"$OUT/soak-$name.txt" 2>&1 || rc=$?
		[[ $rc -eq 0 ]] || { echo "$name: exit $rc"; cat "$OUT/soak-$name.txt"; } >>"$bad"
		count=$((count + 1))
	done
	echo "soak: $name $count times"
	[[ $count -gt 0 ]] || echo "$name: not once" >>"$bad"
}

load_and_unload() {
	local policy
	for policy in 2 1 0; do
		insmod "$MODULE" policy=$policy && sleep 2 || return 1
		# Switch while all the rest runs.
		echo always >/sys/kernel/debug/deferred_flush/policy && sleep 1 &&
			echo adaptive >/sys/kernel/debug/deferred_flush/policy && sleep 1 || return 1
		rmmod deferred_flush || return 1
	done
}

plug() {
	local online
	online=/sys/devices/system/cpu/cpu$last/online
	echo 0 >"$online" && sleep 0.3 && echo 1 >"$online" && sleep 1
}

vmalloc_test() {
	local log
	# It refuses to stay, by design. What it did is in the log.
	! insmod "$BUILD/kernel/lib/test_vmalloc.ko" nr_threads=2 run_test_mask=7 test_loop_count=200 &&
		log=$(dmesg | grep 'Summary: ') && ! grep ' failed: [1-9]' <<<"$log"
}

profile() {
	perf record -q -C "$steady" -F 2000 -g -o /dev/null -- sleep 5
}

stress() {
	stress-ng --quiet --temp-path /tmp --timeout 10 --oomable --fork 1 --futex 1 --pipe 1 --switch 1 \
		--mprotect 1 --mremap 1 --mremap-bytes 4M --vm 1 --vm-bytes 8M --timer 1
}

export TEST_MS=500 TEST_ROUNDS=50
insmod "$MODULE_DIR/deferred_flush_test.ko"
again load load_and_unload &
again hotplug plug &
again vfree env TEST_IDLE=1 "$tests/vfree_storm" &
again munmap "$tests/munmap_storm" &
again mprotect "$tests/mprotect_storm" &
again user_flush taskset -c "$steady" "$tests/user_flush" &
again user_flush_pending taskset -c "$steady" "$tests/user_flush_pending" &
again bpf "$tests/bpf_storm" &
! have vmalloc "$BUILD/kernel/lib/test_vmalloc.ko" || again vmalloc vmalloc_test &
! have perf perf || again perf profile &
! have stress-ng stress-ng || again stress-ng stress &
taskset -c 0 "$tests/syscall_loop" 0 >/dev/null &
loop=$!
(while running; do :; done) &
while running; do
	sleep 30
	echo "soak: $((end - $(date +%s))) s left" >/dev/console
done
kill $loop
wait
! loaded || rmmod deferred_flush
cat "$bad"
[[ ! -s $bad ]]
