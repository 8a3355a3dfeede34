# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The gates that build every prefix of a series. The work is done by ../build/prefixes*.sh.

gate_series() { # [PATCHES [SOURCE]]
	"$TOP/scripts/build/prefixes.sh" "$@"
}

# as_patch NUMBER-NAME FILE OLD NEW: from one text of the file to the other, into $dir/patches
as_patch() {
	{
		echo "$1"
		diff -u --label "a/$2" --label "b/$2" "$3" "$4" || [[ $? -eq 1 ]]
	} >"$dir/patches/$1.patch"
}

# --- on a real kernel
# One file, in whose prefixes there are faults for which the next one makes up. The demo's kernel has
# no use for it.
control_series__faults() {
	local dir file=arch/x86/coco/sev/vc-handle.c
	dir=$(scratch series)
	mkdir "$dir/patches"
	for text in off on undefined defined; do
		cp "$BUILD/kernel-src/$file" "$dir/$text"
	done
	# Not an error but for CONFIG_WERROR.
	printf '%s\n' '' '#ifndef CONFIG_X86_DEFERRED_FLUSH' 'static void planted(void) { }' '#endif' \
		>>"$dir/off"
	printf '%s\n' '' '#ifdef CONFIG_X86_DEFERRED_FLUSH' 'static void planted(void) { }' '#endif' \
		>>"$dir/on"
	printf '%s\n' '' 'void planted_later(void);' 'void planted(void);' \
		'void planted(void) { planted_later(); }' >>"$dir/undefined"
	cat "$dir/undefined" - >"$dir/defined" <<<'void planted_later(void) { }'
	as_patch 0001-off "$file" "$BUILD/kernel-src/$file" "$dir/off"
	as_patch 0002-on "$file" "$dir/off" "$dir/on"
	as_patch 0003-undefined "$file" "$dir/on" "$dir/undefined"
	as_patch 0004-defined "$file" "$dir/undefined" "$dir/defined"
	export SERIES_MEMO=$dir/memo
	fails_for '^error: 4 builds of prefixes failed' series "$dir/patches" "$BUILD/kernel-src" |
		tee "$dir/out"
	for text in 'FAILED  off  0001-off' 'ok      on   0001-off' 'ok      off  0002-on' \
		'FAILED  on   0002-on' 'FAILED  off  0003-undefined' 'FAILED  on   0003-undefined' \
		'ok      off  0004-defined' 'ok      on   0004-defined' \
		"error: .*planted.* defined but not used" 'undefined until a later patch: planted_later'; do
		grep -qE "$text" "$dir/out" || die "it does not say '$text'"
	done
}

# --- on a very small one: what is remembered
# The interface of the kernel's Makefile, as far as it is used here.
small_kernel() {
	local name
	mkdir -p "$dir/source/arch/x86/mm" "$dir/patches" "$dir/build/kernel/arch/x86/mm"
	ln -s "$dir/source" "$dir/build/kernel-src"
	cat >"$dir/source/Makefile" <<-'END'
		ON := $(if $(shell grep -s ^CONFIG_X86_DEFERRED_FLUSH=y $(O)/.config),-DON)
		allnoconfig: ; grep -q PREEMPT_RT $(KCONFIG_ALLCONFIG) && drop=X86_DEFERRED_FLUSH; \
			grep -v "CONFIG_$${drop:-none}=" $(KCONFIG_ALLCONFIG) >$(O)/.config; echo "$@" >>$(O)/../../runs
		olddefconfig: ;
		%.o: ; echo $@ $(ON) >>$(O)/../../runs; mkdir -p $(O)/$(@D); $(SLOW) \
			$(CC) -Werror $(ON) -c -o $(O)/$@ $(@:.o=.c)
	END
	touch "$dir/source/Kconfig"
	printf 'config X86_DEFERRED_FLUSH\n\tbool "planted"\n' >"$dir/source/arch/x86/Kconfig"
	for name in a b c; do
		echo "int $name;" >"$dir/source/arch/x86/mm/$name.c"
		gcc -c -o "$dir/build/kernel/arch/x86/mm/$name.o" "$dir/source/arch/x86/mm/$name.c"
		echo "int $name = 1;" >"$dir/$name"
		as_patch "000-$name" "arch/x86/mm/$name.c" "$dir/source/arch/x86/mm/$name.c" "$dir/$name"
	done
	touch "$dir/build/kernel/System.map" "$dir/source/arch/x86/mm/Makefile"
	for name in mm kernel lib include block drivers fs init io_uring net security; do
		mkdir -p "$dir/source/$name"
	done
}

# prefixes [ENVIRONMENT]...: the gate on it. What was built is in $dir/build/runs, then.
prefixes() {
	rm -f "$dir/build/runs"
	touch "$dir/build/runs"
	env BUILD="$dir/build" XDG_CACHE_HOME="$dir/cache" "$@" \
		"$TOP/scripts/gates.sh" series "$dir/patches" "$dir/source"
}

built() { # COUNT WHAT
	[[ $(grep -c '\.o' "$dir/build/runs") -eq $1 ]] ||
		die "$2: not $1 objects were built, but: $(cat "$dir/build/runs")"
}

