# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by what packs the bundle.

# libraries FILE...: the libraries these programs load, and their loaders. Fails if one is missing.
libraries() {
	local file list
	for file in "$@"; do
		list=$(ldd "$file" 2>&1) || {
			[[ $list = *'not a dynamic executable'* ]] || { echo "$file: $list" >&2; return 1; }
			continue
		}
		[[ $list != *'not found'* ]] || { echo "$file: $list" >&2; return 1; }
		# "name => path (address)", and "path (address)" for the loader.
		sed -n 's/^.* => \(\/[^ ]*\) (0x.*/\1/p; s/^\t\(\/[^ ]*\) (0x.*/\1/p' <<<"$list"
	done | sort -u
}

# programs TO FILE...: copies, without debug information.
programs() {
	local to=$1 file
	shift
	for file in "$@"; do
		cp -L "$file" "$to/"
		strip "$to/${file##*/}" 2>/dev/null || [[ $(head -c 2 "$file") = '#!' ]] ||
			{ echo "$file: neither a program nor a script" >&2; return 1; }
	done
}

# applets DIR: the names of busybox in DIR/busybox. Not those that would hide a program there.
applets() {
	local name
	for name in $("$1/busybox" --list); do
		[[ -e $1/$name ]] || ln -s busybox "$1/$name"
	done
}
