// SPDX-License-Identifier: GPL-2.0
/*
 * A vmalloc address is freed and mapped anew on one CPU, while another CPU, that
 * has its translation cached, is in user mode or idle.  When that CPU enters the
 * kernel, or wakes up, it must see the new contents: by system call, timer
 * interrupt, IPI and NMI, and in a system call that slept.  And so must another
 * process that runs there next: with PTI and PCIDs it has cached the translation
 * for itself, and was not running when the flush was due.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "other_process.h"
#include "reader.h"

#define MIN_ROUNDS 3
/* Doubled while remapping takes longer. */
#define FIRST_TIMER_US 200000

static volatile uint32_t reader_timer_us;	/* 0: arm none */
static uint64_t reader_number;
static int reader_wake[2] = { -1, -1 };		/* pipe: sleeps on it, if there is one */

static void arm_timer(void)
{
	struct test_probe probe = { .us = reader_timer_us };

	if (reader_timer_us && ioctl(reader_fd, TEST_PROBE_TIMER, &probe))
		reader_failed = true;
}

/* With nothing else to run, its CPU idles. */
static void fall_asleep(void)
{
	char byte;

	if (reader_wake[0] >= 0 && read(reader_wake[0], &byte, 1) != 1)
		reader_failed = true;
}

/* Sleeps in the kernel, and reads there. */
static void sleep_and_read(void)
{
	uint64_t value = reader_number;

	turn = READER_WAITS;
	if (ioctl(reader_fd, TEST_READ_WOKEN, &value))
		reader_failed = true;
	reader_value = value;
}

FIXTURE(vfree_coherence)
{
	int fd;
	int cpus[MAX_CPUS];
	int nr;
	uint64_t value;
	uint64_t stale;
	uint64_t rounds;
	uint64_t rounds_small;	/* with flushes of single pages */
	pthread_t thread;
	bool running;
	bool small;
	bool idle;
};

FIXTURE_VARIANT(vfree_coherence)
{
	bool idle;
};

FIXTURE_VARIANT_ADD(vfree_coherence, user) { .idle = false };
FIXTURE_VARIANT_ADD(vfree_coherence, idle) { .idle = true };

FIXTURE_SETUP(vfree_coherence)
{
	self->running = false;
	self->small = false;
	self->idle = variant->idle;
	self->fd = open_test_device();
	if (self->fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	self->nr = allowed_cpus(self->cpus);
	if (self->nr < 2)
		SKIP(return, "one CPU: nobody is away while it frees");

	self->value = 1;
	self->stale = 0;
	self->rounds = 0;
	self->rounds_small = 0;
	ASSERT_EQ(0, pin_to(self->cpus[0]));
	ASSERT_EQ(0, map_anew(self->fd, &self->value));

	if (variant->idle)
		ASSERT_EQ(0, pipe(reader_wake));
	reader_timer_us = 0;
	reader_adds.filled = arm_timer;
	reader_adds.waits = fall_asleep;
	reader_adds.does = sleep_and_read;
	ASSERT_EQ(0, start_reader(&self->thread, self->fd, self->cpus[1]));
	self->running = true;
}

/* hand_over(), also to a reader that sleeps, and until one that will has fallen asleep. */
static void pass(enum turn to, enum turn until)
{
	bool asleep = reader_wake[1] >= 0 && turn == READER_WAITS;

	turn = to;
	if (asleep && write(reader_wake[1], "", 1) != 1)
		reader_failed = true;
	await_turn(until);
	/* Until its CPU idles. */
	if (reader_wake[1] >= 0 && until == READER_WAITS)
		sleep_ms(2);
}

FIXTURE_TEARDOWN(vfree_coherence)
{
	if (self->running) {
		pass(READER_EXITS, READER_EXITS);
		pthread_join(self->thread, NULL);
	}
	if (reader_wake[0] >= 0) {
		close(reader_wake[0]);
		close(reader_wake[1]);
	}
	if (self->fd >= 0) {
		ioctl(self->fd, TEST_UNMAP);
		close(self->fd);
	}
}

/* Maps the address anew.  False: no luck, try again. */
static bool remap(FIXTURE_DATA(vfree_coherence) *self)
{
	self->value++;
	if (ioctl(self->fd, self->small ? TEST_REMAP_SMALL : TEST_REMAP,
		  &self->value) > 0)
		return true;
	/* The address went to somebody else, and the area is gone. */
	map_anew(self->fd, &self->value);
	return false;
}

static bool remap_while_away(FIXTURE_DATA(vfree_coherence) *self)
{
	pass(READER_FILLS, READER_WAITS);
	return remap(self);
}

static void judge(FIXTURE_DATA(vfree_coherence) *self, uint64_t value)
{
	self->rounds++;
	self->rounds_small += self->small;
	if (value != self->value)
		self->stale++;
}

static void report(FIXTURE_DATA(vfree_coherence) *self, const char *kind)
{
	printf("# coherence: away=%s entry=%s rounds=%llu small=%llu stale=%llu\n",
	       self->idle ? "idle" : "user", kind,
	       (unsigned long long)self->rounds, (unsigned long long)self->rounds_small,
	       (unsigned long long)self->stale);
}

TEST_F_TIMEOUT(vfree_coherence, syscall_sees_the_new_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		if (!remap_while_away(self))
			continue;
		pass(READER_READS, READER_DONE);
		judge(self, reader_value);
	}
	report(self, "syscall");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

TEST_F_TIMEOUT(vfree_coherence, timer_interrupt_sees_the_new_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();

	reader_timer_us = FIRST_TIMER_US;
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		struct test_probe probe = { };
		bool remapped = remap_while_away(self);
		bool early;

		ASSERT_EQ(0, ioctl(self->fd, TEST_PROBE_RESULT, &probe));
		early = probe.cpu_or_done;
		while (!probe.cpu_or_done) {
			sleep_ms(5);
			ASSERT_EQ(0, ioctl(self->fd, TEST_PROBE_RESULT, &probe));
		}
		/* If the interrupt came first, it proves nothing. */
		if (early)
			reader_timer_us *= 2;
		else if (remapped)
			judge(self, probe.value);
	}
	report(self, "timer");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

static void probe_cpu(struct __test_metadata *_metadata,
		      FIXTURE_DATA(vfree_coherence) *self, unsigned int how)
{
	uint64_t end = now_ms() + 2 * test_ms();

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		struct test_probe probe = { .cpu_or_done = self->cpus[1] };

		if (!remap_while_away(self))
			continue;
		ASSERT_EQ(0, ioctl(self->fd, how, &probe));
		do {
			ASSERT_EQ(0, ioctl(self->fd, TEST_PROBE_RESULT, &probe));
		} while (!probe.cpu_or_done);
		judge(self, probe.value);
	}
}

