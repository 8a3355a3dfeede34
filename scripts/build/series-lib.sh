# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by tree.sh and series.sh, after lib.sh: a series as commits of a git tree, and as files.

project=${SERIES:-linux}
case $project in
linux) number=$KERNEL_SERIES title=Linux ;;
qemu) number=$QEMU_SERIES title=QEMU ;;
esac
patches=$TOP/patches/$project-$number
tree=${TREE:-$BUILD/tree-$project}
[[ $tree = /* ]] || tree=$PWD/$tree
tree=${tree%/}

# In the tree: what the series is for, and what it was when the tree was made, or last written.
BASE=deferred-flush-base
LAST=deferred-flush-series
# b4 finds its cover letter, an empty commit, by this line.
MARK='--- b4-submit-tracking ---'
export GIT_COMMITTER_NAME='Deferred Flush Developers' GIT_COMMITTER_EMAIL=deferred-flush@localhost

# Whatever the user has configured, the same bytes.
plain_git() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -c core.abbrev=9 -c core.quotePath=true \
		-c diff.noprefix=false -c diff.mnemonicPrefix=false -c diff.algorithm=default \
		-c diff.renames=true -c diff.orderFile=/dev/null -c diff.context=3 -c diff.interHunkContext=0 \
		-c core.attributesFile=/dev/null -c core.hooksPath=/dev/null -c commit.gpgSign=false "$@"
}

in_tree() {
	plain_git -C "$tree" "$@"
}

# cover_commit TIP: the one with the cover letter, if there is one: the first of the series
cover_commit() {
	local first
	first=$(in_tree rev-list --reverse "$BASE..$1" | head -n 1)
	[[ -z $first ]] || ! in_tree log -1 --format=%B "$first" | grep -qxF -e "$MARK" || echo "$first"
}

# tracking COMMIT KEY: a value of b4's, of a cover letter
tracking() {
	in_tree log -1 --format=%B "$1" | python3 -c '
import json, sys
text = sys.stdin.read().split(sys.argv[1], 1)[1].lstrip().partition("\n")
text = text[2] if text[0].startswith("#") else "".join(text)
print(json.loads(text)["series"].get(sys.argv[2], ""))' "$MARK" "$2"
}

# write_series TIP DIR: the commits up to TIP, as files
write_series() {
	local tip=$1 dir=$2 cover count revision=1 prefix=PATCH zero
	cover=$(cover_commit "$tip")
	count=$(in_tree rev-list --count "${cover:-$BASE}..$tip")
	[[ -z $cover ]] || revision=$(tracking "$cover" revision)
	[[ $revision -le 1 ]] || prefix="PATCH v$revision"
	mkdir -p "$dir"
	in_tree format-patch -q -o "$dir" --zero-commit --no-signature --numbered --no-base --no-thread \
		--no-cover-letter --no-attach --no-notes --no-to --no-cc --no-add-header --suffix=.patch \
		--no-ext-diff --no-textconv --no-binary --stat=72 --summary --start-number=1 \
		--subject-prefix="$prefix" "${cover:-$BASE}..$tip"
	[[ -n $cover ]] || return 0
	zero=$(printf "%0${#count}d" 0)
	{
		printf 'From %040d Mon Sep 17 00:00:00 2001\n' 0
		in_tree log -1 "$cover" \
			--format="From: %an <%ae>%nDate: %aD%nSubject: [$prefix $zero/$count] %s%n"
		in_tree log -1 --format=%b "$cover" | awk -v mark="$MARK" '
			$0 == mark { exit }
			/^$/ { empty++; next }
			{ for (; empty && printed; empty--) print ""; empty = 0; printed = 1; print }'
		printf '\n---\n'
		in_tree shortlog -w72,2,4 "$cover..$tip"
		in_tree diff --stat=72 --summary "$BASE" "$tip"
		printf '\n---\nchange-id: %s\n' "$(tracking "$cover" change-id)"
	} >"$dir/0000-cover-letter.patch"
}

# essence FILE: without names of blobs, which depend on the release, and with headers in one line
essence() {
	awk 'body && /^index [0-9a-f]+\.\./ { next }
		!body && /^ / { printf "%s", $0; next }
		{ if (NR > 1) print ""; printf "%s", $0 }
		/^$/ { body = 1 }
		END { print "" }' "$1"
}

same_patch() { # FILE FILE
	[[ $(essence "$1") = "$(essence "$2")" ]]
}

# keep_bytes OLD NEW: what is the same patch stays the same file
keep_bytes() {
	local new
	for new in "$2"/*.patch; do
		[[ ! -e $1/${new##*/} ]] || ! same_patch "$1/${new##*/}" "$new" || cp "$1/${new##*/}" "$new"
	done
}

# what_goes_on: a rebase or the like that has not ended
what_goes_on() {
	local dir
	dir=$(in_tree rev-parse --absolute-git-dir)
	if [[ -e $dir/rebase-merge || -e $dir/rebase-apply/rebasing ]]; then
		echo rebase
	elif [[ -e $dir/rebase-apply ]]; then
		echo am
	elif [[ -e $dir/MERGE_HEAD ]]; then
		echo merge
	elif [[ -e $dir/CHERRY_PICK_HEAD ]]; then
		echo cherry-pick
	elif [[ -e $dir/REVERT_HEAD ]]; then
		echo revert
	fi
}

is_git_tree() {
	[[ $(git -C "$tree" rev-parse --show-toplevel 2>/dev/null) = "$(realpath -m "$tree")" ]]
}

# local_changes: the first of them
local_changes() {
	# What the user ignores is ignored.
	git -C "$tree" status --porcelain | head -n 1
}

# said FILE: what somebody has written of a cover letter; the rest is counted
said() {
	essence "$1" | sed -n '/^---$/,$!p'
}

# holds_series DIR TIP: is it the one in these files?
holds_series() {
	local dir rc=0 cover=0000-cover-letter.patch
	dir=$(mktemp -d)
	write_series "$2" "$dir" && keep_bytes "$1" "$dir"
	if [[ -e $1/$cover && -e $dir/$cover ]] && [[ $(said "$1/$cover") = "$(said "$dir/$cover")" ]]; then
		cp "$1/$cover" "$dir"
	fi
	diff -rq "$1" "$dir" >/dev/null || rc=1
	rm -rf "$dir"
	return $rc
}
