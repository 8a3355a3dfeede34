# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced, after lib.sh: where the kernel's source comes from.
# Settings: KERNEL_SRC=, KERNEL_SHA256= (kernel.sh)

# Debian's is a later stable release of the series: 7.3.y.
fetch_debian() {
	local dir=$1 suite version
	have apt-get || return 1
	for suite in trixie-backports forky sid experimental; do
		private_apt "$dir/apt" "$suite" deb || continue
		version=$(apt-cache "${APT_OPTS[@]}" policy "linux-source-$KERNEL_SERIES" |
			sed -n 's/^ *Candidate: //p')
		case $version in
		"" | "(none)" | *~rc*) continue ;;
		esac
		(cd "$dir" && apt-get "${APT_OPTS[@]}" download "linux-source-$KERNEL_SERIES") || continue
		rm -rf "$dir/apt"
		return 0
	done
	echo "no suite has linux-source-$KERNEL_SERIES, or apt cannot reach it"
	return 1
}

# Torvalds, Kroah-Hartman: https://www.kernel.org/signature.html
signers=(ABAF11C65A2970B130ABE3C479BE3E4300411886 647F28654894E3BD457199BE38DBBDC86092693E)
cdn=https://cdn.kernel.org/pub/linux/kernel/v${KERNEL_SERIES%%.*}.x
git=https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git

# What is signed is the archive before its compression.
fetch_release() {
	local file=$1/linux-$KERNEL_SERIES.tar.xz
	download "$cdn/${file##*/}" "$file" || return 1
	if [[ -n ${KERNEL_SHA256:-} ]]; then
		pinned "$file" "$KERNEL_SHA256"
		return
	fi
	download "$cdn/linux-$KERNEL_SERIES.tar.sign" "$1/sign" && keyring "$1/keys" "${signers[@]}" &&
		xz -dc "$file" | gpg --batch --status-fd 1 --verify "$1/sign" - | signed_by "${signers[@]}"
}

fetch_git() {
	clone "$git" "v$KERNEL_SERIES" "$1/linux" &&
		keyring "$1/keys" "${signers[@]}" &&
		{ git -C "$1/linux" verify-tag --raw "v$KERNEL_SERIES" 2>&1 || true; } |
		signed_by "${signers[@]}"
}

origin=$CACHE/linux-source-$KERNEL_SERIES
fetch() {
	need_space 4000 "the kernel's source"
	obtain "kernel source" "$origin" \
		"pass KERNEL_SRC= (a source tree of $KERNEL_SERIES) or KDIR= (a built one)" \
		"Debian's archive" fetch_debian "$cdn" fetch_release "$git" fetch_git
}

# find_source: get it, if it is not there yet; sets source_key, which says what it is.
find_source() {
	if [[ -n ${KERNEL_SRC:-} ]]; then
		package=KERNEL_SRC
		source_key=$(tree_key "$KERNEL_SRC")
		return
	fi
	entry "$origin" fetch
	if [[ -d $origin/linux ]]; then
		package=v$KERNEL_SERIES
		source_key=$(git -C "$origin/linux" rev-parse --short=16 HEAD)
	else
		package=$(compgen -G "$origin/linux-*")
		source_key=$(hash_of <"$package")
	fi
	note "kernel source: ${package##*/}"
}

# unpack DIR: an empty one
unpack() {
	local to=$1 tmp=$1.tmp
	if [[ -n ${KERNEL_SRC:-} ]]; then
		cp -a --reflink=auto "$KERNEL_SRC/." "$to" && make -C "$to" mrproper
	elif [[ -d $origin/linux ]]; then
		cp -a --reflink=auto "$origin/linux/." "$to"
	elif [[ $package = *.deb ]]; then
		dpkg-deb -x "$package" "$tmp" &&
			tar -xf "$tmp"/usr/src/linux-source-*.tar.xz -C "$to" --strip-components=1 &&
			rm -rf "$tmp"
	else
		tar -xf "$package" -C "$to" --strip-components=1
	fi
}

# release_of DIR: of this source
release_of() {
	sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL) = ([0-9]+)$/\2/p' "$1/Makefile" | paste -sd . |
		sed 's/^/Linux /'
}
