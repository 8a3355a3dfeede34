// SPDX-License-Identifier: GPL-2.0
/* Instructions, those that may fault, and the output. */
#include "machine.h"

void *memset(void *to, int byte, u64 n)
{
	void *p = to;

	asm volatile("rep stosb" : "+D" (p), "+c" (n) : "a" (byte) : "memory");
	return to;
}

/* Instructions */

static void outl(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a" (value), "d" (port));
}

void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a" (value), "d" (port));
}

u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a" (value) : "d" (port));
	return value;
}

u64 read_cr3(void)
{
	u64 value;

	asm volatile("mov %%cr3, %0" : "=r" (value));
	return value;
}

u64 read_cr4(void)
{
	u64 value;

	asm volatile("mov %%cr4, %0" : "=r" (value));
	return value;
}

void write_cr3(u64 value)
{
	asm volatile("mov %0, %%cr3" : : "r" (value) : "memory");
}

void write_cr4(u64 value)
{
	asm volatile("mov %0, %%cr4" : : "r" (value) : "memory");
}

void invlpg(u64 address)
{
	asm volatile("invlpg (%0)" : : "r" (address) : "memory");
}

void invpcid(u64 type, u64 pcid, u64 address)
{
	struct invpcid descriptor = { pcid, address };

	asm volatile("invpcid %0, %1" : : "m" (descriptor), "r" (type) : "memory");
}

struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a" (r.a), "=b" (r.b), "=c" (r.c), "=d" (r.d)
		     : "a" (leaf), "c" (sub));
	return r;
}

/* Exceptions */

void forget_fault(void)
{
	fault_vector = 0;
	fault_error = 0;
}

u64 fault(void)
{
	return (u64)fault_error << 8 | fault_vector;
}

u64 read(u64 address)
{
	return *(volatile u64 *)address;
}

void write(u64 address, u64 value)
{
	*(volatile u64 *)address = value;
}

u64 try_read(u64 address)
{
	u64 value = 0;

	forget_fault();
	asm volatile("movq $1f, try_fixup\n\t"
		     "movq (%1), %0\n"
		     "1:\tmovq $0, try_fixup"
		     : "+r" (value) : "r" (address) : "memory");
	return value;
}

void try_write(u64 address, u64 value)
{
	TRY("movq %0, (%1)", "r" (value), "r" (address));
}

/* Calls what is no more than a RET; a fault there leaves a return address. */
void try_call(u64 address)
{
	forget_fault();
	asm volatile("movq $1f, try_fixup\n\t"
		     "mov %%rsp, %%rbx\n\t"
		     "call *%0\n"
		     "1:\tmov %%rbx, %%rsp\n\t"
		     "movq $0, try_fixup" : : "r" (address) : "rbx", "memory");
}

void set_up_idt(void)
{
	static u64 idt[32][2];
	struct {
		u16 limit;
		u64 base;
	} __packed pointer = { sizeof(idt) - 1, (u64)idt };
	u32 i;

	for (i = 0; i < 32; i++) {
		u64 stub = (u64)exception_stubs[i];

		idt[i][0] = (stub & 0xffff) | 0x08 << 16 | 0x8eUL << 40 |
			    (stub >> 16 & 0xffff) << 48;
		idt[i][1] = stub >> 32;
	}
	asm volatile("lidt %0" : : "m" (pointer));
}

/* Output */

static bool counting;	/* only count the tests, for the plan */
static u32 nr_tests, nr_failed;
static const char *name[2];

static void put(const char *s)
{
	while (*s)
		outb(0xe9, *s++);
}

static void put_number(u64 value, u32 base)
{
	char digits[21], *p = &digits[20];

	*p = 0;
	do {
		*--p = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put(p);
}

static void put_value(u64 value)
{
	char letter[2] = { value, 0 };

	if (value >= 'A' && value <= 'Z') {
		put(letter);
	} else {
		put("0x");
		put_number(value, 16);
	}
}

static void put_name(void)
{
	put(name[0]);
	put(name[1]);
}

/* Every test begins with this, and does nothing if it is false. */
bool begin(const char *a, const char *b)
{
	name[0] = a;
	name[1] = b;
	nr_tests++;
	return !counting;
}

void expect(u64 got, u64 expected)
{
	put(got == expected ? "ok " : "not ok ");
	put_number(nr_tests, 10);
	put(" ");
	put_name();
	if (got != expected) {
		nr_failed++;
		put(" # got ");
		put_value(got);
		put(" expected ");
		put_value(expected);
	}
	put("\n");
}

static void __noreturn leave(u32 code)
{
	outl(0xf4, code);
	for (;;)
		asm volatile("cli; hlt");
}

void __noreturn unexpected_fault(u64 vector, u64 error, u64 rip, u64 address)
{
	put("Bail out! ");
	put_name();
	put(": vector ");
	put_number(vector, 10);
	put(" error 0x");
	put_number(error, 16);
	put(" rip 0x");
	put_number(rip, 16);
	put(" cr2 0x");
	put_number(address, 16);
	put("\n");
	leave(2);
}

/* Twice: to count them, and to run them. */
void __noreturn run_tests(void (*tests)(void))
{
	counting = 1;
	tests();
	put("TAP version 13\n1..");
	put_number(nr_tests, 10);
	put("\n");
	counting = 0;
	nr_tests = 0;
	tests();
	leave(nr_failed != 0);
}
