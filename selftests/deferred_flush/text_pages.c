// SPDX-License-Identifier: GPL-2.0
/*
 * The text of modules is in large pages.  While CPUs promise, a load leaves it in
 * small ones, so that the next one splits nothing.  It must not stay so: a minute
 * later it is in large ones again.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#include <sys/syscall.h>

#define MODULE "deferred_flush_test"
/* COLLAPSE_DELAY of mm/execmem.c, and some more. */
#define LATER_MS 70000
#define LARGE (2 << 20)

static uint64_t page_size(void)
{
	int fd = open(TEST_DEVICE, O_RDWR);
	uint64_t size = 0;

	if (fd >= 0 && ioctl(fd, TEST_TEXT_PAGE_SIZE, &size))
		size = 0;
	close(fd);
	return size;
}

FIXTURE(text) {};

FIXTURE_SETUP(text)
{
}

FIXTURE_TEARDOWN(text)
{
}

/* Longer than a TEST() may take. */
TEST_F_TIMEOUT(text, is_in_large_pages_again_after_a_minute, 120)
{
	uint64_t before, after, later, end;
	char policy[16];
	int fd;

	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	close(fd);
	fd = open_module(MODULE);
	if (fd < 0)
		SKIP(return, "no " MODULE ".ko");
	if (syscall(SYS_delete_module, "", 0) && errno == ENOSYS)
		SKIP(return, "no CONFIG_MODULE_UNLOAD");

	before = page_size();
	ASSERT_EQ(0, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
	ASSERT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
	after = page_size();
	close(fd);
	end = now_ms() + LATER_MS;
	do {
		sleep_ms(1000);
		later = page_size();
	} while (later < LARGE && now_ms() < end);
	printf("# text_pages: before=%llu after=%llu later=%llu\n", (unsigned long long)before,
	       (unsigned long long)after, (unsigned long long)later);
	ASSERT_LT(0, after);
	/* Nobody promises: mainline's way, at once. */
	if (get_policy(policy)) {
		EXPECT_LE(LARGE, after);
	} else {
		EXPECT_GT(LARGE, after);
	}
	EXPECT_LE(LARGE, later);
}

TEST_HARNESS_MAIN
