# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Gates of what has been built: the kernel and the modules.

# --- objtool: nothing leaves .noinstr.text
gate_objtool() { # [KERNEL [MODULE]...]
	local kernel=${1:-$BUILD/kernel} modules=("${@:2}") check module object ko name names dir
	[[ ${#modules[@]} -gt 0 ]] || modules=("$BUILD/module" "$BUILD/module-debug")
	check=("$kernel/tools/objtool/objtool" --link --module --hacks=noinstr --noinstr --werror
		--dry-run)
	dir=$(scratch objtool)
	gcc -c -o "$dir/escape.o" "$GATES/fixtures/escape.S"
	sees 'leaves .noinstr.text section' "${check[@]}" "$dir/escape.o"
	names=$(awk '/link_section = "\.noinstr\.text"/ { next_one = 1 }
		next_one && match($0, /fn [a-z_]+/) { print substr($0, RSTART + 3, RLENGTH - 3); next_one = 0 }' \
		"$TOP/rust/entry/deferred_flush_entry.rs")
	[[ -n $names ]] || die "no function in rust/entry/deferred_flush_entry.rs is to be in .noinstr.text"
	for module in "${modules[@]}"; do
		object=$module/rust/entry/deferred_flush_entry.o ko=$module/rust/deferred_flush.ko
		[[ -s $object && -s $ko ]] || die "no $object, or no $ko"
		"${check[@]}" "$object"
		objdump -t "$ko" >"$dir/symbols"
		for name in $names; do
			grep -qE "\.noinstr\.text[[:space:]].*\<$name\$" "$dir/symbols" ||
				die "$name is not in .noinstr.text of $ko"
		done
		echo "$ko: ${names//$'\n'/ }"
	done
}

# The fault is in the source: a call out of the section.
control_objtool__call() {
	local tree out
	tree=$(rust_copy objtool)
	out=$(scratch objtool-out)
	sed -i -E 's|^    let state = this.state|    escape();\n&|' "$tree/rust/entry/deferred_flush_entry.rs"
	! cmp -s "$TOP/rust/entry/deferred_flush_entry.rs" "$tree/rust/entry/deferred_flush_entry.rs" ||
		die "nothing planted"
	cat >>"$tree/rust/entry/deferred_flush_entry.rs" <<-END
		#[inline(never)]
		fn escape() {
		    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
		}
	END
	kernel_make "$(realpath "$BUILD/kernel-src")" O="$(realpath "$BUILD/kernel")" M="$tree" \
		MO="$out" rust/entry/deferred_flush_entry.o
	cp "$BUILD/module/rust/deferred_flush.ko" "$out/rust"
	fails_for 'deferred_flush_catch_up.*: call to .*escape.* leaves .noinstr.text section' \
		objtool "$BUILD/kernel" "$out"
}

control_objtool__no_section() {
	local dir
	dir=$(scratch objtool-out)
	mkdir -p "$dir/rust/entry"
	cp "$BUILD/module/rust/entry/deferred_flush_entry.o" "$dir/rust/entry"
	objcopy --rename-section .noinstr.text=.text "$BUILD/module/rust/deferred_flush.ko" \
		"$dir/rust/deferred_flush.ko"
	fails_for 'deferred_flush_catch_up is not in .noinstr.text' objtool "$BUILD/kernel" "$dir"
}

control_objtool__crash() {
	local kernel
	kernel=$(scratch objtool-kernel)
	tool "$kernel/tools/objtool" objtool 'kill -SEGV $$' >/dev/null
	fails_for 'planted fault \(exit 139\)' objtool "$kernel"
}

control_objtool__no_tool() {
	fails_for 'planted fault \(exit 127\)' objtool "$(scratch objtool-kernel)"
}

control_objtool__silent() {
	local kernel
	kernel=$(scratch objtool-kernel)
	tool "$kernel/tools/objtool" objtool 'exit 0' >/dev/null
	fails_for 'planted fault \(exit 0\)' objtool "$kernel"
}

control_objtool__no_module() {
	fails_for 'no .*/deferred_flush_entry.o' objtool "$BUILD/kernel" "$(scratch objtool-out)"
}

# --- locked: the promise word, as the processor sees it
gate_locked() { # [VMLINUX [MODULE]...]
	local files=("$@")
	[[ $# -gt 0 ]] || files=("$BUILD/kernel/vmlinux" "$BUILD/module/rust/deferred_flush.ko"
		"$BUILD/module-debug/rust/deferred_flush.ko" "$BUILD"/kernel/drivers/acpi/processor.ko)
	python3 -B "$GATES/word.py" "${files[@]}"
}

# Every LOCK there is, one copy of each file.
control_locked__lock() {
	local dir count
	dir=$(scratch locked)
	gate_locked "$BUILD/kernel/vmlinux" "$BUILD/module/rust/deferred_flush.ko" >"$dir/sites"
	python3 -B "$GATES/unlock.py" "$dir" <"$dir/sites"
	count=$(grep -c '^locked ' "$dir/sites")
	fails_for "^error: $count of $count accesses without LOCK" locked "$dir/vmlinux" \
		"$dir/deferred_flush.ko"
}

# Every instruction that could be used, and every way to get at the word.
control_locked__forms() {
	local dir count wanted
	dir=$(scratch locked)
	gcc -c -o "$dir/forms.o" "$GATES/fixtures/word.S"
	count=$(grep -c '# unlocked$' "$GATES/fixtures/word.S")
	fails_for "^error: $count of $((count + 2)) accesses without LOCK" locked "$dir/forms.o" |
		tee "$dir/out"
	wanted=$(awk '$1 == "begin" { name = $2 } /# (promise|unknown)$/ { print $NF, name }' \
		"$GATES/fixtures/word.S")
	diff <(echo "$wanted") <(sed -nE 's/^.*\| (promise|unknown) .* ([a-z_]+): .*/\1 \2/p' "$dir/out")
}

control_locked__no_sites() {
	local dir
	dir=$(scratch locked)
	echo 'void f(void) { }' | gcc -c -x c -o "$dir/none.o" -
	fails_for 'none.o: no access to the word' locked "$dir/none.o"
}

control_locked__no_tool() {
	PATH=$(tool "$(scratch locked-tool)" objdump 'exit 127'):$PATH fails_for 'objdump failed' locked
}

control_locked__silent() {
	PATH=$(tool "$(scratch locked-tool)" objdump 'exit 0'):$PATH \
		fails_for 'vmlinux: no access to the word' locked
}
