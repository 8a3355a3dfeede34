// SPDX-License-Identifier: GPL-2.0
/* CPUID, and the counters in it */
#include "machine.h"

void test_cpuid(void)
{
	if (begin("CPUID: ", "PCID"))
		expect(cpuid(1, 0).c >> 17 & 1, 1);
	if (begin("CPUID: ", "INVPCID"))
		expect(cpuid(7, 0).b >> 10 & 1, 1);
}

/* The machine's counters, not a part of the architecture: CPU 0 only */
#define COUNTER_LEAF	0x4000f000
#define COUNTER_MAGIC	0x5045454b

static u32 counter(u32 i)
{
	struct cpuid r = cpuid(COUNTER_LEAF, i);

	return r.c == COUNTER_MAGIC ? r.a : 0;
}

static u32 counters_before[NR_COUNTERS];

void snapshot(void)
{
	u32 i;

	for (i = 0; i < NR_COUNTERS; i++)
		counters_before[i] = counter(i);
}

/* Counters from first to last, four bits of each; the first is the lowest. */
static u64 counted(int first, int last)
{
	u64 sum = 0;
	int i;

	for (i = last; i >= first; i--)
		sum = sum << 4 | ((counter(i) - counters_before[i]) & 0xf);
	return sum;
}

/* Since the snapshot, only this one of them went up, by one; 0: none did. */
void expect_counted(int first, int last, int which)
{
	expect(counted(first, last), which ? 1UL << 4 * (which - first) : 0);
}

static const struct count {
	const char *name;
	operation *run;
	int counter;	/* goes up by one; 0: none does */
	u32 flip;
} counts[] = {
	{ "nothing", nothing, 0 },
	{ "INVLPG", invlpg_page, OPS_INVLPG },
	{ "INVLPG, not mapped", invlpg_far, OPS_INVLPG },
	{ "INVLPG, not canonical", invlpg_noncanonical, 0 },
	{ "INVPCID 0", invpcid_address_1, OPS_INVPCID_ADDRESS },
	{ "INVPCID 1", invpcid_context_1, OPS_INVPCID_CONTEXT },
	{ "INVPCID 2", invpcid_all, OPS_INVPCID_ALL },
	{ "INVPCID 3", invpcid_nonglobal, OPS_INVPCID_NONGLOBAL },
	{ "MOV CR3", load_cr3, OPS_CR3_FLUSH },
	{ "MOV CR3, bit 63", load_cr3_noflush, OPS_CR3_NOFLUSH },
	{ "PGE cleared", change_pge, OPS_FLUSH_ALL },
	{ "PCIDE=0: MOV CR3", load_cr3, OPS_CR3_FLUSH, CR4_PCIDE },
	{ "PCIDE=0: PCIDE set", set_pcide, 0, CR4_PCIDE },
	{ "PCIDE=0: PG cleared and set", off_and_on, OPS_FLUSH_ALL, CR4_PCIDE },
};

void test_counters(void)
{
	struct cpuid r;
	u32 i;

	if (begin("counters: ", "magic"))
		expect(cpuid(COUNTER_LEAF, 0).c, COUNTER_MAGIC);
	if (begin("counters: ", "how many"))
		expect(cpuid(COUNTER_LEAF, 0).b, NR_COUNTERS);
	if (begin("counters: ", "no such counter")) {
		r = cpuid(COUNTER_LEAF, NR_COUNTERS);
		expect(r.a | r.b | r.d, 0);
	}
	if (begin("counters: ", "no such CPU")) {
		r = cpuid(COUNTER_LEAF, 0xffffff00);
		expect(r.a | r.b | r.d, 0);
	}
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct count *count = &counts[i];

		if (!begin("counters: ", count->name))
			continue;
		fresh(PCIDE_PGE ^ count->flip);
		map(PAGE, 1, FRAME_A, WRITE);
		snapshot();
		count->run(PAGE, SIZE(1));
		expect_counted(OPS_INVLPG, OPS_FLUSH_ALL, count->counter);
	}
	if (begin("counters: ", "INVPCID that faults")) {
		fresh(PCIDE_PGE);
		snapshot();
		try_invpcid(0, 1, NONCANONICAL);
		try_invpcid(4, 1, 0);
		expect_counted(OPS_INVLPG, OPS_FLUSH_ALL, 0);
	}
	if (begin("counters: ", "MOV CR3 that faults")) {
		fresh(PCIDE_PGE);
		snapshot();
		try_cr3(BIT(60), 0, 0);
		try_cr3(CR3_NOFLUSH | BIT(60), 0, 0);
		expect_counted(OPS_INVLPG, OPS_FLUSH_ALL, 0);
	}
}
