# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced by mutants.sh and mutants.sh: the list of mutants, and how they are judged.

EXPECTED=$TOP/selftests/mutants/expected

# names GROUP: the mutants of a group, in order.
names() {
	awk -v group="$1" '$1 !~ /^[#@]/ && $2 == group { print $1 }' "$EXPECTED"
}

# find_mutant NAME: sets group, state, program, test, filter, says, counter and settings.
find_mutant() {
	read -r _ group state program test says counter settings < <(awk -v name="$1" '$1 == name' "$EXPECTED")
	[[ -n ${settings:-} ]] || { echo "no line for the mutant $1" >&2; return 1; }
	filter=()
	# The shell tests take no arguments.
	if [[ $program != *.sh ]]; then
		filter=(-t "$test")
		# FIXTURE.VARIANT.TEST, or just TEST.
		[[ $test != *.* ]] || filter=(-r "$test")
	fi
}

# caught LOG: the test that find_mutant() found has failed, and for the right reason.
caught() {
	if [[ $says = - ]]; then
		grep -qsE "^not ok [0-9]+ .*\b$test\b" "$1"
	else
		grep -qsE "^# .*:${test##*.}:Expected .*($says)" "$1"
	fi
}

# broken LOG: the test has failed without a word of what it judges.
broken() {
	! grep -qsE '^ok [0-9]+ ' "$1" && ! grep -qsE "^# .*:${test##*.}:Expected " "$1"
}

# setting NAME DEFAULT: of the mutant.
setting() {
	local value
	value=$(tr , '\n' <<<"$settings" | sed -n "s/^$1=//p")
	echo "${value:-$2}"
}
