#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The core as a host crate: its tests, or with "loom" the models of the protocol.
# Usage: cargo.sh test [ARG]... | cargo.sh loom
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"

export CARGO_TARGET_DIR=$BUILD/cargo
cd "$TOP/rust/host"
case ${1:-} in
test) exec cargo "$@" ;;
loom) RUSTFLAGS="--cfg loom" exec cargo test --locked --release --test loom ;;
*) sed -n 's/^# Usage: //p' "$TOP/scripts/build/${0##*/}" >&2; exit 2 ;;
esac
