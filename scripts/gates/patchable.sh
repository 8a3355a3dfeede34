# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016
# The gate of what can be patched or instrumented where a CPU may be away.

PATCHABLE_MODULES=0xffffffffa0000000

# at_addresses VMLINUX DIR MODULE...: modules as the kernel might load them, and what they are called
at_addresses() {
	local vmlinux=$1 dir=$2 module number=0
	for module in "${@:3}"; do
		number=$((number + 1))
		ld --just-symbols="$vmlinux" --unresolved-symbols=ignore-all -e 0 \
			-Ttext-segment="$(printf '%#x' $((PATCHABLE_MODULES + number * 0x1000000)))" \
			-o "$dir/$number-${module##*/}" "$module"
		echo "$dir/$number-${module##*/}"
	done
}

gate_patchable() { # [LIST VMLINUX [MODULE]...]
	local list=${1:-$GATES/patchable.txt} vmlinux=${2:-$BUILD/kernel/vmlinux} modules=("${@:3}") ko linked
	if [[ $# -eq 0 ]]; then
		modules=("$BUILD/module/rust/deferred_flush.ko" "$BUILD/module-debug/rust/deferred_flush.ko")
		# Those with idle loops of their own.
		for ko in drivers/acpi/processor.ko drivers/cpuidle/cpuidle-haltpoll.ko; do
			if [[ -e $BUILD/kernel/$ko ]]; then
				modules+=("$BUILD/kernel/$ko")
			else
				echo "not built as a module: $ko"
			fi
		done
	fi
	[[ -s $vmlinux ]] || die "no $vmlinux"
	linked=$(at_addresses "$vmlinux" "$(scratch patchable)" "${modules[@]}")
	mapfile -t modules <<<"$linked"
	python3 -B "$GATES/patchable.py" "$list" "$vmlinux" ${linked:+"${modules[@]}"}
}

# patchable_kernel DIR [FAULT]: a kernel of a few functions
patchable_kernel() {
	gcc -c ${2:+-D"$2"} -o "$1/kernel.o" "$GATES/fixtures/patchable.S"
	ld -e 0 -Ttext-segment=0xffffffff81000000 -o "$1/vmlinux" "$1/kernel.o"
}

# Whatever can be planted in that kernel.
control_patchable__forms() {
	local dir list=$GATES/fixtures/patchable.txt fault says
	dir=$(scratch patchable-kernel)
	patchable_kernel "$dir"
	passes patchable "$list" "$dir/vmlinux"
	grep -E '^#ifn?def [A-Z0-9_]+ /\* .* \*/$' "$GATES/fixtures/patchable.S" >"$dir/faults"
	while read -r _ fault _ says; do
		patchable_kernel "$dir" "$fault"
		echo "$fault"
		fails_for "^error: (not in the list: )?${says% \*/}(,|$)" patchable "$list" "$dir/vmlinux"
	done <"$dir/faults"
}

# A call from text that can be instrumented, where there are millions of instructions.
control_patchable__caller() {
	local dir
	dir=$(scratch patchable-kernel)
	python3 -B "$GATES/plant.py" "$BUILD/kernel/vmlinux" vprintk deferred_flush_leave_kernel >"$dir/vmlinux"
	fails_for '^error: not in the list: exit text deferred_flush_leave_kernel vprintk,' \
		patchable "$GATES/patchable.txt" "$dir/vmlinux"
}

# patchable_module FAULT: next to the kernel of a few functions
patchable_module() {
	local dir
	dir=$(scratch patchable-kernel)
	patchable_kernel "$dir"
	gcc -c ${1:+-D"$1"} -o "$dir/driver.ko" "$GATES/fixtures/driver.S"
	echo "$dir"
}

control_patchable__module() {
	local dir list=$GATES/fixtures/patchable.txt
	dir=$(patchable_module '')
	passes patchable "$list" "$dir/vmlinux" "$dir/driver.ko"
	dir=$(patchable_module LABEL)
	fails_for '^error: not in the list: idle key default_enter_idle some_key,' \
		patchable "$list" "$dir/vmlinux" "$dir/driver.ko"
	dir=$(patchable_module TEXT)
	fails_for '^error: not in the list: idle text default_enter_idle outside,' \
		patchable "$list" "$dir/vmlinux" "$dir/driver.ko"
	dir=$(patchable_module HOOK)
	fails_for '^error: not in the list: hook text catch_up outside,' \
		patchable "$list" "$dir/vmlinux" "$dir/driver.ko"
}

# patchable_list SED-SCRIPT PATTERN: with another list
patchable_list() {
	local dir
	dir=$(scratch patchable-kernel)
	patchable_kernel "$dir"
	sed "$1" "$GATES/fixtures/patchable.txt" >"$dir/list"
	fails_for "$2" patchable "$dir/list" "$dir/vmlinux"
}

control_patchable__not_listed() {
	patchable_list '/^hook/d' \
		'^error: not in the list: hook static-call deferred_flush_take_back deferred_flush_catch_up, by'
}

control_patchable__gone() {
	patchable_list '$s/ if missing//' '^error: only in the list: exit key missing some_key'
}

control_patchable__known_in_vain() {
	patchable_list '$aidle cut idle_call quiet # fixture' '^error: only in the list: idle cut idle_call quiet'
}

control_patchable__no_reason() {
	patchable_list '$s/ #.*//' '^error: .*list:[0-9]+: no line of the list'
}

control_patchable__empty() {
	local dir
	dir=$(scratch patchable-kernel)
	echo 'void f(void) { }' | gcc -c -x c -o "$dir/vmlinux" -
	fails_for '^error: no entry entry_SYSCALL_64' patchable "$GATES/fixtures/patchable.txt" "$dir/vmlinux"
}

control_patchable__no_kernel() {
	fails_for 'no /no/vmlinux' patchable "$GATES/patchable.txt" /no/vmlinux
}

control_patchable__no_tool() {
	PATH=$(tool "$(scratch patchable-tool)" objdump 'exit 127'):$PATH fails_for 'objdump failed' patchable
}

control_patchable__silent() {
	PATH=$(tool "$(scratch patchable-tool)" objdump 'exit 0'):$PATH \
		fails_for '^error: entry: no instruction at' patchable
}
