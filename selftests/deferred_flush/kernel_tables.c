// SPDX-License-Identifier: GPL-2.0
/*
 * vmap puts a large page where small ones were, and frees their page table.  A
 * CPU that has cached the way to it (by the paging-structure caches) is in user
 * mode meanwhile.
 *
 * With PTI off it could walk there at any time: it must be flushed before the
 * table is used for anything else.  With PTI the flush is deferred, and the table
 * must stay until the CPU has come back, or was interrupted after a second.
 *
 * That CPU must not enter the kernel by itself: one of nohz_full=.  For a table of
 * PMDs, whose case is another one, any will do.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include "kselftest_harness.h"
#include "other_process.h"
#include "reader.h"

#define ROUNDS 5
#define PMD_ROUNDS 2
/* deferred_flush_grace(), and more. */
#define GRACE_MS 2500
/* It, and a worker. */
#define FREED_MS 1200
/* Until there was a second in which nothing else came in between. */
#define TRY_MS 80000

static volatile uint64_t *unused;
static sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, 1);
}

/* Tries what it is not allowed to read, in user mode. */
static void touch_unused(void)
{
	reader_value = 0;
	/* Saving the mask would be a system call. */
	if (!sigsetjmp(fault_env, 0))
		reader_value = *unused;
}

FIXTURE(kernel_tables)
{
	int fd;
	int cpu;
	uint64_t value;
	int64_t catch_ups;	/* of the reader's CPU, when it began to wait */
	bool deferred;
	bool running;
	pthread_t thread;
};

FIXTURE_SETUP(kernel_tables)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	self->fd = -1;
	self->running = false;
	self->cpu = tickless_cpu();
	if (self->cpu < 1)
		SKIP(return, "no CPU but the first one in nohz_full=, or no CONFIG_NO_HZ_FULL");
	self->fd = open_test_device();
	if (self->fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (policy_is_hidden())
		SKIP(return, "the policy cannot be read: CONFIG_DEBUG_FS, mounted");

	self->value = 1;
	self->deferred = has_word("/proc/cpuinfo", " pti ") &&
			 (has_word(POLICY, "always") || has_word(POLICY, "adaptive"));
	reader_adds.does = touch_unused;
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	ASSERT_EQ(0, start_reader(&self->thread, self->fd, self->cpu));
	self->running = true;
	ASSERT_EQ(0, pin_to(0));
}

FIXTURE_TEARDOWN(kernel_tables)
{
	if (self->running) {
		hand_over(READER_EXITS, READER_EXITS);
		pthread_join(self->thread, NULL);
	}
	if (self->fd >= 0) {
		ioctl(self->fd, TEST_UNMAP);
		close(self->fd);
	}
}

/* Returns whether the table was in use again, for something else; -1: no luck. */
static int free_table_while_away(FIXTURE_DATA(kernel_tables) *self)
{
	uint64_t arg = self->value;

	if (ioctl(self->fd, TEST_UNMAP) || ioctl(self->fd, TEST_MAP_TABLE, &arg))
		return -1;
	unused = (volatile uint64_t *)arg;
	hand_over(READER_FILLS, READER_WAITS);
	self->catch_ups = module_stat(self->cpu, "catch_ups");
	self->value++;
	return ioctl(self->fd, TEST_REUSE_TABLE, &self->value);
}

TEST_F(kernel_tables, nobody_walks_what_was_freed)
{
	int round, reused, rounds = 0, rounds_reused = 0, stale = 0;

	for (round = 0; round < 2 * ROUNDS; round++) {
		bool touch = round % 2;

		reused = free_table_while_away(self);
		if (reused < 0)
			continue;
		rounds++;
		rounds_reused += reused;
		hand_over(touch ? READER_DOES : READER_READS, READER_DONE);
		/* User mode gets a fault, and the kernel the new contents. */
		stale += reader_value != (touch ? 0 : self->value);
	}
	printf("# kernel_tables: rounds=%d reused=%d stale=%d deferred=%d\n",
	       rounds, rounds_reused, stale, self->deferred);
	EXPECT_FALSE(reader_failed);
	ASSERT_LE(ROUNDS, rounds);
	EXPECT_EQ(0, stale);
	/* Else there was nothing to walk. */
	if (!self->deferred)
		EXPECT_LT(0, rounds_reused);
}

