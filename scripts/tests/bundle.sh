#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Test make bundle: the archive runs where there is nothing but itself, a shell, /dev/null and /proc, in a
# folder with odd characters in its name and as an ordinary user; and it fails when it has to.
# Usage: tests/bundle.sh        what make bundle needs has to be built
# Exit:  0; 1 if a check failed. Each is printed.
# shellcheck disable=SC2317 # check() calls the functions
set -euo pipefail
# shellcheck source=scripts/lib/lib.sh
. "$(dirname "$0")/../lib/lib.sh"

"$TOP/scripts/bundle.sh" --built

root=$BUILD/bundle-test
place="/a b,c:d=e"
rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc} "$root$place"
tar -C "$root$place" -xf "$BUILD/deferred-flush-bundle.tar.xz"
bundle=$root$place/deferred-flush-bundle
cp "$bundle/bin/busybox" "$root/bin/sh"
if [[ $(id -u) -eq 0 ]]; then
	mknod -m 666 "$root/dev/null" c 1 3
	chown -R 65534:65534 "$root$place"
	enter=(unshare --mount)
	user=--userspec=65534:65534
else
	: >"$root/dev/null"
	enter=(unshare --mount --map-root-user)
	user=--userspec=0:0
fi
# QEMU's 9p goes by /proc/self/fd.
# shellcheck disable=SC2016 # for the other shell
enter+=(sh -c 'mount --rbind /proc "$0/proc" && exec env -i "$@"' "$root")
chroot=("$(command -v chroot)" "$user" "$root")

failed=0
log=$BUILD/log/bundle-test.log
# check NAME COMMAND...: no errexit in the command.
check() {
	local name=$1
	shift
	if "$@"; then
		echo "    ok      $name"
	else
		echo "    not ok  $name"
		tail -n 30 "$log" | sed 's/^/    | /'
		failed=1
	fi
}

# inside SECONDS [VAR=VALUE]... -- ARGS...: run.sh in the bare root. Sets rc, and leaves its output in $log.
inside() {
	local limit=$1 vars=()
	shift
	while [[ $1 != -- ]]; do
		vars+=("$1")
		shift
	done
	shift
	rc=0
	timeout -k 10 "$limit" "${enter[@]}" "${vars[@]}" "${chroot[@]}" \
		/bin/sh "$place/deferred-flush-bundle/run.sh" "$@" >"$log" 2>&1 </dev/null || rc=$?
}

# One error, one line of usage, and nothing has been started.
refuses() { # [VAR=VALUE] -- ARGS...
	inside 10 "$@"
	[[ $rc -eq 2 && $(grep -c '^error: ' "$log") -eq 1 && $(wc -l <"$log") -eq 2 &&
		! -e $bundle/results ]]
}

passes() {
	local last
	last=$(tail -n 1 "$log")
	[[ $rc -eq 0 && $last =~ ^([0-9]+)\ passed,\ 0\ failed,\ [0-9]+\ skipped$ &&
		${BASH_REMATCH[1]} -gt 2 ]]
}

# fails PATTERN...: with each of these lines in the output.
fails() {
	local pattern
	[[ $rc -eq 1 && $(tail -n 1 "$log") =~ ^[0-9]+\ passed,\ [1-9][0-9]*\ failed, ]] || return 1
	for pattern in "$@"; do
		grep -qE "$pattern" "$log" || { echo "no line: $pattern" >>"$log"; return 1; }
	done
}

check "no scenario is refused" refuses --
check "an unknown scenario is refused" refuses -- frobnicate 2 100
check "list with more is refused" refuses -- list 2
check "suite alone is refused" refuses -- suite
for cpus in 0 abc -1 "" 65 2.5 08x 99999999999; do
	check "CPUS=$cpus is refused" refuses -- suite "$cpus" 100
done
check "storms on one CPU are refused" refuses -- storms 1 100
check "SECONDS=0 is refused" refuses -- suite 2 0
check "SECONDS=1m is refused" refuses -- suite 2 1m
check "a soak of 10 s is refused" refuses -- soak 2 10
check "PTI=maybe is refused" refuses -- suite 2 100 maybe
check "TEST_MS=abc is refused" refuses TEST_MS=abc -- suite 2 100
check "a scenario with a mode has no other" refuses -- sticky/isolated 2 100 off
check "an unknown state is refused" refuses STATES=sometimes -- suite 2 100
check "an unknown test is refused" refuses TESTS=no_such_test -- suite 2 100
inside 10 -- list
check "list names scenarios" grep -qx sticky/isolated "$log"
check "list names tests" grep -qx ' *test vfree_coherence' "$log"

