#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The coherence test while the module comes and goes: a flush that began with it is done without it.
command . "$(dirname "$0")/deferred_flush_test.sh" || exit 1

module=$MODULE_DIR/deferred_flush.ko
here=$(dirname "$0")

ktap_print_header
needs_two_cpus
needs_test_module
needs_module "$module"
ktap_set_plan 2

rm -f ./reload.stop
reloads() {
	reloads=0
	while [ ! -e ./reload.stop ]; do
		insmod "$module" policy=1 || break
		sleep 0.1
		rmmod deferred_flush || break
		# Loading flushes everything: what was left out has to be used before.
		sleep 0.4
		reloads=$((reloads + 1))
	done
	echo "$reloads" >./reload.count
}
load reloads
rc=0
for variant in user idle; do
	"$here/vfree_coherence" -r vfree_coherence.$variant.syscall_sees_the_new_mapping \
		>./coherence.txt 2>&1 || rc=1
	all_passed ./coherence.txt || rc=1
	# A TAP of its own: as comments.
	sed 's/^/# /' ./coherence.txt
done
touch ./reload.stop
wait_for_loads

ktap_print_msg "reloads=$(cat ./reload.count)"
if [ "$rc" -eq 0 ]; then ktap_test_pass "coherent"; else ktap_test_fail "coherent"; fi
if [ "$(cat ./reload.count)" -gt 0 ] && [ ! -d /sys/module/deferred_flush ]; then
	ktap_test_pass "comes_and_goes"
else
	ktap_test_fail "comes_and_goes"
fi
ktap_finished
