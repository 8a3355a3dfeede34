/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of the never-forgetting TLB of the sticky QEMU, of patches/qemu-7.2. */
#ifndef TLB_COUNTERS_H
#define TLB_COUNTERS_H

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>

#define TLB_LEAF	0x4000f000
#define TLB_MAGIC	0x5045454b

/* The names and their order are those of COUNTERS there. */
static const char *const tlb_counter_names[] = {
	"walks", "hits", "table_hits", "stale_user", "stale_vmalloc", "stale_kernel",
	"in_flight", "invlpg", "invpcid_address", "invpcid_context", "invpcid_all",
	"invpcid_all_nonglobal", "cr3_flush", "cr3_noflush", "flush_all",
};

#define TLB_WALKS		0
#define TLB_INVPCID_ADDRESS	8
#define TLB_COUNTERS	(sizeof(tlb_counter_names) / sizeof(tlb_counter_names[0]))

/* The number of counters; 0 on any other machine, or if there is no such CPU. */
static inline unsigned int tlb_counter(unsigned int cpu, unsigned int i, uint64_t *value)
{
	unsigned int eax, ebx, ecx, edx;

	__cpuid_count(TLB_LEAF, cpu << 8 | i, eax, ebx, ecx, edx);
	*value = (uint64_t)edx << 32 | eax;
	/* Without the leaf, CPUID gives that of another. */
	return ecx == TLB_MAGIC ? ebx : 0;
}

static inline uint64_t tlb_counter_sum(unsigned int i)
{
	uint64_t sum = 0, value;
	unsigned int cpu;

	for (cpu = 0; tlb_counter(cpu, i, &value); cpu++)
		sum += value;
	return sum;
}

#endif
