// SPDX-License-Identifier: GPL-2.0
/*
 * Two processes take turns on one CPU.  In each turn, while that CPU is in user
 * mode, another one frees a vmalloc page.  With PTI, mainline throws away what
 * the TLB has of the other process, which then walks for all its pages again;
 * deferred_flush.ko has its ASID flush just the page.  What is left are walks of
 * the kernel, whose entry flushes the kernel PCID of the process that was away.
 *
 * Reports the page walks per turn, and judges them if the module is loaded.
 * Only our QEMU counts walks.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define PAGES	64
#define PAGE	4096
#define TURNS	200

enum { IDLE, READY, DONE };

static void touch(volatile char *pages)
{
	int i;

	for (i = 0; i < PAGES; i++)
		pages[i * PAGE]++;
}

/* A byte on the pipe is a turn: touch the pages, and stay in user mode. */
static void player(volatile int *state, char *pages, int cpu, int turns)
{
	char byte;

	if (pin_to(cpu))
		_exit(1);
	while (read(turns, &byte, 1) == 1) {
		touch(pages);
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
	return has_line("/sys/kernel/debug/deferred_flush/policy", "off ", "");
}

TEST(an_asid_that_is_up_to_date_keeps_its_translations)
{
	struct test_storm storm = { .pages = 1, .max_ms = 1000 };
	uint64_t before = 0, walks = 0, unused;
	int turns[2][2], cpus[MAX_CPUS], nr, i, p, fd, status;
	volatile int *states;
	pid_t pids[2];
	char *pages;

	fd = open(TEST_DEVICE, O_RDWR);
	if (fd < 0)
		SKIP(return, "no " TEST_DEVICE ": load deferred_flush_test.ko");
	if (!tlb_counter(0, TLB_WALKS, &unused))
		SKIP(return, "this machine does not count page walks");
	if (!pti_with_pcids())
		SKIP(return, "no PTI with PCIDs");
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

	for (i = 0; i < TURNS; i++) {
		/* Without the page faults of the first turns. */
		if (i == TURNS / 2)
			tlb_counter(cpus[1], TLB_WALKS, &before);
		for (p = 0; p < 2; p++) {
			ASSERT_EQ(1, write(turns[p][1], "", 1));
			while (states[p] != READY)
				sched_yield();
			storm.rounds = 1;
			ASSERT_EQ(0, ioctl(fd, TEST_STORM, &storm));
			states[p] = DONE;
			while (states[p] != IDLE)
				sched_yield();
		}
	}
	tlb_counter(cpus[1], TLB_WALKS, &walks);
	walks = (walks - before) / TURNS;

	for (p = 0; p < 2; p++) {
		close(turns[p][1]);
		ASSERT_EQ(pids[p], waitpid(pids[p], &status, 0));
		EXPECT_EQ(0, status);
	}
	close(fd);
	printf("# asids: pages=%d walks_per_turn=%llu\n", PAGES, (unsigned long long)walks);
	if (promises()) {
		EXPECT_GT(PAGES, walks);
	} else {
		EXPECT_LT(PAGES, walks);
	}
}

TEST_HARNESS_MAIN
