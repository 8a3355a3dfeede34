// SPDX-License-Identifier: GPL-2.0
/*
 * What a module has as read-only after its init function is made so by
 * set_memory_ro().  The test module's init function writes there on all CPUs.  A
 * CPU in user mode that has cached that translation must not write through it
 * when it enters the kernel.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define MODULE "deferred_flush_test"
#define MIN_ROUNDS 3

enum turn {
	LOADING,	/* The writer is in user mode. */
	WRITING,
	WRITTEN,
	FAILED,
};

struct shared {
	volatile enum turn turn;
	volatile int error;
};

static void writer(struct shared *shared, int cpu)
{
	int fd;

	if (pin_to(cpu))
		shared->turn = FAILED;
	for (;;) {
		while (shared->turn != WRITING)
			;
		fd = open(TEST_DEVICE, O_RDWR);
		shared->error = ioctl(fd, TEST_WRITE_READ_ONLY) ? errno : 0;
		close(fd);
		shared->turn = fd < 0 ? FAILED : WRITTEN;
	}
}

TEST(nobody_writes_to_what_is_read_only_by_now)
{
	uint64_t end = now_ms() + 2 * test_ms();
	int cpus[MAX_CPUS], fd, rounds = 0, stale = 0;
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
		rounds++;
	}
	kill(pid, SIGKILL);
	close(fd);
	printf("# set_memory: rounds=%d stale=%d\n", rounds, stale);
	EXPECT_EQ(0, stale);
}

TEST_HARNESS_MAIN
