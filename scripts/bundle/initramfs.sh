#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make the bundle's initramfs: init, the guest scripts, the modules, the selftests, and the programs that
# these call. perf and stress-ng come with their libraries from this machine, if they are there.
# Usage: initramfs.sh STATIC OUT     makes OUT/initramfs; OUT/root is what is in it
set -euo pipefail
# shellcheck source=scripts/lib/lib.sh
. "$(dirname "$0")/../lib/lib.sh"
# shellcheck source=scripts/bundle/files.sh
. "$(dirname "$0")/files.sh"

static=$1 out=$2
root=$out/root
rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,out,lib32,lib64} "$root/deferred-flush/scripts/guest" \
	"$root"/deferred-flush/build/{module/rust,kernel/lib,selftests}
# Scripts name their interpreters, and /sbin programs, by more than one path.
mkdir "$root/usr"
ln -s ../bin "$root/usr/bin"
ln -s bin "$root/sbin"

cp "$static/busybox" "$static/bash" "$root/bin"
# Not in busybox, or without an option that the tests use.
extra=(mountpoint taskset perf stress-ng)
for name in "${extra[@]}"; do
	if path=$(command -v "$name"); then
		programs "$root/bin" "$path"
	else
		echo "no $name here: what needs it will be skipped"
	fi
done
applets "$root/bin"
cp "$TOP/scripts/bundle/init" "$root/init"

cp "$TOP"/scripts/guest/*.sh "$root/deferred-flush/scripts/guest"
build=$root/deferred-flush/build
cp "$BUILD"/module/rust/*.ko "$build/module/rust"
[[ ! -e $BUILD/kernel/lib/test_vmalloc.ko ]] ||
	cp "$BUILD/kernel/lib/test_vmalloc.ko" "$build/kernel/lib"
find "$BUILD/selftests" -maxdepth 1 -type f -perm -u+x -print0 |
	xargs -0 cp -t "$build/selftests"
cp "$BUILD/selftests/ktap_helpers.sh" "$build/selftests"

mapfile -t found < <(find "$root" -type f -perm -u+x)
list=$(libraries "${found[@]}")
for path in $list; do
	# The loaders have to be where programs name them, the rest is found by LD_LIBRARY_PATH.
	case $path in
	*/ld-linux*) mkdir -p "$root${path%/*}" && cp -L "$path" "$root$path" ;;
	esac
	# The fifth byte of an ELF file: 1 for 32 bits, 2 for 64.
	case $(od -An -tu1 -j4 -N1 "$path" | tr -d ' ') in
	1) cp -L "$path" "$root/lib32" ;;
	2) cp -L "$path" "$root/lib64" ;;
	*) die "$path: not an ELF file" ;;
	esac
done

(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$out/initramfs"
du -sh "$root" "$out/initramfs"
