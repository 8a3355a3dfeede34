// SPDX-License-Identifier: GPL-2.0
/*
 * The policy becomes "off" when something is still to be done, which may not be
 * forgotten then.
 *
 * A process is behind: it was not running on a CPU that has promised, when a
 * vmalloc address was freed and mapped anew.  When it runs again, while CPUs stop
 * to promise or after that, it must see the new contents.  With PTI and PCIDs its
 * ASID has the old translation.
 *
 * And ranges have been recorded for the user PCID.  If all of it is flushed after
 * that, they are not all there is.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"
#include "other_process.h"

/* It runs again so many milliseconds later, in steps. */
#define MAX_DELAY_MS	160
#define STEP_MS		10

#define PAGE		4096UL
/* More than are flushed one by one. */
#define MANY		34
/* Of the policy. */
#define TURNS		20

static void *switch_off(void *done)
{
	*(bool *)done = set_policy("off");
	return NULL;
}

TEST(who_is_behind_sees_the_new_mapping)
{
	int cpus[MAX_CPUS], fd, delay, rounds = 0, stale = 0;
	uint64_t value = 1, read_value;
	struct other_process other;
	pthread_t spins, switches;
	bool done;

	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (access(POLICY, W_OK) || allowed_cpus(cpus) < 2)
		SKIP(return, "no deferred_flush.ko, or one CPU");
	ASSERT_TRUE(start_other(&other, fd, cpus[1]));
	ASSERT_EQ(0, pthread_create(&spins, NULL, spinner, (void *)(intptr_t)cpus[1]));
	ASSERT_EQ(0, pin_to(cpus[0]));
	ASSERT_EQ(0, map_anew(fd, &value));

	for (delay = 0; delay < MAX_DELAY_MS; delay += STEP_MS) {
		ASSERT_TRUE(set_policy("always"));
		ASSERT_TRUE(ask(&other, &read_value));
		/* Until the other thread of this process runs there, in user mode. */
		sleep_ms(5);
		value++;
		if (ioctl(fd, TEST_REMAP, &value) <= 0) {
			/* The address went to somebody else. */
			ASSERT_EQ(0, map_anew(fd, &value));
			continue;
		}
		ASSERT_EQ(0, pthread_create(&switches, NULL, switch_off, &done));
		sleep_ms(delay);
		ASSERT_TRUE(ask(&other, &read_value));
		stale += read_value != value;
		rounds++;
		pthread_join(switches, NULL);
		ASSERT_TRUE(done);
	}
	spinners_stop = true;
	pthread_join(spins, NULL);
	ioctl(fd, TEST_UNMAP);
	close(fd);
	set_policy("always");
	printf("# disarm: rounds=%d stale=%d\n", rounds, stale);
	EXPECT_TRUE(end_other(&other));
	EXPECT_EQ(0, stale);
	EXPECT_LT(0, rounds);
}

/* Pages that can still be read after they are gone. */
static uint64_t zap_pages(char *area, int pages)
{
	uint64_t stale = 0;
	int i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(area + i * PAGE) = 1;
	if (madvise(area, pages * PAGE, MADV_DONTNEED))
		return pages;
	for (i = 0; i < pages; i++)
		stale += *(volatile char *)(area + i * PAGE) != 0;
	return stale;
}

TEST(ranges_are_not_all_there_is)
{
	uint64_t rounds = 0, stale = 0;
	int cpus[MAX_CPUS], status = 0, i;
	char *area;
	pid_t pid;

	if (access(POLICY, W_OK) || allowed_cpus(cpus) < 2)
		SKIP(return, "no deferred_flush.ko, or one CPU");
	area = mmap(NULL, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, madvise(area, MANY * PAGE, MADV_NOHUGEPAGE));
	/* No thread: who has to wait for another CPU records nothing. */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (pin_to(cpus[1]))
			_exit(1);
		for (i = 0; i < TURNS; i++)
			if (!set_policy("off") || !set_policy("always"))
				_exit(1);
		_exit(0);
	}
	ASSERT_EQ(0, pin_to(cpus[0]));
	while (!waitpid(pid, &status, WNOHANG)) {
		stale += zap_pages(area, 1);
		stale += zap_pages(area, MANY);
		rounds++;
	}
	printf("# disarm: ranges rounds=%llu stale=%llu\n", (unsigned long long)rounds,
	       (unsigned long long)stale);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, stale);
	EXPECT_LT(0, rounds);
}

TEST_HARNESS_MAIN
