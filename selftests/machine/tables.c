// SPDX-License-Identifier: GPL-2.0
/* Entries that refer to a table (SDM 4.10.3) */
#include "machine.h"

static void map_both(u64 other, u64 frame)
{
	map(PAGE, 1, frame, WRITE);
	map(other, 1, frame, WRITE);
}

/*
 * SDM 4.10.3: an entry that refers to a table is changed to refer to another
 * one.  A page is read then that was not before: next to the first one, or so
 * far away that only this entry, and those above it, serve both.
 */
void test_tables(const struct op *op, int level, bool away)
{
	static const char *const names[2][6] = {
		{ 0, 0, "PDE: ", "PDPTE: ", "PML4E: ", "PML5E: " },
		{ 0, 0, 0, "PDPTE, 2M away: ", "PML4E, 1G away: ", "PML5E, 512G away: " },
	};
	u64 other = PAGE + SIZE(away ? level - 1 : 1);

	if (op->expected[2] == '-')
		return;
	if (!begin(names[away][level], op->name))
		return;
	fresh(PCIDE_PGE ^ op->flip);
	map_both(other, FRAME_A);
	if (look(PAGE) != 'A') {
		expect('X', op->expected[2]);
		return;
	}
	*entry(PAGE, level) = 0;
	map_both(other, FRAME_B);
	run(op, SIZE(1), other, op->expected[2]);
}

/* Two pages in one table, which is known from one of them */
static void known_table(u64 other, u64 page)
{
	fresh(PCIDE_PGE);
	map_both(other, FRAME_A);
	look(page);
}

/* SDM 4.10.3: what else is true of tables that are kept */
void test_table_rights(void)
{
	u64 other = PAGE + SIZE(1);

	if (begin("PDE: ", "not present in the table kept")) {
		known(PAGE, 1, WRITE);
		*entry(PAGE, 2) = 0;
		map(other, 1, FRAME_B, WRITE);
		use_pcid(1);
		expect(look(other), 'B');
	}
	if (begin("PDE: ", "kept read-only, writable since")) {
		fresh(PCIDE_PGE);
		map_both(other, FRAME_A);
		*entry(PAGE, 2) &= ~WRITE;
		look(other);
		*entry(PAGE, 2) |= WRITE;
		use_pcid(1);
		expect(write_lands(), 'A');
	}
	if (begin("PDE: ", "kept writable, read-only since")) {
		known_table(other, other);
		*entry(PAGE, 2) &= ~WRITE;
		use_pcid(1);
		expect(write_lands(), 'A');
	}
	if (begin("PDE: ", "kept, not present since")) {
		known_table(other, other);
		*entry(PAGE, 2) = 0;
		use_pcid(1);
		expect(look(PAGE), 'A');
	}
	/* SDM 4.10.4.1: a page fault invalidates what it used. */
	if (begin("PDE: ", "read after a fault through it")) {
		known_table(other, PAGE);
		*entry(PAGE, 2) = 0;
		map(other, 1, FRAME_B, WRITE);
		try_read(other + SIZE(1));
		expect(fault() == PF ? look(other) : fault(), 'B');
	}
	/* A page of 2M ends the walk: no table is known. */
	if (begin("PDE: ", "2M replaced by 4K, another page")) {
		known(PAGE, 2, WRITE);
		*entry(PAGE, 2) = 0;
		map(PAGE, 1, FRAME_B, WRITE);
		invlpg(PAGE);
		expect(look(PAGE), 'B');
	}
	if (begin("PDE: ", "4K replaced by 2M, another page")) {
		known_table(other, PAGE);
		map(PAGE, 2, FRAME_B, WRITE);
		use_pcid(1);
		expect(look(other), 'A');
	}
}
