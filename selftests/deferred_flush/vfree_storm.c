// SPDX-License-Identifier: GPL-2.0
/*
 * One CPU frees vmalloc pages as fast as it can, the others are in user mode, or
 * the last TEST_IDLE= of them idle.  With TEST_PAUSE_MS= it frees once in so many
 * milliseconds.
 *
 * Reports how many interrupts those receive.  Judges only that the storm took
 * place; ipi_limits.sh, isolated.sh and scripts/report/demo.py compare the states of
 * the module.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

/* The same storm in every state: by count, with a limit in case of trouble. */
#define MAX_MS 60000

static uint64_t test_rounds(void)
{
	return setting("TEST_ROUNDS", 300);
}

/* One CPU is left for the storm. */
static int idle_cpus(int nr)
{
	int wanted = setting("TEST_IDLE", 0);

	return wanted < nr ? wanted : nr - 1;
}

FIXTURE(vfree_storm)
{
	int fd;
	int cpus[MAX_CPUS];
	int nr;
	int spinners;
	pthread_t threads[MAX_CPUS];
};

FIXTURE_VARIANT(vfree_storm)
{
	const char *name;
	uint32_t pages;
};

FIXTURE_VARIANT_ADD(vfree_storm, pages_1) { .name = "1", .pages = 1 };
FIXTURE_VARIANT_ADD(vfree_storm, pages_8) { .name = "8", .pages = 8 };
/* The last size that is flushed page by page, ... */
FIXTURE_VARIANT_ADD(vfree_storm, pages_33) { .name = "33", .pages = 33 };
/* ... and one that is flushed in full. */
FIXTURE_VARIANT_ADD(vfree_storm, pages_512) { .name = "512", .pages = 512 };

FIXTURE_SETUP(vfree_storm)
{
	int i;

	self->spinners = 0;
	self->fd = open_test_device();
	if (self->fd < 0)
		SKIP(return, NO_TEST_DEVICE);

	self->nr = allowed_cpus(self->cpus);
	ASSERT_GT(self->nr, 0);
	spinners_stop = false;
	self->spinners = self->nr - 1 - idle_cpus(self->nr);
	for (i = 1; i <= self->spinners; i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, spinner,
					    (void *)(intptr_t)self->cpus[i]));
	ASSERT_EQ(0, pin_to(self->cpus[0]));
	/* Until every spinner spins: thread creation itself causes IPIs. */
	sleep_ms(200);
}

FIXTURE_TEARDOWN(vfree_storm)
{
	int i;

	spinners_stop = true;
	for (i = 1; i <= self->spinners; i++)
		pthread_join(self->threads[i], NULL);
	if (self->fd >= 0)
		close(self->fd);
}

/* How many rounds there were is in @storm afterwards. */
static int run(int fd, struct test_storm *storm, uint64_t pause_ms)
{
	uint64_t rounds = storm->rounds, end = now_ms() + storm->max_ms, i;
	int ret = 0;

	if (!pause_ms)
		return ioctl(fd, TEST_STORM, storm);
	for (i = 0; i < rounds && !ret && now_ms() < end; i++) {
		sleep_ms(pause_ms);
		storm->rounds = 1;
		ret = ioctl(fd, TEST_STORM, storm);
	}
	storm->rounds = i;
	return ret;
}

TEST_F_TIMEOUT(vfree_storm, frees_and_counts, 120)
{
	struct test_storm storm = {
		.pages = variant->pages, .max_ms = MAX_MS, .rounds = test_rounds(),
	};
	uint64_t pause_ms = setting("TEST_PAUSE_MS", 0);
	struct ipi_count count;

	count_start(&count, self->cpus + 1, self->nr - 1, self->nr - 1 - self->spinners);
	ASSERT_EQ(0, run(self->fd, &storm, pause_ms)) TH_LOG("%s", strerror(errno));
	count_stop(&count);

	print_result("vfree", variant->name, self->nr, storm.rounds, &count, 0);
	EXPECT_EQ(storm.rounds, test_rounds())
		TH_LOG("only %llu rounds in %d ms", (unsigned long long)storm.rounds, MAX_MS);
}

TEST(bad_arguments_are_refused)
{
	struct test_storm storm = { .pages = 0, .max_ms = 1 };
	int fd = open_test_device();

	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	EXPECT_EQ(-1, ioctl(fd, TEST_STORM, &storm));
	EXPECT_EQ(EINVAL, errno);
	storm = (struct test_storm){ .pages = 1, .max_ms = 1u << 31 };
	EXPECT_EQ(-1, ioctl(fd, TEST_STORM, &storm));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, _IO('F', 99)));
	EXPECT_EQ(ENOTTY, errno);
	close(fd);
}

TEST_HARNESS_MAIN
