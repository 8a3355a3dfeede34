#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The conformance test of the sticky QEMU's TLB, which runs without a kernel (selftests/machine). It has
# to fail on a TLB, and on paging-structure caches, that forget.
# Usage: machine.sh [build|run]
# Output: TAP, each part between "## test" and "## exit".
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"

machine=$BUILD/machine
make -s -C "$TOP/selftests/machine" OUTPUT="$machine" all "$machine/cpuidle.aml"
[[ ${1:-run} = run ]] || exit 0

# bare IMAGE PROPERTIES: its output is in $machine/output; its exit status is QEMU's: 1 passed, 3 failed.
bare() {
	rc=0
	: >"$machine/output"
	# shellcheck disable=SC2046 # several options
	timeout --foreground 120 "$BUILD/qemu/qemu-system-x86_64" $(firmware) \
		-M pc -m 3G -smp 1 -nodefaults -display none -accel tcg -no-reboot \
		-cpu "max,x-tlb-report=$machine/tlb,$2" -debugcon "file:$machine/output" \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$machine/$1.elf" || rc=$?
}

for image in tlb4 tlb5; do
	bare "$image" x-tlb-keep=on,x-psc-keep=on
	echo "## test machine/$image"
	cat "$machine/output"
	echo "## exit $((rc != 1))"

	echo "## test machine/$image-control"
	printf 'TAP version 13\n1..2\n'
	count=0
	for off in x-tlb-keep=off x-tlb-keep=on,x-psc-keep=off; do
		bare "$image" "$off"
		count=$((count + 1))
		if [[ $rc -eq 3 ]]; then
			echo "ok $count $off fails, as it must"
		else
			echo "not ok $count $off fails, as it must: exit $rc"
		fi
	done
	echo "## exit 0"
done
