#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All tests. Ends with one line: N passed, N failed, N skipped.
# Usage: check.sh [host|static|guests|machine|mutants|mainline]...      default: all of them
# Settings: CHECK_MINUTES=  leave out mutants and mainline that would take longer than this
# Exit:  0; 1 if anything failed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

results=$BUILD/report/check.txt
mkdir -p "$BUILD/report" "$BUILD/log"
: >"$results"

# record KIND NAME: KIND is ok, not ok or skip.
record() {
	echo "$1 $2" >>"$results"
	printf '    %-7s %s\n' "$1" "$2"
}

# try NAME COMMAND...: a test that is one command.
try() {
	local name=$1 log=$BUILD/log/check-${1//[^A-Za-z0-9]/-}.log
	shift
	if "$@" >"$log" 2>&1 </dev/null; then
		record ok "$name"
	else
		record "not ok" "$name"
		tail -n 30 "$log" | sed 's/^/    | /'
	fi
}

cargo_tests() {
	local log=$BUILD/log/cargo-$1.log count
	shift
	if (cd "$TOP/rust/host" && CARGO_TARGET_DIR=$BUILD/cargo "$@") >"$log" 2>&1; then
		:
	else
		record "not ok" "host: $*"
		tail -n 30 "$log" | sed 's/^/    | /'
	fi
	count=0
	while read -r _ name _ verdict; do
		count=$((count + 1))
		if [[ $verdict = ok ]]; then record ok "host/$name"; else record "not ok" "host/$name"; fi
	done < <(grep -E '^test .* \.\.\. ' "$log" | sed 's/ - should panic//')
	[[ $count -gt 0 ]] || record "not ok" "host: $*: no test ran"
}

host() {
	note "host tests"
	cargo_tests core cargo test --locked
	RUSTFLAGS="--cfg loom" cargo_tests loom cargo test --locked --release --test loom
	try "rustdoc" rustdoc_check
}

rustdoc_check() {
	(cd "$TOP/rust/host" && CARGO_TARGET_DIR=$BUILD/cargo RUSTDOCFLAGS=-Dwarnings \
		cargo doc --locked --no-deps --document-private-items)
}

# --- the sources themselves
rust_files() {
	find "$TOP/rust" -name '*.rs' -not -path '*/target/*'
}

rustfmt_check() {
	rust_files | xargs "$RUST_PREFIX/rustfmt" --check --edition 2021 \
		--config-path "$BUILD/kernel-src/.rustfmt.toml"
}

clippy_check() {
	mkdir -p "$BUILD/clippy"
	kernel_make "$(realpath "$BUILD/kernel-src")" O="$(realpath "$BUILD/kernel")" M="$TOP" \
		MO="$BUILD/clippy" CLIPPY=1 W=e modules
	! grep -E '^warning' "$BUILD/log/check-clippy.log"
}

objtool_check() {
	"$BUILD/kernel/tools/objtool/objtool" --link --module --hacks=noinstr --noinstr --werror \
		--dry-run "$BUILD/$1/rust/deferred_flush_entry.o"
	readelf -SW "$BUILD/$1/rust/deferred_flush.ko" | grep '\.noinstr\.text'
}

# The gate above must see what it is there for: a call out of the section.
objtool_negative() {
	local dir=$BUILD/objtool-negative
	rm -rf "$dir"
	mkdir -p "$dir/rust"
	cp -r "$TOP/rust/core" "$TOP/rust/percpu.rs" "$dir/rust"
	sed 's|^    let state = this_cpu_read|    escape();\n&|' "$TOP/rust/deferred_flush_entry.rs" \
		>"$dir/rust/deferred_flush_entry.rs"
	printf '\n#[inline(never)]\nfn escape() {\n    core::sync::atomic::fence(Ordering::SeqCst);\n}\n' \
		>>"$dir/rust/deferred_flush_entry.rs"
	echo 'obj-m := deferred_flush_entry.o' >"$dir/rust/Kbuild"
	echo 'obj-m := rust/' >"$dir/Kbuild"
	kernel_make "$(realpath "$BUILD/kernel-src")" O="$(realpath "$BUILD/kernel")" M="$dir" \
		rust/deferred_flush_entry.o
	! "$BUILD/kernel/tools/objtool/objtool" --link --module --hacks=noinstr --noinstr --werror \
		--dry-run "$dir/rust/deferred_flush_entry.o"
}

# By standard input: it takes a file that git knows for source code, not for a patch.
checkpatch_check() {
	local patch found
	for patch in "$TOP"/patches/linux-*/*.patch; do
		found=$(perl "$BUILD/kernel-src/scripts/checkpatch.pl" --no-tree --strict --terse \
			--show-types --no-summary - <"$patch" | sed "s|^[^:]*:|${patch##*/}:|" |
			grep -vf <(grep -v "^#" "$TOP/scripts/checkpatch-allow.txt")) || [[ $? -eq 1 ]]
		[[ -z $found ]] || { echo "$found"; return 1; }
	done
}