TEST_F_TIMEOUT(kernel_tables, with_pti_it_is_freed_when_all_have_caught_up, 120)
{
	uint64_t end = now_ms() + TRY_MS;
	int64_t away, after;
	int reused_while_stale, tries = 0;

	if (!self->deferred)
		SKIP(return, "no PTI (CONFIG_MITIGATION_PAGE_TABLE_ISOLATION), or nobody promises");
	/*
	 * Until the reader's CPU has no tick that catches up, and all is over before the
	 * second is: on a busy host it need not be.
	 */
	do {
		tries++;
		/* None that was freed earlier has its second end now. */
		sleep_ms(GRACE_MS);
		reused_while_stale = free_table_while_away(self);
		sleep_ms(200);
		away = module_stat(self->cpu, "catch_ups");
	} while ((reused_while_stale < 0 || away != self->catch_ups) && now_ms() < end);
	printf("# kernel_tables: tries=%d\n", tries);
	sleep_ms(GRACE_MS);
	after = module_stat(self->cpu, "catch_ups");
	hand_over(READER_READS, READER_DONE);

	EXPECT_FALSE(reader_failed);
	EXPECT_EQ(0, reused_while_stale);
	EXPECT_EQ(self->catch_ups, away);
	/* It was interrupted, and did not come back by itself. */
	EXPECT_LT(away, after);
	EXPECT_EQ(self->value, reader_value);
}

/* The first to allocate it again is the CPU where it was freed. */
static int reuse_freed(int fd, const int *cpus, int nr)
{
	int i, reused = 0;

	for (i = 0; i < nr && reused < 1; i++)
		if (!pin_to(cpus[i]))
			reused = ioctl(fd, TEST_TAKE_FREED);
	pin_to(cpus[0]);
	return reused > 0;
}

/*
 * A table of PMDs goes, and with it all tables of PTEs below.  Another process has
 * cached the way to one of those, and is not running then: with PTI, its ASID is
 * flushed when it runs again.
 */
TEST(nobody_walks_what_was_freed_below_a_table_of_pmds)
{
	int cpus[MAX_CPUS], nr, fd, tries;
	int rounds = 0, reused = 0, stale = 0;
	bool none = false;
	struct other_process other;
	pthread_t thread;
	uint64_t value, right;

	fd = open_test_device();
	nr = allowed_cpus(cpus);
	/* Not allowed, but there. */
	if (nr == 1 && tickless_cpu() > 0)
		cpus[nr++] = tickless_cpu();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (nr < 2)
		SKIP(return, "one CPU");
	/* Mainline does not either: INVLPG is for the paging-structure caches of one PCID. */
	if (!has_word("/proc/cpuinfo", " pti ") && has_word("/proc/cpuinfo", " pcid "))
		SKIP(return, "without PTI, nobody flushes other ASIDs");
	ASSERT_TRUE(start_other(&other, fd, cpus[1]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, spinner, (void *)(intptr_t)cpus[1]));
	ASSERT_EQ(0, pin_to(cpus[0]));

	for (tries = 0; tries < 2 * ROUNDS && reused < PMD_ROUNDS; tries++) {
		if (ioctl(fd, TEST_MAP_PMDS)) {
			ASSERT_EQ(EAGAIN, errno);
			continue;
		}
		ASSERT_TRUE(ask(&other, &value));
		ASSERT_NE(TEST_UNMAPPED, value);
		/* The spinner is what its CPU runs then. */
		sleep_ms(20);
		if (ioctl(fd, TEST_FREE_PMDS)) {
			none = errno == EOPNOTSUPP;
			if (none)
				break;
			continue;
		}
		sleep_ms(FREED_MS);
		rounds++;
		reused += reuse_freed(fd, cpus, nr);
		ASSERT_TRUE(ask(&other, &value));
		/* This CPU has flushed all. */
		ASSERT_EQ(0, ioctl(fd, TEST_READ, &right));
		stale += value != right;
	}
	ioctl(fd, TEST_UNMAP);
	spinners_stop = true;
	pthread_join(thread, NULL);
	close(fd);
	printf("# kernel_tables: pmds rounds=%d reused=%d stale=%d\n", rounds, reused, stale);
	EXPECT_TRUE(end_other(&other));
	if (none)
		SKIP(return, "no pages of a gigabyte");
	EXPECT_EQ(0, stale);
	/* Else there was nothing to walk. */
	EXPECT_LT(0, reused);
}

TEST_HARNESS_MAIN