inside 300 TESTS="vfree_coherence user_flush_32" STATES=always -- suite 2 280
check "suite passes in the bare root, both modes" passes
check "with verdicts of the tests and of KUnit" grep -qE '^vfree_coherence +[1-9][0-9]* +0 +' "$log"
inside 200 TESTS=vfree_coherence TEST_ARGS="-r vfree_coherence.none.such" STATES=absent -- suite 1 100 on
check "no result is a failure" fails '^not ok .*vfree_coherence: no result'
inside 200 APPEND=rdinit=/bin/true -- suite 1 100 off
check "a guest that dies is a failure, with its console" fails 'the guest died' '^    \| .*Kernel panic'
inside 200 APPEND="rdinit=/bin/sleep -- 1000" -- suite 1 30 off
check "a guest that hangs is a failure, with its console" fails 'no end after [0-9]+ s' '^    \| .*Linux version|^    \| '

# The judges alone, on what a guest could have written. judge EXPECTED TEXT: EXPECTED are the verdicts,
# "ok", "not" or "skip". The verdict of the kernel log is always there.
judge() {
	printf '%s\n' "$2" >"$root/output"
	printf '    # Subtest: engine\n    ok 1 first\n' >"$root/dmesg"
	"$bundle/bin/awk" -v prefix=sample -f "$bundle/scripts/tap.awk" "$root/output" "$root/dmesg" >"$log"
	[[ $(cut -d ' ' -f 1 "$log" | paste -sd ' ') = "$1 ok" ]]
}

check "results count" judge "ok not skip" "## test a/b
1..3
ok 1 x
not ok 2 y
ok 3 z # SKIP w
## exit 1"
check "fewer results than planned are a failure" judge "ok not" "## test a/b
1..2
ok 1 x
## exit 0"
check "no plan is a failure" judge "ok not" "## test a/b
ok 1 x
## exit 0"
check "no result is a failure" judge "not" "## test a/b
1..0
## exit 0"
check "a skipped program is skipped" judge "skip" "## test a/b
1..0 # SKIP no such thing
## exit 4"
check "a bad exit status is a failure" judge "ok not" "## test a/b
1..1
ok 1 x
## exit 139"
check "a program that does not end is a failure" judge "ok not" "## test a/b
1..1
ok 1 x"
check "nothing at all is a failure" judge "not" ""

# judge_storms IPIS STALE NOT-OK: what the storms say, if the module leaves so many interrupts of 1000, or
# something stale is read once. NOT-OK is the number of bad verdicts.
judge_storms() {
	local state storm ipis stale=$2
	for state in absent off always adaptive; do
		ipis=$1
		[[ $state = a[ld]* ]] || ipis=1000
		for storm in vfree vfree-mixed munmap mprotect munmap-local mprotect-local; do
			echo "## run turn=1 state=$state storm=$storm"
			echo "# result: storm=$storm cpus=4 idle=2 flushes=1000 ipis_storm=$ipis" \
				"ipis_control=0 idle_storm=$ipis idle_control=0 elapsed_ms=9 stale=$stale"
			echo "## end rc=0 deferred=9 catch_ups=9"
			stale=0
		done
	done >"$root/output"
	VERDICTS=$log "$bundle/bin/awk" -v prefix=sample -v strict=1 -f "$bundle/scripts/storms.awk" \
		"$root/output" >/dev/null
	[[ $(grep -c '^not ok' "$log") -eq $3 && $(grep -c '^ok' "$log") -ge $((30 - $3)) ]]
}
check "storms without interrupts pass" judge_storms 30 0 0
check "storms with interrupts fail" judge_storms 31 0 6
check "storms that read something stale fail" judge_storms 30 1 1

# Everything but one file is the same.
mv "$bundle/kernel" "$root/kernel"
head -c 100000 /dev/urandom >"$bundle/kernel"
inside 60 -- suite 1 50 on
check "a broken kernel is a failure, with what QEMU said" fails 'the guest died' '^    \| '
mv "$root/kernel" "$bundle/kernel"

# Interrupted: QEMU ends with it.
interrupt() { # SIGNAL STATUS
	local pid qemu='' rc=0
	# In the background, a script without job control would have its children ignore SIGINT.
	env --default-signal=INT sh "$bundle/run.sh" suite 1 100 on >"$log" 2>&1 </dev/null &
	pid=$!
	for _ in {1..50}; do
		qemu=$(pgrep -P "$pid") && grep -qs qemu-system "/proc/$qemu/cmdline" && break
		sleep 0.2
	done
	[[ -n $qemu ]] || { kill -KILL "$pid" || true; return 1; }
	sleep 1
	kill "-$1" "$pid"
	wait "$pid" || rc=$?
	[[ $rc -eq $2 ]] && ! kill -0 "$qemu" 2>/dev/null
}
check "Ctrl-C ends QEMU" interrupt INT 130
check "SIGTERM ends QEMU" interrupt TERM 143
check "SIGHUP ends QEMU" interrupt HUP 129

rm -rf "$root"
exit $failed
