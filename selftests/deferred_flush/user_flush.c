// SPDX-License-Identifier: GPL-2.0
/*
 * A system call changes what user addresses map to.  Right after it, user mode
 * must not see what was there before: by every way back to user mode, for pages
 * in any number and order.  With PTI and PCIDs the kernel has translations of its
 * own, so that it alone seeing the new pages proves nothing; and reads, unlike
 * writes, do not fault on old translations.
 *
 * Also built with -m32, for the ways back that only 32-bit programs take.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <x86intrin.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"
#include "user_flush.h"

#define HUGE		(2UL << 20)
#define EFLAGS_TF	0x100UL

/* The same pages for reading and, as the kernel sees them, for writing. */
static const int counts[] = { 1, 2, 3, 10, 33, 34, 70 };

enum order { ADJACENT, REVERSED, SCATTERED, SHUFFLED, NR_ORDERS };

/* Ways to enter the kernel, and thus to leave it. */
enum way {
	BY_LIBC,	/* SYSCALL or SYSENTER; SYSRET */
	BY_INT80,	/* IRET */
	BY_STEPPING,	/* as BY_LIBC, but with TF: IRET, and a #DB at once */
};

/* System calls by their numbers for the compiled ABI, and for INT 0x80. */
struct call {
	long nr;
	long nr_int80;
};

static const struct call call_munmap = { SYS_munmap, 91 };
static const struct call call_mprotect = { SYS_mprotect, 125 };
static const struct call call_mremap = { SYS_mremap, 163 };
static const struct call call_madvise = { SYS_madvise, 219 };
static const struct call call_process_vm_writev = { SYS_process_vm_writev, 348 };

struct compat_iovec {
	uint32_t base;
	uint32_t len;
};

/* Arguments in memory, where INT 0x80 can point to. */
static struct args {
	uint64_t values[MAX_PAGES];
	struct iovec local[MAX_PAGES], remote[MAX_PAGES];
	struct compat_iovec compat_local[MAX_PAGES], compat_remote[MAX_PAGES];
} *args;

static sigjmp_buf fault_env;

static long int80(long nr, long a, long b, long c, long d, long e)
{
	long ret;

#ifdef __x86_64__
	asm volatile("mov %%rbp, %%r12; xor %%ebp, %%ebp; int $0x80; mov %%r12, %%rbp"
		     : "=a" (ret)
		     : "a" (nr), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e)
		     : "r8", "r9", "r10", "r11", "r12", "memory");
#else
	asm volatile("push %%ebp; xor %%ebp, %%ebp; int $0x80; pop %%ebp"
		     : "=a" (ret)
		     : "a" (nr), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e)
		     : "memory");
#endif
	return ret;
}

static long enter(enum way way, const struct call *call, long a, long b, long c, long d, long e)
{
	long ret;

	if (way == BY_INT80)
		return int80(call->nr_int80, a, b, c, d, e);
	if (way == BY_STEPPING)
		__writeeflags(__readeflags() | EFLAGS_TF);
	ret = syscall(call->nr, a, b, c, d, e, 0L);
	if (way == BY_STEPPING)
		__writeeflags(__readeflags() & ~EFLAGS_TF);
	return ret;
}

static void on_fault(int sig)
{
	siglongjmp(fault_env, 1);
}

/* True if the page could be read, or written, without a fault. */
static bool access_page(char *area, int page, bool write)
{
	/* The handler blocks nothing, so there is no mask to be restored. */
	if (sigsetjmp(fault_env, 0))
		return false;
	if (write)
		*(volatile uint64_t *)(area + page * PAGE) = 1;
	else
		read_page(area, page);
	return true;
}

static int page_at(enum order order, int i, int count)
{
	switch (order) {
	case REVERSED:
		return count - 1 - i;
	case SCATTERED:
		return 2 * i;
	case SHUFFLED:
		/* Neighbours come late, so that what is between joins ranges. */
		return i % 2 ? count - 1 - i / 2 : i / 2;
	default:
		return i;
	}
}

FIXTURE(user_flush)
{
	char *area;
	int fd;
	uint64_t stale;
	uint64_t rounds;
};

