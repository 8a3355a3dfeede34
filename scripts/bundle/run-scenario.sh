#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bundle's run.sh, on the bundle's own bash and busybox, in the bundle's folder.
set -euo pipefail

here=$PWD

usage() {
	echo "error: $*" >&2
	echo "usage: run.sh list | run.sh storms|suite|soak|NAME CPUS SECONDS [on|off|both]" >&2
	exit 2
}

# number NAME VALUE FROM TO
number() {
	[[ $2 =~ ^[0-9]{1,9}$ && $((10#$2)) -ge $3 && $((10#$2)) -le $4 ]] ||
		usage "$1=$2: must be a number from $3 to $4"
}

# --- arguments and settings
scenario=${1:-}
least=1
case $scenario in
list)
	[[ $# -eq 1 ]] || usage "list has no arguments"
	printf '%s\n' "storms" "suite" "soak"
	sed 's/|.*//' scenarios
	sed 's/^/    /' contents
	exit 0
	;;
# Of a soak, one CPU comes and goes.
storms | soak) least=2 ;;
suite) ;;
"") usage "no scenario" ;;
*)
	cut -d '|' -f 1 scenarios | grep -qxF -e "$scenario" ||
		usage "$scenario: no such scenario, see run.sh list"
	[[ $# -le 3 ]] || usage "$scenario has a PTI mode of its own"
	;;
esac
[[ $# -eq 3 || $# -eq 4 ]] || usage "$scenario needs CPUS and SECONDS"
cpus=$2 limit=$3
number CPUS "$cpus" "$least" "$(sed -n 's/^CONFIG_NR_CPUS=//p' kernel.config)"
case $scenario in
soak) number SECONDS "$limit" 60 1000000 ;;
*) number SECONDS "$limit" 1 1000000 ;;
esac
# Neither bash nor QEMU takes 08 for 8.
cpus=$((10#$cpus)) limit=$((10#$limit))
case ${4:-both} in
on | off) modes=("$4") ;;
both) modes=(on off) ;;
*) usage "$4: PTI must be on, off or both" ;;
esac
for name in TEST_MS TEST_ROUNDS TURNS ROUNDS; do
	[[ -z ${!name:-} ]] || number "$name" "${!name}" 1 1000000
done
memory=${MEMORY:-$((2048 + 64 * cpus))}
number MEMORY "$memory" 512 1000000
for name in ${STATES:-}; do
	[[ $name =~ ^(absent|off|always|adaptive|unloaded)$ ]] || usage "STATES: no such state: $name"
done
for name in ${TESTS:-}; do
	grep -qxF -e "test ${name%@*}" contents || usage "TESTS: no such test: $name"
done

cores=$(nproc)
[[ $cpus -le $cores ]] || echo "note: $cpus guest CPUs on $cores cores: slow"

# --- the folder of the results, and QEMU's: paths in its options are relative, so that they may have
# any character in them.
results=${RESULTS:-$here/results}
mkdir -p "$results" || exit 2
results+=/${scenario##*/}-$cpus-$(date +%Y%m%d-%H%M%S)-$$
mkdir "$results"
echo "results: $results"
verdicts=$results/verdicts
: >"$verdicts"

qemu=
out=
stop() {
	trap - EXIT
	if [[ -n $qemu ]]; then
		kill -KILL "$qemu" 2>/dev/null || true
		wait "$qemu" 2>/dev/null || true
	fi
	[[ -z $out ]] || rm -f "$out/bundle"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

record() { # ok|not ok|skip NAME
	echo "$1 $2" >>"$verdicts"
}

# The last lines of the console say what happened to a guest.
fail() {
	record "not ok" "$1"
	echo "    $1; console: $out/console" >&2
	tail -n 60 "$out/console" | sed 's/\r//; s/^/    | /' >&2
}

# guest NAME LIMIT JUDGE APPEND COMMAND...: boot, wait, judge. The guest finds the folder of its results
# by 9p.
guest() {
	local name=$1 seconds=$2 judge=$3 append=$4 start=$SECONDS took var rc
	shift 4
	out=$results/$name
	mkdir -p "$out"
	{
		echo "#!/bin/bash"
		echo "export TOP=/deferred-flush BUILD=/deferred-flush/build OUT=/out"
		for var in TEST_MS TEST_ROUNDS TESTS TEST_ARGS TURNS ROUNDS SOAK_SECONDS; do
			[[ -z ${!var:-} ]] || printf 'export %s=%q\n' "$var" "${!var}"
		done
		printf 'exec /deferred-flush/scripts/guest/enter.sh'
		printf ' %q' "$@"
		echo
	} >"$out/command.sh"

	ln -s "$here" "$out/bundle"
	printf '==> %-46s' "$name, $cpus CPUs"
	# busybox's timeout becomes the program: this is QEMU's process.
	(
		cd "$out"
		exec bundle/bin/timeout -k 5 "$seconds" \
			bundle/qemu/lib/ld-linux-x86-64.so.2 --library-path bundle/qemu/lib \
			bundle/qemu/qemu-system-x86_64 -L bundle/qemu -nodefaults -no-user-config \
			-machine q35 -accel tcg,thread=multi -smp "$cpus" -m "$memory" -display none \
			-no-reboot -cpu max,x-tlb-keep=on,x-psc-keep=on,x-tlb-report=tlb \
			-chardev stdio,id=console,signal=off -serial chardev:console \
			-fsdev local,id=results,path=.,security_model=none,multidevs=remap \
			-device virtio-9p-pci,fsdev=results,mount_tag=results \
			-kernel bundle/kernel -initrd bundle/initramfs -append \
			"console=ttyS0 panic=-1 oops=panic softlockup_panic=0 tsc=nowatchdog $append ${APPEND:-}"
	) </dev/null >"$out/console" 2>&1 &
	qemu=$!
	rc=0
	wait "$qemu" || rc=$?
	qemu=
	rm -f "$out/bundle"
	took=$((SECONDS - start))
	echo "$took s"

	if [[ $took -ge $seconds ]]; then
		fail "$name: no end after $seconds s"
	elif [[ ! -s $out/status ]]; then
		fail "$name: the guest died (QEMU's exit status is $rc)"
	elif ! bash scripts/splats.sh "$out/dmesg" "$out/console"; then
		fail "$name: splat in the kernel log"
	elif ! bash scripts/stale.sh "$out/tlb" >"$out/tlb.sum"; then
		fail "$name: stale hits, see $out/tlb"
	else
		record ok "$name: ends, no splat, no stale hit"
	fi
	# What it had to say is judged in any case.
	: >>"$out/output"
	"judge_$judge" "$name"
	if [[ -s $out/status && $(cat "$out/status") -ne 0 ]]; then
		record "not ok" "$name: exit status $(cat "$out/status"), see $out/output"
		tail -n 20 "$out/output" | sed 's/^/    | /' >&2
	fi
}

# A verdict for each line of the tests.
judge_selftests() { # NAME
	local log=$out/dmesg
	[[ -s $log ]] || log=$out/console
	awk -v prefix="$1" -f scripts/tap.awk "$out/output" "$log" >"$out/verdicts"
	cat "$out/verdicts" >>"$verdicts"
}

judge_storms() {
	# Where guest CPUs wait for a core, a flush finds them in their timer ticks.
	VERDICTS=$out/verdicts awk -v prefix="$1" -v strict=$((cpus <= cores)) -f scripts/storms.awk \
		"$out/output"
	cat "$out/verdicts" >>"$verdicts"
}

judge_soak() {
	VERDICTS=$out/verdicts awk -v prefix="$1" '
		BEGIN { verdicts = ENVIRON["VERDICTS"] }
		/^soak: skipped / { print "skip " prefix "/" substr($0, 15) >verdicts; next }
		/^soak: / { print "    " $0; print "ok " prefix "/" $2 ": " $3 " times" >verdicts; count++ }
		END { if (!count) print "not ok " prefix ": no load ran" >verdicts }' "$out/output"
	cat "$out/verdicts" >>"$verdicts"
}

# selftests NAME LIMIT: a scenario of the list. What the user has set goes before what it says.
selftests() {
	local append states tests settings setting var
	IFS='|' read -r _ append states tests settings \
		<<<"$(awk -F '|' -v name="$1" '$1 == name' scenarios)"
	local TESTS=${TESTS:-$tests} TEST_MS=${TEST_MS:-} TEST_ROUNDS=${TEST_ROUNDS:-} ROUNDS=${ROUNDS:-}
	for setting in $settings TEST_MS=300 TEST_ROUNDS=40; do
		var=${setting%%=*}
		[[ -n ${!var:-} ]] || printf -v "$var" %s "${setting#*=}"
	done
	# shellcheck disable=SC2086 # words
	guest "$1" "$2" selftests "$append" selftests.sh ${STATES:-$states}
}

case $scenario in
storms | suite | soak)
	for pti in "${modes[@]}"; do
		rest=$((limit - SECONDS))
		if [[ $scenario = soak ]]; then
			SOAK_SECONDS=$((limit / ${#modes[@]}))
			# Each load ends with the turn it is in.
			guest "soak/pti-$pti" $((SOAK_SECONDS + 400)) soak "pti=$pti" soak.sh
		elif [[ $rest -le 0 ]]; then
			record "not ok" "$scenario, PTI $pti: not run, the $limit s are over"
		elif [[ $scenario = suite ]]; then
			selftests "sticky/pti-$pti" "$rest"
		else
			guest "storms/pti-$pti" "$rest" storms "pti=$pti" storms.sh
		fi
	done
	;;
*) selftests "$scenario" "$limit" ;;
esac

# --- the table, by program of the selftests (the storms have printed theirs), and the closing line
echo
[[ $scenario = storms || $scenario = soak ]] || awk '
	{
		kind = $1
		sub(/^(ok|not ok|skip) /, "")
		if (split(substr($0, 1, index($0 ":", ":") - 1), at, "/") != 4)
			next
		if (!seen[at[4]]++)
			order[++names] = at[4]
		count[at[4], kind]++
	}
	END {
		if (names)
			printf "%-26s %7s %7s %7s\n", "", "passed", "failed", "skipped"
		for (i = 1; i <= names; i++)
			printf "%-26s %7d %7d %7d\n", order[i], count[order[i], "ok"],
				count[order[i], "not"], count[order[i], "skip"]
	}' "$verdicts"
grep -E '^(not ok|skip) ' "$verdicts" || true
awk '/^ok / { passed++ } /^not ok / { failed++ } /^skip / { skipped++ }
	END {
		if (!passed && !failed) { print "not ok: no test ran"; failed++ }
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0
	}' "$verdicts"
