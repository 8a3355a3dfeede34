/* SPDX-License-Identifier: GPL-2.0 */
/* From multiboot to 64-bit C, and what C cannot express. */

#define MULTIBOOT_MAGIC	0x1badb002

#define CR0_PE		0x1
#define CR0_WP		0x10000
#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define CR4_LA57	0x1000
#define MSR_EFER	0xc0000080
#define EFER_LME_NXE	0x900

#define CODE64		0x08
#define DATA		0x10
#define CODE32		0x18

	.section .multiboot, "a"
	.long	MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.text
	.code32
	.globl	start
start:
	cli
	cld
	movl	$bss_start, %edi
	movl	$bss_end, %ecx
	subl	%edi, %ecx
	xorl	%eax, %eax
	rep stosb
	movl	$stack_end, %esp
#ifdef LA57
	movl	$(CR4_PAE | CR4_LA57), %eax
#else
	movl	$CR4_PAE, %eax
#endif
	movl	%eax, %cr4
	movl	$top_table, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	$(CR0_PE | CR0_WP | CR0_PG), %eax
	movl	%eax, %cr0
	lgdt	gdt_pointer
	movw	$DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	ljmp	$CODE64, $1f
	.code64
1:	movl	%esp, %esp
	call	main
	hlt

/*
 * Clears CR0.PG and sets it again.  Only compatibility mode may do that; all of
 * this is mapped one to one.  A fault is left in fault_vector.
 */
	.globl	toggle_pg
toggle_pg:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movl	$0, fault_vector
	movq	$3f, try_fixup
	pushq	$CODE32
	pushq	$2f
	lretq
	.code32
2:	movl	%cr0, %ecx
	movl	%ecx, %eax
	andl	$~CR0_PG, %eax
	movl	%eax, %cr0
	movl	%ecx, %cr0
3:	ljmp	$CODE64, $4f
	.code64
4:	movl	%esp, %esp
	movq	$0, try_fixup
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* One stub of 16 bytes for each exception; 8, 10-14, 17, 21 push an error code. */
	.balign	16
	.globl	exception_stubs
exception_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!((0x227d00 >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

exception:
	pushq	%rax
	cmpq	$0, try_fixup
	je	1f
	movq	8(%rsp), %rax
	movl	%eax, fault_vector
	movq	16(%rsp), %rax
	movl	%eax, fault_error
	movq	%cr2, %rax
	movq	%rax, fault_address
	movq	try_fixup, %rax
	movq	%rax, 24(%rsp)
	movq	$0, try_fixup
	popq	%rax
	addq	$16, %rsp
	iretq
1:	movq	8(%rsp), %rdi
	movq	16(%rsp), %rsi
	movq	24(%rsp), %rdx
	movq	%cr2, %rcx
	andq	$~15, %rsp
	call	unexpected_fault

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cf9b000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

/* The first 4 GiB, one to one. */
	.balign	4096
	.globl	top_table
#ifdef LA57
top_table:
	.quad	pml4 + 3
	.fill	511, 8, 0
pml4:
#else
top_table:
#endif
	.quad	pdpt + 3
	.fill	511, 8, 0
pdpt:
	.quad	pd + 0x0003, pd + 0x1003, pd + 0x2003, pd + 0x3003
	.fill	508, 8, 0
pd:
	.set	page, 0
	.rept	2048
	.quad	(page << 21) + 0x83
	.set	page, page + 1
	.endr

	.bss
	.globl	try_fixup, fault_vector, fault_error, fault_address
	.balign	16
try_fixup:
	.skip	8
fault_address:
	.skip	8
fault_vector:
	.skip	4
fault_error:
	.skip	4
	.balign	16
	.skip	16384
stack_end:

	.section .note.GNU-stack, "", @progbits
