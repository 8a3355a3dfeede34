#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Everything at once for 15 minutes: half on 4 CPUs with PTI, half on 8 without, on the QEMU whose TLB
# forgets nothing. Not part of make check.
# Usage: soak.sh       Settings: SOAK_SECONDS=900
# Exit:  0; 1 for a splat, a stale hit, a hang or something stale that a test found; 2 for wrong
#        settings.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
[[ $# -eq 0 ]] || usage

"$TOP/scripts/build/setup.sh"
"$TOP/scripts/build/kernel.sh"
"$TOP/scripts/build/module.sh"
"$TOP/scripts/build/qemu.sh"

total=${SOAK_SECONDS:-900}
results=$BUILD/report/soak.txt
mkdir -p "$BUILD/report"
: >"$results"
export SOAK_SECONDS=$((total / 2))
for guest in "4 pti=on" "8 pti=off"; do
	read -r cpus append <<<"$guest"
	out=$BUILD/guest/soak-$cpus
	start=$SECONDS
	if "$TOP/scripts/boot/boot.sh" --qemu sticky --out "$out" --cpus "$cpus" --append "$append" \
		--timeout $((SOAK_SECONDS + 400)) -- soak.sh; then
		grep -a '^soak:' "$out/output"
		echo "ok soak/$cpus CPUs, $append: no splat, no stale hit" >>"$results"
	else
		echo "not ok soak/$cpus CPUs, $append: failed, see $out" >>"$results"
	fi
	note "soak, $cpus CPUs, $append: $((SECONDS - start)) s"
done
summary "$results"
