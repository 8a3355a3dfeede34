#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Instructions per getppid(), entry and exit included: mainline against the patched kernel with the
# module absent, off, armed without a promise, and always. RDTSC counts instructions under -icount.
# Usage: measure.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

"$TOP/scripts/setup.sh"
"$TOP/scripts/kernel.sh" --mainline --name kernel-mainline
"$TOP/scripts/kernel.sh"
"$TOP/scripts/module.sh"

mkdir -p "$BUILD/report"
json=$BUILD/report/instructions.json
values=$BUILD/report/instructions.txt
: >"$values"
for kernel in kernel-mainline kernel; do
	for pti in on off; do
		out=$BUILD/guest/measure-$kernel-$pti
		ACCEL=tcg "$TOP/scripts/boot.sh" --kernel "$kernel" --out "$out" --cpus 1 \
			--append "pti=$pti" --timeout 600 --qemu-opts "-icount shift=0,sleep=off" -- \
			guest-measure.sh "$([[ $kernel = kernel ]] && echo patched || echo mainline)"
		sed -n "s/^value /pti=$pti /p" "$out/output" >>"$values"
	done
done

python3 - "$values" "$json" <<'PY'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1], encoding="utf-8"):
    row = dict(word.split("=") for word in line.split())
    runs.setdefault((row["pti"], row["state"]), []).append(float(row["instructions"]))
rows = []
print(f"{'PTI':4}{'kernel':22}{'instructions':>14}{'spread':>16}{'more':>8}")
for (pti, state), values in runs.items():
    base = statistics.median(runs[pti, "mainline"])
    median = statistics.median(values)
    rows.append({"pti": pti, "state": state, "instructions": median, "min": min(values),
                 "max": max(values), "more_than_mainline": round(median - base, 1)})
    print(f"{pti:4}{state:22}{median:14.1f}{min(values):9.1f}-{max(values):.1f}{median - base:+8.1f}")
json.dump(rows, open(sys.argv[2], "w", encoding="utf-8"), indent=1)
PY
note "report: $json"
