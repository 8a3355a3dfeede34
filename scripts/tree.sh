#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A git tree with the series applied, to change it in: a commit for each patch, on a branch, and for
# the kernel a configured folder out/ that a plain make builds in. make series writes the commits
# back.
# Usage: tree.sh [--no-build]   make it; --no-build: without out/
#        tree.sh --written      fail if build/ holds trees with what make series has not written
# Settings: TREE=    where; default: build/tree-linux or build/tree-qemu
#           SERIES=  linux (default) or qemu
#           KERNEL_SRC=, QEMU_SRC= (kernel.sh, qemu.sh)
# Exit:  0, also if the tree is there and holds just the series; 1 with one error that says what to do;
#        2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
. "$TOP/scripts/build/series-lib.sh"

# unwritten: what a tree holds besides the series, in one line
unwritten() {
	local state
	state=$(what_goes_on)
	if [[ -n $state ]]; then
		echo "a $state that has not ended"
	elif [[ -n $(local_changes) ]]; then
		echo "local changes ($(local_changes))"
	elif ! in_tree rev-parse -q --verify "$BASE^{commit}" >/dev/null; then
		echo "another git tree, without the tag $BASE"
	elif ! holds_series "$patches" HEAD; then
		echo "$(in_tree rev-list --count "$BASE..HEAD") commits that are not the series of" \
			"${patches#"$TOP/"}"
	fi
}

if [[ ${1:-} = --written ]]; then
	for project in linux qemu; do
		tree=$BUILD/tree-$project patches=$(compgen -G "$TOP/patches/$project-*")
		! is_git_tree || [[ -z $(unwritten) ]] ||
			die "$tree holds $(unwritten): make series SERIES=$project, or remove that tree first"
	done
	exit 0
fi
with_build=1
case "$*" in
"") ;;
--no-build) with_build='' ;;
*) usage ;;
esac
[[ -n $(series "$patches") ]] || die "no patches in ${patches#"$TOP/"}"

# --- a tree that is there
if [[ -e $tree && -n $(ls -A "$tree") ]]; then
	is_git_tree || die "$tree is there, and no git tree: remove it, or pass another TREE="
	state=$(unwritten)
	[[ -z $state ]] || die "$tree holds $state: make series writes commits back; or pass another TREE="
	note "$tree is there, and holds the series of ${patches#"$TOP/"}"
	exit 0
fi

# --- the release, as a commit in the cache
# shellcheck disable=SC1090
. "$TOP/scripts/build/source-$project.sh"
find_source
# shellcheck disable=SC2154 # find_source()
base=$CACHE/git-$project-$source_key

in_base() {
	plain_git --git-dir="$base/base.git" --work-tree="$base/source" -c core.bare=false "$@"
}

# shellcheck disable=SC2154 # find_source()
import_base() {
	local dir=$base/source git=$base/base.git release
	mkdir "$dir" && unpack "$dir" && rm -rf "$dir/.git" "$dir/.pc" || return 1
	release=$(release_of "$dir")
	# Straight into a pack, quickly; and patches without the diff drivers of .gitattributes, as
	# they are.
	plain_git init -q --bare -b base "$git" &&
		echo '* -text -eol -filter -ident !diff' >"$git/info/attributes" &&
		in_base -c core.bigFileThreshold=1 -c core.compression=1 add -A -f . &&
		GIT_AUTHOR_NAME=$GIT_COMMITTER_NAME GIT_AUTHOR_EMAIL=$GIT_COMMITTER_EMAIL \
			GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' \
			in_base commit -q -m "$release" -m "As in ${package##*/}, without its history." &&
		in_base tag "$BASE" && in_base -c pack.compression=1 repack -adq --window=0 || return 1
	rm -rf "$dir" "$git/index"
}

make_base() {
	need_space 3000 "a git tree"
	step "import the release into git ($project)" import_base
}
entry "$base" make_base

# --- the commits
made=$tree.$$
unfinished=$made
trap 'rm -rf "$made.am" "$made.cover" ${unfinished:+"$unfinished"}' EXIT
final=$tree tree=$made

# Objects are linked, not copied; unlike with --shared, nothing is lost with the cache.
clone_base() {
	mkdir -p "${tree%/*}" && plain_git clone -q --local -b base "$base/base.git" "$tree" &&
		in_tree remote remove origin && in_tree checkout -q -b deferred-flush &&
		in_tree branch -q -D base &&
		printf '/%s\n' GNUmakefile out/ >>"$tree/.git/info/exclude" &&
		cp "$base/base.git/info/attributes" "$tree/.git/info/attributes"
}
step "clone ${title}'s source" clone_base
release=$(in_tree log -1 --format=%s "$BASE")

