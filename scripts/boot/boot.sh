#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot a kernel with virtme-ng, run one command in it as root, and judge the guest.
# Usage: boot.sh --out DIR [--kernel LINK] [--cpus N] [--memory SIZE] [--append ARGS]
#        [--timeout SECONDS] [--qemu stock|mended|sticky] [--qemu-opts OPTS] [--allow-stale]
#        -- COMMAND [ARG]...
# DIR gets console, dmesg, output and status. The command sees it as $OUT, and may write there.
# sticky (also by QEMU=sticky) is build/qemu, whose TLB forgets nothing; its report is DIR/tlb. mended
# is stock without its stale INT3s: KVM, or build/qemu with the TLB of stock TCG, and no PCIDs.
# DIR/retries is there if it had to be booted again, with the number of retries; DIR/cpus if there was
# no end, with what the CPUs did a few seconds before they were ended.
# Settings: QEMU=stock|sticky, ACCEL=kvm|tcg, QEMU_FIRMWARE=DIR, and those that the guest gets (below)
# Exit:  the command's status; 1 also for a splat, a stale hit or a guest that died; 2 usage; 124
#        timeout. When it is ended, the guest is ended, too.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"

kernel=kernel cpus=4 memory=2G append='' limit=600 out='' qemu_opts='' qemu=${QEMU:-stock} stale=''
while [[ $# -gt 0 ]]; do
	case $1 in
	--out) out=$2; shift 2 ;;
	--kernel) kernel=$2; shift 2 ;;
	--cpus) cpus=$2; shift 2 ;;
	--memory) memory=$2; shift 2 ;;
	--append) append=$2; shift 2 ;;
	--timeout) limit=$2; shift 2 ;;
	--qemu) qemu=$2; shift 2 ;;
	--qemu-opts) qemu_opts=$2; shift 2 ;;
	--allow-stale) stale=allowed; shift ;;
	--) shift; break ;;
	*) usage ;;
	esac
done
[[ -n $out && $# -gt 0 ]] || usage
[[ $cpus =~ ^[0-9]+$ && $cpus -ge 1 && $limit =~ ^[0-9]+$ ]] || usage

[[ -e $BUILD/$kernel/arch/x86/boot/bzImage ]] || die "no build/$kernel: run scripts/build/kernel.sh"
image=$(realpath "$BUILD/$kernel/arch/x86/boot/bzImage")
rm -rf "$out"
mkdir -p "$out"
out=$(realpath "$out")

export PATH=$VENV/bin:$PATH
accel=()
machine=()
case $qemu in
stock) ;;
mended) [[ -x $BUILD/qemu/qemu-system-x86_64 ]] || die "no build/qemu: run make qemu" ;;
sticky)
	[[ -x $BUILD/qemu/qemu-system-x86_64 ]] || die "no build/qemu: run make qemu"
	machine=(--qemu "$BUILD/qemu/qemu-system-x86_64")
	qemu_opts+=$(firmware)
	for property in tlb-keep=on psc-keep=on "tlb-report=$out/tlb"; do
		qemu_opts+=" -global max-x86_64-cpu.x-$property"
	done
	;;
*) die "QEMU=$qemu: must be stock, mended or sticky" ;;
esac

# TCG is asked for where results are compared, or instructions counted.
if [[ $qemu = sticky || ${ACCEL:-} = tcg ]]; then
	accel=(--disable-kvm)
elif [[ $(setpriv --pdeathsig TERM "$TOP/scripts/boot/accel.sh" "$image") != kvm ]]; then
	[[ ${ACCEL:-} != kvm ]] || die "ACCEL=kvm: KVM does not boot this kernel here"
	accel=(--disable-kvm)
