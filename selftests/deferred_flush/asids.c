// SPDX-License-Identifier: GPL-2.0
/*
 * Two processes take turns on one CPU.  In each turn, while that CPU is in user
 * mode, another one frees a vmalloc page.  With PTI, mainline throws away what
 * the TLB has of the other process, which then walks for all its pages again;
 * deferred_flush.ko has its ASID flush just the page.
 *
 * Judges how many more page walks a turn takes if the process reads its pages in
 * it.  The others are the kernel's, and as many as it uses pages: it depends on
 * its configuration.  Only the sticky QEMU counts walks.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define PAGES	64
#define PAGE	4096
/* Of each process. */
#define TURNS	50

enum { IDLE, READY, DONE };

static void touch(volatile char *pages, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		pages[i * PAGE]++;
}

/* A byte on the pipe is a turn: touch so many pages, and stay in user mode. */
static void player(volatile int *state, char *pages, int cpu, int turns)
{
	unsigned char nr;

	if (pin_to(cpu))
		_exit(1);
	while (read(turns, &nr, 1) == 1) {
		touch(pages, nr);
		*state = READY;
		while (*state != DONE)
			;
		*state = IDLE;
	}
	_exit(0);
}

/* Whether a line of @path contains both. */
static bool has_line(const char *path, const char *one, const char *other)
{
	char *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *file = fopen(path, "r");

	while (file && !found && getline(&line, &size, file) > 0)
		found = strstr(line, one) && strstr(line, other);
	free(line);
	if (file)
		fclose(file);
	return found;
}

static bool pti_with_pcids(void)
{
	return has_line("/proc/cpuinfo", " pti", " pcid");
}

static bool promises(void)
{
	return has_line(POLICY, "off ", "");
}

TEST(an_asid_that_is_up_to_date_keeps_its_translations)
{
	struct test_storm storm = { .pages = 1, .max_ms = 1000 };
	uint64_t walks[2] = { }, unused;
	int64_t more;
	int turns[2][2], cpus[MAX_CPUS], nr, i, p, fd, status;
	volatile int *states;
	pid_t pids[2];
	char *pages;

	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (!tlb_counter(0, TLB_WALKS, &unused))
		SKIP(return, "this machine does not count page walks");
	if (!pti_with_pcids())
		SKIP(return, "no PTI with PCIDs: CONFIG_MITIGATION_PAGE_TABLE_ISOLATION");
	if (policy_is_hidden())
		SKIP(return, "the policy cannot be read: CONFIG_DEBUG_FS, mounted");
	nr = allowed_cpus(cpus);
	if (nr < 2)
		SKIP(return, "one CPU: nobody is in user mode while it frees");

	states = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)states);
	ASSERT_NE(MAP_FAILED, pages);
	for (p = 0; p < 2; p++) {
		ASSERT_EQ(0, pipe(turns[p]));
		pids[p] = fork();
		ASSERT_LE(0, pids[p]);
		if (!pids[p]) {
			close(turns[p][1]);
			if (p)
				close(turns[0][1]);
			player(&states[p], pages, cpus[1], turns[p][0]);
		}
		close(turns[p][0]);
	}
	ASSERT_EQ(0, pin_to(cpus[0]));

	/* The first turns have page faults, the last ones touch no page. */
	for (i = 0; i < 3 * TURNS; i++) {
		unsigned char touched = i < 2 * TURNS ? PAGES : 0;
		uint64_t before, after;

		tlb_counter(cpus[1], TLB_WALKS, &before);
		for (p = 0; p < 2; p++) {
			ASSERT_EQ(1, write(turns[p][1], &touched, 1));
			while (states[p] != READY)
				sched_yield();
			storm.rounds = 1;
			ASSERT_EQ(0, ioctl(fd, TEST_STORM, &storm));
			states[p] = DONE;
			while (states[p] != IDLE)
				sched_yield();
		}
		tlb_counter(cpus[1], TLB_WALKS, &after);
		if (i >= TURNS)
			walks[!touched] += after - before;
	}
	more = ((int64_t)walks[0] - (int64_t)walks[1]) / (2 * TURNS);

	for (p = 0; p < 2; p++) {
		close(turns[p][1]);
		ASSERT_EQ(pids[p], waitpid(pids[p], &status, 0));
		EXPECT_EQ(0, status);
	}
	close(fd);
	printf("# asids: pages=%d walks_per_turn=%llu untouched=%llu\n", PAGES,
	       (unsigned long long)walks[0] / (2 * TURNS),
	       (unsigned long long)walks[1] / (2 * TURNS));
	/* Either nearly none of them, or nearly all. */
	if (promises()) {
		EXPECT_GT(PAGES / 2, more);
	} else {
		EXPECT_LT(PAGES / 2, more);
	}
}

TEST_HARNESS_MAIN
