# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced, after lib.sh: where QEMU's source comes from.
# Settings: QEMU_SRC=, QEMU_SHA256= (qemu.sh)

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

# find_source: get it, if it is not there yet; sets source_key, which says what it is.
find_source() {
	if [[ -n ${QEMU_SRC:-} ]]; then
		package=QEMU_SRC
		source_key=$(tree_key "$QEMU_SRC")
		return
	fi
	entry "$origin" fetch
	if [[ -d $origin/qemu ]]; then
		package=v$release
		source_key=$(git -C "$origin/qemu" rev-parse --short=16 HEAD)
	else
		package=$(compgen -G "$origin/qemu*.dsc" || compgen -G "$origin/qemu-*.tar.xz")
		source_key=$(hash_of <"$package")
	fi
}

# unpack DIR: one that is not there yet, or empty
unpack() {
	# dpkg-source makes it.
	[[ ! -d $1 ]] || rmdir "$1" || return 1
	if [[ -n ${QEMU_SRC:-} ]]; then
		cp -a --reflink=auto "$QEMU_SRC" "$1"
	elif [[ -d $origin/qemu ]]; then
		cp -a --reflink=auto "$origin/qemu" "$1"
	elif [[ $package = *.dsc ]]; then
		dpkg-source --no-check -x "$package" "$1"
	else
		mkdir "$1" && tar -xf "$package" -C "$1" --strip-components=1
	fi
}

# release_of DIR: of this source
release_of() {
	echo "QEMU $(cat "$1/VERSION")"
}

# Of its configure.
options=(--target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-system
	--enable-virtfs --enable-attr --enable-cap-ng --enable-fdt=system --disable-blobs
	--disable-install-blobs --disable-werror --disable-docs --disable-tools)
