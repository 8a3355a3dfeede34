// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of flushes of user addresses with PTI, by the module's counters:
 * user_ranges and user_full are left to the exit to user mode, user_now are not,
 * because their initiator waits for another CPU anyway.  Each case has one kind
 * of flush, many times; a few more are those of whatever else runs.
 */
#define _GNU_SOURCE
#include <sys/uio.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"
#include "user_flush.h"

#define TURNS		100
/* Other programs, and the page faults of this one. */
#define NOISE		(TURNS / 4)
#define FEW		3
/* More addresses than the default of user_ceiling, in one system call. */
#define MANY		50
#define USER_CEILING	33
#define PMD_BYTES	(2UL << 20)

struct counters {
	int64_t ranges;
	int64_t full;
	int64_t now;
};

static struct counters read_counters(int cpu)
{
	return (struct counters){
		.ranges = module_stat(cpu, "user_ranges"),
		.full = module_stat(cpu, "user_full"),
		.now = module_stat(cpu, "user_now"),
	};
}

static struct counters counters_since(const struct counters *before, int cpu)
{
	struct counters now = read_counters(cpu);

	now.ranges -= before->ranges;
	now.full -= before->full;
	now.now -= before->now;
	printf("# user_counters: cpu=%d ranges=%lld full=%lld now=%lld\n", cpu,
	       (long long)now.ranges, (long long)now.full, (long long)now.now);
	return now;
}

/* Whether the user page tables have PCIDs of their own. */
static bool has_user_pcids(void)
{
	char *line = NULL;
	bool pti = false, pcid = false;
	size_t size = 0;
	FILE *file = fopen("/proc/cpuinfo", "r");

	while (file && getline(&line, &size, file) > 0) {
		pti |= !!strstr(line, " pti");
		pcid |= !!strstr(line, " pcid");
	}
	free(line);
	if (file)
		fclose(file);
	return pti && pcid;
}

FIXTURE(user_counters)
{
	char *area;
	int fd;
};

FIXTURE_SETUP(user_counters)
{
	int i;

	if (module_stat(cpus[0], "user_ranges") < 0)
		SKIP(return, "no statistics: load deferred_flush.ko");
	if (!has_user_pcids())
		SKIP(return, "no PTI with PCIDs");
	if (process_vm_writev(getpid(), NULL, 0, NULL, 0, 0) && errno == ENOSYS)
		SKIP(return, "no CONFIG_CROSS_MEMORY_ATTACH");
	self->fd = memfd_create("user_counters", 0);
	if (self->fd < 0 && errno == ENOSYS)
		SKIP(return, "no CONFIG_MEMFD_CREATE");
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, AREA_PAGES * PAGE));
	self->area = map_area(MAP_PRIVATE, self->fd);
	ASSERT_NE(MAP_FAILED, self->area);
	for (i = 0; i < AREA_PAGES; i++)
		read_page(self->area, i);
}

FIXTURE_TEARDOWN(user_counters)
{
	if (self->area)
		munmap(self->area, AREA_PAGES * PAGE);
	close(self->fd);
}

/* One flush of a few pages: in the middle, so that their page table stays. */
static bool drop_few(char *area)
{
	char *middle = area + MAX_PAGES * PAGE;
	int i;

	for (i = 0; i < FEW; i++)
		read_page(middle, i);
	return !madvise(middle, FEW * PAGE, MADV_DONTNEED);
}

/* One system call with a flush for each page, which becomes a copy. */
static bool copy(char *area, int count)
{
	static uint64_t values[MAX_PAGES];
	struct iovec local = { values, count * sizeof(values[0]) };
	struct iovec remote[MAX_PAGES];
	int i;

	values[0] = next_value++;
	for (i = 0; i < count; i++) {
		/* Only what is mapped has to be flushed. */
		read_page(area, MAX_PAGES + i);
		remote[i] = (struct iovec){ area + (MAX_PAGES + i) * PAGE, sizeof(values[0]) };
	}
	return process_vm_writev(getpid(), &local, 1, remote, count, 0) ==
	       (ssize_t)local.iov_len;
}

TEST_F(user_counters, nobody_waits_and_few_are_ranges)
{
	struct counters before = read_counters(cpus[0]), count;
	int i;

	for (i = 0; i < TURNS; i++)
		ASSERT_TRUE(drop_few(self->area));
	count = counters_since(&before, cpus[0]);
	EXPECT_LE(TURNS, count.ranges);
	EXPECT_GE(NOISE, count.full);
	EXPECT_GE(NOISE, count.now);
}

TEST_F(user_counters, many_in_one_system_call_are_a_full_flush)
{
	struct counters before = read_counters(cpus[0]), count;
	int i;

	for (i = 0; i < TURNS; i++) {
		ASSERT_EQ(self->area, mmap(self->area, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_FIXED, self->fd, 0));
		ASSERT_TRUE(copy(self->area, MANY));
	}
	count = counters_since(&before, cpus[0]);
	EXPECT_LE(TURNS * USER_CEILING, count.ranges);
	EXPECT_GE(TURNS * USER_CEILING + NOISE, count.ranges);
	EXPECT_LE(TURNS * (MANY - USER_CEILING), count.full);
	EXPECT_GE(NOISE, count.now);
}

TEST_F(user_counters, who_waits_flushes_at_once_and_the_others_later)
{
	struct counters before, before_other, count;
	pthread_t thread;
	int i;

	if (nr_cpus < 2)
		SKIP(return, "one CPU");
	ASSERT_EQ(0, pthread_create(&thread, NULL, spinner, (void *)(intptr_t)cpus[1]));
	sleep_ms(100);

	before = read_counters(cpus[0]);
	before_other = read_counters(cpus[1]);
	for (i = 0; i < TURNS; i++)
		ASSERT_TRUE(drop_few(self->area));
	count = counters_since(&before, cpus[0]);
	EXPECT_LE(TURNS, count.now);
	EXPECT_GE(NOISE, count.ranges);
	EXPECT_GE(NOISE, count.full);

	count = counters_since(&before_other, cpus[1]);
	/* Fewer where something else ran meanwhile: it learns of several at once. */
	EXPECT_LE(TURNS / 2, count.ranges + count.full);
	EXPECT_GE(NOISE, count.now);

	spinners_stop = true;
	pthread_join(thread, NULL);
}

/* The only flush that is about the way to the pages, too. */
TEST_F(user_counters, freed_tables_are_no_ranges)
{
	char *area = (char *)(4UL << 40), *neighbour;
	struct counters before, count;
	int i, page;

	/* Keeps the upper tables. */
	neighbour = mmap(area + 2 * PMD_BYTES, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (neighbour != area + 2 * PMD_BYTES)
		SKIP(return, "the addresses are taken");
	*neighbour = 1;

	before = read_counters(cpus[0]);
	for (i = 0; i < TURNS; i++) {
		/* Its pages have a table of their own. */
		ASSERT_EQ(area, mmap(area, PMD_BYTES, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
				     -1, 0));
		ASSERT_TRUE(keep_pages_small(area, PMD_BYTES));
		for (page = 0; page < FEW; page++)
			area[page * PAGE] = 1;
		ASSERT_EQ(0, munmap(area, PMD_BYTES));
	}
	count = counters_since(&before, cpus[0]);
	EXPECT_GE(NOISE, count.ranges);
	EXPECT_LE(TURNS, count.full + count.now);
	munmap(neighbour, PAGE);
}

TEST_HARNESS_MAIN