FIXTURE_VARIANT(user_flush)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(user_flush, syscall) { .way = BY_LIBC };
FIXTURE_VARIANT_ADD(user_flush, int80) { .way = BY_INT80 };
FIXTURE_VARIANT_ADD(user_flush, stepping) { .way = BY_STEPPING };

FIXTURE_SETUP(user_flush)
{
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct sigaction trap = { .sa_handler = on_trap };
	int i;

	self->stale = 0;
	self->rounds = 0;
	ASSERT_EQ(0, sigaction(SIGSEGV, &fault, NULL));
	ASSERT_EQ(0, sigaction(SIGTRAP, &trap, NULL));

	/* Has all page tables that the tests need: none is freed. */
	args = (void *)map_area(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	ASSERT_NE(MAP_FAILED, (void *)args);
	ASSERT_LE(sizeof(*args), AREA_PAGES * PAGE);
	if (syscall(call_process_vm_writev.nr, getpid(), NULL, 0, NULL, 0, 0) && errno == ENOSYS)
		SKIP(return, "no CONFIG_CROSS_MEMORY_ATTACH");
	self->fd = memfd_create("user_flush", 0);
	if (self->fd < 0 && errno == ENOSYS)
		SKIP(return, "no CONFIG_MEMFD_CREATE");
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, AREA_PAGES * PAGE));
	self->area = map_area(MAP_PRIVATE, self->fd);
	ASSERT_NE(MAP_FAILED, self->area);
	for (i = 0; i < AREA_PAGES; i++)
		read_page(self->area, i);

	if (variant->way == BY_INT80 &&
	    (sigsetjmp(fault_env, 0) ||
	     int80(20 /* getpid */, 0, 0, 0, 0, 0) != getpid()))
		SKIP(return, "no INT 0x80: CONFIG_IA32_EMULATION");
}

FIXTURE_TEARDOWN(user_flush)
{
	close(self->fd);
}

/* The @i-th page that write_pages() writes to. */
static void set_page(int i, char *page)
{
	uint64_t *value = &args->values[i];

	*value = next_value + i;
	args->local[i] = (struct iovec){ value, sizeof(*value) };
	args->remote[i] = (struct iovec){ page, sizeof(*value) };
	args->compat_local[i] = (struct compat_iovec){ (uintptr_t)value, sizeof(*value) };
	args->compat_remote[i] = (struct compat_iovec){ (uintptr_t)page, sizeof(*value) };
}

static bool write_pages(enum way way, int count)
{
	bool compat = way == BY_INT80;

	return enter(way, &call_process_vm_writev, getpid(),
		     compat ? (long)args->compat_local : (long)args->local, count,
		     compat ? (long)args->compat_remote : (long)args->remote,
		     count) == (long)(count * sizeof(uint64_t));
}

/*
 * Writes @count pages of a private mapping by one system call: each becomes a
 * copy, with a flush of its own.
 */
static bool copy_pages(enum way way, char *area, enum order order, int count)
{
	int i;

	for (i = 0; i < count; i++)
		set_page(i, area + (MAX_PAGES + page_at(order, i, count)) * PAGE);
	return write_pages(way, count);
}

static uint64_t stale_copies(const char *area, enum order order, int count)
{
	uint64_t stale = 0;
	int i;

	for (i = 0; i < count; i++)
		stale += read_page(area, MAX_PAGES + page_at(order, i, count)) !=
			 next_value + i;
	next_value += count;
	return stale;
}

TEST_F_TIMEOUT(user_flush, copies_in_any_order, TIMEOUT)
{
	uint64_t end = now_ms() + test_ms();
	enum order order;
	unsigned int i;
	int page;

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		for (order = ADJACENT; order < NR_ORDERS; order++) {
			for (i = 0; i < ARRAY_SIZE(counts); i++) {
				ASSERT_TRUE(renew(self->area, MAP_PRIVATE, self->fd));
				/* Caches the pages of the file. */
				for (page = 0; page < AREA_PAGES; page++)
					read_page(self->area, page);
				ASSERT_TRUE(copy_pages(variant->way, self->area, order,
						       counts[i]));
				self->stale += stale_copies(self->area, order, counts[i]);
			}
		}
		self->rounds++;
	}
	report(_metadata, "copy", self->rounds, self->stale);
}

