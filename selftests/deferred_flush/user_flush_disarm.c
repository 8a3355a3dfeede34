// SPDX-License-Identifier: GPL-2.0
/*
 * The policy goes off, and on again, while a process sleeps in the kernel with
 * flushes of single user addresses pending, and is sent a flush of everything in
 * between.  On its way back it has to do all of that, not what was pending first.
 */
#define _GNU_SOURCE
#include <linux/sockios.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"
#include "user_flush.h"

#define HUGE	(2UL << 20)
/* Received before the policy goes off, so that flushes are pending. */
#define FIRST	4
#define ROUNDS	5

/* Sends pages with this value, and waits until they are received. */
static bool send_pages(int fd, uint64_t value, int count)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];
	uint64_t end = now_ms() + 5000;
	int left = 1;

	page[0] = value;
	while (count--)
		if (write(fd, page, sizeof(page)) != sizeof(page))
			return false;
	do {
		if (now_ms() > end || ioctl(fd, SIOCOUTQ, &left))
			return false;
		sleep_ms(10);
	} while (left);
	/* It sleeps again. */
	sleep_ms(20);
	return true;
}

FIXTURE(user_flush_disarm)
{
	char *huge;
	char *received;
	int fd;
	int fds[2];
	char policy[16];
};

FIXTURE_VARIANT(user_flush_disarm)
{
	/* The process is back in user mode before the policy is on again. */
	bool back_while_off;
};

FIXTURE_VARIANT_ADD(user_flush_disarm, back_while_off) { .back_while_off = true };
FIXTURE_VARIANT_ADD(user_flush_disarm, back_while_on) { .back_while_off = false };

FIXTURE_SETUP(user_flush_disarm)
{
	const char *missing = get_policy(self->policy);
	char *area;

	if (missing)
		SKIP(return, "%s", missing);
	if (nr_cpus < 2)
		SKIP(return, "one CPU");

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->fds));
	self->fd = memfd_create("user_flush_disarm", 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, AREA_PAGES * PAGE));
	self->received = map_area(MAP_PRIVATE, self->fd);
	ASSERT_NE(MAP_FAILED, self->received);
	area = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	self->huge = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	ASSERT_EQ(0, madvise(self->huge, HUGE, MADV_HUGEPAGE));
}

FIXTURE_TEARDOWN(user_flush_disarm)
{
	set_policy(self->policy);
}

/* The process on one CPU.  Exits with the number of stale pages. */
static void receiver(int fd, char *received, char *huge)
{
	const int pages = FIRST + 2;
	int page, stale = 0;

	/* Caches the pages of the file, and the huge page of zeroes. */
	for (page = 0; page < pages; page++)
		read_page(received, page);
	read_page(huge, 1);
	if (write(fd, "", 1) != 1 ||
	    recv(fd, received, pages * PAGE, MSG_WAITALL) != (ssize_t)(pages * PAGE))
		_exit(100);
	for (page = 0; page < pages; page++)
		stale += read_page(received, page) == 0;
	stale += read_page(huge, 1) != next_value;
	_exit(stale);
}

TEST_F_TIMEOUT(user_flush_disarm, all_that_is_pending_is_flushed, TIMEOUT)
{
	int i, status, stale = 0;
	struct iovec local, remote;
	char byte;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		next_value++;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			receiver(self->fds[1], self->received, self->huge);
		}
		/* It has CPU 0 for itself. */
		ASSERT_EQ(0, pin_to(cpus[1]));
		ASSERT_EQ(1, read(self->fds[0], &byte, 1));
		ASSERT_TRUE(send_pages(self->fds[0], next_value, FIRST));

		ASSERT_TRUE(set_policy("off"));
		/* The first write to it, with a flush of everything. */
		local = (struct iovec){ &next_value, sizeof(next_value) };
		remote = (struct iovec){ self->huge + PAGE, sizeof(next_value) };
		ASSERT_EQ((ssize_t)sizeof(next_value),
			  process_vm_writev(pid, &local, 1, &remote, 1, 0));
		/* Wakes it, so that it learns of that flush, but it stays in the kernel. */
		ASSERT_TRUE(send_pages(self->fds[0], next_value, 1));
		if (!variant->back_while_off)
			ASSERT_TRUE(set_policy(self->policy));
		ASSERT_TRUE(send_pages(self->fds[0], next_value, 1));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 100);
		stale += WEXITSTATUS(status);
		ASSERT_TRUE(set_policy(self->policy));
		ASSERT_EQ(0, pin_to(cpus[0]));
	}
	report(_metadata, "disarm", ROUNDS, stale);
}

TEST_HARNESS_MAIN
