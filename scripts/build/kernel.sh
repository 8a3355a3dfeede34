#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Get, patch, configure and build the kernel, in the cache; link it as build/kernel{,-src}.
# Usage: kernel.sh [--mainline|--mutants] [--config FRAGMENT]... [--name NAME]
#        --mainline  without the patches; --name: link build/NAME and build/NAME-src instead
#        --mutants   with selftests/mutants on top, as build/kernel-mutants or NAME; only the image
# Settings: KDIR=        a built tree, used as it is
#           KERNEL_SRC=  a source tree, copied. Without both: Debian's archive, upstream's release, git
#           KERNEL_SHA256=  of upstream's tarball, instead of its signature
# Exit:  0; 1 with one error that says what to do; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"

patches=("$TOP"/patches/linux-"$KERNEL_SERIES"/*.patch)
configs=("$TOP/scripts/build/configs/base.config")
name=kernel mutants=''
while [[ $# -gt 0 ]]; do
	case $1 in
	--mainline) patches=(); shift ;;
	--mutants) mutants=1 name=kernel-mutants; shift ;;
	--config) configs+=("$2"); shift 2 ;;
	--name) name=$2; shift 2 ;;
	*) usage ;;
	esac
done
[[ ${#patches[@]} -eq 0 ]] || configs+=("$TOP/scripts/build/configs/deferred_flush.config")

link() {
	mkdir -p "$BUILD"
	ln -sfn "$1" "$BUILD/$name-src"
	ln -sfn "$2" "$BUILD/$name"
}

# --- a tree given by the user, built already
if [[ -n ${KDIR:-} ]]; then
	[[ -z $mutants ]] || die "mutants are made from the sources: without KDIR="
	# Again: only now is all installed that it is compared with.
	python3 -B "$TOP/scripts/lib/settings.py" || exit
	src=$KDIR
	[[ ! -e $KDIR/source ]] || src=$KDIR/source
	link "$(realpath "$src")" "$(realpath "$KDIR")"
	exit 0
fi

# --- the source
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

if [[ -n ${KERNEL_SRC:-} ]]; then
	source_key=$(tree_key "$KERNEL_SRC")
else
	entry "$origin" fetch
	if [[ -d $origin/linux ]]; then
		package=v$KERNEL_SERIES
		source_key=$(git -C "$origin/linux" rev-parse --short=16 HEAD)
	else
		package=$(compgen -G "$origin/linux-*")
		source_key=$(hash_of <"$package")
	fi
	note "kernel source: ${package##*/}"
fi

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

patches_key=$(cat /dev/null "${patches[@]}" | hash_of)
src=$CACHE/src-$source_key-$patches_key
prepare_source() {
	if ! { unpack "$src" && apply_patches "$src" "${patches[@]}"; }; then
		rm -rf "$src" "$src.tmp"
		return 1
	fi
}

make_source() {
	need_space 4000 "a kernel"
	step "unpack and patch the kernel ($name)" prepare_source
}
entry "$src" make_source

# --- configuration and build
build_key=$({
	cat "${configs[@]}"
	gcc --version | head -n 1
	"$RUST_PREFIX/rustc" --version
	"$BINDGEN" --version | sed 's/^bindgen //'
} | hash_of)
# Inside the source tree, all paths in the build's commands are relative: a copy of both builds only
# what changed (mutants.sh).
out=$src/out-$build_key

configure() {
	local line symbol bad=0
	cat "${configs[@]}" >"$out/fragment.config" &&
		kernel_make "$src" O="$out" KCONFIG_ALLCONFIG="$out/fragment.config" allnoconfig &&
		kernel_make "$src" O="$out" olddefconfig || return 1
	while read -r line; do
		symbol=${line%%=*}
		grep -qxF "$line" "$out/.config" ||
			{ echo "did not take: $line (is: $(grep -E "^(# )?${symbol}[ =]" "$out/.config" || echo unknown))"; bad=1; }
	done < <(grep -E '^CONFIG_' "$out/fragment.config")
	return $bad
}

build() {
	kernel_make "$src" O="$out" bzImage modules
}

make_kernel() {
	need_space 2000 "a kernel"
	step "configure the kernel ($name)" configure
	step "build the kernel ($name)" build
	cp "$LOG" "$out/build.log"
}
entry "$out" make_kernel
[[ -z $mutants ]] || exec "$TOP/scripts/build/mutants-kernel.sh" "$src" "$out" "$name"
link "$src" "$out"
