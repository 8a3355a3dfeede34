// SPDX-License-Identifier: GPL-2.0
/*
 * syscall_loop CPU: call getppid() on that CPU until killed.
 * syscall_loop CPU COUNT: COUNT times, and print the RDTSC ticks per turn. Under
 * QEMU's -icount that is instructions (Documentation/measuring.rst).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "deferred_flush_test.h"

int main(int argc, char **argv)
{
	unsigned long i, count;
	uint64_t start;

	if (argc < 2 || pin_to(atoi(argv[1]))) {
		fprintf(stderr, "usage: syscall_loop CPU [COUNT]\n");
		return 1;
	}
	if (argc == 2)
		for (;;)
			syscall(SYS_getppid);

	count = strtoul(argv[2], NULL, 0);
	/* Warm up: the first turns have page faults. */
	for (i = 0; i < 1000; i++)
		syscall(SYS_getppid);
	start = __rdtsc();
	for (i = 0; i < count; i++)
		syscall(SYS_getppid);
	printf("%.1f\n", (double)(__rdtsc() - start) / count);
	return 0;
}
