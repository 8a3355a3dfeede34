// SPDX-License-Identifier: GPL-2.0
/* Entries that map a page: the operations on them, their sizes, their rights. */
#include "machine.h"

static const char *const sizes[2][4] = {
	{ 0, "4K: ", "2M: ", "1G: " },
	{ 0, "4K global: ", "2M global: ", "1G global: " },
};

void test_pages(const struct op *op, int level, bool global)
{
	char expected = op->expected[global];
	u64 flags = WRITE | (global ? GLOBAL : 0);

	if ((op->levels && !(op->levels & BIT(level))) || expected == '-')
		return;
	if (!begin(sizes[global][level], op->name))
		return;
	fresh(PCIDE_PGE ^ op->flip);
	map(PAGE, level, FRAME_A, flags);
	if (look(PAGE) != 'A') {
		expect('X', expected);
		return;
	}
	remap(PAGE, level, flags);
	run(op, SIZE(level), PAGE, expected);
}

/* SDM 4.10.2.3: pages that became smaller or larger; INVLPG is for one address. */
static const struct size {
	const char *name[2];
	int level;
	u64 invlpg;
	char expected;
} size_changes[] = {
	{ { "2M replaced by 4K: ", "nothing" }, 2, FAR, 'A' },
	{ { "2M replaced by 4K: ", "INVLPG of another 4K page" }, 2, PAGE + 0x5000, 'B' },
	{ { "4K replaced by 2M: ", "nothing" }, 1, NONCANONICAL, 'A' },
	{ { "4K replaced by 2M: ", "INVLPG of another 4K page" }, 1, PAGE + 0x5000, 'A' },
	{ { "4K replaced by 2M: ", "INVLPG of the page" }, 1, PAGE, 'B' },
};

void test_sizes(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(size_changes); i++) {
		const struct size *size = &size_changes[i];

		if (!begin(size->name[0], size->name[1]))
			continue;
		known(PAGE, size->level, WRITE);
		*entry(PAGE, 2) = 0;
		map(PAGE, 3 - size->level, FRAME_B, WRITE);
		map(PAGE + 0x5000, 3 - size->level, FRAME_B, WRITE);
		invlpg(size->invlpg);
		use_pcid(1);
		expect(look(PAGE), size->expected);
	}
}

/* A page that was read, and its entry changed since */
static void start(int level, u64 old_flags, u64 new_flags)
{
	known(PAGE, level, old_flags);
	remap(PAGE, level, new_flags);
	use_pcid(1);
}

static void test_write(int level, const char *what, u64 old_flags, u64 new_flags, u64 expected)
{
	if (begin(sizes[0][level], what)) {
		start(level, old_flags, new_flags);
		expect(write_lands(), expected);
	}
}

static void test_kept(int level)
{
	const u64 write_fault = 3UL << 8 | PF;

	test_write(level, "write, kept clean", WRITE, WRITE, 'B');
	if (begin(sizes[0][level], "write sets dirty, kept clean")) {
		start(level, WRITE, WRITE);
		write_lands();
		expect(*entry(PAGE, level) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	}
	if (begin(sizes[0][level], "read after write, kept clean")) {
		start(level, WRITE, WRITE);
		write_lands();
		expect(look(PAGE), 'W');
	}
	test_write(level, "write, kept dirty", WRITE | DIRTY, WRITE, 'A');
	test_write(level, "write, kept dirty, read-only since", WRITE | DIRTY, 0, 'A');
	if (begin(sizes[0][level], "read, kept, not present since")) {
		start(level, WRITE, WRITE);
		*entry(PAGE, level) = 0;
		expect(look(PAGE), 'A');
	}
	test_write(level, "write, kept read-only, writable since", 0, WRITE, 'B');
	test_write(level, "write, kept global read-only, writable since",
		   GLOBAL, WRITE | GLOBAL, 'B');
	test_write(level, "write, kept read-only, still so", 0, 0, write_fault);
}

/* A page that is read-only, kept as it was, and a write that faults */
static void fault_on_write(int level, u64 flags, u64 address)
{
	start(level, flags, flags);
	look(PAGE);
	try_write(address, 'W');
}

/*
 * 4.10.4.1: a page fault invalidates, for its page number.  The pages that are
 * global should not be an exception: the fault must not recur if the page tables
 * do not cause it.
 */
static void test_after_fault(int level)
{
	if (begin(sizes[0][level], "read after this fault")) {
		fault_on_write(level, 0, PAGE);
		use_pcid(1);
		expect(look(PAGE), 'B');
	}
	if (begin(sizes[0][level], "read right after this fault")) {
		fault_on_write(level, 0, PAGE);
		expect(look(PAGE), 'B');
	}
	if (begin(sizes[0][level], "read right after this fault, global")) {
		fault_on_write(level, GLOBAL, PAGE);
		expect(look(PAGE), 'B');
	}
	if (level > 1 && begin(sizes[0][level], "read elsewhere right after this fault")) {
		fault_on_write(level, 0, PAGE + 0x1000);
		expect(look(PAGE), 'B');
	}
}

static void test_more_rights(int level)
{
	/* 4.10.2.3: what is not present is not cached. */
	if (begin(sizes[0][level], "read, not present before")) {
		fresh(PCIDE_PGE);
		try_read(PAGE);
		if (fault() == PF && fault_address == PAGE)
			remap(PAGE, level, WRITE);
		expect(look(PAGE), 'B');
	}
	/* 4.10.4.3: more rights in the same frame need no flush. */
	if (begin(sizes[0][level], "write, read-only before")) {
		known(PAGE, level, 0);
		map(PAGE, level, FRAME_A, WRITE);
		expect(write_lands(), 'A');
	}
}

/* SDM 4.6: kept without NX, then with it */
static void test_fetch(int level)
{
	const u64 fetch_fault = 0x11UL << 8 | PF;

	if (begin(sizes[0][level], "fetch, NX")) {
		fresh(PCIDE_PGE);
		map(PAGE, level, FRAME_A, NX);
		try_call(PAGE + 8);
		expect(fault(), fetch_fault);
	}
	if (begin(sizes[0][level], "fetch, NX before")) {
		known(PAGE, level, NX);
		map(PAGE, level, FRAME_A, 0);
		try_call(PAGE + 8);
		expect(fault(), 0);
	}
	if (begin(sizes[0][level], "fetch, NX since")) {
		known(PAGE, level, 0);
		map(PAGE, level, FRAME_A, NX);
		use_pcid(1);
		try_call(PAGE + 8);
		expect(fault(), 0);
	}
}

/*
 * SDM 4.10.2.2, 4.10.2.3: a translation contains rights and the dirty flag; what
 * they do not allow walks the page tables again.
 */
void test_rights(void)
{
	int level;

	for (level = 1; level <= 3; level++) {
		test_kept(level);
		test_after_fault(level);
		test_more_rights(level);
		test_fetch(level);
	}
}
