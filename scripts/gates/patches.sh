# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Gates of the patches, and of how they are applied. For those of the series see series.sh.

# --- checkpatch
# style CHECKPATCH ALLOWED PATCH...: ALLOWED is a file of patterns, of which each has to be needed.
style() {
	local checkpatch=$1 allowed=$2 dir patch name rc counts claimed=0 pattern
	shift 2
	dir=$(scratch style)
	: >"$dir/found"
	for patch in "$@"; do
		name=${patch##*/} rc=0
		# By standard input: it takes a file that git knows for source code, not for a patch. And
		# not in a git tree: it leaves a file there.
		(cd "$dir" && perl "$checkpatch" --no-tree --emacs "${options[@]}" - <"$patch") \
			>"$dir/out" 2>&1 || rc=$?
		counts=$(sed -n 's/^total: \(.*\), [0-9]* lines checked$/\1/p' "$dir/out")
		[[ $rc -le 1 && -n $counts ]] || {
			cat "$dir/out"
			die "checkpatch has not judged $name (exit $rc)"
		}
		claimed=$((claimed + $(grep -oE '[0-9]+' <<<"$counts" | paste -sd +)))
		sed -nE "s/^-:([0-9]+: (ERROR|WARNING|CHECK):)/$name:\1/p" "$dir/out" >>"$dir/found"
	done
	[[ $(wc -l <"$dir/found") -eq $claimed ]] ||
		die "checkpatch claims to have found $claimed faults, not these: $(cat "$dir/found")"
	# There may be none.
	grep -vE '^(#|$)' "$allowed" >"$dir/allowed" || [[ $? -eq 1 ]]
	if grep -vf "$dir/allowed" "$dir/found"; then
		die "checkpatch complains"
	fi
	while read -r pattern; do
		grep -q -- "$pattern" "$dir/found" || die "nothing needs to be allowed any more: $pattern"
	done <"$dir/allowed"
	echo "$# patches, $claimed complaints allowed"
}

gate_checkpatch() { # [PATCHES [SOURCE]]
	local patches options=(--strict --show-types)
	mapfile -t patches < <(series "${1:-$TOP/patches/linux-$KERNEL_SERIES}")
	[[ ${#patches[@]} -gt 0 ]] || die "no patches in $1"
	style "${2:-$BUILD/kernel-src}/scripts/checkpatch.pl" "$TOP/scripts/gates/checkpatch-allow.txt" \
		"${patches[@]}"
}

first_patch() { # LINUX|QEMU: a directory with it only
	local dir
	dir=$(scratch checkpatch)
	cp "$TOP/patches/$1"/0001-* "$dir"
	echo "$dir"
}

# A patch with a fault of style in it.
bad_style() { # DIRECTORY
	cat >"$1/9999-planted.patch" <<-'END'
		From: Some One <some.one@example.org>
		Subject: [PATCH] planted: A fault of style

		It is there to be found.

		Signed-off-by: Some One <some.one@example.org>
		---
		diff --git a/mm/planted.c b/mm/planted.c
		--- a/mm/planted.c
		+++ b/mm/planted.c
		@@ -1,3 +1,4 @@
		 int planted(int x)
		 {
		+    if(x==0) { return(1); }
		 	return x;
	END
}

control_checkpatch__style() {
	local dir
	dir=$(first_patch "linux-$KERNEL_SERIES")
	bad_style "$dir"
	fails_for '^9999-planted.patch:.*ERROR:SPACING' checkpatch "$dir"
}

control_checkpatch__allowed_in_vain() {
	local dir
	dir=$(first_patch "linux-$KERNEL_SERIES")
	fails_for 'nothing needs to be allowed any more: ' checkpatch "$dir"
}

control_checkpatch__no_tool() {
	fails_for 'has not judged 0001-.* \(exit 2\)' checkpatch \
		"$TOP/patches/linux-$KERNEL_SERIES" "$(scratch checkpatch-tool)"
}

# broken_checkpatch PERL PATTERN
broken_checkpatch() {
	local dir
	dir=$(scratch checkpatch-tool)
	mkdir "$dir/scripts"
	echo "$1" >"$dir/scripts/checkpatch.pl"
	fails_for "$2" checkpatch "$(first_patch "linux-$KERNEL_SERIES")" "$dir"
}

control_checkpatch__crash() {
	broken_checkpatch 'print "-:1: ERROR:X: y\n"; $! = 1; die "planted";' \
		'has not judged 0001-.* \(exit 1\)'
}

control_checkpatch__silent() {
	broken_checkpatch 'exit 0;' 'has not judged 0001-.* \(exit 0\)'
}

control_checkpatch__unknown_format() {
	broken_checkpatch 'print "total: 1 errors, 0 warnings, 0 checks, 3 lines checked\n"; exit 1;' \
		'claims to have found 1 faults, not these'
}

control_checkpatch__no_patches() {
	fails_for 'no patches in' checkpatch "$(scratch checkpatch)"
}

# --- checkpatch-qemu
gate_checkpatch_qemu() { # [PATCHES [SOURCE]]
	local patches source=${2:-} options=() allowed
	mapfile -t patches < <(series "${1:-$TOP/patches/qemu-$QEMU_SERIES}")
	[[ ${#patches[@]} -gt 0 ]] || die "no patches in $1"
	[[ -n $source ]] || source=$(realpath "$BUILD/qemu")/../src
	# There is no maintainer to be named here.
	allowed=$(scratch checkpatch-qemu)/allowed
	echo 'WARNING: added, moved or deleted file(s), does MAINTAINERS need updating?' >"$allowed"
	style "$source/scripts/checkpatch.pl" "$allowed" "${patches[@]}"
}

control_checkpatch_qemu__style() {
	local dir
	dir=$(first_patch "qemu-$QEMU_SERIES")
	bad_style "$dir"
	fails_for '^9999-planted.patch:.*ERROR: space required before the open parenthesis' \
		checkpatch-qemu "$dir"
}

control_checkpatch_qemu__no_tool() {
	fails_for 'has not judged 0001-.* \(exit 2\)' checkpatch-qemu \
		"$TOP/patches/qemu-$QEMU_SERIES" "$(scratch checkpatch-tool)"
}

# --- bad-patch: one that does not apply, or only with fuzz, stops the build and leaves no tree
# small_source DIR: a kernel as far as kernel.sh looks before it builds one
small_source() {
	mkdir -p "$1/arch/x86"
	touch "$1/Kbuild"
	seq 1 20 >"$1/arch/x86/numbers"
	printf 'VERSION = %s\nPATCHLEVEL = %s\nmrproper:\n' "${KERNEL_SERIES%.*}" "${KERNEL_SERIES#*.}" \
		>"$1/Makefile"
}

# hunk LINE...: the patch of a file in it
hunk() {
	printf '%s\n' '--- a/arch/x86/numbers' '+++ b/arch/x86/numbers' "$@"
}

gate_bad_patch() { # [TREE]
	local tree=${1:-$TOP} dir case series rc
	for case in gone fuzz; do
		dir=$(scratch bad-patch)
		series=$dir/tree/patches/linux-$KERNEL_SERIES
		mkdir -p "$series"
		cp -r "$tree/scripts" "$dir/tree"
		small_source "$dir/source"
		hunk '@@ -2,2 +2,3 @@' ' 2' '+planted' ' 3' >"$series/0001-applies.patch"
		case $case in
		gone) hunk '@@ -9,3 +9,3 @@' ' 8' '-nine' '+new' ' 10' ;;
		# Only if the outer lines of the context may differ.
		fuzz) hunk '@@ -10,6 +10,7 @@' ' ten' ' 10' ' 11' '+planted' ' 12' ' 13' ' fourteen' ;;
		esac >"$series/0002-does-not.patch"
		rc=0
		env -u KDIR BUILD="$dir/build" XDG_CACHE_HOME="$dir/cache" KERNEL_SRC="$dir/source" \
			"$dir/tree/scripts/build/kernel.sh" >"$dir/out" 2>&1 || rc=$?
		cat "$dir/out"
		[[ $rc -ne 0 ]] || die "$case: a patch that does not apply is no error"
		grep -qs '^applying 0001' "$dir/out" "$dir"/build/log/* ||
			die "$case: not even the first patch was tried"
		grep -q '^0002-.*does not apply to this kernel' "$dir/out" ||
			die "$case: the patch is not named"
		[[ $(grep -c '^error: ' "$dir/out") -eq 1 ]] || die "$case: not one error"
		[[ -z $(find "$dir/cache" -type d -name 'src-*') ]] || die "$case: a tree stays in the cache"
	done
}

# script_fault FILE SED-SCRIPT PATTERN: in scripts/FILE
script_fault() {
	local tree file=scripts/$1
	shift
	tree=$(scratch bad-patch-tree)
	cp -r "$TOP/scripts" "$tree"
	sed -i "$1" "$tree/$file"
	! cmp -s "$TOP/$file" "$tree/$file" || die "nothing planted"
	fails_for "$2" bad-patch "$tree"
}

control_bad_patch__goes_on() {
	script_fault lib/lib.sh '/does not apply to this/s/return 1/true/' 'gone: the patch is not named'
}

control_bad_patch__stays() {
	# shellcheck disable=SC2016
	script_fault build/kernel.sh '/^prepare_source/,/^}/s/rm -rf "$src"/true/' 'gone: a tree stays in the cache'
}

control_bad_patch__fuzz() {
	script_fault lib/lib.sh 's/ -F0 / /' 'fuzz: the patch is not named'
}

control_bad_patch__no_script() {
	script_fault build/kernel.sh '1iexit 1' 'not even the first patch was tried'
}
