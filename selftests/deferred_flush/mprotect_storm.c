// SPDX-License-Identifier: GPL-2.0
/*
 * One thread makes a page read-only and writable again, threads on all other
 * CPUs write to it.  After mprotect(PROT_READ) has returned, no write succeeds.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define MIN_ROUNDS 5

static uint64_t *page;
static size_t page_size;

/* Odd: mprotect(PROT_READ) has returned. */
static _Atomic uint64_t epoch;
static atomic_bool stop;
static _Atomic uint64_t stale, faults, writes;
static __thread sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, 1);
}

static void *writer(void *arg)
{
	int nr = (intptr_t)arg;
	volatile uint64_t *slot = page + nr;
	uint64_t before;
	int cpus[MAX_CPUS];

	allowed_cpus(cpus);
	if (pin_to(cpus[nr]))
		return NULL;
	while (!stop) {
		before = atomic_load(&epoch);
		if (sigsetjmp(fault_env, 1)) {
			atomic_fetch_add(&faults, 1);
			continue;
		}
		*slot = before;
		atomic_fetch_add(&writes, 1);
		/* Read-only before and after: and yet it was written. */
		if ((before & 1) && atomic_load(&epoch) == before)
			atomic_fetch_add(&stale, 1);
	}
	return NULL;
}

TEST(no_thread_writes_a_read_only_page)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct ipi_count count;
	pthread_t threads[MAX_CPUS];
	int cpus[MAX_CPUS];
	uint64_t rounds = 0;
	int nr, i;

	page_size = sysconf(_SC_PAGESIZE);
	nr = allowed_cpus(cpus);
	ASSERT_GT(nr, 0);
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));

	page = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	for (i = 1; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, writer, (void *)(intptr_t)i));
	sleep_ms(200);
	ASSERT_EQ(0, pin_to(cpus[0]));

	count_start(&count, cpus + 1, nr - 1, 0);
	do {
		ASSERT_EQ(0, mprotect(page, page_size, PROT_READ));
		atomic_fetch_add(&epoch, 1);
		sched_yield();
		atomic_fetch_add(&epoch, 1);
		ASSERT_EQ(0, mprotect(page, page_size, PROT_READ | PROT_WRITE));
		*(volatile uint64_t *)page = ++rounds;
	} while (now_ms() - count.start_ms < test_ms() || rounds < MIN_ROUNDS);
	count_stop(&count);

	stop = true;
	for (i = 1; i < nr; i++)
		pthread_join(threads[i], NULL);

	print_result("mprotect", "1", nr, rounds, &count, stale);
	printf("# mprotect: writes=%llu faults=%llu\n",
	       (unsigned long long)writes, (unsigned long long)faults);
	EXPECT_EQ(0, stale);
	EXPECT_GE(rounds, MIN_ROUNDS);
	if (nr > 1)
		EXPECT_GT(writes, 0);
}

TEST_HARNESS_MAIN
