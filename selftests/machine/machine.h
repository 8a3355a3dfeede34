/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the conformance test share.  See tlb.c. */
#ifndef MACHINE_H
#define MACHINE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef _Bool bool;

#define BIT(n)		(1UL << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define __aligned(n)	__attribute__((__aligned__(n)))
#define __noreturn	__attribute__((__noreturn__))
#define __packed	__attribute__((__packed__))

#define CR3_NOFLUSH	BIT(63)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_PGE		BIT(7)
#define CR4_LA57	BIT(12)
#define CR4_PCIDE	BIT(17)
#define CR4_SMEP	BIT(20)

#define PRESENT		BIT(0)
#define WRITE		BIT(1)
#define ACCESSED	BIT(5)
#define DIRTY		BIT(6)
#define LARGE		BIT(7)
#define GLOBAL		BIT(8)
#define NX		BIT(63)
#define ADDRESS		0x000ffffffffff000

#define RET		0xc3	/* the instruction, for try_call() */

#define UD		6
#define GP		13
#define PF		14

#define SHIFT(level)	(12 + 9 * ((level) - 1))
#define SIZE(level)	BIT(SHIFT(level))

#define FRAME_A		0x40000000UL
#define FRAME_B		0x80000000UL
#define FRAME_SIZE	0x200000UL	/* as much of it as is read */
#define OFFSET		0x3000UL	/* of the page that is read */

/* Addresses with entries of their own in the topmost table. */
#ifdef LA57
#define LEVELS		5
#define CR4_BASE	(CR4_PAE | CR4_LA57)
#define PAGE		(0x0012123440000000 + OFFSET)
#define FAR		0x0070000000000000
#define VMALLOC		0xffa0000000000000
#define VMALLOC_END	0xffd2000000000000
#define DIRECT_MAP	0xff11000000000000
#else
#define LEVELS		4
#define CR4_BASE	CR4_PAE
#define PAGE		(0x0000123440000000 + OFFSET)
#define FAR		0x0000700000000000
#define VMALLOC		0xffffc90000000000
#define VMALLOC_END	0xffffe90000000000
#define DIRECT_MAP	0xffff888000000000
#endif
#define NONCANONICAL	(PAGE ^ BIT(63))
#define ONLY_LA57	0x0000900000000000	/* canonical with LA57 only */

#define PCIDE_PGE	(CR4_PCIDE | CR4_PGE)

/* start.S */
extern volatile u64 top_table[512];
extern u8 exception_stubs[32][16];
extern volatile u64 try_fixup, fault_address;
extern volatile u32 fault_vector, fault_error;
void toggle_pg(void);
void main(void);

/* machine.c */
struct invpcid {
	u64 pcid;
	u64 address;
};

struct cpuid {
	u32 a, b, c, d;
};

void *memset(void *to, int byte, u64 n);
void outb(u16 port, u8 value);
u8 inb(u16 port);
u64 read_cr3(void);
u64 read_cr4(void);
void write_cr3(u64 value);
void write_cr4(u64 value);
void invlpg(u64 address);
void invpcid(u64 type, u64 pcid, u64 address);
struct cpuid cpuid(u32 leaf, u32 sub);

/* One instruction that may fault; fault_vector tells, 0 if it did not. */
#define TRY(instruction, ...) do {					\
	forget_fault();							\
	asm volatile("movq $1f, try_fixup\n\t" instruction "\n"		\
		     "1:\tmovq $0, try_fixup" : : __VA_ARGS__ : "memory"); \
} while (0)

void forget_fault(void);
u64 fault(void);
u64 read(u64 address);
void write(u64 address, u64 value);
u64 try_read(u64 address);
void try_write(u64 address, u64 value);
void try_call(u64 address);
void set_up_idt(void);
void __noreturn unexpected_fault(u64 vector, u64 error, u64 rip, u64 address);

bool begin(const char *a, const char *b);
void expect(u64 got, u64 expected);
void __noreturn run_tests(void (*tests)(void));

/* paging.c */
volatile u64 *entry(u64 address, int level);
void map(u64 address, int level, u64 frame, u64 flags);
void remap(u64 address, int level, u64 flags);
void fresh(u64 cr4);
void use_pcid(u64 pcid);
u64 look(u64 address);
void known(u64 address, int level, u64 flags);
u64 write_lands(void);

/* ops.c: on the page of this size at an address */
typedef void operation(u64 page, u64 size);

operation nothing, invlpg_page, invlpg_far, invlpg_noncanonical;
operation invpcid_address_1, invpcid_context_1, invpcid_all, invpcid_nonglobal;
operation load_cr3, load_cr3_noflush, change_pge, set_pcide, off_and_on;

struct op {
	const char *name;
	operation *run;
	char expected[4];	/* of a page, a global page, tables; '-': no test */
	u8 levels;		/* sizes of pages it makes sense for; 0: all */
	u8 from;		/* PCID to run under, if not as before */
	u8 pcid;		/* to read under, the same */
	u32 flip;		/* in CR4, from PCIDE and PGE */
};

extern const struct op ops[];
extern const u32 nr_ops;

void run(const struct op *op, u64 size, u64 address, char expected);

/* entries.c */
void test_pages(const struct op *op, int level, bool global);
void test_sizes(void);
void test_rights(void);

/* tables.c */
void test_tables(const struct op *op, int level, bool away);
void test_table_rights(void);

/* faults.c */
void try_cr3(u64 flags, u64 b, u64 c);
void try_invpcid(u64 type, u64 pcid, u64 address);
void test_faults(void);

/* counters.c */
enum {
	WALKS, HITS, TABLE_HITS,
	STALE_USER, STALE_VMALLOC, STALE_KERNEL, IN_FLIGHT,
	OPS_INVLPG, OPS_INVPCID_ADDRESS, OPS_INVPCID_CONTEXT, OPS_INVPCID_ALL,
	OPS_INVPCID_NONGLOBAL, OPS_CR3_FLUSH, OPS_CR3_NOFLUSH, OPS_FLUSH_ALL,
	NR_COUNTERS
};

void snapshot(void);
void expect_counted(int first, int last, int which);
void test_cpuid(void);
void test_counters(void);

/* detector.c */
void test_detector(void);

#endif
