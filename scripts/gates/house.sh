# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016
# Gates of the house: who may use whom, how long a piece is, whether paths lead somewhere.

# none COMMAND...: it prints faults; there must not be one.
none() {
	local found
	found=$("$@")
	[[ -z $found ]] || { echo "$found"; die "$(wc -l <<<"$found") faults"; }
}

# --- layers
gate_layers() { # [TREE]
	local tree=${1:-$TOP} dir file
	dir=$(scratch layers)
	for file in "$tree"/selftests/machine/*.[cS]; do
		# Only the symbols matter.
		gcc -c -m64 -ffreestanding -fno-pic -w -o "$dir/$(basename "${file%.?}").o" "$file"
	done
	nm -A -g "$dir"/*.o >"$dir/symbols"
	none python3 -B "$GATES/layers.py" "$tree" "$dir/symbols"
}

house_copy() { # NAME
	local tree
	tree=$(scratch "$1")
	mkdir "$tree/rust"
	(cd "$TOP" && cp -r scripts selftests patches Documentation README.md Makefile "$tree" &&
		tar -c --exclude=target rust | tar -x -C "$tree")
	find "$tree" -name __pycache__ -prune -exec rm -r {} +
	echo "$tree"
}

# layers_fault PATTERN FILE LINE: it is added to the file
layers_fault() {
	local tree
	tree=$(house_copy layers-tree)
	passes layers "$tree"
	echo "$3" >>"$tree/$2"
	fails_for "$1" layers "$tree"
}

control_layers__protocol_uses_the_kernel() {
	layers_fault '^rust/protocol/word.rs uses kernel::' rust/protocol/word.rs 'use kernel::prelude::*;'
}

control_layers__entry_uses_the_module() {
	layers_fault '^rust/entry/deferred_flush_entry.rs uses rust/module/hooks.rs' \
		rust/entry/deferred_flush_entry.rs '#[path = "../module/hooks.rs"] mod hooks;'
}

control_layers__rust_circle() {
	layers_fault '^circle: rust/module/control.rs -> rust/module/hooks.rs -> rust/module/control.rs' \
		rust/module/hooks.rs 'use crate::{control, ffi};'
}

control_layers__c_circle() {
	layers_fault '^circle: .*selftests/machine/ops -> ' \
		selftests/machine/ops.c 'void planted(void) { test_rights(); }'
}

control_layers__python_circle() {
	layers_fault '^circle: .*scripts/check/ktap.py -> ' scripts/check/ktap.py 'import run'
}

control_layers__guest_uses_the_host() {
	layers_fault '^scripts/guest/lib.sh uses scripts/build/kernel.sh' \
		scripts/guest/lib.sh '"$TOP/scripts/build/kernel.sh"'
}

control_layers__selftest_uses_a_script() {
	layers_fault '^selftests/deferred_flush/isolated.sh uses scripts/boot/stale.sh' \
		selftests/deferred_flush/isolated.sh '"$TOP/scripts/boot/stale.sh"'
}

# --- sizes
gate_sizes() { # [TREE]
	none python3 -B "$GATES/sizes.py" "${1:-$TOP}" "${1:-$TOP}/scripts/gates/sizes.txt"
}

# sizes_fault PATTERN FILE [LINE-BEFORE LINE-BEHIND]: with that many lines in between
sizes_fault() {
	local tree
	tree=$(house_copy sizes)
	passes sizes "$tree"
	{
		[[ $# -le 2 ]] || echo "$3"
		for ((i = 0; i < ${lines:-60}; i++)); do
			printf '\tx\n'
		done
		[[ $# -le 2 ]] || echo "$4"
	} >>"$tree/$2"
	fails_for "$1" sizes "$tree"
}

control_sizes__file() {
	lines=480 sizes_fault '^README.md: [0-9]+ lines' README.md
}

control_sizes__rust() {
	sizes_fault '^rust/module/stats.rs planted: 62 lines' rust/module/stats.rs 'fn planted() {' '}'
}

control_sizes__c() {
	sizes_fault '^selftests/deferred_flush/asids.c planted: 62 lines' \
		selftests/deferred_flush/asids.c 'static void planted(void) {' '}'
}

control_sizes__shell() {
	sizes_fault '^scripts/soak.sh planted: 62 lines' scripts/soak.sh 'planted() {' '}'
}

control_sizes__python() {
	sizes_fault '^scripts/check/plan.py planted: 61 lines' scripts/check/plan.py 'def planted(x):' ''
}

control_sizes__reason_in_vain() {
	local tree
	tree=$(house_copy sizes)
	echo 'rust/module/stats.rs show # planted' >>"$tree/scripts/gates/sizes.txt"
	fails_for '^rust/module/stats.rs show: needs no reason' sizes "$tree"
}

control_sizes__no_files() {
	local tree
	tree=$(scratch sizes)
	touch "$tree/reasons"
	[[ $(python3 -B "$GATES/sizes.py" "$tree" "$tree/reasons") = "no files" ]] || die "nothing is something"
}

# --- paths
gate_paths() { # [TREE]
	none python3 -B "$GATES/paths.py" "${1:-$TOP}" "$(realpath "$BUILD/kernel-src")" \
		"$(realpath "$BUILD/qemu")/../src"
}

# paths_fault PATTERN FILE LINE
paths_fault() {
	local tree
	tree=$(house_copy paths)
	passes paths "$tree"
	echo "$3" >>"$tree/$2"
	fails_for "$1" paths "$tree"
}

control_paths__document() {
	paths_fault '^Documentation/design.rst:[0-9]+: rust/gone.rs' Documentation/design.rst 'See rust/gone.rs.'
}

control_paths__readme_folder() {
	paths_fault '^README.md:[0-9]+: scripts/gone/' README.md '    scripts/gone/    what is gone'
}

control_paths__comment() {
	paths_fault '^scripts/soak.sh:[0-9]+: gone.sh' scripts/soak.sh '# As gone.sh has it.'
}

control_paths__kernel() {
	paths_fault '^rust/module/stats.rs:[0-9]+: arch/x86/mm/gone.c' \
		rust/module/stats.rs '// `arch/x86/mm/gone.c`'
}

control_paths__message() {
	paths_fault '^scripts/soak.sh:[0-9]+: scripts/gone.sh' \
		scripts/soak.sh 'die "run scripts/gone.sh"'
}

control_paths__python() {
	paths_fault '^scripts/check/plan.py:[0-9]+: selftests/gone' scripts/check/plan.py '"""See selftests/gone."""'
}
