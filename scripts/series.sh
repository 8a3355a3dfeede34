#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build what the series touches after each of its patches, with CONFIG_WERROR; all of it also with
# PREEMPT_RT, which it refuses.
# Usage: series.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

src=$(realpath "$BUILD/kernel-src")
tree=$BUILD/series/tree
out=$BUILD/series/out
patches=("$TOP"/patches/linux-"$KERNEL_SERIES"/*.patch)
objects=(arch/x86/entry/entry_64.o arch/x86/entry/entry_64_compat.o arch/x86/entry/syscall_64.o
	arch/x86/entry/syscall_32.o arch/x86/kernel/{nmi,traps,process,apic/apic}.o
	arch/x86/mm/{pti,tlb,pat/set_memory}.o
	kernel/entry/common.o kernel/sched/build_policy.o mm/vmalloc.o)

rm -rf "$BUILD/series"
mkdir -p "$out"
# Links cost nothing. What the series touches is copied, so that the original stays as it is.
cp -as "$src" "$tree"
rm -rf "$tree"/out-*
sed -n 's|^+++ b/||p' "${patches[@]}" | sort -u | while read -r file; do
	rm -f "$tree/$file"
	[[ ! -e $src/$file ]] || cp "$src/$file" "$tree/$file"
done
for ((i = ${#patches[@]} - 1; i >= 0; i--)); do
	patch -d "$tree" -p1 -F0 -R -s --no-backup-if-mismatch <"${patches[$i]}"
done

# No Rust: it takes a minute to prepare, and the series has none.
{
	grep -v RUST "$TOP/scripts/configs/base.config"
	echo CONFIG_WERROR=y
} >"$out/fragment.config"
kernel_make "$tree" O="$out" KCONFIG_ALLCONFIG="$out/fragment.config" allnoconfig
for patch in "${patches[@]}"; do
	echo "=== ${patch##*/}"
	patch -d "$tree" -p1 -F0 -s --no-backup-if-mismatch <"$patch"
	if grep -q '^+config X86_DEFERRED_FLUSH' "$patch"; then
		"$tree/scripts/config" --file "$out/.config" -e X86_DEFERRED_FLUSH
		kernel_make "$tree" O="$out" olddefconfig
		grep -q '^CONFIG_X86_DEFERRED_FLUSH=y' "$out/.config"
		objects+=(arch/x86/mm/deferred_flush.o)
	fi
	kernel_make "$tree" O="$out" "${objects[@]}"
done

echo "=== PREEMPT_RT"
"$tree/scripts/config" --file "$out/.config" -e PREEMPT_RT
kernel_make "$tree" O="$out" olddefconfig
grep -q '^CONFIG_PREEMPT_RT=y' "$out/.config"
! grep '^CONFIG_X86_DEFERRED_FLUSH=y' "$out/.config" || exit 1
# The last one is deferred_flush.o.
unset 'objects[-1]'
kernel_make "$tree" O="$out" "${objects[@]}"
rm -rf "$BUILD/series"