/* Anonymous pages, all of them written, read and cached. */
static bool fill(char *area)
{
	int page;

	if (!renew(area, MAP_PRIVATE | MAP_ANONYMOUS, -1) ||
	    !keep_pages_small(area, AREA_PAGES * PAGE))
		return false;
	for (page = 0; page < AREA_PAGES; page++)
		*(volatile uint64_t *)(area + page * PAGE) = next_value;
	return true;
}

TEST_F_TIMEOUT(user_flush, dontneed_unmap_protect_and_remap, TIMEOUT)
{
	uint64_t end = now_ms() + test_ms();
	char *other = map_area(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	long start = (long)(self->area + MAX_PAGES * PAGE);
	unsigned int i;
	int page;

	ASSERT_NE(MAP_FAILED, other);
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		for (i = 0; i < ARRAY_SIZE(counts); i++) {
			int first = MAX_PAGES, last = MAX_PAGES + counts[i];
			long bytes = counts[i] * PAGE;

			ASSERT_TRUE(fill(self->area));
			ASSERT_EQ(0, enter(variant->way, &call_madvise, start, bytes,
					   MADV_DONTNEED, 0, 0));
			for (page = first; page < last; page++)
				self->stale += read_page(self->area, page) != 0;

			ASSERT_TRUE(fill(self->area));
			ASSERT_EQ(0, enter(variant->way, &call_mprotect, start, bytes,
					   PROT_READ, 0, 0));
			for (page = first; page < last; page++)
				self->stale += access_page(self->area, page, true);
			ASSERT_EQ(0, enter(variant->way, &call_mprotect, start, bytes,
					   PROT_NONE, 0, 0));
			for (page = first; page < last; page++)
				self->stale += access_page(self->area, page, false);

			ASSERT_TRUE(fill(self->area));
			ASSERT_TRUE(fill(other));
			next_value++;
			for (page = first; page < last; page++)
				*(uint64_t *)(self->area + page * PAGE) = next_value;
			ASSERT_EQ((long)other, enter(variant->way, &call_mremap, start, bytes,
						     bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
						     (long)other));
			for (page = first; page < last; page++) {
				self->stale += access_page(self->area, page, false);
				self->stale += read_page(other, page - first) != next_value;
			}

			ASSERT_TRUE(fill(self->area));
			ASSERT_EQ(0, enter(variant->way, &call_munmap, start, bytes, 0, 0, 0));
			for (page = first; page < last; page++)
				self->stale += access_page(self->area, page, false);
		}
		self->rounds++;
	}
	report(_metadata, "unmap", self->rounds, self->stale);
}

/* Room for huge pages, aligned to one. */
static char *map_huge(unsigned long count)
{
	char *area = mmap(NULL, (count + 1) * HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | LOW, -1, 0);

	if (area == MAP_FAILED)
		return NULL;
	return (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
}

/* Why there cannot be huge pages; NULL: there can. */
static const char *no_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char line[64] = "";

	if (!file)
		return "no CONFIG_TRANSPARENT_HUGEPAGE";
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	if (strstr(line, "[never]"))
		return "transparent_hugepage/enabled is never";
	if (access("/proc/self/smaps_rollup", R_OK))
		return "huge pages cannot be counted: no CONFIG_PROC_PAGE_MONITOR";
	return NULL;
}

/* Whether this process has huge pages at this moment. */
static bool has_huge_pages(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	unsigned long kb = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb > 0;
}

/*
 * One call copies pages, each flushed by its address, and one that is huge, for
 * which all is flushed, after or before them.
 */
