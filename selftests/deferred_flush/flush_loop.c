// SPDX-License-Identifier: GPL-2.0
/*
 * flush_loop dontneed|munmap|mprotect PAGES COUNT [OTHERS]: COUNT times, have so
 * many pages flushed, and print what one turn of this takes, as "name=value ...":
 * RDTSC ticks of the system call and of the first reads behind it, which under
 * QEMU's -icount are instructions, and the page walks, where the machine counts
 * them.  OTHERS: pages that are read after each flush, to see what else it takes
 * out of the TLB (Documentation/measuring.rst).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "deferred_flush_test.h"
#include "tlb_counters.h"

#define PAGE 4096UL

static void touch(volatile char *area, unsigned long pages, bool write)
{
	unsigned long i;

	for (i = 0; i < pages; i++) {
		if (write)
			area[i * PAGE] = 1;
		else
			area[i * PAGE];
	}
}

static char *map(char *at, unsigned long pages)
{
	return mmap(at, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

static int flush(const char *op, char *area, unsigned long pages)
{
	if (!strcmp(op, "dontneed"))
		return madvise(area, pages * PAGE, MADV_DONTNEED);
	if (!strcmp(op, "munmap"))
		return munmap(area, pages * PAGE);
	if (!strcmp(op, "mprotect"))
		return mprotect(area, pages * PAGE, PROT_READ);
	return -1;
}

int main(int argc, char **argv)
{
	unsigned long pages, count, others, i;
	uint64_t ticks = 0, walks = 0, start;
	char *area, *middle, *other;

	if (argc < 4) {
		fprintf(stderr, "usage: flush_loop dontneed|munmap|mprotect PAGES COUNT [OTHERS]\n");
		return 1;
	}
	pages = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	others = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
	/* In the middle of an area, so that no page table is freed. */
	area = map(NULL, 3 * pages);
	other = map(NULL, others + 1);
	if (!count || area == MAP_FAILED || other == MAP_FAILED)
		return 1;
	middle = area + pages * PAGE;
	touch(area, 3 * pages, true);
	touch(other, others + 1, true);

	/* The first turns are for page faults and caches. */
	for (i = 0; i < count + 10; i++) {
		if (map(middle, pages) != middle)
			return 1;
		touch(middle, pages, true);
		touch(other, others, false);
		if (i == 10)
			walks = -tlb_counter_sum(TLB_WALKS);
		start = __rdtsc();
		if (flush(argv[1], middle, pages)) {
			perror(argv[1]);
			return 1;
		}
		touch(other, others, false);
		if (i >= 10)
			ticks += __rdtsc() - start;
	}
	walks += tlb_counter_sum(TLB_WALKS);
	printf("op=%s pages=%lu others=%lu ticks=%.1f walks=%.1f\n", argv[1], pages, others,
	       (double)ticks / count, (double)walks / count);
	return 0;
}
