// SPDX-License-Identifier: GPL-2.0
/*
 * A page of memfd_secret(2) is not in the direct map: kernel code that reads it
 * there by mistake, or is made to, gets a fault.  So does a CPU that has cached
 * its translation while the page was any page, and was in user mode when it
 * became secret.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "reader.h"

#include <sys/syscall.h>

#define MIN_ROUNDS 5

static int pagemap;
static uint64_t frame;

static uint64_t frame_of(volatile void *address)
{
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry),
		  (uintptr_t)address / getpagesize() * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry & ((1ULL << 55) - 1);
}

static int read_frame(uint64_t *value)
{
	*value = frame;
	return ioctl(reader_fd, TEST_READ_FRAME, value);
}

/* Instead of the area, which is for others. */
static void fill(void)
{
	uint64_t value;

	if (read_frame(&value))
		reader_failed = true;
}

/* A secret page that has a frame. */
static uint64_t *new_secret(int fd)
{
	uint64_t *page;

	if (ftruncate(fd, getpagesize()))
		return NULL;
	page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return NULL;
	*page = 1;
	return page;
}

TEST(nobody_reads_what_is_secret_by_now)
{
	uint64_t end = now_ms() + 2 * test_ms();
	int cpus[MAX_CPUS], fd, secret, rounds = 0, others = 0, stale = 0, blind = 0;
	pthread_t thread;
	uint64_t *page, value;

	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (allowed_cpus(cpus) < 2)
		SKIP(return, "one CPU");
	secret = syscall(SYS_memfd_secret, 0);
	if (secret < 0)
		SKIP(return, "no CONFIG_SECRETMEM");
	close(secret);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (pagemap < 0)
		SKIP(return, "no CONFIG_PROC_PAGE_MONITOR");
	value = 1;
	ASSERT_EQ(0, pin_to(cpus[0]));
	ASSERT_EQ(0, ioctl(fd, TEST_MAP, &value));
	reader_adds.filled = fill;
	reader_adds.reads = read_frame;
	ASSERT_EQ(0, start_reader(&thread, fd, cpus[1]));

	while (now_ms() < end || (rounds < MIN_ROUNDS && now_ms() < end + 20000)) {
		/* What frame the next one will have: that of the last one, mostly. */
		secret = syscall(SYS_memfd_secret, 0);
		page = new_secret(secret);
		ASSERT_NE(NULL, page);
		frame = frame_of(page);
		ASSERT_NE(0, frame);
		munmap(page, getpagesize());
		close(secret);

		hand_over(READER_FILLS, READER_WAITS);
		/* It has it cached, and may read it. */
		value = frame;
		ASSERT_EQ(0, ioctl(fd, TEST_READ_FRAME, &value));
		blind += value == TEST_UNMAPPED;

		secret = syscall(SYS_memfd_secret, 0);
		page = new_secret(secret);
		ASSERT_NE(NULL, page);
		if (frame_of(page) == frame) {
			hand_over(READER_READS, READER_DONE);
			stale += reader_value != TEST_UNMAPPED;
			rounds++;
		} else {
			others++;
		}
		munmap(page, getpagesize());
		close(secret);
	}
	hand_over(READER_EXITS, READER_EXITS);
	pthread_join(thread, NULL);
	ioctl(fd, TEST_UNMAP);
	close(fd);
	printf("# secret_pages: rounds=%d others=%d blind=%d stale=%d\n", rounds, others, blind, stale);
	ASSERT_FALSE(reader_failed);
	EXPECT_LE(MIN_ROUNDS, rounds);
	/* Else there was nothing to cache. */
	EXPECT_LT(blind, rounds);
	EXPECT_EQ(0, stale);
}

TEST_HARNESS_MAIN
