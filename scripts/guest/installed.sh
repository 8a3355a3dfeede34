#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: the selftests as installed (build/installed), by kselftest's own runner, with the
# modules where modprobe finds them; and broken on purpose, which the runner must report.
# Usage: installed.sh
set -euo pipefail

installed=/run/installed
modules=/lib/modules/$(uname -r)
number=0

# 9p is slow, and what is broken here is nobody else's.
mkdir -p /run/modules
mount -t tmpfs none /run/modules
mkdir -p /run/modules/"$(uname -r)"/updates
cp "$BUILD"/module/rust/deferred_flush{,_test}.ko /run/modules/"$(uname -r)"/updates
mount --bind /run/modules /lib/modules
depmod 2>/dev/null # no lists of the kernel's own modules
cp -r "$BUILD/installed" $installed
# The runner's log, which nobody has made here.
ln -sfn /proc/self/fd/1 /dev/stdout
unset MODULE_DIR
export TEST_MS=${TEST_MS:-50} TEST_ROUNDS=${TEST_ROUNDS:-20}

# runner COLLECTION TEST...: through a pipe, for it opens its output anew for each test.
runner() {
	local collection=$1 tests=() test
	shift
	for test in "$@"; do
		tests+=(-t "$collection:$test")
	done
	"$installed/run_kselftest.sh" "${tests[@]}" 2>&1 | cat
}

check() { # NAME COMMAND...
	local name=$1
	shift
	number=$((number + 1))
	if "$@"; then echo "ok $number $name"; else echo "not ok $number $name"; fi
}

# verdict FILE TEST: the runner's, without its number.
verdict() {
	sed -n "s/^\(\(not \)\?ok\) [0-9]* selftests: [^ ]*: $2 */\1 /p" "$1"
}

is() { # FILE TEST VERDICT
	[[ "$(verdict "$1" "$2")" = "$3" ]]
}

# The runner needs ../kselftest itself: a folder further down has it not.
broken() { # FILE-THAT-IS-MISSING
	local folder=$installed/broken/deferred_flush
	rm -rf "$installed/broken"
	mkdir "$installed/broken"
	cp -r "$installed/deferred_flush" "$folder"
	rm -f "$folder/$1"
	sed 's|^|broken/|' $installed/kselftest-list.txt >$installed/list.broken
	(cd $installed && mv kselftest-list.txt list.all && mv list.broken kselftest-list.txt)
	runner broken/deferred_flush tracepoints.sh >./broken.txt || true
	mv $installed/list.all $installed/kselftest-list.txt
	sed 's/^/# /' ./broken.txt
}

echo "## test kselftest"
rc=0
runner deferred_flush parameters.sh programs_32.sh set_memory munmap_storm >./all.txt || rc=$?
cat ./all.txt
echo "## exit $rc"

echo "## test installed"
echo "TAP version 13"
echo "1..9"
check "they_have_run" [ "$(grep -c '^# ok ' ./all.txt)" -gt 20 ]
# The module with DEBUG=1 is nowhere installed.
check "nothing_else_was_skipped" eval "! grep '# SKIP' ./all.txt | grep -v ': no .*-debug/'"
# By a time limit, twice as the runner's own: most of its time it has the module loaded.
rc=0
TEST_MS=5000 timeout --foreground 8 timeout 8 "$installed/deferred_flush/reload_user.sh" >./ended.txt 2>&1 ||
	rc=$?
check "a_time_limit_has_ended_it" [ $rc -eq 124 ]
check "who_is_ended_unloads_the_module" [ ! -d /sys/module/deferred_flush ]
broken nothing
check "the_folder_is_enough" is ./broken.txt tracepoints.sh "ok "
broken ktap_helpers.sh
check "without_ktap_helpers_it_fails" is ./broken.txt tracepoints.sh "not ok # exit=1"
broken deferred_flush_test.sh
check "without_what_it_sources_it_fails" is ./broken.txt tracepoints.sh "not ok # exit=1"
rm "$modules/updates/deferred_flush.ko"
depmod 2>/dev/null
broken nothing
check "without_the_module_it_skips" is ./broken.txt tracepoints.sh "ok # SKIP"
check "and_says_so" grep -q "SKIP no $modules/deferred_flush.ko" ./broken.txt
echo "## exit 0"
