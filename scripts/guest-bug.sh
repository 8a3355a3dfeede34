#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: one coherence test, TEST_ARGS=, on a module whose catch-ups do not flush. It has to fail.
set -euo pipefail

insmod "$BUILD/module/rust/deferred_flush_test.ko"
insmod "$BUILD/module-debug/rust/deferred_flush.ko" debug=1
export TEST_MS=500
# Several runs: TCG fits the size of its TLB to the past, and in some it is so small that a timer
# tick evicts much of the area.
for _ in 1 2 3 4; do
	# shellcheck disable=SC2086 # arguments of the harness
	"$BUILD/selftests/vfree_coherence" $TEST_ARGS || exit 1
done
