/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of user flushes share. */
#ifndef USER_FLUSH_H
#define USER_FLUSH_H

#include <sys/mman.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define PAGE		4096UL
#define MAX_PAGES	80
#define AREA_PAGES	(3 * MAX_PAGES)
#define MIN_ROUNDS	3
#define TIMEOUT		120

static uint64_t next_value = 1;
static int cpus[MAX_CPUS];
static int nr_cpus;

/* Before main(): each test is a child, whose mm has never been on another CPU. */
__attribute__((constructor)) static void pin(void)
{
	nr_cpus = allowed_cpus(cpus);
	if (nr_cpus < 1 || pin_to(cpus[0]))
		_exit(KSFT_FAIL);
}

static inline void on_trap(int sig)
{
}

static inline uint64_t read_page(const char *area, int page)
{
	return *(volatile uint64_t *)(area + page * PAGE);
}

/* INT 0x80 has addresses of 32 bits. */
#ifdef __x86_64__
#define LOW	MAP_32BIT
#else
#define LOW	0
#endif

/*
 * The pages that a test changes are in the middle of the area, so that their page
 * tables stay.
 */
static inline char *map_area(int flags, int fd)
{
	return mmap(NULL, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE, flags | LOW, fd, 0);
}

/* Replaces the area by pages that nobody has written, in the same place. */
static inline bool renew(char *area, int flags, int fd)
{
	return mmap(area, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE,
		    flags | MAP_FIXED, fd, 0) == area;
}

static inline void report(struct __test_metadata *_metadata, const char *what, uint64_t rounds,
		   uint64_t stale)
{
	printf("# user_flush: what=%s rounds=%llu stale=%llu\n", what,
	       (unsigned long long)rounds, (unsigned long long)stale);
	EXPECT_EQ(0, stale);
}

#endif
