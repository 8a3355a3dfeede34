#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: coherence tests on a module whose catch-ups do not flush. Each has to fail.
# Usage: bug.sh KIND...       of vfree_coherence.user.KIND_sees_the_new_mapping
set -uo pipefail

[[ $# -gt 0 ]] || { sed -n 's/^# Usage: //p' "$0" >&2; exit 2; }
insmod "$BUILD/module/rust/deferred_flush_test.ko" || exit 1
insmod "$BUILD/module-debug/rust/deferred_flush.ko" debug=1 || exit 1
export TEST_MS=500
for kind in "$@"; do
	# Several runs: TCG fits the size of its TLB to the past, and in some it is so small that a timer
	# tick evicts much of the area.
	for _ in 1 2 3 4; do
		"$BUILD/selftests/vfree_coherence" -r "vfree_coherence.user.${kind}_sees_the_new_mapping" ||
			break
	done
	sync
done
