/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What loads and opens the test device, and what the storms share: pinned
 * threads and counts of interrupts.
 */
#ifndef DEFERRED_FLUSH_TEST_H
#define DEFERRED_FLUSH_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../rust/test_module/uapi.h"
#include "tlb_counters.h"

#define TEST_DEVICE "/dev/" TEST_DEVICE_NAME

#define MAX_CPUS 64

#define POLICY "/sys/kernel/debug/deferred_flush/policy"

#define NO_TEST_DEVICE	"no " TEST_DEVICE ", and no deferred_flush_test.ko that can be loaded "	\
			"by modprobe or from MODULE_DIR=: needs CONFIG_MODULES, CONFIG_RUST, CONFIG_DEVTMPFS"

/* Of module @name, in MODULE_DIR, or else where modprobe has it.  -1: there is none. */
static inline int open_module(const char *name)
{
	const char *dir = getenv("MODULE_DIR");
	char command[512], path[512] = "";
	FILE *modinfo;

	if (dir && *dir) {
		snprintf(path, sizeof(path), "%s/%s.ko", dir, name);
	} else {
		snprintf(command, sizeof(command),
			 "PATH=$PATH:/sbin:/usr/sbin modinfo -n %s 2>/dev/null", name);
		modinfo = popen(command, "r");
		if (modinfo && fgets(path, sizeof(path), modinfo))
			path[strcspn(path, "\n")] = 0;
		if (modinfo)
			pclose(modinfo);
	}
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Loads the test module if it is not loaded, and leaves it there.  -1: NO_TEST_DEVICE. */
static inline int open_test_device(void)
{
	int fd = open(TEST_DEVICE, O_RDWR), module;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	module = open_module("deferred_flush_test");
	if (module < 0)
		return -1;
	syscall(SYS_finit_module, module, "", 0);
	close(module);
	return open(TEST_DEVICE, O_RDWR);
}

/* deferred_flush.ko is loaded, and its files cannot be read. */
static inline bool policy_is_hidden(void)
{
	return !access("/sys/module/deferred_flush", F_OK) && access(POLICY, R_OK);
}

static inline bool set_policy(const char *name)
{
	int fd = open(POLICY, O_WRONLY);
	bool done = fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name);

	if (fd >= 0)
		close(fd);
	return done;
}

/* The policy that CPUs promise by.  NULL, or what is missing. */
static inline const char *get_policy(char policy[16])
{
	FILE *file = fopen(POLICY, "r");
	int found;

	if (!file)
		return "no " POLICY ": load deferred_flush.ko";
	/* The one in brackets; "off" is the first of all. */
	found = fscanf(file, "%*[^[][%15[^]]", policy);
	fclose(file);
	return found == 1 ? NULL : "the policy is off";
}

/* Without CONFIG_TRANSPARENT_HUGEPAGE they are small anyway: EINVAL. */
static inline bool keep_pages_small(void *area, size_t bytes)
{
	return !madvise(area, bytes, MADV_NOHUGEPAGE) || errno == EINVAL;
}

