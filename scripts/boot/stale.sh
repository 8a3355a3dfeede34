#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Judge the report of the TLB that forgets nothing: print its counters, summed over the CPUs.
# Usage: stale.sh REPORT
# Exit:  0; 1 for stale hits (the first ones are shown) and for a report without counters.
set -euo pipefail

[[ -s $1 ]] || { echo "the machine left no report of its TLB" >&2; exit 1; }
awk '
	/^stale / && shown++ < 10 { print "    " $0 > "/dev/stderr" }
	/^counters / {
		for (i = 3; i <= NF; i++) {
			split($i, pair, "=")
			if (!(pair[1] in sum))
				name[++names] = pair[1]
			sum[pair[1]] += pair[2]
		}
	}
	END {
		for (i = 1; i <= names; i++) {
			printf "%s=%.0f%s", name[i], sum[name[i]], i < names ? " " : "\n"
			if (name[i] ~ /^stale_/)
				stale += sum[name[i]]
		}
		exit !names || stale > 0
	}' "$1"
