#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Get, patch and build the QEMU with PCIDs and a TLB that forgets nothing, in the cache; link it as
# build/qemu.
# Usage: qemu.sh
# Settings: QEMU_SRC=  a QEMU 7.2 source tree, copied. Without it: Debian 12's, upstream's release, git
#           QEMU_SHA256=  of upstream's tarball, instead of its signature
# Exit:  0; 1 with one error that says what to do; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
[[ $# -eq 0 ]] || usage

. "$TOP/scripts/build/source-qemu.sh"
mapfile -t patches < <(series "$TOP/patches/qemu-$QEMU_SERIES")
[[ ${#patches[@]} -gt 0 ]] || die "no patches in patches/qemu-$QEMU_SERIES"
find_source

out=$CACHE/qemu-$source_key-$({
	series_diff "${patches[@]}"
	echo "${options[@]}"
	gcc --version | head -n 1
} | hash_of)

prepare() {
	if ! { unpack "$out/src" && PATCHED=QEMU apply_patches "$out/src" "${patches[@]}" &&
		mkdir "$out/build"; }; then
		rm -rf "$out"
		return 1
	fi
	(cd "$out/build" && ../src/configure "${options[@]}")
}

make_qemu() {
	need_space 1500 "QEMU"
	step "unpack, patch and configure QEMU" prepare
	step "build QEMU" ninja -C "$out/build" -j "$JOBS" qemu-system-x86_64
}
entry "$out" make_qemu
mkdir -p "$BUILD"
ln -sfn "$out/build" "$BUILD/qemu"
