#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run the tests on the sticky QEMU. Usage: see README, or run it without arguments.
# All that it needs is in this folder; from the host come a kernel, /proc and this shell.
unset CDPATH
case ${RESULTS:-/} in
/*) ;;
*) RESULTS=$PWD/$RESULTS ;;
esac
case $0 in
*/*) cd "${0%/*}" || exit 2 ;;
esac
if ! bin/busybox true; then
	echo "error: programs do not run in this folder: needs x86-64 Linux, and no noexec mount" >&2
	exit 2
fi
# Relative: a colon in the folder's name would be the end of it.
export PATH=bin RESULTS
exec bin/bash scripts/run-scenario.sh "$@"
