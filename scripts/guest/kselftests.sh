#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: those of the kernel's x86 and mm selftests that work under TCG and end soon.
# Each is between "## test" and "## exit" lines: what counts are the exit statuses.
# Usage: kselftests.sh absent|off|always|adaptive       the state of the module
set -euo pipefail
. "$TOP/scripts/guest/lib.sh"

enter_state "$1"

# 9p has no shared mappings of files.
mkdir -p /run/kselftests
mount -t tmpfs -o size=600m none /run/kselftests
cp -r "$BUILD/kselftests/." /run/kselftests
ulimit -l unlimited

run() { # LIMIT SET TEST [ARG]...
	local limit=$1 set=$2 rc try
	shift 2
	echo "## test $set/$*"
	for ((try = 1; try <= tries; try++)); do
		rc=0
		(cd "/run/kselftests/$set" && timeout -k 3 "$limit" "./$1" "${@:2}") </dev/null 2>&1 || rc=$?
		[[ $rc -ne 0 ]] || break
	done
	# Behind a line that may not have ended.
	printf '\n## exit %s\n' "$rc"
	[[ $rc -ne 127 ]] || missing=1
}

missing=0 tries=1
for test in single_step_syscall sysret_ss_attrs syscall_nt test_mremap_vdso sigreturn \
	check_initial_reg_state iopl ioperm sigtrap_loop syscall_arg_fault fsgsbase_restore \
	sigaltstack nx_stack ptrace_syscall; do
	run 60 x86 "${test}_64"
	run 60 x86 "${test}_32"
done
for test in test_vsyscall_64 ldt_gdt_64 mov_ss_trap_32 fsgsbase_64 sysret_rip_64 \
	corrupt_xstate_header_64 entry_from_vm86_32 test_syscall_vdso_32 unwind_vdso_32 \
	vdso_restorer_32; do
	run 60 x86 "$test"
done

echo 64 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
for test in mkdirty madv_populate map_fixed_noreplace mremap_dontunmap map_populate droppable \
	mlock2-tests mdwe_test process_madv guard-regions merge memfd_secret mseal_test \
	hugetlb-mmap hugetlb-mremap hugetlb-madvise hugetlb_madv_vs_map on-fault-limit \
	mrelease_test va_high_addr_switch; do
	run 120 mm "$test"
done
run 30 mm gup_test -u -n 1 -m 16 -r 2
run 30 mm gup_test -a -n -1 -m 16 -r 2
# ksmd has to come by in time, which it does not always on a host with much to do.
tries=3
run 30 mm ksm_tests -M -p 10
run 30 mm ksm_tests -U
tries=1
run 60 mm uffd-stress anon 4 2
run 60 mm uffd-stress shmem 4 2
run 60 mm transhuge-stress -d 3 64
run 120 mm khugepaged madvise:anon
run 240 mm cow
exit "$missing"
