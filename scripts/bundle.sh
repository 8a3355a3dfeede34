#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make build/deferred-flush-bundle.tar.xz: the sticky QEMU, the kernel, the tests and a run.sh, for any
# x86-64 Linux on which nothing is or may be installed.
# Usage: bundle.sh [--built]     --built: the kernel, the modules and the QEMU are, and are left alone
# Settings: those of kernel.sh and qemu.sh
#           STATIC_BIN=  a folder with static busybox and bash. Without it: Debian 12's packages.
# Exit:  0; 1 with one error that says what to do.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"

static=${STATIC_BIN:-$CACHE/static-bookworm}
[[ -z ${STATIC_BIN:-} || ( -x $static/busybox && -x $static/bash ) ]] ||
	die "STATIC_BIN=$static: must have static programs busybox and bash"

fetch_static() {
	local tmp=$static/tmp
	begin "$static"
	private_apt "$static/apt" bookworm deb &&
		mkdir "$tmp" &&
		(cd "$tmp" && apt-get "${APT_OPTS[@]}" download busybox-static bash-static) &&
		dpkg-deb -x "$tmp"/busybox-static_*.deb "$tmp" &&
		dpkg-deb -x "$tmp"/bash-static_*.deb "$tmp" &&
		cp "$tmp/bin/busybox" "$static/busybox" &&
		cp "$tmp/bin/bash-static" "$static/bash" &&
		rm -rf "$tmp" "$static/apt" && finish "$static"
}

case $* in
"")
	"$TOP/scripts/build/setup.sh"
	"$TOP/scripts/build/kernel.sh"
	"$TOP/scripts/build/module.sh"
	"$TOP/scripts/build/qemu.sh"
	;;
--built)
	for file in kernel/arch/x86/boot/bzImage module/rust/deferred_flush.ko selftests/ktap_helpers.sh \
		qemu/qemu-system-x86_64; do
		[[ -e $BUILD/$file ]] || die "there is no $BUILD/$file: run without --built"
	done
	;;
*) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
esac
if [[ -z ${STATIC_BIN:-} ]] && ! finished "$static"; then
	[[ -e /etc/debian_version ]] || die "no static busybox and bash: pass STATIC_BIN= (their folder)"
	step "fetch static busybox and bash" fetch_static
fi

# Programs of their own: a step that is a function would go on behind a failure.
step "pack the bundle's initramfs" "$TOP/scripts/bundle/initramfs.sh" "$static" "$BUILD/bundle"
step "pack the bundle" "$TOP/scripts/bundle/pack.sh" "$static" "$BUILD/bundle"

archive=$BUILD/deferred-flush-bundle.tar.xz
size=$(stat -c %s "$archive")
note "$archive: $(((size + 1048575) / 1048576)) MiB"
[[ $size -lt $((60 * 1048576)) ]] || die "it has to be under 60 MiB"
