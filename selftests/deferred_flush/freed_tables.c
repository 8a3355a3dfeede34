// SPDX-License-Identifier: GPL-2.0
/*
 * munmap() empties a GiB and frees its page tables.  When they are in use again,
 * for other addresses, nobody may find a way through them to the old ones: the
 * paging-structure caches have to be flushed, for each PCID, before the tables
 * are freed.
 */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define PMD_BYTES	(2UL << 20)
#define PAGE_BYTES	4096UL
/* Of a table of its own each: they take the freed pages. */
#define NR_TABLES	64
/* The never-forgetting TLB counts what stays stale for a second. */
#define STALE_MS	1500

static sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, 1);
}

/* True if the address can be read.  If so, goes on for STALE_MS. */
static bool can_read(volatile char *addr)
{
	uint64_t end;

	if (sigsetjmp(fault_env, 1))
		return false;
	*addr;
	for (end = now_ms() + STALE_MS; now_ms() < end;)
		*addr;
	return true;
}

static char *map(unsigned long addr, unsigned long bytes)
{
	char *area = mmap((void *)addr, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			  MAP_FIXED_NOREPLACE, -1, 0);

	if (area == MAP_FAILED || !keep_pages_small(area, bytes))
		return NULL;
	return area;
}

static void test_area(struct __test_metadata *_metadata, bool alone)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int cpus[MAX_CPUS];
	char *spray, *area, *neighbour = NULL;
	int i;

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) < 0)
		SKIP(return, "no CONFIG_MEMBARRIER");
	ASSERT_LT(0, allowed_cpus(cpus));
	ASSERT_EQ(0, pin_to(cpus[0]));
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	spray = map(8UL << 40, NR_TABLES * PMD_BYTES);
	/* Not at the start of its GiB. */
	area = map((4UL << 40) + PMD_BYTES, PMD_BYTES);
	if (!alone)
		neighbour = map((4UL << 40) + 3 * PMD_BYTES, PMD_BYTES);
	if (!spray || !area || (!alone && !neighbour))
		SKIP(return, "the addresses are taken");
	if (neighbour)
		*neighbour = 1;

	/* Has its upper tables, so that only PTE tables are to come. */
	spray[0] = 1;
	/* Caches the PDE, and the translation of the first page. */
	area[0] = 1;
	ASSERT_EQ(0, munmap(area, PMD_BYTES));

	/* Tables are freed after a grace period, and by a callback. */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	sleep_ms(50);
	for (i = 1; i < NR_TABLES; i++)
		spray[i * PMD_BYTES + 5 * PAGE_BYTES] = 1;

	/* The fifth page was never touched: only a table leads to it. */
	EXPECT_FALSE(can_read(area + 5 * PAGE_BYTES));
	EXPECT_FALSE(can_read(area));
}

/* All of its tables are freed, which is a flush of everything: of a GiB. */
TEST(freed_tables_are_not_walked)
{
	test_area(_metadata, true);
}

/* The upper tables stay: a flush of one page, and of the table that led to it. */
TEST(a_table_freed_with_one_page_is_not_walked)
{
	test_area(_metadata, false);
}

TEST_HARNESS_MAIN
