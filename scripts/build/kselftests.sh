#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the kernel's own x86 and mm selftests into build/kselftests, from mainline.
# Usage: kselftests.sh       after kernel.sh --mainline --name kernel-mainline
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"

out=$(realpath "$BUILD/kernel-mainline")
src=$(realpath "$BUILD/kernel-mainline-src")
to=$out/kselftests-$(hash_of <"$0")

build() {
	local set
	begin "$to"
	kernel_make "$src" O="$out" headers || return 1
	for set in x86 mm; do
		mkdir -p "$to/$set"
		# Some need newer headers than the system's. Those that run are named in
		# guest/kselftests.sh, and missing ones show there.
		make -k -j"$JOBS" -C "$src/tools/testing/selftests/$set" OUTPUT="$to/$set" \
			KHDR_INCLUDES="-isystem $out/usr/include" all || true
	done
	finish "$to"
}

finished "$to" || step "build the kernel's x86 and mm selftests" build
ln -sfn "$to" "$BUILD/kselftests"
