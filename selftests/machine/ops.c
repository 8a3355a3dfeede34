// SPDX-License-Identifier: GPL-2.0
/* Operations (SDM 4.10.4.1), and what they should leave. */
#include "machine.h"

#define OP(name, ...)							\
void name(u64 page, u64 size)						\
{									\
	__VA_ARGS__;							\
}

OP(nothing)

OP(invlpg_page, invlpg(page))
static OP(invlpg_last, invlpg((page & -size) + size - 1))
static OP(invlpg_next, invlpg((page & -size) + size))
static OP(invlpg_4k, invlpg(page + 0x1000))
static OP(invlpg_2m, invlpg(page + SIZE(2)))
OP(invlpg_far, invlpg(FAR))
OP(invlpg_noncanonical, invlpg(page ^ BIT(63)))

static OP(invpcid_address_0, invpcid(0, 0, page))
OP(invpcid_address_1, invpcid(0, 1, page))
static OP(invpcid_address_2, invpcid(0, 2, page))
static OP(invpcid_last_1, invpcid(0, 1, (page & -size) + size - 1))
static OP(invpcid_next_1, invpcid(0, 1, (page & -size) + size))
static OP(invpcid_far_1, invpcid(0, 1, FAR))
static OP(invpcid_context_0, invpcid(1, 0, 0))
OP(invpcid_context_1, invpcid(1, 1, 0))
static OP(invpcid_context_2, invpcid(1, 2, 0))
OP(invpcid_all, invpcid(2, 0, 0))
OP(invpcid_nonglobal, invpcid(3, 0, 0))

OP(load_cr3, write_cr3(read_cr3()))
OP(load_cr3_noflush, write_cr3(read_cr3() | CR3_NOFLUSH))
static OP(load_cr3_pcid2, write_cr3((u64)top_table | 2))
OP(change_pge, write_cr4(read_cr4() ^ CR4_PGE))
OP(set_pcide, write_cr4(read_cr4() | CR4_PCIDE))
static OP(set_smep, write_cr4(read_cr4() | CR4_SMEP))
static OP(clear_smep, write_cr4(read_cr4() & ~CR4_SMEP))
OP(off_and_on, toggle_pg())

static void toggle_pge(u64 page, u64 size)
{
	write_cr4(read_cr4() ^ CR4_PGE);
	write_cr4(read_cr4() ^ CR4_PGE);
}

static void toggle_pcide(u64 page, u64 size)
{
	use_pcid(0);	/* SDM 4.10.1: PCIDE may be set with PCID 0 only */
	write_cr4(read_cr4() & ~CR4_PCIDE);
	write_cr4(read_cr4() | CR4_PCIDE);
}

