// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that go offline and come back: away they are not, and what was freed
 * meanwhile they do not see.  And if they go while the policy becomes "off", they
 * do not keep it.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define MIN_ROUNDS 3

static bool set_online(int cpu, bool online)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	ret = write(fd, online ? "1" : "0", 1);
	close(fd);
	return ret == 1;
}

FIXTURE(hotplug)
{
	int cpus[MAX_CPUS];
	int nr;
	int cpu;
	int fd;
	char policy[16];
};

FIXTURE_SETUP(hotplug)
{
	self->fd = open_test_device();
	if (self->fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	self->nr = allowed_cpus(self->cpus);
	if (self->nr < 2)
		SKIP(return, "one CPU: it stays");
	self->cpu = self->cpus[self->nr - 1];
	if (!set_online(self->cpu, true))
		SKIP(return, "no CONFIG_HOTPLUG_CPU, or not root");
}

FIXTURE_TEARDOWN(hotplug)
{
	if (*self->policy)
		set_policy(self->policy);
	if (self->nr > 1)
		set_online(self->cpu, true);
	if (self->fd >= 0)
		close(self->fd);
}

TEST_F_TIMEOUT(hotplug, an_offline_cpu_is_not_away, 120)
{
	uint64_t end = now_ms() + test_ms();
	int rounds = 0, stale_promises = 0;

	if (module_stat(self->cpus[0], "away") < 0)
		SKIP(return, "deferred_flush.ko is not loaded, or no CONFIG_DEBUG_FS");
	while (now_ms() < end || rounds < MIN_ROUNDS) {
		ASSERT_TRUE(set_online(self->cpu, false));
		/* If it can not be told, it is stale. */
		stale_promises += module_stat(self->cpu, "away") != 0;
		ASSERT_TRUE(set_online(self->cpu, true));
		rounds++;
	}
	printf("# hotplug: rounds=%d\n", rounds);
	EXPECT_EQ(0, stale_promises);
}

TEST_F_TIMEOUT(hotplug, a_cpu_that_was_offline_sees_the_new_mapping, 120)
{
	uint64_t end = now_ms() + test_ms();
	uint64_t value = 1, seen;
	int rounds = 0, stale = 0;

	while (now_ms() < end || rounds < MIN_ROUNDS) {
		ASSERT_EQ(0, pin_to(self->cpus[0]));
		ASSERT_EQ(0, map_anew(self->fd, &value));
		ASSERT_EQ(0, pin_to(self->cpu));
		ASSERT_EQ(0, ioctl(self->fd, TEST_READ, &seen));
		ASSERT_EQ(0, pin_to(self->cpus[0]));
		ASSERT_TRUE(set_online(self->cpu, false));
		value++;
		if (ioctl(self->fd, TEST_REMAP, &value) <= 0) {
			/* The address went to somebody else. */
			ASSERT_TRUE(set_online(self->cpu, true));
			continue;
		}
		ASSERT_TRUE(set_online(self->cpu, true));
		ASSERT_EQ(0, pin_to(self->cpu));
		ASSERT_EQ(0, ioctl(self->fd, TEST_READ, &seen));
		rounds++;
		stale += seen != value;
	}
	ioctl(self->fd, TEST_UNMAP);
	printf("# hotplug: rounds=%d stale=%d\n", rounds, stale);
	EXPECT_EQ(0, stale);
}

static void *switch_off(void *done)
{
	*(bool *)done = set_policy("off");
	return NULL;
}

TEST_F_TIMEOUT(hotplug, who_goes_offline_keeps_no_promise, 120)
{
	uint64_t end = now_ms() + test_ms();
	pthread_t spins, switches;
	int rounds = 0, kept = 0;
	bool done;

	if (get_policy(self->policy) || module_stat(self->cpu, "promise") < 0)
		SKIP(return, "deferred_flush.ko is not loaded, or its policy is off");
	ASSERT_EQ(0, pin_to(self->cpus[0]));
	while (now_ms() < end || rounds < MIN_ROUNDS) {
		/* The tick, which finds it in user mode, writes when it promises. */
		ASSERT_TRUE(set_policy("adaptive"));
		spinners_stop = false;
		ASSERT_EQ(0, pthread_create(&spins, NULL, spinner,
					    (void *)(intptr_t)self->cpu));
		sleep_ms(20);
		ASSERT_EQ(0, pthread_create(&switches, NULL, switch_off, &done));
		/* So that it has begun, and this CPU is still in user mode. */
		sleep_ms(50);
		ASSERT_TRUE(set_online(self->cpu, false));
		pthread_join(switches, NULL);
		ASSERT_TRUE(done);
		kept += module_stat(self->cpu, "promise") != 0;
		ASSERT_TRUE(set_online(self->cpu, true));
		spinners_stop = true;
		pthread_join(spins, NULL);
		rounds++;
	}
	printf("# hotplug: rounds=%d kept=%d\n", rounds, kept);
	EXPECT_EQ(0, kept);
}

TEST_HARNESS_MAIN
