// SPDX-License-Identifier: GPL-2.0
/* Faults: an expected vector of 0 means that there is none. */
#include "machine.h"

static u32 physical_bits(void)
{
	return cpuid(0x80000008, 0).a & 0xff;
}

void try_cr3(u64 flags, u64 b, u64 c)
{
	TRY("mov %0, %%cr3", "r" ((u64)top_table | flags));
}

/* Stops at the first bit that is not as expected. */
static void try_cr3_reserved(u64 flags, u64 b, u64 c)
{
	u32 bit;

	for (bit = physical_bits(); bit <= 60; bit++) {
		try_cr3(flags | BIT(bit), 0, 0);
		if (fault_vector != GP)
			break;
	}
}

static void try_cr3_unchanged(u64 flags, u64 b, u64 c)
{
	try_cr3(flags | BIT(60), 0, 0);
	if (read_cr3() != ((u64)top_table | 1))
		fault_vector = 0;
}

void try_invpcid(u64 type, u64 pcid, u64 address)
{
	struct invpcid descriptor = { pcid, address };

	TRY("invpcid %0, %1", "m" (descriptor), "r" (type));
}

/* "address" is where the descriptor should be. */
static void try_invpcid_at(u64 type, u64 pcid, u64 address)
{
	TRY("invpcid (%0), %1", "r" (address), "r" (type));
}

/* INVPCID RAX, RAX; INVPCID RAX, [RBX] without the prefix 66, and with LOCK */
static void try_invpcid_register(u64 a, u64 b, u64 c)
{
	TRY(".byte 0x66, 0x0f, 0x38, 0x82, 0xc0", "a" (0));
}

static void try_invpcid_no_prefix(u64 a, u64 b, u64 c)
{
	static const struct invpcid descriptor;

	TRY(".byte 0x0f, 0x38, 0x82, 0x03", "a" (2), "b" (&descriptor));
}

static void try_invpcid_lock(u64 a, u64 b, u64 c)
{
	static const struct invpcid descriptor;

	TRY(".byte 0xf0, 0x66, 0x0f, 0x38, 0x82, 0x03", "a" (2), "b" (&descriptor));
}

static void try_set_pcide(u64 cr3, u64 b, u64 c)
{
	write_cr3((u64)top_table | cr3);
	TRY("mov %0, %%cr4", "r" (read_cr4() | CR4_PCIDE));
}

static void try_keep_pcide(u64 a, u64 b, u64 c)
{
	TRY("mov %0, %%cr4", "r" (read_cr4()));
}

static void try_clear_pg(u64 a, u64 b, u64 c)
{
	toggle_pg();
}

#ifdef LA57
#define GP_WITHOUT_LA57	0
#else
#define GP_WITHOUT_LA57	GP
#endif

