#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Get, patch and build the QEMU with PCIDs and a TLB that forgets nothing, in the cache; link it as
# build/qemu.
# Usage: qemu.sh
# Settings: QEMU_SRC=  a QEMU 7.2 source tree, copied. Without it: Debian 12's source package.
# Exit:  0; 1 with one error that says what to do.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

patches=("$TOP"/patches/qemu-"$QEMU_SERIES"/*.patch)
origin=$CACHE/qemu-source-$QEMU_SERIES

fetch() {
	begin "$origin"
	private_apt "$origin/apt" bookworm deb-src &&
		(cd "$origin" && apt-get "${APT_OPTS[@]}" source --download-only qemu) &&
		rm -rf "$origin/apt" && finish "$origin"
}

if [[ -n ${QEMU_SRC:-} ]]; then
	[[ $(cat "$QEMU_SRC/VERSION" 2>/dev/null) = $QEMU_SERIES.* ]] ||
		die "QEMU_SRC=$QEMU_SRC is not a QEMU $QEMU_SERIES source tree"
	source_key=$(cd "$QEMU_SRC" && find . -path ./.git -prune -o -type f -printf '%P %s %T@\n' |
		sort | hash_of)
else
	[[ -e /etc/debian_version ]] || die "no QEMU source: pass QEMU_SRC= (a $QEMU_SERIES tree)"
	finished "$origin" || step "fetch the QEMU source" fetch
	source_key=$(cat "$origin"/*.dsc | hash_of)
fi

options=(--target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-system
	--enable-virtfs --enable-attr --enable-cap-ng --enable-fdt=system --disable-blobs
	--disable-install-blobs --disable-werror --disable-docs --disable-tools)
out=$CACHE/qemu-$source_key-$({
	cat "${patches[@]}"
	echo "${options[@]}"
	gcc --version | head -n 1
} | hash_of)

unpack() {
	if [[ -n ${QEMU_SRC:-} ]]; then
		cp -a --reflink=auto "$QEMU_SRC" "$out/src"
	else
		dpkg-source --no-check -x "$origin"/*.dsc "$out/src"
	fi
}

apply_patches() {
	local patch
	for patch in "${patches[@]}"; do
		echo "applying ${patch##*/}"
		patch -d "$out/src" -p1 -N -F0 --no-backup-if-mismatch <"$patch" ||
			{ echo "${patch##*/} does not apply to this QEMU"; return 1; }
	done
}

prepare() {
	begin "$out"
	if unpack && apply_patches && mkdir "$out/build"; then
		(cd "$out/build" && ../src/configure "${options[@]}")
	else
		rm -rf "$out"
		return 1
	fi
}

if ! finished "$out"; then
	step "unpack, patch and configure QEMU" prepare
	step "build QEMU" ninja -C "$out/build" -j "$JOBS" qemu-system-x86_64
	finish "$out"
fi
mkdir -p "$BUILD"
ln -sfn "$out/build" "$BUILD/qemu"
