/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/deferred_flush_test, for the selftests in C, the module in Rust (by
 * bindgen) and its shim.
 */
#ifndef DEFERRED_FLUSH_TEST_UAPI_H
#define DEFERRED_FLUSH_TEST_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TEST_DEVICE_NAME	"deferred_flush_test"

/* A storm: frees pages of an area, again and again, each time with a flush. */
struct test_storm {
	/* In: 1 to TEST_MAX_PAGES. */
	__u32 pages;
	/* In: 1 to TEST_MAX_MS.  Stop after this many milliseconds, ... */
	__u32 max_ms;
	/* In: ... or after this many rounds, 0: any number.  Out: rounds done. */
	__u64 rounds;
};

#define TEST_MAX_PAGES		1024
#define TEST_MAX_MS		60000

/* A read by interrupt or NMI. */
struct test_probe {
	/* In: CPU for the interrupt or NMI.  Out: whether the read has happened. */
	__u32 cpu_or_done;
	/* In: microseconds until the timer interrupt. */
	__u32 us;
	/* Out: what was read. */
	__u64 value;
};

/* An enum: bindgen does not evaluate macros like these. */
enum test_ioctl {
	TEST_STORM		= _IOWR('F', 1, struct test_storm),
	TEST_MAP		= _IOW('F', 2, __u64),
	TEST_REMAP		= _IOW('F', 3, __u64),
	TEST_READ		= _IOR('F', 4, __u64),
	TEST_PROBE_TIMER	= _IOW('F', 5, struct test_probe),
	TEST_PROBE_NMI		= _IOW('F', 6, struct test_probe),
	TEST_PROBE_RESULT	= _IOR('F', 7, struct test_probe),
	TEST_UNMAP		= _IO('F', 8),
	TEST_REMAP_SMALL	= _IOW('F', 9, __u64),
	/* Reads when another thread wakes it with the same number, or a later one. */
	TEST_READ_WOKEN		= _IOWR('F', 10, __u64),
	TEST_WAKE		= _IOW('F', 11, __u64),
	TEST_PROBE_IPI		= _IOW('F', 12, struct test_probe),
	TEST_UNMAP_ALIASES	= _IO('F', 13),
	/*
	 * Unmaps all but the first page.  TEST_READ gives TEST_UNMAPPED until the
	 * next TEST_MAP.
	 */
	TEST_SHRINK_AND_WAKE	= _IOW('F', 14, __u64),
	/* Tries to write to what has become read-only, or to its alias: EFAULT. */
	TEST_WRITE_READ_ONLY	= _IOW('F', 15, __u64),

	/* Maps in small pages, of a table of its own.  Out: an address there that nobody uses. */
	TEST_MAP_TABLE		= _IOWR('F', 16, __u64),
	/*
	 * Puts a large page in its place.  1: the table was freed, and who still
	 * walks it finds TEST_REUSED.  0: it was not to be had.
	 */
	TEST_REUSE_TABLE	= _IOW('F', 17, __u64),
	/*
	 * The same for a table of PMDs, and a page of a gigabyte.  Which CPU can
	 * have the table of PTEs again, some time later, is to be tried.
	 */
	TEST_MAP_PMDS		= _IO('F', 18),
	TEST_FREE_PMDS		= _IO('F', 19),
	TEST_TAKE_FREED		= _IO('F', 20),

	/* Maps a page with a cache attribute, and changes that. */
	TEST_MAP_WC		= _IO('F', 21),
	TEST_SET_WB		= _IO('F', 22),
	/* As vfree() does it, lazily.  TEST_READ goes on there. */
	TEST_FREE		= _IO('F', 23),

	/* In: a page frame number.  Out: what the direct map has there, or TEST_UNMAPPED. */
	TEST_READ_FRAME		= _IOWR('F', 24, __u64),
	/* Out: the size of the page that maps the text of this module, in bytes. */
	TEST_TEXT_PAGE_SIZE	= _IOR('F', 25, __u64),
};

/* What is read where nothing is mapped, ... */
#define TEST_UNMAPPED		0xffffffffffffffffULL
/* ... and through a page table that was freed. */
#define TEST_REUSED		0x5ca1ab1eULL

#endif