const struct op ops[] = {
	{ "nothing", nothing, "AAA" },
	{ "INVLPG", invlpg_page, "BBB" },
	{ "INVLPG, last byte", invlpg_last, "BBB" },
	/* All tables of this PCID, whatever the address. */
	{ "INVLPG, next page", invlpg_next, "AAB" },
	{ "INVLPG, far page", invlpg_far, "AAB" },
	{ "INVLPG, 4K further", invlpg_4k, "BB-", BIT(2) | BIT(3) },
	{ "INVLPG, 2M further", invlpg_2m, "BB-", BIT(3) },
	{ "INVLPG, 2M further", invlpg_2m, "AA-", BIT(1) | BIT(2) },
	{ "INVLPG, not canonical", invlpg_noncanonical, "AAA" },
	{ "INVLPG, under PCID 2", invlpg_page, "ABA", .from = 2 },

	{ "INVPCID 0, PCID 1", invpcid_address_1, "BAB" },
	{ "INVPCID 0, PCID 1, last byte", invpcid_last_1, "BAB" },
	{ "INVPCID 0, PCID 1, next page", invpcid_next_1, "AA-" },
	{ "INVPCID 0, PCID 1, far page", invpcid_far_1, "AAA" },
	{ "INVPCID 0, PCID 1, under PCID 2", invpcid_address_1, "BAB", .from = 2 },
	{ "INVPCID 0, PCID 2", invpcid_address_2, "AAA" },
	{ "INVPCID 0, PCID 2, under PCID 2", invpcid_address_2, "AAA", .from = 2 },
	{ "INVPCID 1, PCID 1", invpcid_context_1, "BAB" },
	{ "INVPCID 1, PCID 1, under PCID 2", invpcid_context_1, "BAB", .from = 2 },
	{ "INVPCID 1, PCID 2", invpcid_context_2, "AAA" },
	{ "INVPCID 1, PCID 2, under PCID 2", invpcid_context_2, "AAA", .from = 2 },
	{ "INVPCID 2", invpcid_all, "BBB" },
	{ "INVPCID 2, under PCID 2", invpcid_all, "BBB", .from = 2 },
	{ "INVPCID 3", invpcid_nonglobal, "BAB" },
	{ "INVPCID 3, under PCID 2", invpcid_nonglobal, "BAB", .from = 2 },

	{ "MOV CR3, PCID 1", load_cr3, "BAB" },
	{ "MOV CR3, PCID 1, bit 63", load_cr3_noflush, "AAA" },
	{ "MOV CR3, PCID 2 and back", load_cr3_pcid2, "AAA" },
	/* SDM 4.10.2.4: global pages belong to all PCIDs, tables never do. */
	{ "nothing, read under PCID 2", nothing, "BAB", .pcid = 2 },
	{ "PGE cleared", change_pge, "BBB" },
	{ "PGE cleared and set", toggle_pge, "BBB" },
	{ "PCIDE cleared and set", toggle_pcide, "BBB" },
	/* "For the current PCID": unclear about global pages. */
	{ "SMEP set", set_smep, "B-B" },
	{ "SMEP cleared", clear_smep, "AAA", .flip = CR4_SMEP },

	/* SDM 4.10.2.4: G is ignored. */
	{ "PGE=0: nothing", nothing, "AAA", .flip = CR4_PGE },
	{ "PGE=0: nothing, read under PCID 2", nothing, "BBB", .pcid = 2, .flip = CR4_PGE },
	{ "PGE=0: MOV CR3, PCID 1", load_cr3, "BBB", .flip = CR4_PGE },
	{ "PGE=0: INVLPG, under PCID 2", invlpg_page, "AAA", .from = 2, .flip = CR4_PGE },
	{ "PGE=0: INVPCID 0, PCID 1", invpcid_address_1, "BBB", .flip = CR4_PGE },
	{ "PGE=0: INVPCID 3", invpcid_nonglobal, "BBB", .flip = CR4_PGE },
	{ "PGE=0: PGE set", change_pge, "BBB", .flip = CR4_PGE },

	/* SDM 4.10.1: all is PCID 0. */
	{ "PCIDE=0: nothing", nothing, "AAA", .flip = CR4_PCIDE },
	{ "PCIDE=0: MOV CR3", load_cr3, "BAB", .flip = CR4_PCIDE },
	{ "PCIDE=0: INVLPG", invlpg_page, "BBB", .flip = CR4_PCIDE },
	{ "PCIDE=0: INVPCID 0", invpcid_address_0, "BAB", .flip = CR4_PCIDE },
	{ "PCIDE=0: INVPCID 1", invpcid_context_0, "BAB", .flip = CR4_PCIDE },
	{ "PCIDE=0: INVPCID 2", invpcid_all, "BBB", .flip = CR4_PCIDE },
	{ "PCIDE=0: INVPCID 3", invpcid_nonglobal, "BAB", .flip = CR4_PCIDE },
	{ "PCIDE=0: PGE cleared and set", toggle_pge, "BBB", .flip = CR4_PCIDE },
	{ "PCIDE=0: PCIDE set", set_pcide, "AAA", .flip = CR4_PCIDE },
	{ "PCIDE=0: PG cleared and set", off_and_on, "BBB", .flip = CR4_PCIDE },
};

const u32 nr_ops = ARRAY_SIZE(ops);

void run(const struct op *op, u64 size, u64 address, char expected)
{
	u64 before = op->flip & CR4_PCIDE ? 0 : 1;

	if (op->from)
		use_pcid(op->from);
	op->run(PAGE, size);
	use_pcid(op->pcid ?: before);
	expect(look(address), expected);
}