# What the second patch calls comes with the third; what the first calls was there before.
control_series__undefined() {
	local dir rc=0 file=arch/x86/mm/c.c
	dir=$(scratch series-small)
	small_kernel
	echo "int before(void) { return 0; }" >>"$dir/source/$file"
	cp "$dir/source/$file" "$dir/c"
	echo "int later(void) { return 0; }" >>"$dir/c"
	gcc -c -o "$dir/build/kernel/${file%.c}.o" -x c "$dir/c"
	as_patch 000-c "$file" "$dir/source/$file" "$dir/c"
	echo "int before(void); int a(void) { return before(); }" >"$dir/a"
	as_patch 000-a arch/x86/mm/a.c "$dir/source/arch/x86/mm/a.c" "$dir/a"
	echo "int later(void); int b(void) { return later(); }" >"$dir/b"
	as_patch 000-b arch/x86/mm/b.c "$dir/source/arch/x86/mm/b.c" "$dir/b"
	prefixes | tee "$dir/out" || rc=$?
	[[ $rc -eq 1 ]] || die "it does not fail"
	diff <(printf '%s\n' 'ok off a' 'ok on a' 'FAILED off b' 'FAILED on b' 'ok off c' \
		'ok on c' 'ok rt c') \
		<(sed -nE 's/^(ok|FAILED) +(off|on|rt) +000-(.)[:,].*/\1 \2 \3/p' "$dir/out")
	[[ $(grep -c 'undefined until a later patch: later$' "$dir/out") -eq 2 ]] || die "it is not named"
}

control_series__memory() {
	local dir rc=0
	dir=$(scratch series-small)
	small_kernel
	prefixes
	# 1, 2 and 3 of them, with the option off and on, and 3 with PREEMPT_RT.
	built 15 "from nothing"
	prefixes
	built 0 "again"
	echo "int b = 2;" >"$dir/b"
	as_patch "000-b" "arch/x86/mm/b.c" "$dir/source/arch/x86/mm/b.c" "$dir/b"
	prefixes
	built 13 "the second patch has changed"

	# What is interrupted, and what fails, is not remembered.
	echo "int c = 2;" >"$dir/c"
	as_patch "000-c" "arch/x86/mm/c.c" "$dir/source/arch/x86/mm/c.c" "$dir/c"
	prefixes SLOW='sleep 60;' timeout -s INT 4 || rc=$?
	[[ $rc -ne 0 ]] || die "it was not interrupted"
	prefixes
	built 9 "interrupted in the third"
	echo "int a = planted;" >"$dir/a"
	as_patch "000-a" "arch/x86/mm/a.c" "$dir/source/arch/x86/mm/a.c" "$dir/a"
	for _ in 1 2; do
		rc=0
		prefixes >"$dir/out" 2>&1 || rc=$?
		[[ $rc -eq 1 ]] || die "it does not fail"
		grep '^error: 7 builds of prefixes failed' "$dir/out"
	done
}

# --- QEMU's
gate_series_qemu() { # [PATCHES]
	"$TOP/scripts/build/prefixes-qemu.sh" "$@"
}

# The interface of QEMU's configure, as far as it is used here. A fault for which the next patch makes
# up, and a warning.
control_series_qemu__faults() {
	local dir last
	dir=$(scratch series-qemu)
	mkdir -p "$dir/source/softmmu" "$dir/patches"
	echo 7.2.0 >"$dir/source/VERSION"
	cat >"$dir/source/configure" <<-'END'
		#!/bin/sh
		for option; do [ "$option" != --enable-werror ] || werror=-Werror; done
		printf 'rule cc\n command = gcc -Wall %s -o $out $in\n' "$werror" >build.ninja
		echo 'build qemu-system-x86_64: cc ../src/main.c' >>build.ninja
	END
	chmod +x "$dir/source/configure"
	echo "int main(void) { return 0; }" >"$dir/source/main.c"
	echo "int planted(void); int main(void) { return planted(); }" >"$dir/undefined"
	{ cat "$dir/undefined"; echo "int planted(void) { return 0; }"; } >"$dir/defined"
	{ cat "$dir/defined"; echo "static void unused(void) { }"; } >"$dir/warning"
	as_patch 0001-undefined main.c "$dir/source/main.c" "$dir/undefined"
	as_patch 0002-defined main.c "$dir/undefined" "$dir/defined"
	as_patch 0003-warning main.c "$dir/defined" "$dir/warning"
	export BUILD=$dir/build SERIES_MEMO=$dir/memo QEMU_SRC=$dir/source
	fails_for 'does not build with 0001-undefined.patch as its last' series-qemu "$dir/patches"
	as_patch 0001-undefined main.c "$dir/source/main.c" "$dir/defined"
	rm "$dir/patches/0002-defined.patch"
	fails_for 'does not build with 0003-warning.patch as its last' series-qemu "$dir/patches"
	rm "$dir/patches/0003-warning.patch"
	last=$(passes series-qemu "$dir/patches" | tail -n 1)
	[[ $last = "1 of 1 prefixes"* ]] || die "what has passed is built again: $last"
	[[ -z $(find "$dir/build" -name main.c) ]] || die "it leaves a source"
}