TEST_F_TIMEOUT(user_flush, few_and_many_in_one_call, TIMEOUT)
{
	uint64_t end = now_ms() + test_ms();
	char *huge = map_huge(1);
	uint64_t rounds_huge = 0;
	const int count = 10;
	int i, page;

	ASSERT_NE(NULL, huge);
	if (no_huge_pages())
		SKIP(return, "%s", no_huge_pages());
	ASSERT_EQ(0, madvise(huge, HUGE, MADV_HUGEPAGE));
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		int last = self->rounds % 2 ? count : 0;

		ASSERT_TRUE(renew(self->area, MAP_PRIVATE, self->fd));
		ASSERT_EQ(0, madvise(huge, HUGE, MADV_DONTNEED));
		/* Caches the pages of the file, and the huge page of zeroes. */
		for (page = 0; page < AREA_PAGES; page++)
			read_page(self->area, page);
		read_page(huge, 0);

		for (i = 0; i <= count; i++)
			set_page(i, self->area + (MAX_PAGES + i) * PAGE);
		set_page(last, huge);
		ASSERT_TRUE(write_pages(variant->way, count + 1));
		for (i = 0; i <= count; i++)
			self->stale += *(volatile uint64_t *)args->remote[i].iov_base !=
				       next_value + i;
		rounds_huge += has_huge_pages();
		next_value += count + 1;
		self->rounds++;
	}
	report(_metadata, "few and many", self->rounds, self->stale);
	/* Without one it proves nothing. */
	EXPECT_LT(0, rounds_huge);
}

TEST_F_TIMEOUT(user_flush, huge_pages_are_split, TIMEOUT)
{
	uint64_t end = now_ms() + test_ms();
	const int pages = 2 * HUGE / PAGE;
	char *huge = map_huge(2);
	uint64_t rounds_huge = 0;
	int page;

	ASSERT_NE(NULL, huge);
	if (no_huge_pages())
		SKIP(return, "%s", no_huge_pages());
	ASSERT_EQ(0, madvise(huge, 2 * HUGE, MADV_HUGEPAGE));
	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		ASSERT_EQ(0, madvise(huge, 2 * HUGE, MADV_DONTNEED));
		for (page = 0; page < pages; page++)
			*(volatile uint64_t *)(huge + page * PAGE) = 7;
		rounds_huge += has_huge_pages();
		/* Both are flushed by one address each, ... */
		ASSERT_EQ(0, enter(variant->way, &call_mprotect, (long)huge, 2 * HUGE,
				   PROT_READ, 0, 0));
		for (page = 0; page < pages; page += 111)
			self->stale += access_page(huge, page, true);
		ASSERT_EQ(0, enter(variant->way, &call_mprotect, (long)huge, 2 * HUGE,
				   PROT_READ | PROT_WRITE, 0, 0));
		/* ... and these pages, of one that is split, one by one. */
		ASSERT_EQ(0, enter(variant->way, &call_madvise, (long)(huge + 5 * PAGE),
				   3 * PAGE, MADV_DONTNEED, 0, 0));
		for (page = 0; page < pages; page++)
			self->stale += read_page(huge, page) !=
				       (page >= 5 && page < 8 ? 0 : 7);
		self->rounds++;
	}
	report(_metadata, "huge", self->rounds, self->stale);
	/* Without one it proves nothing. */
	EXPECT_LT(0, rounds_huge);
}

/* The child has what was there at fork(), whatever its parent writes then. */
TEST_F_TIMEOUT(user_flush, copies_after_fork, TIMEOUT)
{
	uint64_t end = now_ms() + test_ms();
	int status, page, count = 10;
	pid_t pid;

	while (now_ms() < end || self->rounds < MIN_ROUNDS) {
		ASSERT_TRUE(fill(self->area));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* Its parent runs first, or not.  Both are on one CPU. */
			sched_yield();
			for (page = 0; page < AREA_PAGES; page++)
				if (read_page(self->area, page) != next_value)
					_exit(1);
			_exit(0);
		}
		next_value++;
		*(volatile uint64_t *)self->area = next_value;
		ASSERT_TRUE(copy_pages(variant->way, self->area, SHUFFLED, count));
		self->stale += stale_copies(self->area, SHUFFLED, count);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		self->stale += status != 0;
		self->rounds++;
	}
	report(_metadata, "fork", self->rounds, self->stale);
}

TEST_HARNESS_MAIN
