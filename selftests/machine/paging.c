// SPDX-License-Identifier: GPL-2.0
/* Page tables, and what is read and written through them. */
#include "machine.h"

static volatile u64 pool[32][512] __aligned(4096);
static u32 pool_used;

/* The entry for an address; level 1 is a PTE, 2 a PDE. */
volatile u64 *entry(u64 address, int level)
{
	volatile u64 *table = top_table;
	int l;

	for (l = LEVELS; l > level; l--) {
		volatile u64 *e = &table[address >> SHIFT(l) & 511];

		if (!(*e & PRESENT)) {
			if (pool_used == ARRAY_SIZE(pool))
				unexpected_fault(0, 0, 0, address);
			memset((void *)pool[pool_used], 0, sizeof(pool[0]));
			*e = (u64)pool[pool_used++] | PRESENT | WRITE;
		}
		table = (volatile u64 *)(*e & ADDRESS);
	}
	return &table[address >> SHIFT(level) & 511];
}

/* To the same offset in a frame as in the gigabyte around the address. */
void map(u64 address, int level, u64 frame, u64 flags)
{
	if (level > 1)
		flags |= LARGE;
	*entry(address, level) = (frame + (address & (FRAME_SIZE - 1) &
				  -SIZE(level))) | PRESENT | flags;
}

void remap(u64 address, int level, u64 flags)
{
	map(address, level, FRAME_B, flags);
}

/* What the page at an address reads: 'A', 'B', what was written; or the fault */
u64 look(u64 address)
{
	u64 value = try_read(address & ~0xfffUL);

	return fault_vector ? fault() : value;
}

static void fill_frame(u64 frame, u64 value)
{
	u64 i;

	for (i = 0; i < FRAME_SIZE; i += 0x1000) {
		write(frame + i, value);
		write(frame + i + 8, RET);
	}
}

/* The word that PAGE reads, in a frame. */
static u64 in_frame(u64 frame)
{
	return read(frame + OFFSET);
}

/*
 * Nothing mapped but the identity, nothing cached: MOV to CR4 that changes PGE
 * invalidates all (SDM 4.10.4.1).  PCID 1 follows, if there are any.
 */
void fresh(u64 cr4)
{
	u32 i;

	write_cr3((u64)top_table);
	for (i = 1; i < 512; i++)
		top_table[i] = 0;
	pool_used = 0;
	write_cr4(CR4_BASE);
	write_cr4(CR4_BASE | CR4_PGE);
	write_cr4(CR4_BASE | cr4);
	if (cr4 & CR4_PCIDE)
		write_cr3((u64)top_table | 1);
	fill_frame(FRAME_A, 'A');
	fill_frame(FRAME_B, 'B');
}

/*
 * Changes the PCID and invalidates nothing, but makes TCG forget its own TLB,
 * which is smaller: the next access asks what the architecture still knows.
 */
void use_pcid(u64 pcid)
{
	u64 cr4 = read_cr4();

	if (cr4 & CR4_PCIDE) {
		write_cr3((u64)top_table | pcid | CR3_NOFLUSH);
	} else {
		/* PSE means nothing in IA-32e mode. */
		write_cr4(cr4 ^ CR4_PSE);
		write_cr4(cr4);
	}
}

/* A page that was read: its translation and the tables that led to it are kept */
void known(u64 address, int level, u64 flags)
{
	fresh(PCIDE_PGE);
	map(address, level, FRAME_A, flags);
	look(address);
}

/* Where a write to PAGE landed, or the fault */
u64 write_lands(void)
{
	try_write(PAGE, 'W');
	if (fault_vector)
		return fault();
	if (in_frame(FRAME_A) == 'W')
		return in_frame(FRAME_B) == 'B' ? 'A' : 'X';
	return in_frame(FRAME_B) == 'W' && in_frame(FRAME_A) == 'A' ? 'B' : 'X';
}
