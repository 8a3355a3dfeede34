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

patches=("$TOP"/patches/qemu-"$QEMU_SERIES"/*.patch)
origin=$CACHE/qemu-source-$QEMU_SERIES

fetch_debian() {
	private_apt "$1/apt" bookworm deb-src &&
		(cd "$1" && apt-get "${APT_OPTS[@]}" source --download-only qemu) &&
		rm -rf "$1/apt"
}

# The release that Debian 12 has. Tokarev (stable releases; his key is in Debian's keyring), Roth.
release=$QEMU_SERIES.22
signers=(9D8BE14E3F2A9DD7919928F161AD3D98ECDF2C8E CEACC9E15534EBABB82D3FA03353C9CEF108B584)
site=https://download.qemu.org
git=https://gitlab.com/qemu-project/qemu.git

fetch_release() {
	local file=$1/qemu-$release.tar.xz
	download "$site/${file##*/}" "$file" || return 1
	if [[ -n ${QEMU_SHA256:-} ]]; then
		pinned "$file" "$QEMU_SHA256"
		return
	fi
	download "$site/${file##*/}.sig" "$file.sig" && keyring "$1/keys" "${signers[@]}" &&
		gpg --batch --status-fd 1 --verify "$file.sig" "$file" | signed_by "${signers[@]}"
}

fetch_git() {
	clone "$git" "v$release" "$1/qemu" &&
		git -C "$1/qemu" submodule -q update --init --depth 1 -- meson ui/keycodemapdb \
			tests/fp/berkeley-softfloat-3 tests/fp/berkeley-testfloat-3 &&
		keyring "$1/keys" "${signers[@]}" &&
		{ git -C "$1/qemu" verify-tag --raw "v$release" 2>&1 || true; } | signed_by "${signers[@]}"
}

fetch() {
	need_space 1500 "QEMU's source"
	obtain "QEMU source" "$origin" "pass QEMU_SRC= (a source tree of $QEMU_SERIES)" \
		"Debian's archive" fetch_debian "$site" fetch_release "$git" fetch_git
}

if [[ -n ${QEMU_SRC:-} ]]; then
	source_key=$(tree_key "$QEMU_SRC")
else
	entry "$origin" fetch
	if [[ -d $origin/qemu ]]; then
		source_key=$(git -C "$origin/qemu" rev-parse --short=16 HEAD)
	else
		package=$(compgen -G "$origin/qemu*.dsc" || compgen -G "$origin/qemu-*.tar.xz")
		source_key=$(hash_of <"$package")
	fi
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
	elif [[ -d $origin/qemu ]]; then
		cp -a --reflink=auto "$origin/qemu" "$out/src"
	elif [[ $package = *.dsc ]]; then
		dpkg-source --no-check -x "$package" "$out/src"
	else
		mkdir "$out/src" && tar -xf "$package" -C "$out/src" --strip-components=1
	fi
}

prepare() {
	if ! { unpack && PATCHED=QEMU apply_patches "$out/src" "${patches[@]}" && mkdir "$out/build"; }; then
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
