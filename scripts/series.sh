#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build what the series touches after each of its patches, without Rust and with CONFIG_WERROR.
# Usage: series.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

src=$(realpath "$BUILD/kernel-src")
tree=$BUILD/series
out=$BUILD/series-out
rm -rf "$tree" "$out"
mkdir -p "$out"
# A tree of links costs nothing; patch replaces the files it changes.
cp -as "$src" "$tree"
patches=("$TOP"/patches/linux-"$KERNEL_SERIES"/*.patch)
for ((i = ${#patches[@]} - 1; i >= 0; i--)); do
	patch -d "$tree" -p1 -R -s --follow-symlinks --no-backup-if-mismatch <"${patches[$i]}"
done
