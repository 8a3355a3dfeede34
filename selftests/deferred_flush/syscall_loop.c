// SPDX-License-Identifier: GPL-2.0
/*
 * syscall_loop CPU: call getppid() on that CPU until killed.
 * syscall_loop CPU COUNT: COUNT times, and print the RDTSC ticks per turn. Under
 * QEMU's -icount that is instructions (Documentation/measuring.rst).
 * syscall_loop CPU 0: the same for a loop of two instructions, to tell whether.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "deferred_flush_test.h"

#define TURNS 1000000UL

static double ticks_per_two_instructions(void)
{
	unsigned long turns = TURNS;
	uint64_t start = __rdtsc();

	asm volatile("1: dec %0; jnz 1b" : "+r" (turns));
	return (double)(__rdtsc() - start) / TURNS;
}

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
	if (!count) {
		printf("%.2f\n", ticks_per_two_instructions());
		return 0;
	}
	/* Warm up: the first turns have page faults. */
	for (i = 0; i < 1000; i++)
		syscall(SYS_getppid);
	start = __rdtsc();
	for (i = 0; i < count; i++)
		syscall(SYS_getppid);
	printf("%.1f\n", (double)(__rdtsc() - start) / count);
	return 0;
}
