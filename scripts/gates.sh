#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Gates: what the sources and what is built from them have to be like. The exit status is the
# verdict, the output says why.
# Usage: gates.sh list                     the gates and their controls
#        gates.sh GATE [WHAT]...           what to look at, if not at the tree and build/: see gates/
#        gates.sh control GATE [CONTROL]   plant a fault, and see the gate fail because of it
# A gate is a function gate_NAME() of gates/*.sh, its controls are control_NAME__CASE(). Each runs in
# a process of its own, in which errexit holds.
set -euo pipefail
# In $(...) as well.
shopt -s inherit_errexit
. "$(dirname "$0")/lib/lib.sh"

GATES=$TOP/scripts/gates
for file in "$GATES"/*.sh; do
	# shellcheck source=/dev/null
	. "$file"
done

usage() {
	sed -n '/^# Usage: /,/^# A gate/s/^# \(Usage: \)\?//p' "$0" | head -n -1 >&2
	exit 2
}

functions() { # PREFIX
	declare -F | sed -n "s/^declare -f $1//p"
}

list() {
	local gate
	for gate in $(functions gate_); do
		echo "$gate: $(functions "control_${gate}__" | xargs)"
	done | tr _ -
}

controls() { # GATE
	local name start failed=0 count=0
	for name in $(functions "control_$1__"); do
		start=$SECONDS
		count=$((count + 1))
		if "$0" control "$1" "$name"; then
			echo "ok $1: ${name//_/-} ($((SECONDS - start)) s)"
		else
			echo "not ok $1: ${name//_/-} ($((SECONDS - start)) s)"
			failed=$((failed + 1))
		fi
	done
	[[ $count -gt 0 ]] || die "the gate $1 has no control"
	[[ $failed -eq 0 ]] || die "$failed of $count controls of $1 failed"
}

[[ $# -gt 0 ]] || usage
if [[ $1 = list ]]; then
	list
	exit 0
fi
kind=gate
if [[ $1 = control ]]; then
	kind=control
	shift
fi
gate=${1:-}
gate=${gate//-/_}
shift || usage
declare -F "gate_$gate" >/dev/null || die "no such gate: $gate, see gates.sh list"
mkdir -p "$BUILD/gates"
trap 'rm -rf "$BUILD"/gates/*."$$"' EXIT

# Not in a condition: errexit would be off in there.
if [[ $kind = gate ]]; then
	"gate_$gate" "$@"
elif [[ $# -eq 0 ]]; then
	controls "$gate"
else
	declare -F "control_${gate}__${1//-/_}" >/dev/null || die "no control $1 of the gate $gate"
	"control_${gate}__${1//-/_}"
fi
