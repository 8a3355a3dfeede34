#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The main job: build everything, run the storms, show what the module saves.
# Usage: demo.sh       Settings: KDIR=, KERNEL_SRC= (kernel.sh), CPUS=4, TURNS=2, TEST_MS=1000 (user
#                      storms), TEST_ROUNDS=300 (vfree storm, per size), QEMU=stock|sticky
# Exit:  0; 1 if something failed or the numbers are not what they must be; 2 for wrong
#        settings, before anything is built.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
[[ $# -eq 0 ]] || usage

"$TOP/scripts/build/setup.sh"
"$TOP/scripts/build/kernel.sh"
"$TOP/scripts/build/module.sh"

report=$BUILD/report
mkdir -p "$report"
rm -f "$report"/storms.json "$report"/perf-*.csv
accel=$("$TOP/scripts/boot/accel.sh" "$(realpath "$BUILD/kernel/arch/x86/boot/bzImage")")
if [[ ${QEMU:-stock} = sticky ]]; then
	"$TOP/scripts/build/qemu.sh"
	accel=sticky
fi
note "guests run on ${accel^^}, $(nproc) host CPUs, ${CPUS:-4} guest CPUs"

export TEST_MS=${TEST_MS:-1000} TURNS=${TURNS:-2}
outputs=()
for pti in on off; do
	start=$SECONDS
	printf '==> %-46s' "storms, PTI $pti, $TURNS turns"
	"$TOP/scripts/boot/boot.sh" --out "$BUILD/guest/storms-pti-$pti" --cpus "${CPUS:-4}" \
		--append "pti=$pti" --timeout 900 -- storms.sh ||
		{ tail -n 30 "$BUILD/guest/storms-pti-$pti/output" >&2; die "storms with PTI $pti failed"; }
	echo "$((SECONDS - start)) s"
	for csv in "$BUILD/guest/storms-pti-$pti"/perf-*.csv; do
		cp "$csv" "$report/perf-pti-$pti-${csv##*/perf-}"
	done
	outputs+=("$pti=$BUILD/guest/storms-pti-$pti/output")
done

echo
"$TOP/scripts/report/demo.py" "$report/storms.json" "$accel" "${outputs[@]}"
note "report: $report/storms.json, and perf stat of every run beside it"
