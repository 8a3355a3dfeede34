// SPDX-License-Identifier: GPL-2.0
/*
 * Does the machine keep translations until it is told not to, and no longer?
 *
 * Runs without an operating system, on a QEMU with x-tlb-keep and x-psc-keep,
 * and prints TAP to port 0xe9.  "SDM" is volume 3A, section 4.10 (Caching
 * Translation Information), unless it says otherwise.  It allows a processor to
 * forget any translation at any time; that this machine never does is what
 * makes it find missing flushes, and is checked here as well.
 *
 * A page is mapped to frame A and read, then the entry is changed to frame B.
 * After some operation, the page reads A if the translation was kept, B if not.
 */
#include "machine.h"

/* Each operation, on each kind of page and of table. */
static void test_ops(void)
{
	u32 i;
	int level;

	for (level = 1; level <= 3; level++) {
		for (i = 0; i < nr_ops; i++) {
			test_pages(&ops[i], level, 0);
			test_pages(&ops[i], level, 1);
		}
	}
	for (level = 2; level <= LEVELS; level++) {
		for (i = 0; i < nr_ops; i++) {
			test_tables(&ops[i], level, 0);
			if (level > 2)
				test_tables(&ops[i], level, 1);
		}
	}
}

static void test_all(void)
{
	test_cpuid();
	test_ops();
	test_sizes();
	test_rights();
	test_table_rights();
	test_faults();
	test_counters();
	test_detector();
}

void main(void)
{
	set_up_idt();
	run_tests(test_all);
}
