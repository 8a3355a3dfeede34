#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the coherence test on a module whose catch-ups do not flush. It has to fail.
set -euo pipefail

insmod "$BUILD/module/rust/deferred_flush_test.ko"
insmod "$BUILD/module-debug/rust/deferred_flush.ko" debug=1
# Several runs: TCG fits the size of its TLB to the past, and in some it is so small that a timer
# tick evicts much of the area.
export TEST_MS=500
bad=0
for _ in 1 2 3 4; do
	"$BUILD/selftests/vfree_coherence" || bad=1
done
exit "$bad"
