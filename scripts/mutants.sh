#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Kernels with one deliberate bug each (selftests/mutants), on the machine whose TLB forgets nothing:
# each has to be caught. Prints one line per expectation, "ok|not ok|skip NAME".
# Usage: mutants.sh       Settings: MUTANT_MINUTES=  leave out those that would take longer than this
# Exit:  0 if all could be tried; the lines say how it went.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

mutants=$TOP/selftests/mutants
src=$(realpath "$BUILD/kernel-src")
out=$(realpath "$BUILD/kernel")
[[ $out = "$src"/* ]] || die "mutants are made from a tree in the cache: without KDIR="
base=$CACHE/mutants-$(echo "$src $out" | hash_of)

# A private copy; only what a mutant changes is built again. Links cost nothing: patch breaks them.
copy_tree() {
	begin "$base/tree"
	find "$src" -mindepth 1 -maxdepth 1 ! -name 'out-*' ! -name "${out##*/}" ! -name .finished -exec cp -al -t "$base/tree" {} + &&
		cp -a "$out" "$base/tree/out" || return 1
	# objtool and the Rust crates know where they are built, and all objects depend on objtool.
	kernel_make "$base/tree" O="$base/tree/out" prepare &&
		find "$base/tree/out/tools" -type f -exec touch -r "$out/tools/objtool/objtool" {} + &&
		finish "$base/tree"
}

build_mutant() { # PATCH TO
	local rc=0
	finished "$base/tree" || copy_tree || return 1
	patch -d "$base/tree" -p1 -N -F0 --no-backup-if-mismatch <"$1" ||
		{ rm -rf "$base/tree"; return 1; }
	kernel_make "$base/tree" O="$base/tree/out" bzImage || rc=$?
	patch -d "$base/tree" -p1 -R -F0 --no-backup-if-mismatch <"$1" || rc=1
	if [[ $rc -ne 0 ]]; then
		rm -rf "$base/tree"
		return 1
	fi
	begin "$2"
	mkdir -p "$2/arch/x86/boot"
	cp "$base/tree/out/arch/x86/boot/bzImage" "$2/arch/x86/boot"
	finish "$2"
}

# A shootdown that is under way may take some time. One that leaves out a CPU, longer than this.
grace="-global max-x86_64-cpu.x-tlb-grace-ms=100"
export TEST_ROUNDS=20
rm -f "$BUILD"/mutant-*
while read -r name append state program test counter; do
	[[ $name != \#* && -n $name ]] || continue
	# A kernel to build, and up to three guests.
	if [[ $((SECONDS / 60 + 4)) -gt ${MUTANT_MINUTES:-1000000} ]]; then
		echo "skip mutant/$name: no time left, run make check-mutants"
		continue
	fi
	patch=$mutants/$name.patch
	image=$base/$(hash_of <"$patch")
	finished "$image" || step "build the mutant $name" build_mutant "$patch" "$image" >&2
	ln -sfn "$image" "$BUILD/mutant-$name"

	# It has to fail: what counts is how. The bug may kill the guest, or the test, before it says so.
	guest=$BUILD/guest/mutant-$name
	start=$SECONDS
	# To be counted, what is stale has to be used for longer than that.
	export TEST_MS=200
	[[ $counter = - ]] || TEST_MS=1500
	# FIXTURE.VARIANT.TEST, or just TEST.
	filter="-t $test"
	[[ $test != *.* ]] || filter="-r $test"
	test=${test##*.}
	# CORNER/STATE, or just STATE.
	run=(guest-selftests.sh "$state") opts=$grace
	if [[ $state = */* ]]; then
		run=(guest-corner.sh "${state%/*}" "${state#*/}")
		opts+=" $(idle_states)"
	fi
	verdict="not ok"
	for _ in 1 2 3; do
		TESTS=$program TEST_ARGS="$filter" "$TOP/scripts/boot.sh" --qemu sticky \
			--kernel "mutant-$name" --out "$guest" --cpus 4 --append "${append//,/ }" \
			--timeout 300 --qemu-opts "$opts" -- \
			"${run[@]}" >"$BUILD/log/mutant-$name.log" 2>&1 || true
		# What is looked for in all of them is called stale, or can be read.
		if grep -qsE "^# .*:$test:Expected 0 .*(stale|can_read)" "$guest/output"; then
			verdict=ok
			break
		fi
	done
	note "mutant $name: $((SECONDS - start)) s" >&2
	echo "$verdict mutant/$name: $test fails ($append)"
	[[ $counter != - ]] || continue
	sums=$("$TOP/scripts/stale.sh" "$guest/tlb" 2>/dev/null) || true
	if grep -qE "\b$counter=[1-9]" <<<"$sums"; then
		echo "ok mutant/$name: $counter is not 0"
	else
		echo "not ok mutant/$name: $counter is not 0"
	fi
done <"$mutants/expected"
