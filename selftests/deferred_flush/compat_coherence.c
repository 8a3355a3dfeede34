// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit program enters the kernel by SYSCALL, SYSENTER or INT 0x80, right
 * after pages were freed whose translations its CPU has cached.  The system call
 * must not see them.
 *
 * Built with -m32 only.  The vDSO takes one of these ways, whichever suits the CPU.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include "kselftest_harness.h"
#include "reader.h"

#define MIN_ROUNDS 20

enum way {
	BY_SYSCALL,
	BY_SYSENTER,
	BY_INT80,
};

static enum way reader_way;
static sigjmp_buf no_such_insn;

/* As the vDSO has it: the kernel returns to the pops and the RET there. */
#define FAST_CALL(insns)						\
	"call	1f\n\t"							\
	"jmp	2f\n"							\
	"1:\n\t"							\
	"push	%%ecx\n\t"						\
	"push	%%edx\n\t"						\
	"push	%%ebp\n\t"						\
	insns "\n"							\
	"2:"

static long enter(enum way way, long nr, long a, long b, long c)
{
	long ret;

	switch (way) {
	case BY_SYSCALL:
		asm volatile(FAST_CALL("mov %%ecx, %%ebp; syscall")
			     : "=a" (ret), "+c" (b), "+d" (c)
			     : "a" (nr), "b" (a) : "memory", "cc");
		break;
	case BY_SYSENTER:
		asm volatile(FAST_CALL("mov %%esp, %%ebp; sysenter")
			     : "=a" (ret), "+c" (b), "+d" (c)
			     : "a" (nr), "b" (a) : "memory", "cc");
		break;
	default:
		asm volatile("int $0x80"
			     : "=a" (ret)
			     : "a" (nr), "b" (a), "c" (b), "d" (c) : "memory", "cc");
		break;
	}
	return ret;
}

static void on_sigill(int sig)
{
	siglongjmp(no_such_insn, 1);
}

/* 32-bit SYSCALL does not exist on Intel's CPUs, and SYSENTER on AMD's may not. */
static bool has_way(enum way way)
{
	unsigned int eax, ebx, ecx, edx;

	/* An emulator may jump to where the kernel sets up nothing. */
	if (way == BY_SYSCALL && __get_cpuid(0, &eax, &ebx, &ecx, &edx) &&
	    ebx == signature_INTEL_ebx)
		return false;
	return !sigsetjmp(no_such_insn, 1) && enter(way, SYS_getpid, 0, 0, 0) == getpid();
}

static int read_by_way(uint64_t *value)
{
	return enter(reader_way, SYS_ioctl, reader_fd, TEST_READ, (long)value);
}

FIXTURE(compat_coherence)
{
	int fd;
	int cpu;	/* of those that free */
	pthread_t thread;
	bool running;
};

FIXTURE_VARIANT(compat_coherence)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(compat_coherence, syscall) { .way = BY_SYSCALL };
FIXTURE_VARIANT_ADD(compat_coherence, sysenter) { .way = BY_SYSENTER };
FIXTURE_VARIANT_ADD(compat_coherence, int80) { .way = BY_INT80 };

FIXTURE_SETUP(compat_coherence)
{
	struct sigaction action = { .sa_handler = on_sigill };
	int cpus[MAX_CPUS] = { }, other = tickless_cpu();

	self->running = false;
	self->fd = open_test_device();
	if (self->fd < 0)
		SKIP(return, NO_TEST_DEVICE);
	if (allowed_cpus(cpus) > 1 && other < 1)
		other = cpus[1];
	if (other < 1)
		SKIP(return, "one CPU: nobody is away while it frees");
	self->cpu = cpus[0];
	ASSERT_EQ(0, sigaction(SIGILL, &action, NULL));
	if (!has_way(variant->way))
		SKIP(return, "this CPU has no such way into the kernel");

	reader_way = variant->way;
	reader_adds.reads = read_by_way;
	ASSERT_EQ(0, start_reader(&self->thread, self->fd, other));
	self->running = true;
	ASSERT_EQ(0, pin_to(self->cpu));
}

FIXTURE_TEARDOWN(compat_coherence)
{
	if (self->running) {
		hand_over(READER_EXITS, READER_EXITS);
		pthread_join(self->thread, NULL);
		ioctl(self->fd, TEST_UNMAP);
	}
	if (self->fd >= 0)
		close(self->fd);
}

/* At once: the tick catches up, too, unless the reader's CPU is one of nohz_full=. */
TEST_F_TIMEOUT(compat_coherence, entry_does_not_see_the_old_mapping, 120)
{
	int64_t deferred = module_stat(self->cpu, "deferred");
	uint64_t end = now_ms() + test_ms();
	uint64_t rounds = 0, stale = 0, value = 1, nobody = 0;

	while (now_ms() < end || rounds < MIN_ROUNDS) {
		ASSERT_EQ(0, ioctl(self->fd, TEST_MAP, &value));
		hand_over(READER_FILLS, READER_WAITS);
		ASSERT_EQ(0, ioctl(self->fd, TEST_SHRINK_AND_WAKE, &nobody));
		hand_over(READER_READS, READER_DONE);
		stale += reader_value != TEST_UNMAPPED;
		rounds++;
	}
	deferred = module_stat(self->cpu, "deferred") - deferred;
	printf("# compat_coherence: rounds=%llu deferred=%lld stale=%llu\n",
	       (unsigned long long)rounds, (long long)deferred, (unsigned long long)stale);
	ASSERT_FALSE(reader_failed);
	EXPECT_EQ(0, stale);
	/* Else the entry had nothing to do. */
	if (has_word(POLICY, "[always]"))
		EXPECT_LT(0, deferred);
}

TEST_HARNESS_MAIN
