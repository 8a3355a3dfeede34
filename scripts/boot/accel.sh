#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Print kvm if KVM boots this kernel here, else tcg. Tried once per image, with a time limit:
# /dev/kvm may exist and yet not run a stock kernel. That KVM works is remembered in build/; that it
# does not, for a day, and until the machine boots or /dev/kvm changes.
# Usage: accel.sh BZIMAGE
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
[[ $# -eq 1 ]] || usage

export PATH=$VENV/bin:$PATH
if [[ ! -w /dev/kvm ]]; then
	echo tcg
	exit
fi
memo=$BUILD/accel-$(echo "$1" | hash_of)
mkdir -p "$BUILD"
exec {lock}>>"$memo"
flock "$lock"
kvm="$(stat -c '%i %Z %a' /dev/kvm) $(cat /proc/sys/kernel/random/boot_id)"
if ! grep -qx kvm "$memo" &&
	! { grep -qxF "tcg $kvm" "$memo" && [[ -n $(find "$memo" -mmin -1440) ]]; }; then
	verdict="tcg $kvm" rc=0
	setpriv --pdeathsig TERM timeout -k 5 60 vng --cpus 1 --memory 1G --run "$1" \
		--exec 'exit 77' </dev/null >"$memo.log" 2>&1 {lock}>&- || rc=$?
	# QEMU goes on without KVM if it cannot use it.
	if [[ $rc -eq 77 ]] && ! grep -q 'falling back to' "$memo.log"; then
		verdict=kvm
	else
		echo "note: KVM does not boot this kernel, see $memo.log; not tried again for a day" >&2
	fi
	echo "$verdict" >"$memo"
fi
cut -d ' ' -f 1 "$memo"
