#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tests of the scripts: settings, sessions, sources, boot.sh, gates. No network, no kernel, no guest.
# Usage: run.sh [-k PATTERN]
set -euo pipefail
cd "$(dirname "$0")"
exec python3 -B -m unittest test_settings test_session test_sources test_boot \
	test_series test_kernel test_patchable "$@"
