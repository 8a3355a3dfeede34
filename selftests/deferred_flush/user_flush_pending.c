// SPDX-License-Identifier: GPL-2.0
/*
 * Flushes of user addresses that are pending while the CPU does something else:
 * it runs another process, calls a signal handler, or its threads share the mm
 * with those on other CPUs.  User mode must not see what was there before.
 *
 * Also built with -m32.
 */
#define _GNU_SOURCE
#include <linux/sockios.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"
#include "user_flush.h"

FIXTURE(user_flush_pending)
{
};

FIXTURE_SETUP(user_flush_pending)
{
	int fd = memfd_create("user_flush", 0);

	if (fd < 0 && errno == ENOSYS)
		SKIP(return, "no CONFIG_MEMFD_CREATE");
	close(fd);
}

FIXTURE_TEARDOWN(user_flush_pending)
{
}

static char *received;
static _Atomic uint64_t received_stale;

/* What recv() has written by now is what user mode sees first, here. */
static void on_alarm(int sig)
{
	int page;

	for (page = 0; page < MAX_PAGES; page++)
		if (read_page(received, page) != next_value)
			received_stale++;
}

/* The sender's next round: the value of all pages, and the CPU to send them from. */
struct order_pages {
	uint64_t value;
	int cpu;
};

/*
 * This process sends the pages, and interrupts its parent once that has them and
 * sleeps for more.  On one CPU, the mm is switched with flushes pending; on two,
 * they are still pending when the handler is called.
 */
static void sender(int fd, pid_t parent)
{
	char *page = map_area(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct order_pages order;
	int i, left;

	if (page == MAP_FAILED)
		_exit(1);
	while (read(fd, &order, sizeof(order)) == sizeof(order)) {
		if (pin_to(order.cpu))
			_exit(1);
		for (i = 0; i < MAX_PAGES; i++) {
			*(uint64_t *)page = order.value;
			if (write(fd, page, PAGE) != PAGE)
				_exit(1);
			/* It has flushes of its own, too. */
			if (madvise(page, PAGE, MADV_DONTNEED))
				_exit(1);
		}
		/* All received: the parent is still in recv(). */
		do {
			sleep_ms(20);
			if (ioctl(fd, SIOCOUTQ, &left))
				_exit(1);
		} while (left);
		kill(parent, SIGALRM);
	}
	_exit(0);
}

TEST_F_TIMEOUT(user_flush_pending, signals_and_other_processes_in_between, TIMEOUT)
{
	struct sigaction action = { .sa_handler = on_alarm };
	uint64_t end = now_ms() + 2 * test_ms();
	uint64_t rounds = 0;
	int fds[2], fd, status, page;
	pid_t pid;

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	fd = memfd_create("user_flush", 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, AREA_PAGES * PAGE));
	received = map_area(MAP_PRIVATE, fd);
	ASSERT_NE(MAP_FAILED, received);
	status = socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	if (status && (errno == ENOSYS || errno == EAFNOSUPPORT))
		SKIP(return, "no CONFIG_UNIX");
	ASSERT_EQ(0, status);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(fds[0]);
		sender(fds[1], getppid());
	}
	close(fds[1]);
	while (now_ms() < end || rounds < MIN_ROUNDS) {
		struct order_pages order = { ++next_value, cpus[rounds % 2 % nr_cpus] };

		ASSERT_TRUE(renew(received, MAP_PRIVATE, fd));
		/* Caches the pages of the file.  Not the last one: it is never sent. */
		for (page = 0; page < MAX_PAGES; page++)
			read_page(received, page);
		ASSERT_EQ((ssize_t)sizeof(order), write(fds[0], &order, sizeof(order)));
		ASSERT_EQ(MAX_PAGES * (ssize_t)PAGE,
			  recv(fds[0], received, (MAX_PAGES + 1) * PAGE, MSG_WAITALL));
		on_alarm(SIGALRM);
		rounds++;
	}
	close(fds[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	report(_metadata, "receive", rounds, received_stale);
}

/* --- other threads */

enum mode { SPINS, CALLS, SIGNALS, SLEEPS, NR_MODES };

static char *shared;
static _Atomic uint64_t shared_value;
static _Atomic uint64_t shared_stale;
static atomic_bool stop;

struct reader {
	pthread_t thread;
	int cpu;
	enum mode mode;
	_Atomic uint64_t reads;
	bool failed;
};

/* Reads the page in user mode, between whatever its mode is. */
static void *reader(void *arg)
{
	struct reader *self = arg;
	uint64_t before, value;

	self->failed = pin_to(self->cpu) != 0;
	while (!stop) {
		before = shared_value;
		value = read_page(shared, 0);
		/* It only grows.  Less than what has been written long ago is old. */
		if (value < before)
			shared_stale++;
		self->reads++;
		if (self->mode == CALLS)
			syscall(SYS_getppid);
		else if (self->mode == SIGNALS)
			raise(SIGUSR1);
		else if (self->mode == SLEEPS)
			usleep(100);
	}
	return NULL;
}

/* Until each has begun and ended a read, but not for ever: a CPU may be slow. */
static void wait_for_reads(struct reader *readers, int nr)
{
	uint64_t end = now_ms() + 200;
	uint64_t before[MAX_CPUS];
	int i;

	for (i = 0; i < nr; i++)
		before[i] = readers[i].reads;
	for (i = 0; i < nr; i++)
		while (readers[i].reads < before[i] + 2 && now_ms() < end)
			sched_yield();
}

/*
 * Each round maps the page of the file again, has the threads cache it, and
 * writes to it, so that it becomes a copy.
 */
TEST_F_TIMEOUT(user_flush_pending, other_threads_see_the_new_page, TIMEOUT)
{
	struct sigaction action = { .sa_handler = on_trap };
	uint64_t end = now_ms() + 2 * test_ms();
	struct reader readers[MAX_CPUS] = { };
	struct iovec local, remote;
	uint64_t value = 0;
	int nr = nr_cpus;
	int fd, i;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	if (process_vm_writev(getpid(), NULL, 0, NULL, 0, 0) && errno == ENOSYS)
		SKIP(return, "no CONFIG_CROSS_MEMORY_ATTACH");
	fd = memfd_create("user_flush", 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, shared);
	for (i = 0; i < nr; i++) {
		readers[i].cpu = cpus[i];
		readers[i].mode = i % NR_MODES;
		ASSERT_EQ(0, pthread_create(&readers[i].thread, NULL, reader, &readers[i]));
	}
	while (now_ms() < end || value < 2 * MIN_ROUNDS) {
		/* The file has the value, which the copy is to be larger than. */
		value++;
		ASSERT_EQ((ssize_t)sizeof(value), pwrite(fd, &value, sizeof(value), 0));
		ASSERT_EQ(shared, mmap(shared, PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_FIXED, fd, 0));
		atomic_store(&shared_value, value);
		wait_for_reads(readers, nr);

		value++;
		local = (struct iovec){ &value, sizeof(value) };
		remote = (struct iovec){ shared, sizeof(value) };
		ASSERT_EQ((ssize_t)sizeof(value),
			  process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
		if (read_page(shared, 0) != value)
			shared_stale++;
		atomic_store(&shared_value, value);
		wait_for_reads(readers, nr);
	}
	stop = true;
	for (i = 0; i < nr; i++) {
		pthread_join(readers[i].thread, NULL);
		EXPECT_FALSE(readers[i].failed);
		EXPECT_LT(0, readers[i].reads);
	}
	report(_metadata, "threads", value / 2, shared_stale);
}

TEST_HARNESS_MAIN
