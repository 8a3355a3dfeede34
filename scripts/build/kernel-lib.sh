# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# Sourced, after source-linux.sh: names of kernels in the cache, their configuration, and how one is
# made from another.

# kernel_names PATCHES CONFIGS (names of arrays): sets src and out. The key is what goes into a
# kernel: what is said about the patches does not.
kernel_names() {
	local -n of=$1 with=$2
	build_key=$({
		# Not what is said about them.
		grep -hE '^(CONFIG_|# CONFIG_.* is not set)' "${with[@]}"
		gcc --version | head -n 1
		ld --version | head -n 1
		pahole --version 2>/dev/null || echo "no pahole"
		"$RUST_PREFIX/rustc" --version
		"$BINDGEN" --version | sed 's/^bindgen //'
		printf '%s\n' "${KERNEL_TOOLS[@]}"
	} | hash_of)
	src=$CACHE/src-$source_key-$(series_diff "${of[@]}" | hash_of)
	# Inside the source tree, all paths in the build's commands are relative: a copy of both builds
	# only what changed.
	out=$src/out-$build_key
}

# configure_kernel SOURCE OUT CONFIG...
configure_kernel() {
	local dir=$1 to=$2 line symbol bad=0
	mkdir -p "$to" && cat "${@:3}" >"$to/fragment.config" &&
		kernel_make "$dir" O="$to" KCONFIG_ALLCONFIG="$to/fragment.config" allnoconfig &&
		kernel_make "$dir" O="$to" olddefconfig || return 1
	while read -r line; do
		symbol=${line%%=*}
		grep -qxF "$line" "$to/.config" ||
			{ echo "did not take: $line (is: $(grep -E "^(# )?${symbol}[ =]" "$to/.config" || echo unknown))"; bad=1; }
	# The last line about a symbol is the one that holds.
	done < <(tac "$to/fragment.config" | awk '
		/^CONFIG_/ { symbol = $0; sub(/=.*/, "", symbol); if (!seen[symbol]++) print }
		/^# CONFIG_.* is not set$/ { seen[$2] = 1 }')
	return $bad
}

# --- from another one
# keep_series DIR PATCH...: in a source tree, what was applied to it
keep_series() {
	local dir=$1 patch
	rm -rf "$dir/.series" && mkdir "$dir/.series" || return 1
	for patch in "${@:2}"; do
		series_diff "$patch" >"$dir/.series/${patch##*/}" || return 1
	done
}

# link_source SOURCE TO: the same tree. Links cost nothing: patch breaks them.
link_source() {
	find "$1" -mindepth 1 -maxdepth 1 ! -name 'out-*' ! -name .finished -exec cp -al -t "$2" {} +
}

# series_files SOURCE...: what their series touch
series_files() {
	find "${@/%//.series}" -name '*.patch' -exec sed -nE 's#^(---|\+\+\+) [ab]/([^\t]*).*#\2#p' {} + |
		sort -u
}

# derive_source OLD NEW PATCH...: the source tree NEW, from one with another series. What is the
# same stays the same file, with its time.
derive_source() {
	local old=$1 new=$2 patch file
	shift 2
	link_source "$old" "$new" || return 1
	for patch in $(printf '%s\n' "$old"/.series/*.patch | sort -r); do
		[[ ! -f $patch ]] || patch -R -d "$new" -p1 -F0 -s --no-backup-if-mismatch <"$patch" || return 1
	done
	apply_patches "$new" "$@" && keep_series "$new" "$@" || return 1
	while read -r file; do
		! cmp -s "$old/$file" "$new/$file" || ln -f "$old/$file" "$new/$file" || return 1
	done < <(series_files "$old" "$new")
}

# relative SRC OUT: a finished kernel of the same source and configuration with another series: the
# last one that was used
relative() {
	local found
	# shellcheck disable=SC2045 # The names are our own.
	for found in $(ls -td "$CACHE/src-$source_key"-*/"${2##*/}"/.finished 2>/dev/null); do
		found=${found%/.finished}
		if [[ $found != "$1"/* && -d ${found%/*}/.series ]] && finished "${found%/*}"; then
			echo "$found"
			return
		fi
	done
}

# copy_build OLD-SOURCE OLD-OUT SOURCE OUT FILE...: start OUT from a finished build of another tree,
# which differs in FILES. Only what depends on them is built again.
copy_build() {
	local old=$2 dir=$3 to=$4 file tools=''
	cp -a --reflink=auto "$old/." "$to" && rm -f "$to/.finished" || return 1
	for file in "${@:5}"; do
		[[ $file != tools/* ]] || tools=1
		if [[ -e $dir/$file ]]; then
			# Younger than what the old one was built to, whenever that was.
			touch "$dir/$file" || return 1
		else
			rm -f "$to/${file%.*}".o "$to/${file%/*}/.$(basename "${file%.*}").o.cmd"
		fi
	done
	# objtool and the Rust crates name the folder, in what they are built with and depend on.
	{ grep -rlZF --include='*.cmd' --include='*.d' "$(realpath "$old")" "$to" || [[ $? -eq 1 ]]; } |
		xargs -0r sed -i "s|$(realpath "$old")|$(realpath "$to")|g" || return 1
	# All objects depend on objtool.
	kernel_make "$dir" O="$to" tools/objtool || return 1
	[[ -n $tools ]] || find "$to/tools" -type f -exec touch -r "$old/tools/objtool/objtool" {} +
	kernel_make "$dir" O="$to" prepare
}

# differing OLD NEW: the files in which two source trees differ, by their series
differing() {
	local file
	series_files "$1" "$2" | while read -r file; do
		cmp -s "$1/$file" "$2/$file" || [[ ! -e $1/$file && ! -e $2/$file ]] || echo "$file"
	done
}
