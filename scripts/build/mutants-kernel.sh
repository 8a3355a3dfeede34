#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the kernel with the deliberate bugs of selftests/mutants, from a kernel that is finished: only
# what they change is built again. In the cache; linked as build/NAME.
# Usage: mutants-kernel.sh SOURCE OUT NAME      (by kernel.sh --mutants; OUT is in SOURCE)
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
. "$TOP/scripts/build/kernel-lib.sh"

src=$1 out=$2 name=$3
patches=("$TOP"/selftests/mutants/*.patch)
[[ $out = "$src"/* ]] || die "mutants are made from a tree in the cache: without KDIR="

# What is said about them does not matter.
key=$({ echo "${src##*/} ${out##*/}"; grep -h "^[-+@ ]" "${patches[@]}"; } | hash_of)
to=$CACHE/mutants-$key

# In a tree of its own, which goes afterwards: what an interrupted run leaves is not used.
prepare() {
	link_source "$src" "$tree" &&
		cat "${patches[@]}" | patch -d "$tree" -p1 -N -F0 --no-backup-if-mismatch &&
		copy_build "$src" "$out" "$tree" "$tree/out"
}

build() {
	kernel_make "$tree" O="$tree/out" bzImage || return 1
	# Only now does make know what they were: as for the series.
	! grep -E '^[^ ]*: warning:|: warning: ' "$LOG" || return 1
	mkdir -p "$to/arch/x86/boot" &&
		cp "$tree/out/arch/x86/boot/bzImage" "$to/arch/x86/boot" &&
		cp "$tree/out/System.map" "$tree/out/.config" "$to"
}

make_kernel() {
	need_space 1500 "the kernel with the mutants"
	# Of runs that were killed.
	find "$CACHE" -maxdepth 1 -name 'tmp-mutants-*' -mmin +240 -exec rm -rf {} +
	tree=$(mktemp -d "$CACHE/tmp-mutants-XXXXXX")
	trap 'rm -rf "$tree"' EXIT
	step "copy and patch the kernel" prepare
	step "build the mutants" build
}
entry "$to" make_kernel
mkdir -p "$BUILD"
ln -sfn "$to" "$BUILD/$name"
