// SPDX-License-Identifier: GPL-2.0
/*
 * What a module has as read-only after its init function is made so by
 * set_memory_ro(), and so is its alias in the direct map.  The test module's init
 * function writes to both on all CPUs.  A CPU in user mode that has cached those
 * translations must not write through them when it enters the kernel.
 *
 * Where it is not about permissions, as for cache attributes, a translation
 * matters that nobody uses: that CPU has to be interrupted.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define MODULE "deferred_flush_test"
#define MIN_ROUNDS 3
#define ROUNDS 20

enum turn {
	LOADING,	/* The writer is in user mode. */
	WRITING,
	WRITTEN,
	FAILED,
};

struct shared {
	volatile enum turn turn;
	volatile int error;
	volatile int error_alias;
};

static int try_to_write(int fd, uint64_t alias)
{
	return ioctl(fd, TEST_WRITE_READ_ONLY, &alias) ? errno : 0;
}

static void writer(struct shared *shared, int cpu)
{
	int fd;

	if (pin_to(cpu))
		shared->turn = FAILED;
	for (;;) {
		while (shared->turn != WRITING)
			;
		fd = open(TEST_DEVICE, O_RDWR);
		shared->error = try_to_write(fd, 0);
		shared->error_alias = try_to_write(fd, 1);
		close(fd);
		shared->turn = fd < 0 ? FAILED : WRITTEN;
	}
}

TEST(nobody_writes_to_what_is_read_only_by_now)
{
	uint64_t end = now_ms() + 2 * test_ms();
	int cpus[MAX_CPUS], fd, rounds = 0, stale = 0, stale_alias = 0;
	struct shared *shared;
	pid_t pid;

	if (allowed_cpus(cpus) < 2)
		SKIP(return, "one CPU");
	/* It has to be loaded, too. */
	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	close(fd);
	fd = open_module(MODULE);
	if (fd < 0)
		SKIP(return, "no " MODULE ".ko");
	if (syscall(SYS_delete_module, "", 0) && errno == ENOSYS)
		SKIP(return, "no CONFIG_MODULE_UNLOAD");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		writer(shared, cpus[1]);
	ASSERT_EQ(0, pin_to(cpus[0]));

	while (now_ms() < end || rounds < MIN_ROUNDS) {
		shared->turn = LOADING;
		ASSERT_EQ(0, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
		ASSERT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
		shared->turn = WRITING;
		while (shared->turn == WRITING)
			sched_yield();
		ASSERT_EQ(WRITTEN, shared->turn);
		/* Without the flush, it is written. */
		stale += shared->error != EFAULT;
		stale_alias += shared->error_alias != EFAULT;
		rounds++;
	}
	kill(pid, SIGKILL);
	close(fd);
	printf("# set_memory: rounds=%d stale=%d stale_alias=%d\n", rounds, stale, stale_alias);
	EXPECT_EQ(0, stale);
	EXPECT_EQ(0, stale_alias);
}

TEST(cache_attributes_are_flushed_at_once)
{
	int cpus[MAX_CPUS], fd, round, not_interrupted = 0;
	uint64_t before;
	pthread_t thread;

	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (allowed_cpus(cpus) < 2)
		SKIP(return, "one CPU");
	ASSERT_EQ(0, pthread_create(&thread, NULL, spinner, (void *)(intptr_t)cpus[1]));
	ASSERT_EQ(0, pin_to(cpus[0]));
	/* Until it spins. */
	sleep_ms(20);
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, ioctl(fd, TEST_MAP_WC));
		before = irqs_received(&cpus[1], 1).ipis;
		ASSERT_EQ(0, ioctl(fd, TEST_SET_WB));
		not_interrupted += irqs_received(&cpus[1], 1).ipis == before;
	}
	spinners_stop = true;
	pthread_join(thread, NULL);
	close(fd);
	printf("# set_memory: rounds=%d not_interrupted=%d\n", ROUNDS, not_interrupted);
	EXPECT_EQ(0, not_interrupted);
}

TEST_HARNESS_MAIN
