#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the coherence test on a module whose catch-ups do not flush. It has to fail.
set -euo pipefail

insmod "$BUILD/module/rust/deferred_flush_test.ko"
insmod "$BUILD/module-debug/rust/deferred_flush.ko" debug=1
TEST_MS=2000 "$BUILD/selftests/vfree_coherence"
