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
