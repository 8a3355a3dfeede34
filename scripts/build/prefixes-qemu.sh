#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every prefix of the QEMU series has to build without a warning.
# Usage: prefixes-qemu.sh [PATCHES]   a directory of patches; default: patches/qemu-*
# What has passed is remembered, by its content.
# Settings: QEMU_SRC=, QEMU_SHA256= (qemu.sh)
#           SERIES_MEMO=  where; default: the cache
# Exit:  0; 1 for the first prefix that does not build.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
[[ $# -le 1 ]] || usage

. "$TOP/scripts/build/source-qemu.sh"
dir=${1:-$TOP/patches/qemu-$QEMU_SERIES}
mapfile -t patches < <(series "$dir")
[[ ${#patches[@]} -gt 0 ]] || die "no patches in $dir"
find_source
export CCACHE_DIR=$CACHE/ccache CCACHE_MAXSIZE=1G CCACHE_COMPILERCHECK=content
memo=${SERIES_MEMO:-$CACHE/series}
work=$BUILD/prefixes-qemu
mkdir -p "$memo"

# memo_of COUNT: of the first patches
memo_of() {
	{
		echo "$source_key ${options[*]}"
		cat "$0"
		gcc --version
		series_diff "${patches[@]:0:$1}"
	} | hash_of
}

first=1
while [[ $first -le ${#patches[@]} && -e $memo/$(memo_of "$first") ]]; do
	first=$((first + 1))
done
echo "$((first - 1)) of ${#patches[@]} prefixes of QEMU's series built before"
[[ $first -le ${#patches[@]} ]] || exit 0

rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/build"
need_space 1500 "the prefixes of QEMU's series"
prepare() {
	unpack "$work/src" && PATCHED=QEMU apply_patches "$work/src" "${patches[@]:0:$first}" &&
		cd "$work/build" && CC="ccache gcc" ../src/configure "${options[@]}" --enable-werror
}
step "unpack, patch and configure QEMU" prepare
for ((count = first; count <= ${#patches[@]}; count++)); do
	patch=${patches[$count - 1]}
	[[ $count -eq $first ]] ||
		PATCHED=QEMU step "apply ${patch##*/}" apply_patches "$work/src" "$patch"
	attempt "build QEMU with patches 1 to $count" ninja -C "$work/build" -j "$JOBS" \
		qemu-system-x86_64 || {
		grep -E '(error|warning):|undefined ' "$LOG" | sed -n '1,20s/^/    /p' >&2 || true
		die "the series does not build with ${patch##*/} as its last patch: $LOG"
	}
	# Only now: what is interrupted leaves nothing.
	: >"$memo/$(memo_of "$count")"
done
