#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Instructions per system call, entry and exit included: mainline against the patched kernel with the
# module absent, off, armed without a promise, always and adaptive. RDTSC counts instructions under -icount.
# With PTI and PCIDs on the sticky QEMU, with PTI and without PCIDs, and without PTI.
# Usage: measure.sh
# Exit:  0; 1 if something failed; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
[[ $# -eq 0 ]] || usage

"$TOP/scripts/build/setup.sh"
"$TOP/scripts/build/kernel.sh" --mainline --name kernel-mainline
"$TOP/scripts/build/kernel.sh"
"$TOP/scripts/build/module.sh"
"$TOP/scripts/build/qemu.sh"

mkdir -p "$BUILD/report"
json=$BUILD/report/instructions.json
values=$BUILD/report/instructions.txt
: >"$values"
# Only the sticky QEMU has PCIDs.
for machine in "pcid sticky pti=on" "nopcid stock pti=on" "nopti stock pti=off"; do
	read -r name qemu append <<<"$machine"
	for kernel in kernel-mainline kernel; do
		out=$BUILD/guest/measure-$kernel-$name
		start=$SECONDS
		ACCEL=tcg "$TOP/scripts/boot/boot.sh" --kernel "$kernel" --out "$out" --cpus 1 \
			--qemu "$qemu" --append "$append" --timeout 1800 \
			--qemu-opts "-icount shift=0,sleep=off" -- \
			measure.sh "$([[ $kernel = kernel ]] && echo patched || echo mainline)"
		sed -n "s/^value /machine=$name /p" "$out/output" >>"$values"
		note "measured: $kernel, $name ($((SECONDS - start)) s)"
	done
done

credit=$BUILD/guest/measure-credit
MODULE_DIR=$BUILD/module/rust "$TOP/scripts/boot/boot.sh" --qemu sticky --out "$credit" --cpus 2 \
	--append "pti=on" --timeout 1500 -- credit.sh
grep '^credit ' "$credit/output" | tee "$BUILD/report/credit.txt"

python3 - "$values" "$json" <<'PY'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1], encoding="utf-8"):
    row = dict(word.split("=") for word in line.split())
    key = row["machine"], row["what"], row["state"]
    runs.setdefault(key, []).append(float(row["instructions"]))
rows = []
print(f"{'machine':8}{'what':13}{'state':18}{'instructions':>13}{'spread':>8}{'more':>8}")
for (machine, what, state), values in sorted(runs.items()):
    base = statistics.median(runs[machine, what, "mainline"])
    median = statistics.median(values)
    spread = max(abs(value - median) for value in values)
    rows.append({"machine": machine, "what": what, "state": state, "instructions": median,
                 "spread": round(spread, 1), "more_than_mainline": round(median - base, 1)})
    print(f"{machine:8}{what:13}{state:18}{median:13.1f}{spread:8.1f}{median - base:+8.1f}")
json.dump(rows, open(sys.argv[2], "w", encoding="utf-8"), indent=1)
PY
note "report: $json"