# cover PART: of the cover letter: a header by its name, or body
cover() {
	awk -v part="$1" '
		!body && /^$/ { body = 1; next }
		!body && /^[ \t]/ { if (inside) value = value $0; next }
		!body { inside = index($0, part ": ") == 1; if (inside) value = substr($0, length(part) + 3) }
		/^---$/ { tail = 1 }
		body && !tail && part == "body" { print }
		tail && index($0, part ": ") == 1 { value = substr($0, length(part) + 3) }
		END { if (part != "body") print value }' "$patches/0000-cover-letter.patch"
}

# For b4 prep and b4 send.
commit_cover() {
	local from subject email revision=1 prefix
	from=$(cover From) subject=$(cover Subject) email=${from##*<}
	prefix=${subject%%\]*}
	[[ ! $prefix =~ \ v([0-9]+)\  ]] || revision=${BASH_REMATCH[1]}
	{
		printf '%s\n\n%s\n\n%s\n' "${subject#*\] }" "$(cover body)" "$MARK"
		echo '# This section is used internally by b4 prep for tracking purposes.'
		printf '{\n  "series": {\n    "revision": %s,\n    "change-id": "%s",\n    "prefixes": []\n' \
			"$revision" "$(cover change-id)"
		printf '  }\n}\n'
	} >"$made.cover"
	GIT_AUTHOR_NAME=${from% <*} GIT_AUTHOR_EMAIL=${email%>} \
		GIT_AUTHOR_DATE=$(cover Date) GIT_COMMITTER_DATE=$(cover Date) \
		in_tree commit -q --allow-empty --cleanup=verbatim -F "$made.cover"
}
[[ ! -e $patches/0000-cover-letter.patch ]] || step "commit the cover letter" commit_cover

where() {
	sed -nE 's/^error: patch failed: /at /p; s/^error: ([^:]*: (does not exist|already exists) in .*)/\1/p;
		s/^error: (corrupt patch at line [0-9]+)/\1/p; s/^(Patch is empty).*/\1/p;
		s/^error: (empty) mbox.*/\1/p' "$made.am" | head -n 1
}

start=$SECONDS
printf '==> %-45s ' "apply the series"
mapfile -t files < <(series "$patches")
before=$(in_tree rev-parse HEAD)
# All by one: each git am reads and compares the whole index.
if ! in_tree am -q --no-3way --whitespace=nowarn --committer-date-is-author-date \
	"${files[@]}" >"$made.am" 2>&1 </dev/null; then
	echo "FAILED"
	# An empty file ends it before the first.
	bad=$(sed -nE "s/^error: empty mbox: '(.*)'$/\1/p" "$made.am")
	bad=${bad:-${files[$(in_tree rev-list --count "$before..HEAD")]}}
	die "${bad##*/} does not apply to $release ($(where)): mend it in" \
		"${patches#"$TOP/"}, or pass the source that it is for as ${title/Linux/KERNEL}_SRC="
fi
echo "$((SECONDS - start)) s"
in_tree tag "$LAST"

# --- what builds there
# The tools of kernel_make(), for whoever types make.
gnumakefile() {
	printf 'tools :='
	printf ' \\\n\t%s' "${KERNEL_TOOLS[@]}"
	printf '\n\n'
	cat "$TOP/scripts/build/tree.mk"
}

# shellcheck disable=SC2154 # kernel_names()
same_times() {
	# As in tree.mk.
	export LOCALVERSION=
	# Older than all that was built from the same files.
	in_tree ls-files -z | (cd "$tree" && xargs -0 touch -h -d 2000-01-01) &&
		copy_build "$src" "$out" "$tree" "$tree/out" && in_tree update-index -q --refresh
}

# In its place: objtool and the Rust crates know where they are built.
unfinished=$final
mv "$made" "$final"
tree=$final build=''
if [[ $project = linux && -n $with_build ]]; then
	# shellcheck source=scripts/build/kernel-lib.sh
	. "$TOP/scripts/build/kernel-lib.sh"
	# shellcheck disable=SC2034 # kernel_names()
	mapfile -t files < <(series "$patches")
	configs=("$TOP"/scripts/build/configs/{base,deferred_flush}.config)
	kernel_names files configs
	if finished "$out"; then
		step "start from the finished kernel" same_times
	else
		step "configure the kernel" configure_kernel "$tree" "$tree/out" "${configs[@]}"
	fi
	cp "$tree/out/.config" "$tree/out/demo.config"
	gnumakefile >"$tree/GNUmakefile"
	echo 'include ../GNUmakefile' >"$tree/out/GNUmakefile"
	build="build with make -C $tree, "
fi
unfinished=''
note "$tree: $release, and $(in_tree rev-list --count "$BASE..HEAD") commits"
note "change them there (git commit --fixup, git rebase -i --autosquash $BASE), ${build}then" \
	"make series"
