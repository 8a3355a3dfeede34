// SPDX-License-Identifier: GPL-2.0
/*
 * What ordinary work on one CPU costs others: interrupts that a CPU in user mode
 * and one that idles receive, by /proc/interrupts.
 *
 * Each activity has a state in which it has to interrupt nobody, or hardly, and
 * one, without the module, in which it has to interrupt all: else it would not
 * be the activity it is meant to be.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#include <linux/bpf.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MODULE "deferred_flush_test"
#define JIT "/proc/sys/net/core/bpf_jit_enable"
#define ISOLATED "/sys/devices/system/cpu/isolated"
#define ROUNDS 10

struct activity {
	/* Once.  NULL: done, or what is missing. */
	const char *(*prepare)(void);
	int (*run)(void);
	/* At the end, if there is something to do. */
	void (*clean)(void);
	/* What each of them sends to each CPU in mainline, at least, ... */
	int mainline;
	/* ... and to one that is away, on purpose. */
	int own;
};

static int module_fd;

static const char *open_the_module(void)
{
	module_fd = open_module(MODULE);
	return module_fd < 0 ? "no " MODULE ".ko" : NULL;
}

static int unload_and_load(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ||
	       syscall(SYS_finit_module, module_fd, "", 0);
}

static int load_program(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)insns,
		.insn_cnt = 2,
		.license = (uintptr_t)"GPL",
	};

	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int write_jit(char value)
{
	int fd = open(JIT, O_WRONLY), ret;

	if (fd < 0)
		return 0;
	ret = write(fd, &value, 1) != 1;
	close(fd);
	return ret;
}

/* Without the JIT compiler, each program has pages of its own. */
static const char *try_program(void)
{
	int fd = load_program();

	close(fd);
	if (fd < 0)
		return "no CONFIG_BPF_SYSCALL";
	return write_jit('0') ? "the JIT compiler cannot be turned off" : NULL;
}

static void turn_jit_on(void)
{
	write_jit('1');
}

static int load_and_free_program(void)
{
	int fd = load_program();

	return fd < 0 || close(fd);
}

/* Writes to a file of tracefs.  Without it, to none. */
static int trace(const char *file, const char *text)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/%s", file);
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text)) != (ssize_t)strlen(text);
	close(fd);
	return ret;
}

#define EVENT "events/task/task_newtask/enable"

static const char *try_event(void)
{
	return trace(EVENT, "0") ? "no tracefs with " EVENT : NULL;
}

static int turn_event_on_and_off(void)
{
	return trace(EVENT, "1") || trace(EVENT, "0");
}

static const char *set_probe(void)
{
	if (trace("kprobe_events", "p:deferred_flush_test vfs_read"))
		return "no CONFIG_KPROBE_EVENTS, or no tracefs";
	return NULL;
}

static int turn_probe_on_and_off(void)
{
	const char *probe = "events/kprobes/deferred_flush_test/enable";

	return trace(probe, "1") || trace(probe, "0");
}

static void remove_probe(void)
{
	trace("kprobe_events", "-:deferred_flush_test");
}

static const char *try_secret(void)
{
	int fd = syscall(SYS_memfd_secret, 0);

	close(fd);
	return fd < 0 ? "no CONFIG_SECRETMEM" : NULL;
}

static int touch_secret(void)
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *page = MAP_FAILED;

	if (!ftruncate(fd, getpagesize()))
		page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -1;
	*page = 1;
	return munmap(page, getpagesize()) || close(fd);
}

FIXTURE(interference)
{
	int user;	/* a CPU in user mode, ... */
	int idle;	/* ... and one that idles */
	pid_t spinner;
};

FIXTURE_VARIANT(interference)
{
	struct activity activity;
	/* Without PTI, nothing is left to anybody. */
	bool pti_only;
};

FIXTURE_VARIANT_ADD(interference, module_loads)
{
	/* Its init function sends an IPI, and completes what was deferred. */
	.activity = { open_the_module, unload_and_load, NULL, .mainline = 10, .own = 3 },
};

FIXTURE_VARIANT_ADD(interference, bpf_programs)
{
	.activity = { try_program, load_and_free_program, turn_jit_on, .mainline = 1 },
};

FIXTURE_VARIANT_ADD(interference, trace_events)
{
	.activity = { try_event, turn_event_on_and_off, NULL, .mainline = 20 },
};

FIXTURE_VARIANT_ADD(interference, kprobes)
{
	.activity = { set_probe, turn_probe_on_and_off, remove_probe, .mainline = 20 },
};

FIXTURE_VARIANT_ADD(interference, secret_pages)
{
	.activity = { try_secret, touch_secret, NULL, .mainline = 1 },
	.pti_only = true,
};

FIXTURE_SETUP(interference)
{
	const char *missing = variant->activity.prepare();
	int fd;

	self->spinner = 0;
	if (missing)
		SKIP(return, "%s", missing);
	/* The last ones, which may be isolated. */
	self->user = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	self->idle = self->user - 1;
	if (self->idle < 1)
		SKIP(return, "fewer than three CPUs");
	/* It has to be loaded, too. */
	fd = open_test_device();
	if (fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	close(fd);
	/* Not a thread: what is flushed for this mm is not the matter. */
	self->spinner = fork();
	ASSERT_LE(0, self->spinner);
	if (!self->spinner) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		spinner((void *)(intptr_t)self->user);
		_exit(1);
	}
	ASSERT_EQ(0, pin_to(0));
}

FIXTURE_TEARDOWN(interference)
{
	if (self->spinner > 0) {
		kill(self->spinner, SIGKILL);
		waitpid(self->spinner, NULL, 0);
	}
	if (variant->activity.clean)
		variant->activity.clean();
}

static int64_t net(uint64_t busy, uint64_t quiet)
{
	return busy > quiet ? busy - quiet : 0;
}

TEST_F(interference, of_ordinary_work)
{
	bool pti = has_word("/proc/cpuinfo", " pti ");
	const char *off;
	int cpus[] = { self->user, self->idle };
	int64_t user, idle, mainline, left;
	struct ipi_count count;
	char policy[16];
	int i;

	off = get_policy(policy);
	/* Large pages are split once. */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, variant->activity.run());
	sleep_ms(200);
	count_start(&count, cpus, 2, 1);
	for (i = 0; i < ROUNDS; i++)
		ASSERT_EQ(0, variant->activity.run());
	count_stop(&count);

	user = net(count.storm, count.control);
	idle = net(count.idle_storm, count.idle_control);
	mainline = variant->activity.mainline * ROUNDS;
	/* Those that came while it was in the kernel, for its tick, and a few for others. */
	left = 6 + variant->activity.own * ROUNDS + count.ticks / 20;
	printf("# interference: policy=%s rounds=%d user=%lld idle=%lld ticks=%llu at_most=%lld mainline=%lld\n",
	       off ? "none" : policy, ROUNDS, (long long)user, (long long)idle,
	       (unsigned long long)count.ticks, (long long)left, (long long)mainline);
	if (off || (variant->pti_only && !pti)) {
		EXPECT_LE(mainline * 9 / 10, user);
		EXPECT_LE(mainline * 9 / 10, idle);
	} else {
		EXPECT_GE(left, user);
		/* One that is not isolated is woken for other work, too. */
		if (has_word(ISOLATED, "-"))
			EXPECT_GE(left, idle);
	}
}

TEST_HARNESS_MAIN