TEST_F_TIMEOUT(vfree_coherence, nmi_sees_the_new_mapping, 120)
{
	probe_cpu(_metadata, self, TEST_PROBE_NMI);
	report(self, "nmi");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/* Right behind the flush: remapping takes so long that the tick catches up. */
static void probe_cpu_at_once(struct __test_metadata *_metadata,
			      FIXTURE_DATA(vfree_coherence) *self, unsigned int how)
{
	uint64_t end = now_ms() + 2 * test_ms();
	uint64_t nobody = 0;

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		struct test_probe probe = { .cpu_or_done = self->cpus[1] };

		pass(READER_FILLS, READER_WAITS);
		ASSERT_EQ(0, ioctl(self->fd, TEST_SHRINK_AND_WAKE, &nobody));
		ASSERT_EQ(0, ioctl(self->fd, how, &probe));
		do {
			ASSERT_EQ(0, ioctl(self->fd, TEST_PROBE_RESULT, &probe));
		} while (!probe.cpu_or_done);
		self->rounds++;
		self->stale += probe.value != TEST_UNMAPPED;
		ASSERT_EQ(0, ioctl(self->fd, TEST_MAP, &self->value));
	}
}

TEST_F_TIMEOUT(vfree_coherence, nmi_at_once_does_not_see_the_old_mapping, 120)
{
	probe_cpu_at_once(_metadata, self, TEST_PROBE_NMI);
	report(self, "nmi at once");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

static volatile uint64_t reader_entries;

static void keep_entering(void)
{
	for (; turn == READER_WAITS; reader_entries++)
		getppid();
}

/* A promise that is being taken back: the flush is done by who sees the other. */
TEST_F_TIMEOUT(vfree_coherence, entering_meanwhile_does_not_see_the_old_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms(), nobody = 0, seen;

	if (variant->idle)
		SKIP(return, "who enters all the time does not idle");
	reader_adds.waits = keep_entering;
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		pass(READER_FILLS, READER_WAITS);
		ASSERT_EQ(0, ioctl(self->fd, TEST_SHRINK_AND_WAKE, &nobody));
		/* An entry that had begun has ended. */
		seen = reader_entries;
		while (reader_entries < seen + 2)
			sched_yield();
		pass(READER_READS, READER_DONE);
		self->rounds++;
		self->stale += reader_value != TEST_UNMAPPED;
		ASSERT_EQ(0, ioctl(self->fd, TEST_MAP, &self->value));
	}
	report(self, "entering meanwhile");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/* Comes at once: an idle CPU wakes up for other things before the timer. */
TEST_F_TIMEOUT(vfree_coherence, ipi_sees_the_new_mapping, 120)
{
	probe_cpu(_metadata, self, TEST_PROBE_IPI);
	report(self, "ipi");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

TEST_F_TIMEOUT(vfree_coherence, ipi_at_once_does_not_see_the_old_mapping, 120)
{
	probe_cpu_at_once(_metadata, self, TEST_PROBE_IPI);
	report(self, "ipi at once");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/* The reader sleeps in the test module from now on, not on the pipe. */
static void close_pipe(void)
{
	close(reader_wake[0]);
	close(reader_wake[1]);
	reader_wake[0] = -1;
	reader_wake[1] = -1;
	reader_number = 0;
}

/* How it is woken depends on how it idles: by an interrupt, or not (polling). */
TEST_F_TIMEOUT(vfree_coherence, woken_sees_the_new_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();

	if (!variant->idle)
		SKIP(return, "sleeping is idling");
	close_pipe();
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		bool remapped;

		pass(READER_FILLS, READER_WAITS);
		reader_number++;
		pass(READER_DOES, READER_WAITS);
		/* Until it sleeps. A CPU that polls loses its promise to its tick. */
		usleep(300);
		remapped = remap(self);
		ASSERT_EQ(0, ioctl(self->fd, TEST_WAKE, &reader_number));
		await_turn(READER_DONE);
		if (remapped)
			judge(self, reader_value);
	}
	report(self, "woken");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/*
 * Woken right behind the flush: a CPU that polls takes its promise back in the
 * tick, or when it promises anew.
 */
TEST_F_TIMEOUT(vfree_coherence, woken_at_once_does_not_see_the_old_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();

	if (!variant->idle)
		SKIP(return, "sleeping is idling");
	close_pipe();
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		pass(READER_FILLS, READER_WAITS);
		reader_number++;
		pass(READER_DOES, READER_WAITS);
		/* Until it sleeps. */
		usleep(300);
		ASSERT_EQ(0, ioctl(self->fd, TEST_SHRINK_AND_WAKE, &reader_number));
		await_turn(READER_DONE);
		self->rounds++;
		self->stale += reader_value != TEST_UNMAPPED;
		ASSERT_EQ(0, ioctl(self->fd, TEST_MAP, &self->value));
	}
	report(self, "woken at once");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/* With debug_pagealloc, what is freed may not be used from then on. */
TEST_F_TIMEOUT(vfree_coherence, debug_pagealloc_flushes_what_is_freed, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();

	if (!has_word("/proc/cmdline", "debug_pagealloc=on"))
		SKIP(return, "no debug_pagealloc=on");
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		pass(READER_FILLS, READER_WAITS);
		ASSERT_EQ(0, ioctl(self->fd, TEST_FREE));
		pass(READER_READS, READER_DONE);
		self->rounds++;
		self->stale += reader_value != TEST_UNMAPPED;
		ASSERT_EQ(0, ioctl(self->fd, TEST_MAP, &self->value));
	}
	report(self, "debug_pagealloc");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

/* What a CPU has done of what was left to it. */
static int64_t caught_up(int cpu)
{
	return module_stat(cpu, "catch_ups") + module_stat(cpu, "cr3_flushes");
}

/* Nobody may have an alias cached, not even one that is away and does not use it. */
TEST_F_TIMEOUT(vfree_coherence, unmap_aliases_completes_earlier_flushes, 120)
{
	int me = self->cpus[0], other = self->cpus[1];
	uint64_t end = now_ms() + 2 * test_ms();

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		struct test_storm storm = { .pages = 1, .max_ms = 1000, .rounds = 1 };
		int64_t before, sent, flushes;

		pass(READER_FILLS, READER_WAITS);
		before = caught_up(other);
		sent = module_stat(me, "ipis");
		flushes = module_stat(me, "flushes");
		ASSERT_EQ(0, ioctl(self->fd, TEST_STORM, &storm));
		sent = module_stat(me, "ipis") - sent;
		flushes = module_stat(me, "flushes") - flushes;
		ASSERT_EQ(0, ioctl(self->fd, TEST_UNMAP_ALIASES));
		if (!flushes && now_ms() > end)
			SKIP(return, "nothing is deferred");
		/* It was left to all others. */
		if (!flushes || sent)
			continue;
		self->rounds++;
		self->stale += caught_up(other) == before;
	}
	report(self, "aliases");
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

TEST_F_TIMEOUT(vfree_coherence, other_process_sees_the_new_mapping, 120)
{
	uint64_t end = now_ms() + 2 * test_ms();
	struct other_process other;
	uint64_t value;

	ASSERT_TRUE(start_other(&other, self->fd, self->cpus[1]));
	while (now_ms() < end || self->rounds_small < MIN_ROUNDS) {
		ASSERT_TRUE(ask(&other, &value));
		/*
		 * Flushes of all, then of single pages.  Not in turns: what
		 * the former leave to be purged makes the latter large.
		 */
		self->small = now_ms() > end - test_ms() &&
			      self->rounds >= MIN_ROUNDS;
		/* The other process sleeps, and the reader runs instead. */
		if (!remap_while_away(self))
			continue;
		ASSERT_TRUE(ask(&other, &value));
		judge(self, value);
	}
	report(self, "switch");
	EXPECT_TRUE(end_other(&other));
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, self->stale);
}

TEST_HARNESS_MAIN
