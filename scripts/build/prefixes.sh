#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every prefix of the series has to build, with the option off and on, without a warning; all of it
# also with PREEMPT_RT, which refuses the option. Built is what the patches so far touch, and what
# includes a header that the last of them touches.
# Usage: prefixes.sh [PATCHES [SOURCE]]
#        PATCHES  a directory of patches; default: patches/linux-*
#        SOURCE   the kernel that they apply to; default: build/kernel-src with the series taken out
# What has passed is remembered, by its content.
# Settings: SERIES_MEMO=  where; default: the cache
# Exit:  0; 1 if a prefix does not build: all that do not are named.
set -euo pipefail
# In $(...) as well.
shopt -s inherit_errexit
. "$(dirname "$0")/../lib/lib.sh"

present=$TOP/patches/linux-$KERNEL_SERIES
source=${2:-}
mapfile -t patches < <(series "${1:-$present}")
[[ ${#patches[@]} -gt 0 ]] || die "no patches in ${1:-$present}"
src=$(realpath "${source:-$BUILD/kernel-src}")
# Says what is built here, but for a few; the configuration is the same, but for Rust and those.
kernel=$(realpath "$BUILD/kernel")
# The same place for each series: what was compiled there from the same text is not compiled again.
work=$BUILD/prefixes${2:+.$$}
export CCACHE_DIR=$CACHE/ccache CCACHE_MAXSIZE=1G CCACHE_COMPILERCHECK=content
tree=$work/tree
memo=${SERIES_MEMO:-$CACHE/series}
option=X86_DEFERRED_FLUSH
# What is built besides what the finished kernel has.
also=(arch/x86/coco/sev/vc-handle.c)
also_config=$TOP/scripts/build/configs/prefixes.config
mkdir -p "$memo" "$work/log"
# Background jobs get process groups of their own, to be ended as a whole.
set -m
pids=()
failed=0
on_exit() {
	local at
	for ((at = 0; at < ${#pids[@]}; at += 2)); do
		kill -- "-${pids[$at]}" 2>/dev/null || true
	done
	[[ $failed -gt 0 && $work = "$BUILD/prefixes" ]] || rm -rf "$work"
}
trap on_exit EXIT

# The option comes last. It can be chosen before by an entry of our own.
entry=$(awk -v option="$option" '
	/^\+config / { inside = $2 == option } !/^\+/ { inside = 0 } inside { print substr($0, 2) }' \
	"${patches[@]}")

# --- what has been built before
case $src in
"$CACHE"/src-*) source_key=${src##*/} ;;
*) source_key=$(cd "$src" && find . -path ./.git -prune -o -type f -printf '%P %s %T@\n' |
	sort | hash_of) ;;
esac
base_key=$({
	# Without the series, the rest of the name does not matter.
	[[ -n $source ]] && echo "$source_key" || echo "${source_key%-*}"
	cat "$0" "$TOP/scripts/build/configs/base.config" "$also_config"
	gcc --version
} | hash_of)

# key PREFIX CONFIG: the patches are numbered from 0.
key() {
	{
		echo "$base_key $2"
		[[ $2 = off ]] || echo "$entry"
		series_diff "${patches[@]:0:$1 + 1}"
	} | hash_of
}

passed() {
	[[ -e $memo/$(key "$1" "$2") ]]
}

last=$((${#patches[@]} - 1))
first=0
while [[ $first -le $last ]] && passed "$first" off && passed "$first" on; do
	first=$((first + 1))
done
echo "$first of ${#patches[@]} prefixes built before"
if [[ $first -gt $last ]]; then
	! passed "$last" rt || { echo "PREEMPT_RT built before"; exit 0; }
	first=$last
fi

# --- a tree that can be changed where the series changes it: the rest is links, of whole
# directories where that is possible
touched() {
	sed -n 's|^+++ b/||p' "$@" | sort -u
}

link_tree() { # FILES on standard input
	local file dir dirs
	mapfile -t files
	dirs=$(for file in "${files[@]}"; do
		while file=$(dirname "$file") && [[ $file != . ]]; do
			echo "$file"
		done
	done | sort -u)
	for dir in . $dirs; do
		[[ -d $src/$dir || -d $tree/$dir ]] || { mkdir -p "$tree/$dir"; continue; }
		rm -f "${tree:?}/$dir" 2>/dev/null || true
		mkdir -p "$tree/$dir"
		[[ ! -d $src/$dir ]] || find "$src/$dir" -mindepth 1 -maxdepth 1 ! -name 'out-*' \
			! -name .finished ! -name .git -exec ln -s -t "$tree/$dir" {} +
	done
	for file in "${files[@]}"; do
		rm -f "$tree/$file"
		[[ ! -f $src/$file ]] || cp "$src/$file" "$tree/$file"
	done
}

apply() {
	patch -d "$tree" -p1 -F0 -s --no-backup-if-mismatch "$@"
}

rm -rf "$work"/{tree,off,on}{,.stamp}
if [[ -n $source ]]; then
	touched "${patches[@]}" | link_tree
else
	mapfile -t taken_out < <(series "$present" | sort -r)
	touched "${taken_out[@]}" "${patches[@]}" | link_tree
	for patch in "${taken_out[@]}"; do
		apply -R <"$patch"
	done
fi

# --- what to build
# objects CONFIG: of the files on standard input that are built in it
objects() {
	local file object
	while read -r file; do
		case $file in
		# Built before anything else.
		tools/*) continue ;;
		*.lds.S) object=${file%.S} ;;
		*.[cS]) object=${file%.?}.o ;;
		*) continue ;;
		esac
		[[ -e $tree/$file ]] || continue
		[[ -e $kernel/$object || " ${also[*]} " = *" $file "* ]] || continue
		# Not there without the option.
		if [[ $1 = on ]] || ! grep -qE "^obj-\\$\(CONFIG_$option\).*\<${object##*/}( |$)" \
			"$tree/${file%/*}/Makefile"; then
			echo "$object"
		fi
	done | sort -u
}

# index FILE-OR-DIRECTORY...: all their includes, as FILE:LINE
index() {
	grep -RHE '^[[:space:]]*#[[:space:]]*include[[:space:]]' --include='*.[chS]' "$@" ||
		[[ $? -eq 1 ]]
}

# includers HEADER: the sources that include it; those of the headers that do if only such do.
includers() {
	local name=${1##*/} found
	case $1 in
	arch/x86/include/* | include/*) name="<${1#*include/}>" ;;
	*) name="\"([^\"]*/)?$name\"" ;;
	esac
	found=$(sed -nE "s!^([^:]*):#[[:space:]]*include[[:space:]]+$name.*!\1!p" "$work/includes")
	if ! grep '\.[cS]$' <<<"$found"; then
		for name in $found; do
			includers "$name"
		done
	fi
}

# files PREFIX: what is built for it, if the configuration has it
files() {
	touched "${patches[@]}" >"$work/touched"
	{
		# What no patch touches is as it was.
		awk -F: 'NR == FNR { touched[$1]; next } !($1 in touched)' "$work/touched" "$work/base"
		cd "$tree"
		xargs ls -d <"$work/touched" 2>/dev/null >"$work/there" || true
		mapfile -t there <"$work/there"
		index "${there[@]}"
	} >"$work/includes"
	{
		touched "${patches[@]:0:$1 + 1}"
		touched "${patches[$1]}" | while read -r header; do
			[[ $header != *.h ]] || includers "$header"
		done
	} | sort -u >"$work/files"
}

# --- the builds
compile() { # OUT ARG...
	kernel_make "$tree" O="$1" CC="ccache gcc" HOSTCC="ccache gcc" "${kconfig[@]}" "${@:2}"
}

# configure CONFIG OUT
configure() {
	local missing wanted
	mkdir -p "$2"
	wanted=$(grep '^CONFIG_' "$also_config")
	{
		grep -hv RUST "$TOP/scripts/build/configs/base.config" "$also_config"
		echo CONFIG_WERROR=y
		[[ $1 != on ]] || echo "CONFIG_$option=y"
		[[ $1 != rt ]] || printf '%s\n' CONFIG_PREEMPT_RT=y "CONFIG_$option=y"
	} >"$2/fragment.config"
	compile "$2" KCONFIG_ALLCONFIG="$2/fragment.config" allnoconfig
	compile "$2" olddefconfig
	grep -q '^CONFIG_WERROR=y' "$2/.config"
	missing=$(grep -vxFf "$2/.config" <<<"$wanted" || [[ $? -eq 1 ]])
	[[ -z $missing ]] || die "did not take: $missing"
	if [[ $1 = on ]]; then
		grep -q "^CONFIG_$option=y" "$2/.config" || die "the option cannot be chosen"
	elif grep "^CONFIG_$option=y" "$2/.config"; then
		die "the option is on"
	fi
	[[ $1 != rt ]] || grep -q '^CONFIG_PREEMPT_RT=y' "$2/.config" || die "PREEMPT_RT is off"
}

# symbols undefined|defined: of the objects on standard input
symbols() {
	{ grep '\.o$' || [[ $? -eq 1 ]]; } | xargs -r nm -fposix | awk -v kind="$1" '
		$2 ~ /^[Uwv]$/ { if (kind == "undefined") print $1; next }
		NF > 1 { if (kind == "defined") print $1 }' | sort -u
}

# A function that only a later patch adds leaves a hole that compiling does not show. What these
# objects want has to be in one that is built here, or in the finished kernel outside of the series; or
# else no later patch may name it, as with what another configuration has elsewhere.
unresolved() { # OUT CONFIG PREFIX
	cd "$kernel"
	touched "${patches[@]}" | objects on | while read -r object; do
		[[ ! -e $object ]] || echo "$object"
	done >"$work/$2.all"
	symbols defined <"$work/$2.all" >"$work/$2.series"
	{
		symbols undefined <"$work/$2.all"
		cut -d ' ' -f 3 System.map
	} | sort -u | comm -23 - "$work/$2.series" >"$work/$2.there"
	cd "$1"
	find . -name '*.o' -not -path './tools/*' | symbols defined |
		sort -u - "$work/$2.there" >"$work/$2.defined"
	# The decompressor is a program of its own.
	grep -v '^arch/x86/boot/' "$work/$2.list" | symbols undefined | comm -23 - "$work/$2.defined" |
		comm -12 - <(cat /dev/null "${patches[@]:$3 + 1}" | sed -n 's/^+//p' |
			grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u)
}

# build PREFIX CONFIG
build() {
	local out=$work/$2 kconfig=() list missing object stamp
	[[ $2 != rt ]] || out=$work/off
	if ! grep -q "^config $option" "$tree/arch/x86/Kconfig"; then
		{ cat "$tree/Kconfig" && echo "$entry"; } >"$out.Kconfig"
		kconfig=(KBUILD_KCONFIG="$out.Kconfig")
	fi
	stamp="$2 ${kconfig[*]}"
	if [[ $(cat "$out.stamp" 2>/dev/null) != "$stamp" ]] ||
		[[ $(touched "${patches[$1]}") = *Kconfig* ]]; then
		echo "== configure"
		configure "$2" "$out"
		echo "$stamp" >"$out.stamp"
	fi
	objects "$2" <"$work/files" >"$work/$2.list"
	mapfile -t list <"$work/$2.list"
	[[ ${#list[@]} -gt 0 ]] || die "nothing to build"
	echo "== build ${#list[@]} objects: ${list[*]}"
	compile "$out" "${list[@]}"
	for object in "${list[@]}"; do
		[[ -e $out/$object ]] || die "$object was not built"
	done
	missing=$(unresolved "$out" "$2" "$1")
	if [[ -n $missing ]]; then
		echo "== build what later patches touch"
		mapfile -t list < <(touched "${patches[@]}" | objects "$2")
		compile "$out" "${list[@]}"
		missing=$(unresolved "$out" "$2" "$1")
	fi
	[[ -z $missing ]] || die "undefined until a later patch: ${missing//$'\n'/ }"
	# Only now: what is interrupted leaves nothing.
	: >"$memo/$(key "$1" "$2")"
}

report() { # PREFIX CONFIG STATUS SECONDS
	local log=$work/log/$1-$2.log name=${patches[$1]##*/}
	if [[ $3 -eq 0 ]]; then
		printf 'ok      %-4s %s: %s objects, %s s\n' "$2" "${name%.patch}" \
			"$(sed -n 's/^== build \([0-9]*\) .*/\1/p' "$log")" "$4"
		return
	fi
	failed=$((failed + 1))
	printf 'FAILED  %-4s %s, see %s\n' "$2" "${name%.patch}" "$log"
	# The linker script has two rules, of which make complains.
	{ grep -E '(error|warning|undefined)\>' "$log" | grep -v ' recipe for target ' ||
		tail -n 20 "$log"; } |
		sed -n '1,20s/^/    /p'
}

# Of the release, before the first patch.
if [[ ! -e $memo/includes-$base_key ]]; then
	(cd "$tree" && index arch/x86/*/ mm/ kernel/ lib/ include/ block/ drivers/ fs/ init/ io_uring/ \
		net/ security/) | sed 's|//*|/|' >"$work/base"
	# Another run may do the same.
	mv "$work/base" "$memo/includes-$base_key"
fi
cp "$memo/includes-$base_key" "$work/base"
for ((i = 0; i <= last; i++)); do
	apply <"${patches[$i]}"
	[[ $i -ge $first ]] || continue
	start=$SECONDS
	files "$i"
	for config in off on; do
		if passed "$i" "$config"; then
			name=${patches[$i]##*/}
			printf 'before  %-4s %s\n' "$config" "${name%.patch}"
			continue
		fi
		JOBS=$(((JOBS + 1) / 2)) build "$i" "$config" >"$work/log/$i-$config.log" 2>&1 </dev/null &
		pids+=("$!" "$config")
	done
	while [[ ${#pids[@]} -gt 0 ]]; do
		status=0
		wait "${pids[0]}" || status=$?
		report "$i" "${pids[1]}" "$status" "$((SECONDS - start))"
		pids=("${pids[@]:2}")
	done
done
if ! passed "$last" rt; then
	start=$SECONDS
	build "$last" rt >"$work/log/$last-rt.log" 2>&1 </dev/null &
	pids=("$!" rt)
	status=0
	wait "${pids[0]}" || status=$?
	pids=()
	report "$last" rt "$status" "$((SECONDS - start))"
fi
[[ $failed -eq 0 ]] || die "$failed builds of prefixes failed"