qemu_checkpatch() {
	local patch found
	for patch in "$TOP"/patches/qemu-*/*.patch; do
		# There is no maintainer to be named here.
		found=$(perl "$(realpath "$BUILD/qemu")/../src/scripts/checkpatch.pl" --no-tree \
			--no-summary --terse - <"$patch" | grep -v "MAINTAINERS need updating") ||
			[[ $? -eq 1 ]] || return 1
		[[ -z $found ]] || { echo "$found"; return 1; }
	done
}

shellcheck_check() {
	(cd "$TOP" && shellcheck -x -P scripts scripts/*.sh .ci/run &&
		shellcheck -s sh -e SC1091 selftests/*.sh)
}

# A hunk that fails stops the build, and leaves no tree behind.
bad_patch() {
	local dir=$BUILD/bad-patch log=$BUILD/log/bad-patch.log before
	before=$(ls "$CACHE")
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -r "$TOP/scripts" "$TOP/patches" "$dir"
	sed -i '0,/^@@/s/^@@.*/@@ -1,3 +1,3 @@\n gone\n-gone\n+new\n gone/' "$dir"/patches/linux-*/0002-*
	! BUILD=$dir/build env -u KDIR "$dir/scripts/kernel.sh" >"$log" 2>&1 &&
		grep -q '^0002-.*does not apply to this kernel' "$log" &&
		[[ $(ls "$CACHE") = "$before" ]]
}

