// SPDX-License-Identifier: GPL-2.0
/* Does the machine tell when a translation is used that is stale? */
#include "machine.h"

/* What changes between two accesses, and the access that follows */
static void change_frame(u64 page)
{
	remap(page, 1, WRITE | ACCESSED | DIRTY);
}

static void change_present(u64 page)
{
	*entry(page, 1) = 0;
}

static void change_size(u64 page)
{
	map(page, 2, FRAME_A, WRITE | ACCESSED | DIRTY);
}

static void change_and_invlpg(u64 page)
{
	change_frame(page);
	invlpg(page);
}

static void change_and_restore(u64 page)
{
	u64 e = *entry(page, 1);

	change_frame(page);
	*entry(page, 1) = e;
}

static void access_read(u64 page)
{
	look(page);
}

static void access_write(u64 page)
{
	try_write(page, 'W');
}

static void access_call(u64 page)
{
	try_call(page + 8);
}

static const struct detect {
	const char *name;
	void (*access)(u64 page);
	bool stale;
	void (*change)(u64 page);
	u64 flip;		/* in the entry, if there is no function */
} detects[] = {
	{ "nothing", access_read, 0 },
	{ "another page", access_read, 1, change_frame },
	{ "another page, INVLPG", access_read, 0, change_and_invlpg },
	{ "another page and back", access_read, 0, change_and_restore },
	{ "not present", access_read, 1, change_present },
	{ "read-only, read", access_read, 0, .flip = WRITE },
	{ "read-only, write", access_write, 1, .flip = WRITE },
	{ "clean, read", access_read, 0, .flip = DIRTY },
	{ "clean, write", access_write, 1, .flip = DIRTY },
	{ "not accessed", access_read, 0, .flip = ACCESSED },
	{ "NX, read", access_read, 0, .flip = NX },
	{ "NX, fetch", access_call, 1, .flip = NX },
	{ "same page, 2M", access_read, 0, change_size },
};

static const struct place {
	const char *name;
	u64 page;
	int counter;
} places[] = {
	{ "detector: low: ", PAGE & ~0xfffUL, IN_FLIGHT },
	{ "detector: vmalloc: ", VMALLOC, STALE_VMALLOC },
	{ "detector: end of vmalloc: ", VMALLOC_END - 0x1000, STALE_VMALLOC },
	{ "detector: after vmalloc: ", VMALLOC_END, STALE_KERNEL },
	{ "detector: modules: ", 0xffffffffa0000000, STALE_VMALLOC },
	{ "detector: fixmap: ", 0xffffffffff000000, STALE_KERNEL },
	{ "detector: image: ", 0xffffffff81000000, STALE_KERNEL },
	{ "detector: direct map: ", DIRECT_MAP, STALE_KERNEL },
};

static void fill_detect(u64 page)
{
	known(page, 1, WRITE | ACCESSED | DIRTY);
}

/* The PIT counts 50 ms at a time. */
static void wait_ms(u32 ms)
{
	for (; ms >= 50; ms -= 50) {
		outb(0x61, (inb(0x61) & ~2) | 1);
		outb(0x43, 0xb0);
		outb(0x42, 59659 & 0xff);
		outb(0x42, 59659 >> 8);
		while (!(inb(0x61) & 0x20))
			;
	}
}

static void expect_stale(int which)
{
	expect_counted(STALE_USER, IN_FLIGHT, which);
}

static void test_detect(const struct detect *detect, const struct place *place)
{
	if (!begin(place->name, detect->name))
		return;
	fill_detect(place->page);
	if (detect->change)
		detect->change(place->page);
	else if (detect->flip)
		*entry(place->page, 1) ^= detect->flip;
	use_pcid(1);
	snapshot();
	detect->access(place->page);
	expect_stale(detect->stale ? place->counter : 0);
}

/* The page is new, but the table it was found in is not. */
static void test_detect_table(const struct place *place)
{
	u64 page = place->page, other = page ^ SIZE(1);

	if (!begin(place->name, "another table"))
		return;
	fill_detect(page);
	map(other, 1, FRAME_A, WRITE);
	*entry(page, 2) = 0;
	map(other, 1, FRAME_B, WRITE);
	use_pcid(1);
	snapshot();
	look(other);
	expect_stale(place->counter);
}

/* A flush may be under way for x-tlb-grace-ms, 1000 by default. */
static void test_detect_for_long(const char *what, bool flush)
{
	if (!begin("detector: low: ", what))
		return;
	fill_detect(PAGE);
	change_frame(PAGE);
	use_pcid(1);
	look(PAGE);
	wait_ms(1200);
	if (flush)
		invlpg(PAGE);
	use_pcid(1);
	snapshot();
	look(PAGE);
	expect_stale(flush ? 0 : STALE_USER);
}

void test_detector(void)
{
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (j = 0; j < ARRAY_SIZE(detects); j++)
			test_detect(&detects[j], &places[i]);
		test_detect_table(&places[i]);
	}
	test_detect_for_long("another page, for long", 0);
	test_detect_for_long("another page for long, then INVLPG", 1);
}
