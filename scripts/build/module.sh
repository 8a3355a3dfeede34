#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the modules into build/module, again with the deliberate bugs into build/module-debug, and the
# selftests into build/selftests; and install them, with kselftest's runner, into build/installed.
# Usage: module.sh [KERNEL-LINK]     for another kernel, as kernel.sh --name has it, the module only, in
#        build/module-KERNEL-LINK; mainline gets deferred_flush_test.ko
# Exit:  0; 1 if something does not build; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
[[ $# -le 1 ]] || usage

kernel=$BUILD/${1:-kernel}
suffix=${1:+-$1}
[[ -e $kernel/Module.symvers ]] || die "no built kernel at $kernel: run scripts/build/kernel.sh"
out=$(realpath "$kernel")
src=$(realpath "$kernel-src")

build_module() {
	mkdir -p "$BUILD/$1"
	kernel_make "$src" O="$out" M="$TOP" MO="$BUILD/$1" "${@:2}" modules
}

build_selftests() {
	mkdir -p "$BUILD/selftests"
	rm -rf "$BUILD/installed"
	make -C "$TOP/selftests" KERNEL_SRC="$src" OUTPUT="$BUILD/selftests" \
		kselftest_install INSTALL_PATH="$BUILD/installed" &&
		cp "$TOP"/selftests/deferred_flush/*.sh "$BUILD/selftests" &&
		cp "$src"/tools/testing/selftests/kselftest/ktap_helpers.sh "$BUILD/selftests"
}

step "build the module${suffix}" build_module "module$suffix"
# What the guests of the first kernel use stays as it is.
[[ -z $suffix ]] || exit 0
step "build the module with DEBUG=1" build_module module-debug DEBUG=1
step "build the selftests" build_selftests
