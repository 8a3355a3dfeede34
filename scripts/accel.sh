#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Print kvm if KVM boots this kernel here, else tcg. Tried once per image, with a time limit:
# /dev/kvm may exist and yet not run a stock kernel.
# Usage: accel.sh BZIMAGE
set -euo pipefail
. "$(dirname "$0")/lib.sh"

export PATH=$VENV/bin:$PATH
memo=$BUILD/accel-$(echo "$1" | hash_of)
if [[ ! -e $memo ]]; then
	mkdir -p "$BUILD"
	accel=tcg
	if [[ -w /dev/kvm ]] && timeout -k 5 60 vng --cpus 1 --memory 1G --run "$1" \
		--exec 'exit 77' </dev/null >"$BUILD/accel.log" 2>&1; [[ $? -eq 77 ]]; then
		accel=kvm
	fi
	echo "$accel" >"$memo"
fi
cat "$memo"
