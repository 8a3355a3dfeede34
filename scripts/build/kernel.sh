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

. "$TOP/scripts/build/source-linux.sh"
. "$TOP/scripts/build/kernel-lib.sh"

mapfile -t patches < <(series "$TOP/patches/linux-$KERNEL_SERIES")
[[ ${#patches[@]} -gt 0 ]] || die "no patches in patches/linux-$KERNEL_SERIES"
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
find_source
kernel_names patches configs

prepare_source() {
	if ! { unpack "$src" && apply_patches "$src" "${patches[@]}" &&
		keep_series "$src" "${patches[@]}"; }; then
		rm -rf "$src" "$src.tmp"
		return 1
	fi
}

change_source() {
	if ! derive_source "${old%/*}" "$src" "${patches[@]}"; then
		rm -rf "$src"
		return 1
	fi
}

make_source() {
	need_space 4000 "a kernel"
	if [[ -n $old ]]; then
		step "patch the kernel ($name)" change_source
	else
		step "unpack and patch the kernel ($name)" prepare_source
	fi
}
# What differs from a kernel that is finished is built, if there is one. The time of a file says
# what that is: so the source has to be made from its source, too.
old=''
finished "$out" || old=$(relative "$src" "$out")
entry "$src" make_source

# --- configuration and build
start_from() {
	local files
	mapfile -t files < <(differing "${old%/*}" "$src")
	copy_build "${old%/*}" "$old" "$src" "$out" "${files[@]}"
}

configure() {
	configure_kernel "$src" "$out" "${configs[@]}"
}

build() {
	kernel_make "$src" O="$out" bzImage modules
}

make_kernel() {
	need_space 2000 "a kernel"
	if [[ -n $old && -d $src/.series ]]; then
		# If it fails, it may be because of what is there.
		if attempt "start from a finished kernel ($name)" start_from &&
			attempt "configure the kernel ($name)" configure &&
			attempt "build the kernel ($name)" build; then
			cp "$LOG" "$out/build.log"
			return
		fi
		note "from nothing, then, see $LOG"
		begin "$out"
	fi
	step "configure the kernel ($name)" configure
	step "build the kernel ($name)" build
	cp "$LOG" "$out/build.log"
}
entry "$out" make_kernel
[[ -z $mutants ]] || exec "$TOP/scripts/build/mutants-kernel.sh" "$src" "$out" "$name"
link "$src" "$out"
