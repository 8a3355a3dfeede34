#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The unit tests of the runner.
set -euo pipefail
cd "$(dirname "$0")"
exec python3 -B -m unittest discover -t . -s . "$@"
