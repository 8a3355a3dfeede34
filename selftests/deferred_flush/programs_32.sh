#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The tests that are 32-bit programs: not each compiler builds them, and not each kernel runs them.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

here=$(dirname "$0")

ktap_print_header
set -- "$here"/*_32
[ -x "$1" ] || skip_all "built without 32-bit programs: the compiler refused -m32"
# Of what the kernel refuses, a shell tries to make sense itself.
"$1" -l 2>&1 | grep -q '^# FIXTURE' ||
	skip_all "they do not start: CONFIG_IA32_EMULATION, ia32_emulation=off, 32-bit C library"
ktap_set_plan $#

for program in "$@"; do
	# A TAP of its own: as comments.
	rc=0
	"$program" >./program_32.txt 2>&1 || rc=$?
	sed 's/^/# /' ./program_32.txt
	if [ "$rc" -eq 0 ] && all_passed ./program_32.txt; then
		ktap_test_pass "${program##*/}"
	else
		ktap_test_fail "${program##*/}"
	fi
done
ktap_finished
