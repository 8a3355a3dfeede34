# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016
# Gates of scripts, and of who does what in the kernel and the module.

# --- shellcheck
gate_shellcheck() { # [TREE]
	local tree=${1:-$TOP} scripts guest
	cd "$tree" || die "no $tree"
	mapfile -t scripts < <(find scripts -name '*.sh' | sort)
	mapfile -t guest < <(find selftests -name '*.sh' | sort)
	[[ ! -e .ci/run ]] || scripts+=(.ci/run)
	[[ ${#scripts[@]} -gt 0 && ${#guest[@]} -gt 0 ]] || die "no scripts in $tree"
	sees 'SC2086' shellcheck -s sh - <<<'echo $1'
	shellcheck -x -P SCRIPTDIR -P . "${scripts[@]}"
	shellcheck -s sh -e SC1091 "${guest[@]}"
	echo "${#scripts[@]} and ${#guest[@]} scripts"
}

shell_copy() {
	local tree
	tree=$(scratch shellcheck)
	mkdir -p "$tree/.ci"
	cp -r "$TOP/scripts" "$tree"
	cp "$TOP/.ci/run" "$tree/.ci"
	mkdir -p "$tree/selftests/deferred_flush"
	cp "$TOP"/selftests/deferred_flush/*.sh "$tree/selftests/deferred_flush"
	echo "$tree"
}

control_shellcheck__script() {
	local tree
	tree=$(shell_copy)
	echo 'rm -rf $1' >>"$tree/scripts/gates/fixture.sh"
	fails_for 'gates/fixture.sh line 1' shellcheck "$tree"
}

control_shellcheck__guest() {
	local tree
	tree=$(shell_copy)
	echo '[[ -e x ]]' >>"$tree/selftests/deferred_flush/parameters.sh"
	fails_for 'selftests/deferred_flush/parameters.sh line' shellcheck "$tree"
}

control_shellcheck__no_tool() {
	PATH=$(tool "$(scratch shellcheck-tool)" shellcheck 'exit 127'):$PATH \
		fails_for 'planted fault \(exit 127\)' shellcheck
}

control_shellcheck__silent() {
	PATH=$(tool "$(scratch shellcheck-tool)" shellcheck 'exit 0'):$PATH \
		fails_for 'planted fault \(exit 0\)' shellcheck
}

control_shellcheck__no_files() {
	local tree
	tree=$(scratch shellcheck)
	mkdir "$tree/scripts" "$tree/selftests"
	fails_for 'no scripts in' shellcheck "$tree"
}

# --- who calls what, against a list
# compare LIST FOUND
compare() {
	[[ -s $2 ]] || die "nothing found"
	if ! diff <(grep -v '^#' "$1" | sort) <(sort "$2"); then
		die "these are not in ${1#"$TOP/"} (>), or only there (<)"
	fi
	echo "$(wc -l <"$2") as listed"
}

# mentions PATTERN ROOT DIRECTORY...: the files that contain it
mentions() {
	local pattern=$1 rc=0
	cd "$2" || die "no $2"
	LC_ALL=C grep -rlE "$pattern" --include='*.[chS]' --include='*.rs' --exclude-dir='out-*' \
		--exclude-dir=target "${@:3}" || rc=$?
	[[ $rc -le 1 ]] || die "grep failed"
}

# --- callers: only known ones defer flushes, and only known ones complete what
# was deferred. Freed tables may not, but by deferred_flush_kernel_table().
gate_callers() { # [SOURCE]
	local src=${1:-$BUILD/kernel-src} dir files dirs
	local pattern='flush_tlb_(kernel_range|secret)_deferrable|_?vm_unmap_aliases(_deferrable)?'
	pattern+='|deferred_flush_(sync|kernel_(range|table))'
	dir=$(scratch callers)
	# All of it; other architectures do not have it.
	mapfile -t dirs < <(cd "$src" && printf '%s\n' arch/x86 block crypto drivers fs init io_uring ipc \
		kernel lib mm net security sound virt include)
	mentions "$pattern" "$src" "${dirs[@]}" >"$dir/files"
	mapfile -t files <"$dir/files"
	[[ ${#files[@]} -gt 0 ]] || die "nobody mentions $pattern in $src"
	(cd "$src" && "$GATES/source.py" calls "${pattern//(/(?:}" "${files[@]}") >"$dir/found"
	compare "$GATES/callers.txt" "$dir/found"
}

# Links to what is there, of directories but for those of the FILEs, which are copied.
source_copy() { # GATE FILE...
	local tree file dir src=$BUILD/kernel-src
	tree=$(scratch "$1-tree")
	for dir in arch/x86 block crypto drivers fs init io_uring ipc kernel lib mm net security sound \
		virt include; do
		mkdir -p "$tree/$dir"
	done
	for file in "${@:2}"; do
		mkdir -p "$tree/${file%/*}"
		cp "$src/$file" "$tree/$file"
	done
	echo "$tree"
}

# What is listed, and no more of the kernel.
callers_copy() {
	local files
	mapfile -t files < <(grep -v '^#' "$GATES/callers.txt" | cut -d ' ' -f 1 | sort -u)
	source_copy callers "${files[@]}"
}

control_callers__freed_tables() {
	local tree
	tree=$(callers_copy)
	passes callers "$tree"
	sed -i 's/flush_tlb_kernel_range(/flush_tlb_kernel_range_deferrable(/' \
		"$tree/arch/x86/mm/pgtable.c"
	fails_for '^> arch/x86/mm/pgtable.c p[um]d_free_p[mt][de]_page flush_tlb_kernel_range_deferrable' \
		callers "$tree"
}

control_callers__elsewhere() {
	local tree
	tree=$(callers_copy)
	printf 'void f(void)\n{\n\tflush_tlb_kernel_range_deferrable(0, 1);\n}\n' >"$tree/drivers/f.c"
	fails_for '^> drivers/f.c f flush_tlb_kernel_range_deferrable' callers "$tree"
}

control_callers__gone() {
	local tree
	tree=$(callers_copy)
	sed -i '/^static void vb_free/,/^}/s/_deferrable(/(/' "$tree/mm/vmalloc.c"
	fails_for '^< mm/vmalloc.c vb_free' callers "$tree"
}

# Comments and declarations are no calls.
control_callers__comment() {
	local tree
	tree=$(callers_copy)
	printf '%s\n' '/* flush_tlb_kernel_range_deferrable(0, 1); */' \
		'// deferred_flush_kernel_table(a, b)' >>"$tree/mm/vmalloc.c"
	echo 'bool deferred_flush_kernel_range(unsigned long start, unsigned long end);' \
		>>"$tree/mm/vmalloc.c"
	passes callers "$tree"
}

control_callers__no_source() {
	fails_for 'nobody mentions|grep failed' callers "$(scratch callers-tree)"
}

# --- one-promise: one place sets AWAY, and nothing changes the word without LOCK
gate_one_promise() { # [SOURCE [TREE]]
	local src=${1:-$BUILD/kernel-src} tree=${2:-$TOP} dir kernel module
	dir=$(scratch one-promise)
	mentions 'DEFERRED_FLUSH_AWAY|deferred_flush_cpu' "$src" arch/x86 drivers/acpi drivers/cpuidle \
		drivers/idle include kernel mm >"$dir/kernel"
	mentions 'AWAY|deferred_flush_cpu' "$tree" rust >"$dir/all"
	# A model of it, and what is only for tests.
	grep -vE '^rust/(host/|(entry|module)/kunit.rs|protocol/cases.rs|test_module/)' "$dir/all" >"$dir/module"
	mapfile -t kernel <"$dir/kernel"
	mapfile -t module <"$dir/module"
	[[ ${#kernel[@]} -gt 0 ]] || die "nothing in $src"
	(cd "$src" && "$GATES/source.py" promises "${kernel[@]}") >"$dir/found"
	(cd "$tree" && "$GATES/source.py" promises "${module[@]}") >>"$dir/found"
	compare "$GATES/promises.txt" "$dir/found"
}

promise_copy() {
	source_copy one-promise arch/x86/mm/deferred_flush.c arch/x86/include/asm/deferred_flush.h \
		arch/x86/entry/calling.h arch/x86/entry/entry_64.S
}

# promise_fault FILE SED-SCRIPT PATTERN: in the kernel
promise_fault() {
	local tree
	tree=$(promise_copy)
	mkdir -p "$tree"/drivers/{acpi,cpuidle,idle}
	passes one-promise "$tree"
	sed -i "$2" "$tree/$1"
	! cmp -s "$tree/$1" "$BUILD/kernel-src/$1" || die "nothing planted"
	fails_for "$3" one-promise "$tree"
}

control_one_promise__c() {
	promise_fault arch/x86/mm/deferred_flush.c \
		'/^static void catch_up_ipi/,/^}/s/catch_up();/&\n\tWRITE_ONCE(*word,\n\tDEFERRED_FLUSH_AWAY);/' \
		'^> arch/x86/mm/deferred_flush.c catch_up_ipi WRITE_ONCE'
}

control_one_promise__assembly() {
	promise_fault arch/x86/entry/calling.h \
		's/^982:.*lock btrq .*/&\n\tmovq $DEFERRED_FLUSH_AWAY, PER_CPU_VAR(deferred_flush_cpu)/' \
		'^> arch/x86/entry/calling.h DEFERRED_FLUSH_TAKE_BACK movq'
}

control_one_promise__no_lock() {
	promise_fault arch/x86/mm/deferred_flush.c \
		's/raw_try_cmpxchg64(word, &old, 0)/raw_cpu_try_cmpxchg(deferred_flush_cpu.state, \&old, 0)/' \
		'^> arch/x86/mm/deferred_flush.c deferred_flush_take_back raw_cpu_try_cmpxchg'
}

control_one_promise__gone() {
	promise_fault arch/x86/mm/deferred_flush.c \
		'/^static __always_inline void go_away/,/^}/s/DEFERRED_FLUSH_AWAY/0/' \
		'^< arch/x86/mm/deferred_flush.c go_away'
}

control_one_promise__rust() {
	local tree
	tree=$(rust_copy one-promise)
	cat >>"$tree/rust/protocol/engine.rs" <<-'END'
		pub fn planted(word: &AtomicU64) {
		    word.fetch_or(AWAY, Ordering::Relaxed);
		}
	END
	fails_for '^> rust/protocol/engine.rs planted fetch_or' one-promise "$BUILD/kernel-src" "$tree"
}

control_one_promise__no_source() {
	fails_for 'grep failed|nothing in' one-promise "$(scratch one-promise-tree)"
}
