#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Get, patch, configure and build the kernel, in the cache; link it as build/kernel{,-src}.
# Usage: kernel.sh [--mainline|--mutants] [--config FRAGMENT]... [--name NAME]
#        --mainline  without the patches; --name: link build/NAME and build/NAME-src instead
#        --mutants   with selftests/mutants on top, as build/kernel-mutants or NAME; only the image
# Settings: KDIR=        a built tree, used as it is
#           KERNEL_SRC=  a source tree, copied
# Exit:  0; 1 with one error that says what to do.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

patches=("$TOP"/patches/linux-"$KERNEL_SERIES"/*.patch)
configs=("$TOP/scripts/configs/base.config")
name=kernel mutants=''
while [[ $# -gt 0 ]]; do
	case $1 in
	--mainline) patches=(); shift ;;
	--mutants) mutants=1 name=kernel-mutants; shift ;;
	--config) configs+=("$2"); shift 2 ;;
	--name) name=$2; shift 2 ;;
	*) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
	esac
done
[[ ${#patches[@]} -eq 0 ]] || configs+=("$TOP/scripts/configs/deferred_flush.config")

link() {
	mkdir -p "$BUILD"
	ln -sfn "$1" "$BUILD/$name-src"
	ln -sfn "$2" "$BUILD/$name"
}

# --- a tree given by the user, built already
if [[ -n ${KDIR:-} ]]; then
	[[ -z $mutants ]] || die "mutants are made from the sources: without KDIR="
	[[ -f $KDIR/arch/x86/boot/bzImage && -f $KDIR/Module.symvers ]] ||
		die "KDIR=$KDIR is not a built kernel tree (no bzImage or Module.symvers)"
	grep -q '^CONFIG_X86_DEFERRED_FLUSH=y' "$KDIR/.config" ||
		die "KDIR=$KDIR has no CONFIG_X86_DEFERRED_FLUSH=y: apply patches/linux-$KERNEL_SERIES"
	src=$KDIR
	[[ ! -e $KDIR/source ]] || src=$KDIR/source
	link "$(realpath "$src")" "$(realpath "$KDIR")"
	exit 0
fi

# --- the source
fetch_debian() {
	local dir=$1 suite version
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
	rm -rf "$dir/apt"
	return 1
}

fetch_git() {
	git clone --depth 1 --branch "v$KERNEL_SERIES" \
		https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git "$1/linux"
}

origin=$CACHE/linux-source-$KERNEL_SERIES
fetch() {
	begin "$origin"
	if [[ -e /etc/debian_version ]]; then
		fetch_debian "$origin"
	else
		fetch_git "$origin"
	fi && finish "$origin"
}

if [[ -n ${KERNEL_SRC:-} ]]; then
	[[ -f $KERNEL_SRC/Kbuild && -d $KERNEL_SRC/arch/x86 ]] ||
		die "KERNEL_SRC=$KERNEL_SRC is not a kernel source tree"
	source_key=$(cd "$KERNEL_SRC" && find . -path ./.git -prune -o -type f -printf '%P %s %T@\n' |
		sort | hash_of)
else
	finished "$origin" || step "fetch the kernel source" fetch ||
		die "no kernel source: pass KERNEL_SRC= (a $KERNEL_SERIES tree) or KDIR= (a built one)"
	if compgen -G "$origin/*.deb" >/dev/null; then
		source_key=$(cat "$origin"/*.deb | hash_of)
	else
		source_key=$(git -C "$origin/linux" rev-parse --short=16 HEAD)
	fi
fi

unpack() {
	local to=$1 tmp=$1.tmp
	if [[ -n ${KERNEL_SRC:-} ]]; then
		cp -a --reflink=auto "$KERNEL_SRC/." "$to" && make -C "$to" mrproper
	elif [[ -d $origin/linux ]]; then
		cp -a --reflink=auto "$origin/linux/." "$to"
	else
		dpkg-deb -x "$origin"/*.deb "$tmp" &&
			tar -xf "$tmp"/usr/src/linux-source-*.tar.xz -C "$to" --strip-components=1 &&
			rm -rf "$tmp"
	fi
}

# Any hunk that fails, or only applies with fuzz, stops this.
apply_patches() {
	local to=$1 patch
	for patch in "${patches[@]}"; do
		echo "applying ${patch##*/}"
		patch -d "$to" -p1 -N -F0 --no-backup-if-mismatch <"$patch" ||
			{ echo "${patch##*/} does not apply to this kernel"; return 1; }
	done
}

patches_key=$(cat /dev/null "${patches[@]}" | hash_of)
src=$CACHE/src-$source_key-$patches_key
prepare_source() {
	begin "$src"
	if unpack "$src" && apply_patches "$src"; then
		finish "$src"
	else
		rm -rf "$src"
		return 1
	fi
}
finished "$src" || step "unpack and patch the kernel ($name)" prepare_source

# --- configuration and build
build_key=$({
	cat "${configs[@]}"
	gcc --version | head -n 1
	"$RUST_PREFIX/rustc" --version
	echo "$BINDGEN_VERSION"
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

if ! finished "$out"; then
	begin "$out"
	step "configure the kernel ($name)" configure
	step "build the kernel ($name)" build
	cp "$BUILD/log/build-the-kernel--$name-.log" "$out/build.log"
	finish "$out"
fi
[[ -z $mutants ]] || exec "$TOP/scripts/mutants-kernel.sh" "$src" "$out" "$name"
link "$src" "$out"
