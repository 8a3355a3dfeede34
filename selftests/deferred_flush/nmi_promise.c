// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI ends the promise of a CPU in user mode, and on its way back the CPU makes
 * a new one: the next flush leaves it alone.
 *
 * On a CPU of nohz_full=: others promise again at their next tick.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define MIN_ROUNDS 20

TEST(an_nmi_does_not_cost_the_promise)
{
	struct test_storm storm = { .pages = 1, .max_ms = 1000, .rounds = 1 };
	int cpu = tickless_cpu(), fd, rounds = 0, interrupted = 0;
	uint64_t end = now_ms() + test_ms(), value = 1;
	pthread_t thread;
	char policy[16];

	if (cpu < 1)
		SKIP(return, "no CPU but the first one in nohz_full=, or no CONFIG_NO_HZ_FULL");
	if (get_policy(policy))
		SKIP(return, "nobody promises");
	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	/* What the handler reads. */
	ASSERT_EQ(0, ioctl(fd, TEST_MAP, &value));
	ASSERT_EQ(0, pthread_create(&thread, NULL, spinner, (void *)(intptr_t)cpu));
	ASSERT_EQ(0, pin_to(0));
	/* Until it has no tick. */
	sleep_ms(200);

	while (now_ms() < end || rounds < MIN_ROUNDS) {
		struct test_probe probe = { .cpu_or_done = cpu };
		uint64_t before;

		ASSERT_EQ(0, ioctl(fd, TEST_PROBE_NMI, &probe));
		do {
			ASSERT_EQ(0, ioctl(fd, TEST_PROBE_RESULT, &probe));
		} while (!probe.cpu_or_done);
		/* Until it is back. */
		sleep_ms(2);
		before = irqs_received(&cpu, 1).ipis;
		ASSERT_EQ(0, ioctl(fd, TEST_STORM, &storm));
		interrupted += irqs_received(&cpu, 1).ipis != before;
		rounds++;
	}
	spinners_stop = true;
	pthread_join(thread, NULL);
	ioctl(fd, TEST_UNMAP);
	close(fd);
	printf("# nmi_promise: rounds=%d interrupted=%d\n", rounds, interrupted);
	EXPECT_GT(rounds / 4, interrupted);
}

TEST_HARNESS_MAIN