/* SDM 2B, MOV to control registers; SDM 2A, INVPCID; 4.10.1 */
static const struct fault {
	const char *name;
	void (*run)(u64 a, u64 b, u64 c);
	u64 a, b, c;
	u32 vector;
	u32 flip;
} faults[] = {
	{ "MOV CR3", try_cr3, 1, 0, 0, 0 },
	{ "MOV CR3, PCID 4095", try_cr3, 4095, 0, 0, 0 },
	{ "MOV CR3, bit 63", try_cr3, CR3_NOFLUSH | 1, 0, 0, 0 },
	{ "MOV CR3, reserved bits", try_cr3_reserved, 1, 0, 0, GP },
	{ "MOV CR3, bit 63, reserved bits", try_cr3_reserved, CR3_NOFLUSH | 1, 0, 0, GP },
	{ "MOV CR3, reserved bits, no effect", try_cr3_unchanged, 2, 0, 0, GP },
	{ "PCIDE=0: MOV CR3", try_cr3, 0, 0, 0, 0, CR4_PCIDE },
	{ "PCIDE=0: MOV CR3, bit 63", try_cr3, CR3_NOFLUSH, 0, 0, GP, CR4_PCIDE },
	{ "PCIDE=0: MOV CR3, reserved bits", try_cr3_reserved, 0, 0, 0, GP, CR4_PCIDE },

	{ "INVPCID 0", try_invpcid, 0, 1, PAGE, 0 },
	{ "INVPCID 0, PCID 4095", try_invpcid, 0, 4095, PAGE, 0 },
	{ "INVPCID 1", try_invpcid, 1, 4095, 0, 0 },
	{ "INVPCID 2", try_invpcid, 2, 0, 0, 0 },
	{ "INVPCID 3", try_invpcid, 3, 0, 0, 0 },
	{ "INVPCID 4", try_invpcid, 4, 0, 0, GP },
	{ "INVPCID 2^32", try_invpcid, BIT(32), 0, 0, GP },
	{ "INVPCID -1", try_invpcid, -1, 0, 0, GP },
	{ "INVPCID 0, bit 12 of the PCID", try_invpcid, 0, BIT(12), PAGE, GP },
	{ "INVPCID 0, bit 63 of the PCID", try_invpcid, 0, BIT(63), PAGE, GP },
	{ "INVPCID 1, bit 12 of the PCID", try_invpcid, 1, BIT(12), 0, GP },
	{ "INVPCID 1, bit 32 of the PCID", try_invpcid, 1, BIT(32), 0, GP },
	{ "INVPCID 2, bit 12 of the PCID", try_invpcid, 2, BIT(12), 0, GP },
	{ "INVPCID 3, bit 63 of the PCID", try_invpcid, 3, BIT(63), 0, GP },
	{ "INVPCID 0, not canonical", try_invpcid, 0, 1, NONCANONICAL, GP },
	{ "INVPCID 0, canonical with LA57", try_invpcid, 0, 1, ONLY_LA57, GP_WITHOUT_LA57 },
	{ "INVPCID 1, not canonical", try_invpcid, 1, 1, NONCANONICAL, 0 },
	{ "INVPCID 2, not canonical", try_invpcid, 2, 0, NONCANONICAL, 0 },
	{ "INVPCID 3, not canonical", try_invpcid, 3, 0, NONCANONICAL, 0 },
	{ "PCIDE=0: INVPCID 0", try_invpcid, 0, 0, PAGE, 0, CR4_PCIDE },
	{ "PCIDE=0: INVPCID 1", try_invpcid, 1, 0, PAGE, 0, CR4_PCIDE },
	{ "PCIDE=0: INVPCID 0, PCID 1", try_invpcid, 0, 1, PAGE, GP, CR4_PCIDE },
	{ "PCIDE=0: INVPCID 1, PCID 1", try_invpcid, 1, 1, 0, GP, CR4_PCIDE },
	{ "PCIDE=0: INVPCID 2, PCID 1", try_invpcid, 2, 1, 0, 0, CR4_PCIDE },
	{ "PCIDE=0: INVPCID 3, PCID 1", try_invpcid, 3, 1, 0, 0, CR4_PCIDE },
	{ "INVPCID, descriptor not present", try_invpcid_at, 2, 0, FAR, PF },
	{ "INVPCID, descriptor not canonical", try_invpcid_at, 2, 0, NONCANONICAL, GP },
	{ "INVPCID, register", try_invpcid_register, 0, 0, 0, UD },
	{ "INVPCID, no prefix", try_invpcid_no_prefix, 0, 0, 0, UD },
	{ "INVPCID, LOCK", try_invpcid_lock, 0, 0, 0, UD },

	{ "PCIDE=0: PCIDE set, PCID 0", try_set_pcide, 0, 0, 0, 0, CR4_PCIDE },
	{ "PCIDE=0: PCIDE set, PCID 1", try_set_pcide, 1, 0, 0, GP, CR4_PCIDE },
	{ "PCIDE=0: PCIDE set, PWT and PCD", try_set_pcide, 0x18, 0, 0, GP, CR4_PCIDE },
	{ "PCIDE=0: PCIDE set, PCID 2048", try_set_pcide, 2048, 0, 0, GP, CR4_PCIDE },
	{ "PCIDE still set, PCID 1", try_keep_pcide, 0, 0, 0, 0 },
	{ "PG cleared", try_clear_pg, 0, 0, 0, GP },
	{ "PCIDE=0: PG cleared", try_clear_pg, 0, 0, 0, 0, CR4_PCIDE },
};

void test_faults(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		const struct fault *f = &faults[i];

		if (!begin("fault: ", f->name))
			continue;
		fresh(PCIDE_PGE ^ f->flip);
		f->run(f->a, f->b, f->c);
		/* All error codes are 0. */
		expect(fault(), f->vector);
	}
}