# Only the exit hook promises, and nobody uses an operation without LOCK on the word.
one_promise() {
	local stores
	stores=$({ grep -h '^+' "$TOP"/patches/linux-*/*.patch; cat "$TOP"/rust/*.rs "$TOP"/rust/*.c; } |
		grep -cE '(write|WRITE_ONCE|store|xchg|mov[lq]|orq?|bts[lq]?)[^A-Za-z].*\bstate\b.*AWAY')
	echo "$stores stores of AWAY"
	[[ $stores -eq 1 ]] &&
		! cat "$TOP"/patches/linux-*/*.patch | grep -E 'this_cpu_(cmp)?xchg.*deferred_flush_cpu'
}

static() {
	note "sources"
	try "rustfmt" rustfmt_check
	try "clippy" clippy_check
	try "checkpatch --strict" checkpatch_check
	try "checkpatch, QEMU" qemu_checkpatch
	try "shellcheck" shellcheck_check
	try "objtool --noinstr" objtool_check module
	try "objtool --noinstr, DEBUG=1" objtool_check module-debug
	try "objtool --noinstr sees a call out of the section" objtool_negative
	try "one store promises" one_promise
	try "only known callers defer" deferrable_callers "$BUILD/kernel-src"
	try "only known callers defer: freed tables do not" deferrable_negative
	try "a patch that does not apply stops" bad_patch
	try "every prefix of the series builds" "$TOP/scripts/series.sh"
}

# Only who is known to may defer: freed page tables may not, without deferred_flush_kernel_table().
deferrable_callers() { # SOURCE
	(cd "$1" && { grep -rcE '(flush_tlb_kernel_range_deferrable|deferred_flush_kernel_(range|table))\(' \
		--include='*.[ch]' arch/x86 mm kernel include drivers/{acpi,base,firmware,iommu} ||
		[[ $? -eq 1 ]]; }) |
		grep -v ':0$' | sort | diff "$TOP/scripts/deferrable-callers.txt" -
}

deferrable_negative() {
	local dir=$BUILD/deferrable-negative file=arch/x86/mm/pgtable.c
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -as "$(realpath "$BUILD/kernel-src")"/{arch,mm,kernel,include,drivers} "$dir"
	rm "$dir/$file"
	sed 's/flush_tlb_kernel_range(/flush_tlb_kernel_range_deferrable(/' \
		"$BUILD/kernel-src/$file" >"$dir/$file"
	! cmp -s "$dir/$file" "$BUILD/kernel-src/$file" && ! deferrable_callers "$dir"
}

# --- in guests
guest() { # PREFIX BOOT-ARGS... -- COMMAND...
	local name=$1 out=$BUILD/guest/$1 start=$SECONDS
	shift
	if "$TOP/scripts/boot.sh" --out "$out" "$@"; then
		record ok "$name: boots, no splat ($((SECONDS - start)) s)"
	else
		record "not ok" "$name: guest failed ($((SECONDS - start)) s), see $out"
	fi
	[[ ! -e $out/output ]] || "$TOP/scripts/tap.py" "$name" "$out/output" "$out/dmesg" \
		>"$out/results"
	[[ ! -s $out/results ]] || count_results "$out/results"
}

count_results() {
	cat "$1" >>"$results"
	awk '/^ok / { passed++; next } { print "    " $0 }
		END { printf "    %d passed in the guest\n", passed }' "$1"
}

# --- the machine whose TLB forgets nothing
# bare NAME BINARY PROPERTIES: run the conformance test without a kernel. Its exit status is odd.
bare() {
	local out=$BUILD/guest/$1 rc=0
	mkdir -p "$out"
	timeout 120 "$BUILD/qemu/qemu-system-x86_64" -L /usr/share/qemu -L /usr/share/seabios \
		-M pc -m 3G -smp 1 -nodefaults -display none -accel tcg -no-reboot \
		-cpu "max,x-tlb-report=$out/tlb,$3" -debugcon "file:$out/output" \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$BUILD/machine/$2.elf" || rc=$?
	return "$rc"
}

conformance() {
	local paging out rc
	make -s -C "$TOP/selftests/machine" OUTPUT="$BUILD/machine" >"$BUILD/log/machine.log" 2>&1 ||
		{ record "not ok" "machine: conformance test builds"; return; }
	for paging in tlb4 tlb5; do
		out=$BUILD/guest/$paging rc=0
		bare "$paging" "$paging" x-tlb-keep=on,x-psc-keep=on || rc=$?
		{ echo "## test $paging"; cat "$out/output"; echo "## exit $((rc == 1 ? 0 : 1))"; } \
			>"$out/tap"
		"$TOP/scripts/tap.py" machine "$out/tap" >"$out/results"
		count_results "$out/results"

		# The test has to see a TLB, and tables, that are forgotten.
		for off in x-tlb-keep=off x-tlb-keep=on,x-psc-keep=off; do
			rc=0
			bare "$paging-off" "$paging" "$off" || rc=$?
			if [[ $rc -eq 3 ]]; then
				record ok "machine/$paging: $off fails"
			else
				record "not ok" "machine/$paging: $off fails (exit $rc)"
			fi
		done
	done
}

machine() {
	local append name states
	note "the machine whose TLB forgets nothing"
	conformance
	for append in "pti=on" "pti=on nopcid" "pti=off"; do
		name=sticky/${append// /-}
		states=(off always adaptive unloaded)
		# Without PCIDs a CR3 write flushes: little is left to find.
		[[ $append != *nopcid* ]] || states=(always unloaded)
		# In all, 100 rounds of load, storm, unload.
		ROUNDS=35 guest "$name" --qemu sticky --cpus 4 --append "$append" --timeout 900 -- \
			guest-selftests.sh "${states[@]}"
	done
	# Wakes without an interrupt.
	TESTS=vfree_coherence guest sticky/idle-poll --qemu sticky --cpus 2 \
		--append "pti=off idle=poll" --timeout 300 -- guest-selftests.sh always
	TESTS=static_keys.sh guest sticky/static-keys --qemu sticky --cpus 4 --append "pti=on" \
		--timeout 300 -- guest-selftests.sh absent
	TESTS="isolated.sh idle_wakeups.sh" guest sticky/isolated --qemu sticky --cpus 2 \
		--append "pti=on nohz_full=1 isolcpus=1" --timeout 300 -- guest-selftests.sh absent
	for append in "pti=on" "pti=on nopcid" "pti=off"; do
		TESTS=kernel_tables guest "sticky/tables-${append// /-}" --qemu sticky --cpus 2 \
			--append "$append nohz_full=1 isolcpus=1" --timeout 300 -- \
			guest-selftests.sh absent always adaptive
	done
	corners
	machine_checks
}

# Nodes, many CPUs of which most are only possible, cpuidle's states, and a second kernel.
corners() {
	local states
	if [[ -n ${KDIR:-} ]]; then
		record skip "corners: need scripts/configs, without KDIR="
		return
	fi
	TESTS="vfree_storm vfree_coherence munmap_storm mprotect_storm" guest sticky/numa --qemu sticky \
		--cpus 4 --append "pti=on numa=fake=2 numa_balancing=enable" --timeout 300 -- \
		guest-corner.sh numa always
	TESTS="vfree_storm vfree_coherence hotplug" guest sticky/64-possible --qemu sticky --cpus 64 \
		--append "pti=on maxcpus=8" --timeout 300 -- guest-corner.sh 64-possible always
	for states in any poll; do
		TESTS=vfree_coherence guest "sticky/cpuidle-$states" --qemu sticky --cpus 2 \
			--append "pti=off" --qemu-opts "$(idle_states)" --timeout 300 -- \
			guest-corner.sh "cpuidle-$states" always
	done
	TESTS="vfree_storm vfree_coherence" guest sticky/kexec --qemu sticky --cpus 4 \
		--append "pti=on" --timeout 300 -- guest-kexec.sh
}

machine_checks() {
	local dir
	# The path of a socket must be short.
	dir=$(mktemp -d)
	"$TOP/scripts/machine_check.py" "$dir/monitor" "$BUILD/guest/sticky/mce/machine-check" &
	# Only with this vendor does an error that asks for nothing exist.
	TESTS=vfree_coherence guest sticky/mce --qemu sticky --cpus 4 --append "pti=on" --timeout 300 \
		--qemu-opts "-monitor unix:$dir/monitor,server=on,wait=off -global max-x86_64-cpu.vendor=GenuineIntel" \
		-- guest-mce.sh
	wait
	rm -rf "$dir"
}

# Mainline has no stale hit either. Its own tests have the same results there as on stock QEMU.
mainline() {
	local append
	note "mainline, and its own x86 and mm selftests"
	for append in "pti=on" "pti=on nopcid" "pti=off"; do
		MODULE_DIR=$BUILD/module-kernel-mainline/rust guest "mainline/${append// /-}" --qemu sticky \
			--kernel kernel-mainline --cpus 4 --append "$append" --timeout 600 -- \
			guest-selftests.sh absent
	done
	"$TOP/scripts/kselftests.sh" || { record "not ok" "kselftests: build"; return; }
	kselftests stock kernel-mainline absent
	kselftests sticky kernel-mainline absent
	kselftests sticky kernel always
	compare_kselftests sticky-kernel-mainline
	compare_kselftests sticky-kernel
}

kselftests() { # QEMU KERNEL STATE
	local out=$BUILD/guest/kselftests-$1-$2
	# The emulated far return reads a user stack as supervisor: no SMAP.
	if "$TOP/scripts/boot.sh" --qemu "$1" --kernel "$2" --out "$out" --cpus 2 \
		--append "pti=on clearcpuid=smap" --timeout 900 -- guest-kselftests.sh "$3"; then
		record ok "kselftests/$1/$2: boots, no splat"
	else
		record "not ok" "kselftests/$1/$2: guest failed, see $out"
	fi
}

# On each machine and kernel, the exit codes of mainline on stock QEMU.
compare_kselftests() { # WHERE
	local name wanted is count=0 dir
	for dir in "$1" stock-kernel-mainline; do
		[[ -s $BUILD/guest/kselftests-$dir/kselftests ]] ||
			{ record "not ok" "kselftests/$dir: no results"; return; }
	done
	while read -r name wanted; do
		is=$(awk -v n="$name" '$1 == n { print $2 }' "$BUILD/guest/kselftests-$1/kselftests")
		count=$((count + 1))
		if [[ $wanted = "$is" ]]; then
			echo "ok kselftests/$1/$name: as mainline on stock QEMU (exit $wanted)" >>"$results"
		else
			record "not ok" "kselftests/$1/$name: exit ${is:-none}, mainline on stock QEMU $wanted"
		fi
	done <"$BUILD/guest/kselftests-stock-kernel-mainline/kselftests"
	[[ $count -gt 0 ]] || record "not ok" "kselftests: no test ran"
	echo "    $count compared"
}

mutants() {
	local kind rest
	note "kernels with one deliberate bug each"
	if [[ -n ${KDIR:-} ]]; then
		record skip "mutants: are made from the sources, without KDIR="
		return
	fi
	while read -r kind rest; do
		if [[ $kind = not ]]; then record "not ok" "${rest#ok }"; else record "$kind" "$rest"; fi
	done < <(MUTANT_MINUTES=$((${CHECK_MINUTES:-1000000} - SECONDS / 60)) "$TOP/scripts/mutants.sh" ||
		echo "not ok mutants: could not be built")
}

# The coherence test must fail if catch-ups do not flush. With PTI the CR3 write of the entry code
# flushes all the same, and TCG has no PCID that would keep anything: this needs PTI off.
expected_failure() {
	local out=$BUILD/guest/bug log=$BUILD/log/check-bug.log kind verdict
	for kind in syscall timer_interrupt nmi; do
		verdict="not ok"
		# The bug corrupts memory: the guest may die of it before the test has seen it.
		for _ in 1 2 3; do
			TEST_ARGS="-r vfree_coherence.user.${kind}_sees_the_new_mapping" \
				"$TOP/scripts/boot.sh" --out "$out" --cpus 2 --append pti=off --timeout 120 -- \
				guest-bug.sh >"$log" 2>&1 || true
			if grep -qs "^not ok .*${kind}_sees_the_new_mapping" "$out/output"; then
				verdict=ok
				break
			fi
		done
		record "$verdict" "debug=1: $kind sees stale data, and the test says so"
		[[ $verdict = ok ]] || tail -n 30 "$log" "$out/output" | sed 's/^/    | /' || true
	done
}

guests() {
	local pti cpus states
	note "selftests"
	for pti in on off; do
		for cpus in 1 2 4; do
			states=(absent always unloaded)
			[[ $cpus -ne 4 ]] || states+=(adaptive)
			ROUNDS=3 guest "pti-$pti/cpus-$cpus" --cpus "$cpus" --append "pti=$pti" \
				--timeout 600 -- guest-selftests.sh "${states[@]}"
		done
	done
	expected_failure
}

"$TOP/scripts/setup.sh"
"$TOP/scripts/kernel.sh"
"$TOP/scripts/module.sh"
"$TOP/scripts/qemu.sh"
export TEST_MS=${TEST_MS:-300} TEST_ROUNDS=${TEST_ROUNDS:-40}
if [[ $# -eq 0 ]]; then
	set -- host static guests machine mutants mainline
fi
for part in "$@"; do
	# A kernel to build, and six guests.
	if [[ $part = mainline && $((SECONDS / 60 + 20)) -gt ${CHECK_MINUTES:-1000000} ]]; then
		record skip "mainline: no time left, run make check-mainline"
		continue
	fi
	case $part in
	mainline)
		env -u KDIR "$TOP/scripts/kernel.sh" --mainline --name kernel-mainline
		"$TOP/scripts/module.sh" kernel-mainline
		;;&
	host | static | guests | machine | mutants | mainline) "$part" ;;
	*) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
	esac
done

summary "$results"