/* Setting @name; what is no number is not taken for 0. */
static inline uint64_t setting(const char *name, uint64_t or_else)
{
	const char *text = getenv(name);
	uint64_t value;
	char *end;

	if (!text || !*text)
		return or_else;
	value = strtoull(text, &end, 10);
	if (*end || *text < '0' || *text > '9') {
		printf("# %s=%s: must be a number\n", name, text);
		fflush(stdout);
		_exit(1);
	}
	return value;
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* A test runs for this long, per variant: bounded by time, not by count. */
static inline uint64_t test_ms(void)
{
	return setting("TEST_MS", 1000);
}

/* The CPUs this process may use.  Returns their number. */
static inline int allowed_cpus(int *cpus)
{
	cpu_set_t set;
	int cpu, nr = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (cpu = 0; cpu < CPU_SETSIZE && nr < MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[nr++] = cpu;
	return nr;
}

static inline int pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/*
 * Maps an area at an address that this CPU is given again when it has been freed.
 * vmalloc keeps free addresses in pools, where others of this size may come first:
 * its shrinker empties them.
 */
static inline int map_anew(int fd, const uint64_t *value)
{
	int caches = open("/proc/sys/vm/drop_caches", O_WRONLY);

	/* Into the pools, what is freed lazily. */
	ioctl(fd, TEST_UNMAP_ALIASES);
	/* 2: what has a shrinker; 4: without a word. */
	if (caches >= 0 && write(caches, "6", 1) != 1)
		perror("drop_caches");
	if (caches >= 0)
		close(caches);
	return ioctl(fd, TEST_MAP, value);
}

/* The first CPU of nohz_full=, which has no tick while it runs one thread; -1 if there is none. */
static inline int tickless_cpu(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/nohz_full", "r");
	int cpu = -1;

	if (file) {
		if (fscanf(file, "%d", &cpu) != 1)
			cpu = -1;
		fclose(file);
	}
	return cpu;
}

/* Column @name of @cpu in the module's statistics; -1 if there is none. */
static inline int64_t module_stat(int cpu, const char *name)
{
	FILE *file = fopen("/sys/kernel/debug/deferred_flush/stats", "r");
	char line[512], *word = NULL, *rest;
	int column = 0, i;
	int64_t found = -1;

	/* The first line has the names. */
	if (file && fgets(line, sizeof(line), file))
		word = strtok_r(line, " \n", &rest);
	for (; word && strcmp(word, name); column++)
		word = strtok_r(NULL, " \n", &rest);
	while (word && found < 0 && fgets(line, sizeof(line), file)) {
		char *value = strtok_r(line, " \n", &rest);

		if (!value || atoi(value) != cpu)
			continue;
		for (i = 0; value && i < column; i++)
			value = strtok_r(NULL, " \n", &rest);
		if (value)
			found = strtoll(value, NULL, 10);
	}
	if (file)
		fclose(file);
	return found;
}

/* Whether @file has a line with @word. */
static inline bool has_word(const char *file, const char *word)
{
	char line[4096];
	bool found = false;
	FILE *stream = fopen(file, "r");

	while (stream && !found && fgets(line, sizeof(line), stream))
		found = strstr(line, word);
	if (stream)
		fclose(stream);
	return found;
}

/* A thread that stays in user mode on one CPU. */
static volatile bool spinners_stop;

static inline void *spinner(void *cpu)
{
	volatile uint64_t turns = 0;

	if (pin_to((intptr_t)cpu))
		return NULL;
	while (!spinners_stop)
		turns++;
	return NULL;
}

/* Interrupts that a set of CPUs has received. */
struct irq_count {
	/* Function call and TLB: kernel flushes use the former, user flushes both. */
	uint64_t ipis;
	/* Local timer. */
	uint64_t ticks;
};

static inline struct irq_count irqs_received(const int *cpus, int nr)
{
	struct irq_count sum = { };
	char *line = NULL, *pos;
	int column[MAX_CPUS];
	int columns = 0, i, j;
	size_t size = 0;
	FILE *file = fopen("/proc/interrupts", "r");

	if (!file)
		return sum;
	/* The header names the online CPUs. */
	if (getline(&line, &size, file) > 0)
		for (pos = strstr(line, "CPU"); pos && columns < MAX_CPUS;
		     pos = strstr(pos + 3, "CPU"))
			column[columns++] = atoi(pos + 3);
	while (getline(&line, &size, file) > 0) {
		uint64_t *counter = &sum.ipis;

		pos = line + strspn(line, " ");
		if (!strncmp(pos, "LOC:", 4))
			counter = &sum.ticks;
		else if (strncmp(pos, "CAL:", 4) && strncmp(pos, "TLB:", 4))
			continue;
		pos += 4;
		for (i = 0; i < columns; i++) {
			uint64_t count = strtoull(pos, &pos, 10);

			for (j = 0; j < nr; j++)
				if (column[i] == cpus[j])
					*counter += count;
		}
	}
	free(line);
	fclose(file);
	return sum;
}

/*
 * The same number of milliseconds with and without a storm: what the CPUs
 * receive anyway is in the control interval.
 */
struct ipi_count {
	const int *cpus;
	int nr;
	/* Of these, so many at the end are idle, and counted for themselves. */
	int idle;
	struct irq_count start;
	struct irq_count idle_start;
	uint64_t idle_storm;
	uint64_t idle_control;
	uint64_t start_ms;
	uint64_t storm;
	uint64_t control;
	uint64_t ticks;
	uint64_t idle_ticks;
	uint64_t ms;
	/* On all CPUs, where the machine counts them. */
	uint64_t invpcid;
};

static inline void sleep_ms(uint64_t ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static inline struct irq_count user_irqs(const struct ipi_count *count)
{
	return irqs_received(count->cpus, count->nr - count->idle);
}

static inline struct irq_count idle_irqs(const struct ipi_count *count)
{
	return irqs_received(count->cpus + count->nr - count->idle, count->idle);
}

static inline void count_start(struct ipi_count *count, const int *cpus, int nr, int idle)
{
	*count = (struct ipi_count){ .cpus = cpus, .nr = nr, .idle = idle };
	count->start = user_irqs(count);
	count->idle_start = idle_irqs(count);
	count->start_ms = now_ms();
	count->invpcid = tlb_counter_sum(TLB_INVPCID_ADDRESS);
}

static inline void count_stop(struct ipi_count *count)
{
	struct irq_count end, idle_end, control;

	count->invpcid = tlb_counter_sum(TLB_INVPCID_ADDRESS) - count->invpcid;
	count->ms = now_ms() - count->start_ms;
	end = user_irqs(count);
	idle_end = idle_irqs(count);
	count->storm = end.ipis - count->start.ipis;
	count->ticks = end.ticks - count->start.ticks;
	count->idle_storm = idle_end.ipis - count->idle_start.ipis;
	count->idle_ticks = idle_end.ticks - count->idle_start.ticks;

	sleep_ms(count->ms);
	control = user_irqs(count);
	count->control = control.ipis - end.ipis;
	count->idle_control = idle_irqs(count).ipis - idle_end.ipis;
}

/* One line for scripts/report/demo.py, and for eyes. */
static inline void print_result(const char *storm, const char *variant, int nr_cpus,
				uint64_t flushes, const struct ipi_count *count,
				uint64_t stale)
{
	uint64_t net = count->storm > count->control ? count->storm - count->control : 0;

	printf("# result: storm=%s variant=%s cpus=%d idle=%d flushes=%llu ipis_user_cpus=%llu ipis_storm=%llu ipis_control=%llu idle_storm=%llu idle_control=%llu ticks=%llu idle_ticks=%llu elapsed_ms=%llu stale=%llu invpcid=%llu\n",
	       storm, variant, nr_cpus, count->idle, (unsigned long long)flushes,
	       (unsigned long long)net, (unsigned long long)count->storm,
	       (unsigned long long)count->control,
	       (unsigned long long)count->idle_storm,
	       (unsigned long long)count->idle_control, (unsigned long long)count->ticks,
	       (unsigned long long)count->idle_ticks, (unsigned long long)count->ms,
	       (unsigned long long)stale, (unsigned long long)count->invpcid);
	fflush(stdout);
}

#endif
