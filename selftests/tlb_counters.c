// SPDX-License-Identifier: GPL-2.0
/*
 * tlb_counters: print what the never-forgetting TLB of our QEMU has counted on
 * all CPUs so far, "name=value ..." in one line; nothing on any other machine.
 * The names and their order are those of patches/qemu-7.2 (COUNTERS).
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>

#define LEAF	0x4000f000
#define MAGIC	0x5045454b

static const char *const names[] = {
	"walks", "hits", "table_hits", "stale_user", "stale_vmalloc", "stale_kernel",
	"in_flight", "invlpg", "invpcid_address", "invpcid_context", "invpcid_all",
	"invpcid_all_nonglobal", "cr3_flush", "cr3_noflush", "flush_all",
};

#define NR_NAMES (sizeof(names) / sizeof(names[0]))

int main(void)
{
	uint64_t sum[NR_NAMES] = { 0 };
	unsigned int eax, ebx, ecx, edx, cpu, i;

	for (cpu = 0;; cpu++) {
		for (i = 0; i < NR_NAMES; i++) {
			__cpuid_count(LEAF, cpu << 8 | i, eax, ebx, ecx, edx);
			/* Without the leaf, CPUID gives that of another. */
			if (ecx != MAGIC)
				return 0;
			if (!ebx)
				goto out;
			if (ebx != NR_NAMES) {
				fprintf(stderr, "tlb_counters: %u counters, not %zu\n",
					ebx, NR_NAMES);
				return 1;
			}
			sum[i] += (uint64_t)edx << 32 | eax;
		}
	}
out:
	for (i = 0; i < NR_NAMES; i++)
		printf("%s=%llu%c", names[i], (unsigned long long)sum[i],
		       i + 1 < NR_NAMES ? ' ' : '\n');
	return 0;
}
