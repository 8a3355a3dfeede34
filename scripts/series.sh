#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Write the commits of a git tree that make tree has made back to patches/, and check them:
# checkpatch, and each prefix that has changed is built (Linux with the option on and off). patches/
# only changes if all is well.
# Usage: series.sh [--no-build]   --no-build: leave out the prefixes
# Settings: TREE=    the tree; default: build/tree-linux or build/tree-qemu
#           SERIES=  linux (default) or qemu
# Exit:  0; 1 with one error that says what to do; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/lib/lib.sh"
. "$TOP/scripts/build/series-lib.sh"
build=1
case "$*" in
"") ;;
--no-build) build='' ;;
*) usage ;;
esac

# --- is it a series?
is_git_tree || die "$tree is no git tree: run make tree${TREE:+ TREE=$TREE}, or pass another TREE="
state=$(what_goes_on)
[[ -z $state ]] || die "a $state has not ended in $tree: end it by git $state --continue or --abort"
changes=$(local_changes)
[[ -z $changes ]] || die "$tree has local changes ($changes): commit them, or git stash -u"
for tag in "$BASE" "$LAST"; do
	in_tree rev-parse -q --verify "$tag^{commit}" >/dev/null ||
		die "$tree has no tag $tag: it was not made by make tree"
done

# release COMMIT: of the source that a commit holds
release() {
	case $project in
	linux) in_tree show "$1:Makefile" 2>/dev/null |
		sed -nE 's/^(VERSION|PATCHLEVEL) = ([0-9]+)$/\2/p' | paste -sd . ;;
	qemu) in_tree show "$1:VERSION" 2>/dev/null | cut -d. -f1,2 ;;
	esac
}
found=$(release "$BASE") || true
[[ $found = "$number" ]] ||
	die "$tree is not based on $title $number (but on ${found:-another project}): run make tree anew"
in_tree merge-base --is-ancestor "$BASE" HEAD ||
	die "$tree is not based on the tag $BASE: git rebase --onto $BASE"
[[ -z $(in_tree rev-list --merges "$BASE..HEAD") ]] ||
	die "$tree holds a merge, and a series is a line: git rebase $BASE"
cover=$(cover_commit HEAD)
[[ -n $cover || ! -e $patches/0000-cover-letter.patch ]] ||
	die "$tree has lost the cover letter, its first commit: git rebase -i $BASE, or git reflog"
commits=$(in_tree rev-list --reverse "${cover:-$BASE}..HEAD")
[[ -n $commits ]] || die "$tree holds no commits: git reflog knows where they were"
for commit in $commits; do
	subject=$(in_tree log -1 --format=%s "$commit")
	case $subject in
	fixup!* | squash!* | amend!*)
		die "$tree has '$subject': git rebase -i --autosquash $BASE" ;;
	esac
	! in_tree diff --quiet "$commit^" "$commit" ||
		die "$tree has a commit that changes nothing, '$subject': git rebase -i $BASE, and drop it"
done
# Somebody else's changes are not undone.
holds_series "$patches" "$LAST" ||
	die "${patches#"$TOP/"} is not what $tree was made from: run make tree TREE=another, and" \
		"cherry-pick $LAST..HEAD there"

# --- write it
new=$BUILD/series-new.$$
trap 'rm -rf "$new" "$patches.new"' EXIT
write_series HEAD "$new"
keep_bytes "$patches" "$new"
if diff -rq "$patches" "$new" >/dev/null; then
	note "${patches#"$TOP/"} is this series already"
	in_tree tag -f "$LAST" HEAD >/dev/null
	exit 0
fi
note "from ${patches#"$TOP/"} to this series:"
# Without the cover letter, so that the numbers are those of the patches.
last_cover=$(cover_commit "$LAST")
in_tree --no-pager range-diff "${last_cover:-$BASE}..$LAST" "${cover:-$BASE}..HEAD"

# --- check it
gate=checkpatch
[[ $project = linux ]] || gate=checkpatch-qemu
if ! attempt "$gate --strict" "$TOP/scripts/gates.sh" "$gate" "$new" "$tree"; then
	grep -v "^error: " "$LOG" | tail -n 20 || true
	die "$(sed -n 's/^error: //p' "$LOG" | tail -n 1): git rebase -i $BASE in $tree, and mend it"
fi
tail -n 1 "$LOG"
if [[ -n $build && $project = qemu ]]; then
	"$TOP/scripts/build/prefixes-qemu.sh" "$new"
elif [[ -n $build ]]; then
	# As far as the series has not changed, what it was built with before is there.
	"$TOP/scripts/build/kernel.sh"
	"$TOP/scripts/build/prefixes.sh" "$new"
fi

# --- keep it
rm -rf "$patches.new"
cp -r "$new" "$patches.new"
mv "$patches" "$new/old" && mv "$patches.new" "$patches"
in_tree tag -f "$LAST" HEAD >/dev/null
note "written to ${patches#"$TOP/"}: git diff shows it; make check builds and tests it"
