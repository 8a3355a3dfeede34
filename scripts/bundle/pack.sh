#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Put the bundle together and pack it.
# Usage: pack.sh STATIC OUT     packs OUT/initramfs and the rest into build/deferred-flush-bundle.tar.xz
set -euo pipefail
# shellcheck source=scripts/lib/lib.sh
. "$(dirname "$0")/../lib/lib.sh"
# shellcheck source=scripts/bundle/files.sh
. "$(dirname "$0")/files.sh"

static=$1 out=$2
name=deferred-flush-bundle
bundle=$out/$name
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,qemu/lib,scripts}

# The machine. Its loader is called by its path: nothing of the host's libraries is looked at.
programs "$bundle/qemu" "$BUILD/qemu/qemu-system-x86_64"
list=$(libraries "$BUILD/qemu/qemu-system-x86_64")
for path in $list; do
	cp -L "$path" "$bundle/qemu/lib"
done
[[ -x $bundle/qemu/lib/ld-linux-x86-64.so.2 ]] || die "the QEMU does not name its loader"
for file in bios-256k.bin linuxboot_dma.bin kvmvapic.bin; do
	for dir in /usr/share/{qemu,seabios,qemu/firmware} "$BUILD/qemu/pc-bios"; do
		[[ ! -s $dir/$file ]] || break
	done
	[[ -s $dir/$file ]] || die "no $file, which is QEMU's firmware, in /usr/share/{qemu,seabios}"
	cp -L "$dir/$file" "$bundle/qemu"
done

cp -L "$BUILD/kernel/arch/x86/boot/bzImage" "$bundle/kernel"
cp -L "$BUILD/kernel/.config" "$bundle/kernel.config"
cp "$out/initramfs" "$bundle/initramfs"

cp "$static/busybox" "$static/bash" "$bundle/bin"
applets "$bundle/bin"
cp "$TOP"/scripts/bundle/{run.sh,README} "$bundle"
cp "$TOP"/scripts/bundle/{run-scenario.sh,tap.awk,storms.awk} "$TOP"/scripts/boot/{splats,stale}.sh \
	"$bundle/scripts"
python3 -B "$TOP/scripts/bundle/scenarios.py" >"$bundle/scenarios"
{
	echo "revision $(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)"
	echo "kernel $(cat "$BUILD/kernel/include/config/kernel.release")"
	echo "qemu $("$BUILD/qemu/qemu-system-x86_64" --version | sed -n 's/^QEMU emulator version //p')"
	for test in "$out/root/deferred-flush/build/selftests"/*; do
		echo "test ${test##*/}"
	done
} >"$bundle/contents"

du -sh "$bundle"/*
# Of the time that -6 takes, -2 takes a third, for 3 MiB more.
archive=$BUILD/$name.tar.xz
tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" |
	xz -T"$JOBS" -2 >"$archive.tmp"
mv "$archive.tmp" "$archive"
