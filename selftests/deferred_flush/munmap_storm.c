// SPDX-License-Identifier: GPL-2.0
/*
 * One thread maps, unmaps and maps a page anew, threads on all other CPUs read
 * it.  After munmap() has returned, nobody may read what was there; and once the
 * new page has its value, everybody reads that, not what a new page had before.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define MIN_ROUNDS 10

static uint64_t *page;
static size_t page_size;

/* The page has this value; it is about to be unmapped; it has been. */
static _Atomic uint64_t written, unmapping, unmapped;
static atomic_bool stop;
static _Atomic uint64_t stale, faults, reads;
static __thread sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, 1);
}

static void *reader(void *cpu)
{
	uint64_t value, live, gone;

	if (pin_to((intptr_t)cpu))
		return NULL;
	while (!stop) {
		gone = atomic_load(&unmapped);
		live = atomic_load(&written);
		if (sigsetjmp(fault_env, 1)) {
			atomic_fetch_add(&faults, 1);
			continue;
		}
		value = *(volatile uint64_t *)page;
		atomic_fetch_add(&reads, 1);
		/* A fresh page is 0 until it has its value. */
		if (value && value <= gone)
			atomic_fetch_add(&stale, 1);
		/* That page was there all the time. */
		else if (live > atomic_load(&unmapping) && value != live)
			atomic_fetch_add(&stale, 1);
	}
	return NULL;
}

TEST(no_thread_reads_an_unmapped_page)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct ipi_count count;
	pthread_t threads[MAX_CPUS];
	int cpus[MAX_CPUS];
	uint64_t value = 0;
	int nr, i;

	page_size = sysconf(_SC_PAGESIZE);
	nr = allowed_cpus(cpus);
	ASSERT_GT(nr, 0);
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	ASSERT_EQ(0, pin_to(cpus[0]));

	page = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	for (i = 1; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, reader,
					    (void *)(intptr_t)cpus[i]));
	sleep_ms(200);

	count_start(&count, cpus + 1, nr - 1, 0);
	do {
		/* A new page; unless this CPU's translation is an old one. */
		if (*(volatile uint64_t *)page)
			atomic_fetch_add(&stale, 1);
		*(volatile uint64_t *)page = ++value;
		atomic_store(&written, value);
		/* Time to read it. */
		for (i = 0; i < 1000; i++)
			__builtin_ia32_pause();
		atomic_store(&unmapping, value);
		ASSERT_EQ(0, munmap(page, page_size));
		atomic_store(&unmapped, value);
		ASSERT_EQ(page, mmap(page, page_size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
				     -1, 0));
	} while (now_ms() - count.start_ms < test_ms() || value < MIN_ROUNDS);
	count_stop(&count);

	stop = true;
	for (i = 1; i < nr; i++)
		pthread_join(threads[i], NULL);

	print_result("munmap", "1", nr, value, &count, stale);
	printf("# munmap: reads=%llu faults=%llu\n",
	       (unsigned long long)reads, (unsigned long long)faults);
	EXPECT_EQ(0, stale);
	EXPECT_GE(value, MIN_ROUNDS);
	if (nr > 1)
		EXPECT_GT(reads, 0);
}

TEST_HARNESS_MAIN
