#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The selftests on a kernel that checks itself: lockdep, DEBUG_ENTRY with noinstr validation,
# DEBUG_VM, IBT. About 15 minutes.
# Usage: check-debug.sh       Settings: TEST_MS=300, TEST_ROUNDS=20, ROUNDS=10
# Exit:  0; 1 for a build warning, a splat or a failed test; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[[ $# -eq 0 ]] || usage

"$TOP/scripts/setup.sh"
"$TOP/scripts/kernel.sh" --name kernel-debug --config "$TOP/scripts/configs/debug.config"
"$TOP/scripts/module.sh" kernel-debug

log=$(realpath "$BUILD/kernel-debug")/build.log
if grep -iE 'warning:' "$log"; then
	die "the debug kernel builds with warnings, see $log"
fi

results=$BUILD/report/check-debug.txt
mkdir -p "$BUILD/report"
: >"$results"
export TEST_MS=${TEST_MS:-300} TEST_ROUNDS=${TEST_ROUNDS:-20} ROUNDS=${ROUNDS:-10}
export MODULE_DIR=$BUILD/module-kernel-debug/rust
for pti in on off; do
	start=$SECONDS
	out=$BUILD/guest/debug-pti-$pti
	if "$TOP/scripts/boot.sh" --kernel kernel-debug --out "$out" --cpus 4 --append "pti=$pti" \
		--timeout 1200 -- guest-selftests.sh absent always unloaded; then
		echo "ok debug/pti-$pti: boots, no splat" >>"$results"
	else
		echo "not ok debug/pti-$pti: guest failed, see $out" >>"$results"
	fi
	[[ ! -e $out/output ]] ||
		"$TOP/scripts/tap.py" "debug/pti-$pti" "$out/output" "$out/dmesg" >>"$results"
	note "selftests, PTI $pti: $((SECONDS - start)) s"
done
summary "$results"
