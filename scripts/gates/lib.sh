# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What gates and controls are made of.

# scratch NAME: an empty directory. It is this process's own: gates may run side by side.
scratch() {
	local dir=$BUILD/gates/$1.$$
	rm -rf "$dir"
	mkdir -p "$dir"
	echo "$dir"
}

# sees PATTERN COMMAND...: a tool must find the fault in what it is given here, and say so. One that
# is missing, crashes or says nothing finds nothing in the sources either.
sees() {
	local pattern=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	if [[ $rc -eq 0 ]] || ! grep -qE -- "$pattern" <<<"$out"; then
		die "$1 does not see a planted fault (exit $rc): $out"
	fi
}

# fails_for PATTERN GATE [WHAT]...: the gate has to fail, and for this reason.
fails_for() {
	local pattern=$1 out rc=0
	shift
	out=$("$TOP/scripts/gates.sh" "$@" 2>&1) || rc=$?
	tail -n 50 <<<"$out" | sed "s/^/    $1 | /"
	[[ $rc -ne 0 ]] || die "the gate $1 passes"
	grep -qE -- "$pattern" <<<"$out" || die "the gate $1 fails, but does not say '$pattern'"
}

# passes GATE [WHAT]...: what is no fault, or was planted right.
passes() {
	"$TOP/scripts/gates.sh" "$@" || die "the gate $1 fails with what is no fault"
}

# tool DIR NAME COMMAND: a program NAME in DIR, which is also printed: one that is broken.
tool() {
	mkdir -p "$1"
	printf '#!/bin/sh\n%s\n' "$3" >"$1/$2"
	chmod +x "$1/$2"
	echo "$1"
}
