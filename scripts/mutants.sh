#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Deliberate bugs (selftests/mutants), on the sticky QEMU: each has to be caught by its test.
# Prints what mutants.sh prints, and what became of those with which the guest died.
# Usage: mutants.sh [GROUP|MUTANT]...      default: all; list: names the groups
# Needs build/kernel-mutants (kernel.sh --mutants), build/module*, build/selftests and build/qemu.
# Exit:  0 if all were caught.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
. "$TOP/scripts/guest/mutants-lib.sh"

groups() {
	awk '$1 == "@" { print $2 }' "$EXPECTED"
}

# boot GROUP OUT MUTANT...: one guest. Its end says nothing: a bug may have ended it.
boot() {
	local out=$2 limit=60 name cpus append corner vendor opts
	# Nothing of an earlier run counts.
	rm -rf "$out"
	read -r cpus append corner vendor < <(awk -v group="$1" '$1 == "@" && $2 == group { print $3, $4, $5, $6 }' \
		"$EXPECTED")
	# A shootdown that is under way may take some time. One that leaves out a CPU, longer than this.
	opts="-global max-x86_64-cpu.x-tlb-grace-ms=100"
	[[ $vendor = - ]] || opts+=" -global max-x86_64-cpu.vendor=$vendor"
	local run=(mutants.sh "$1" "${@:3}")
	if [[ $corner != - ]]; then
		opts+=" $(idle_states)"
		run=(corner.sh "$corner" -- "${run[@]}")
	fi
	for name in "${@:3}"; do
		find_mutant "$name"
		limit=$((limit + $(setting runs 1) * $(setting limit 60)))
	done
	"$TOP/scripts/boot/boot.sh" --qemu sticky --allow-stale --kernel kernel-mutants --out "$out" \
		--cpus "$cpus" --append "${append//,/ }" --timeout "$limit" \
		--qemu-opts "$opts" -- "${run[@]}" >"$out.log" 2>&1 || true
	touch "$out/output"
}

# The sections of those that have come to an end; their names in the array done.
collect() { # OUTPUT
	awk '/^## test / { text = "" } { text = text $0 "\n" } /^## exit / { printf "%s", text; text = "" }' "$1"
	mapfile -t ended < <(awk '/^## test / { name = $3 } /^## exit / { sub("mutant/", "", name); print name }' "$1")
}

# died NAME LOG TRIES: the guest is gone, and what the test has said until then is all there is.
died() {
	echo "## test mutant/$1"
	echo "TAP version 13"
	echo "1..1"
	if caught "$2"; then
		echo "ok 1 caught by $program: $test, and the guest died ($3 boots)"
	else
		echo "not ok 1 the guest died before $program said so: $test ($3 boots)"
	fi
	echo "## exit 0"
}

run_group() { # GROUP MUTANT...
	local group=$1 out=$BUILD/guest/mutants-$1 tries=1 name ended
	local left=("${@:2}")
	while [[ ${#left[@]} -gt 0 ]]; do
		boot "$group" "$out" "${left[@]}"
		collect "$out/output"
		left=("${left[@]:${#ended[@]}}")
		[[ ${#left[@]} -gt 0 ]] || break
		[[ ${#ended[@]} -eq 0 ]] || tries=1
		# This one was running, unless the guest never came up.
		name=${left[0]}
		find_mutant "$name"
		if caught "$out/mutant-$name.log" || [[ $tries -ge $(setting tries 1) ]]; then
			died "$name" "$out/mutant-$name.log" "$tries"
			left=("${left[@]:1}")
			tries=1
		else
			tries=$((tries + 1))
			echo "# mutant $name: the guest died, boot number $tries"
		fi
	done
}

mkdir -p "$BUILD/guest"
[[ -e $BUILD/kernel-mutants ]] || die "no build/kernel-mutants: run scripts/build/kernel.sh --mutants"
if [[ ${1:-} = list ]]; then
	groups
	exit
fi
[[ $# -gt 0 ]] || mapfile -t all < <(groups)
results=$BUILD/report/mutants-${1:-all}.tap
mkdir -p "${results%/*}"
for what in "${@:-${all[@]}}"; do
	start=$SECONDS
	mapfile -t wanted < <(names "$what")
	if [[ ${#wanted[@]} -eq 0 ]]; then
		find_mutant "$what"
		wanted=("$what")
	else
		group=$what
	fi
	# shellcheck disable=SC2153 # find_mutant sets it
	run_group "$group" "${wanted[@]}"
	note "mutants of $what: $((SECONDS - start)) s" >&2
done | tee "$results"
! grep -q '^not ok' "$results"
