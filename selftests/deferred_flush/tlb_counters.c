// SPDX-License-Identifier: GPL-2.0
/*
 * tlb_counters: print what the never-forgetting TLB of the sticky QEMU has counted on
 * all CPUs so far, "name=value ..." in one line; nothing on any other machine.
 */
#include <stdio.h>

#include "tlb_counters.h"

int main(void)
{
	unsigned int nr, i;
	uint64_t value;

	nr = tlb_counter(0, 0, &value);
	if (!nr)
		return 0;
	if (nr != TLB_COUNTERS) {
		fprintf(stderr, "tlb_counters: %u counters, not %zu\n", nr, TLB_COUNTERS);
		return 1;
	}
	for (i = 0; i < nr; i++)
		printf("%s=%llu%c", tlb_counter_names[i],
		       (unsigned long long)tlb_counter_sum(i), i + 1 < nr ? ' ' : '\n');
	return 0;
}
