#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Remove trees, builds and results from the cache that were not used lately. Nothing else ever does:
# each edit of a patch leaves a tree of 2 GiB. Downloads and tools stay.
# Usage: clean-cache.sh       Settings: DAYS=30
# Exit:  0; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
[[ $# -eq 0 ]] || usage

mkdir -p "$CACHE/.locks"
before=$(free_mib "$CACHE")
shopt -s nullglob
# What was built in a tree marks its use; the tree itself does where nothing was.
for entry in "$CACHE"/src-* "$CACHE"/qemu-[0-9a-f]* "$CACHE"/mutants-* "$CACHE"/git-* \
	"$CACHE"/results/*; do
	[[ -z $(find "$entry" -maxdepth 2 \( -name .finished -o -path "$entry" \) \
		-mtime "-${DAYS:-30}" -print -quit) ]] || continue
	# Somebody makes it.
	exec {lock}>>"$(lock_of "$entry")"
	if flock -n "$lock"; then
		note "removing ${entry##*/}"
		rm -rf "$entry"
	fi
	exec {lock}>&-
done
note "$(($(free_mib "$CACHE") - before)) MiB gained in $CACHE"