fi
if [[ $qemu = mended && ${#accel[@]} -gt 0 ]]; then
	machine=(--qemu "$BUILD/qemu/qemu-system-x86_64")
	qemu_opts+="$(firmware) -global max-x86_64-cpu.pcid=off -global max-x86_64-cpu.invpcid=off"
fi

# The guest runs a file, not a command line: nothing has to survive its quoting.
{
	echo "#!/bin/bash"
	printf 'export TOP=%q BUILD=%q OUT=%q\n' "$TOP" "$BUILD" "$out"
	for var in TEST_MS TEST_ROUNDS TESTS TEST_ARGS TURNS ROUNDS SOAK_SECONDS MODULE_DIR; do
		[[ -z ${!var:-} ]] || printf 'export %s=%q\n' "$var" "${!var}"
	done
	printf "exec %q/scripts/guest/enter.sh" "$TOP"
	printf ' %q' "$@"
	echo
} >"$out/command.sh"

# An abstract socket: no path, and nothing that stays.
monitor=deferred-flush-$$
qemu_opts+=" -chardev socket,id=cpus,path=$monitor,abstract=on,server=on,wait=off -mon chardev=cpus"

# timeout makes a process group of its own, which a signal to this one's does not reach.
guest='' watch=''
# shellcheck disable=SC2317 # by the traps
end_guest() {
	[[ -z $watch ]] || kill "$watch" 2>/dev/null || true
	[[ -n $guest ]] || return 0
	kill "$guest" 2>/dev/null || true
	wait "$guest" 2>/dev/null || true
	for _ in {1..50}; do
		kill -KILL -- "-$guest" 2>/dev/null || break
		sleep 0.1
	done
}
trap end_guest EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

boot() {
	rc=0
	rm -f "$out/status" "$out/dmesg" "$out/tlb" "$out/cpus"
	# panic=-1 and no reboot: a dead guest ends QEMU instead of waiting for the time limit.
	# tsc=nowatchdog: mainline's clocksource watchdog may hang a boot, see testing.rst.
	setpriv --pdeathsig TERM timeout -k 10 "$limit" \
		vng --verbose "${accel[@]}" "${machine[@]}" --cpus "$cpus" --memory "$memory" \
		--rwdir "$BUILD" --run "$image" ${qemu_opts:+-o="$qemu_opts"} \
		--append "panic=-1 oops=panic softlockup_panic=0 tsc=nowatchdog $append" \
		--exec "bash $out/command.sh" </dev/null >"$out/console" 2>&1 &
	guest=$!
	setpriv --pdeathsig TERM "$TOP/scripts/boot/registers.py" "$((limit > 20 ? limit - 10 : limit))" \
		"$monitor" "$BUILD/$kernel/System.map" >"$out/cpus" 2>&1 </dev/null &
	watch=$!
	wait "$guest" || rc=$?
	kill "$watch" 2>/dev/null || true
	watch=''
	kill -KILL -- "-$guest" 2>/dev/null || true
	guest=''
}

# Stock TCG may run an INT3 of a static key that is gone from memory (Documentation/testing.rst): the
# first oops is an INT3, and the byte in front of the one marked is none.
stale_int3() {
	local oops code
	[[ $qemu = stock && ${#accel[@]} -gt 0 ]] || return 1
	oops=$(grep -am 1 'Oops:' "$out/console") || return 1
	code=$(grep -am 1 'Code: .*<' "$out/console") || return 1
	[[ $oops = *'Oops: int3:'* && $code != *'cc <'* ]]
}

boot
for retry in 1 2 3 4; do
	stale_int3 || break
	echo "note: the emulator ran an INT3 that was gone; boot number $((retry + 1))" >&2
	mv "$out/console" "$out/console.stale-int3-$retry"
	echo "$retry" >"$out/retries"
	boot
done

# The last lines of the console say what happened to a guest.
fail() {
	echo "guest failed: $*; console: $out/console" >&2
	tail -n 60 "$out/console" | sed 's/\r//; s/^/    | /' >&2
	[[ ! -s $out/cpus ]] || sed 's/^/    | /' "$out/cpus" >&2
	exit "${2:-1}"
}

[[ $rc -ne 124 && $rc -ne 137 ]] || fail "no end after $limit s" 124
[[ -s $out/status ]] || fail "it died before it had a status"
"$TOP/scripts/boot/splats.sh" "$out/dmesg" "$out/console" || fail "splat in the kernel log"
if [[ $qemu = sticky && -z $stale ]]; then
	"$TOP/scripts/boot/stale.sh" "$out/tlb" >"$out/tlb.sum" || fail "stale hits, see $out/tlb"
fi
exit "$(cat "$out/status")"
