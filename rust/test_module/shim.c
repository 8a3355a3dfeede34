// SPDX-License-Identifier: GPL-2.0

#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/apic.h>
#include <asm/nmi.h>
#include <asm/processor.h>
#include <asm/set_memory.h>

#include "shim.h"

/* What an interrupt or NMI reads, and where it ran. */
static u64 *probe_addr;
static u64 probe_value;
static int probe_cpu;
static bool probe_done;

/*
 * The smallest value at the start of a page: values grow, so any stale page
 * shows.  TEST_UNMAPPED if the area is not mapped at this moment.
 */
u64 deferred_flush_test_read(u64 *addr)
{
	u64 smallest = TEST_UNMAPPED;
	u64 value;
	int page;

	pagefault_disable();
	for (page = 0; page < DEFERRED_FLUSH_TEST_PAGES; page++) {
		__get_kernel_nofault(&value, addr + page * PAGE_SIZE / sizeof(u64),
				     u64, unmapped);
		smallest = min(smallest, value);
	}
	pagefault_enable();
	return smallest;
unmapped:
	pagefault_enable();
	return TEST_UNMAPPED;
}

/* Through the direct map, wherever that leads. */
u64 deferred_flush_test_read_frame(u64 pfn)
{
	u64 value;

	if (!pfn_valid(pfn))
		return TEST_UNMAPPED;
	return get_kernel_nofault(value, (u64 *)pfn_to_kaddr(pfn)) ? TEST_UNMAPPED : value;
}

u64 deferred_flush_test_text_page_size(void)
{
	unsigned int level;

	return lookup_address((unsigned long)deferred_flush_test_read, &level) ?
	       page_level_size(level) : 0;
}

static void probe(void)
{
	WRITE_ONCE(probe_value, deferred_flush_test_read(READ_ONCE(probe_addr)));
	/* Publish the value.  Pairs with the acquire in ..._probe_done(). */
	smp_store_release(&probe_done, true);
}

static enum hrtimer_restart probe_timer_fn(struct hrtimer *timer)
{
	probe();
	return HRTIMER_NORESTART;
}

static struct hrtimer probe_timer;

static int probe_nmi(unsigned int cmd, struct pt_regs *regs)
{
	if (smp_processor_id() != READ_ONCE(probe_cpu) || READ_ONCE(probe_done))
		return NMI_DONE;

	probe();
	return NMI_HANDLED;
}

static u64 read_only __ro_after_init;

/* Where it is in the direct map. */
static u64 *read_only_alias(void)
{
	return page_address(vmalloc_to_page(&read_only)) + offset_in_page(&read_only);
}

static void write_ipi(void *alias)
{
	WRITE_ONCE(read_only, 1);
	WRITE_ONCE(*(u64 *)alias, 1);
}

/*
 * Has every CPU cache that it may write there.  set_memory_ro() has everything
 * flushed that is freed lazily by then: the image of this module, too.
 */
void deferred_flush_test_write_everywhere(void)
{
	vm_unmap_aliases();
	on_each_cpu(write_ipi, read_only_alias(), true);
}

/* When nobody may any more, not even by the direct map. */
int deferred_flush_test_write_read_only(bool alias)
{
	u64 *addr = alias ? read_only_alias() : &read_only;
	u64 value = 2;
	int ret = 0;

	pagefault_disable();
	__put_kernel_nofault(addr, &value, u64, fault);
out:
	pagefault_enable();
	return ret;
fault:
	ret = -EFAULT;
	goto out;
}

static DEFINE_MUTEX(wc_mutex);
static struct page *wc_page;
static void *wc_addr;

static void unmap_wc(void)
{
	if (wc_addr)
		vunmap(wc_addr);
	if (wc_page)
		__free_page(wc_page);
	wc_addr = NULL;
	wc_page = NULL;
}

/* Maps a page at a vmalloc address with a cache attribute, ... */
int deferred_flush_test_map_wc(void)
{
	guard(mutex)(&wc_mutex);
	unmap_wc();
	wc_page = alloc_page(GFP_KERNEL);
	if (wc_page)
		wc_addr = vmap(&wc_page, 1, VM_MAP, pgprot_writecombine(PAGE_KERNEL));
	/* CPA does, and nobody is to be interrupted for that. */
	vm_unmap_aliases();
	return wc_addr ? 0 : -ENOMEM;
}

/* ... and takes that away. */
int deferred_flush_test_set_wb(void)
{
	guard(mutex)(&wc_mutex);
	return wc_addr ? set_memory_wb((unsigned long)wc_addr, 1) : -ENXIO;
}

int deferred_flush_test_init(void)
{
	probe_cpu = -1;
	hrtimer_setup(&probe_timer, probe_timer_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	return register_nmi_handler(NMI_LOCAL, probe_nmi, 0, "deferred_flush_test");
}

void deferred_flush_test_exit(void)
{
	hrtimer_cancel(&probe_timer);
	unregister_nmi_handler(NMI_LOCAL, "deferred_flush_test");
	unmap_wc();
}

/* In @us microseconds, have a timer interrupt on this CPU read @addr. */
void deferred_flush_test_probe_timer(u64 *addr, u64 us)
{
	hrtimer_cancel(&probe_timer);
	probe_addr = addr;
	WRITE_ONCE(probe_done, false);
	hrtimer_start(&probe_timer, us_to_ktime(us), HRTIMER_MODE_REL_PINNED_HARD);
}

/* Have an NMI on @cpu read @addr. */
int deferred_flush_test_probe_nmi(unsigned int cpu, u64 *addr)
{
	guard(preempt)();
	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return -EINVAL;

	probe_addr = addr;
	WRITE_ONCE(probe_done, false);
	/* The NMI handler must see the address.  IPIs order nothing with x2APIC. */
	smp_mb();
	WRITE_ONCE(probe_cpu, cpu);
	smp_mb();
	apic->send_IPI(cpu, NMI_VECTOR);
	return 0;
}

static void probe_ipi(void *unused)
{
	probe();
}

int deferred_flush_test_probe_ipi(unsigned int cpu, u64 *addr)
{
	probe_addr = addr;
	WRITE_ONCE(probe_done, false);
	return smp_call_function_single(cpu, probe_ipi, NULL, true);
}

/* Whether the probe has run; then its value is in @value. */
bool deferred_flush_test_probe_done(u64 *value)
{
	/* Pairs with the release in probe(). */
	if (!smp_load_acquire(&probe_done))
		return false;
	*value = READ_ONCE(probe_value);
	return true;
}

/* In large pages, if there are any. */
void *deferred_flush_test_vmalloc_huge(size_t bytes)
{
	return vmalloc_huge(bytes, GFP_KERNEL);
}

/* The page table that maps @addr in small pages.  NULL: there is none. */
struct page *deferred_flush_test_table(unsigned long addr)
{
	unsigned int level;
	pte_t *pte = lookup_address(addr, &level);

	return pte && level == PG_LEVEL_4K ? virt_to_page(pte) : NULL;
}

/* Who takes @table for a page table, finds @target wherever he looks, and may read it. */
void deferred_flush_test_fill_table(struct page *table, struct page *target, bool user)
{
	pte_t pte = mk_pte(target, user ? PAGE_READONLY : PAGE_KERNEL_RO);

	memset64(page_address(target), TEST_REUSED, PAGE_SIZE / sizeof(u64));
	memset64(page_address(table), pte_val(pte), PTRS_PER_PTE);
}

/* In a table of PTEs that no area uses. */
static pte_t *forced;

/* Has @addr map what may stay in TLBs for as long as nobody has that address. */
void deferred_flush_test_force_ptes(unsigned long addr)
{
	unsigned int level;
	int i;

	forced = lookup_address(addr, &level);
	for (i = 0; i < DEFERRED_FLUSH_TEST_PAGES; i++)
		set_pte(forced + i, mk_pte(ZERO_PAGE(0), PAGE_KERNEL_RO));
}

/* With their table. */
void deferred_flush_test_forget_ptes(void)
{
	forced = NULL;
}

/* Without a flush: that of any gigabyte does.  See ..._unmap_giga(). */
void deferred_flush_test_clear_ptes(void)
{
	int i;

	if (!forced)
		return;
	for (i = 0; i < DEFERRED_FLUSH_TEST_PAGES; i++)
		set_pte(forced + i, __pte(0));
	forced = NULL;
	deferred_flush_test_map_giga();
}

static void __iomem *giga;

/* A gigabyte of what is hardly ever there, in one page, if there are such. */
unsigned long deferred_flush_test_map_giga(void)
{
	deferred_flush_test_unmap_giga();
	giga = ioremap(BIT_ULL(boot_cpu_data.x86_phys_bits - 1), SZ_1G);
	return (unsigned long)giga;
}

void deferred_flush_test_unmap_giga(void)
{
	if (!giga)
		return;
	iounmap(giga);
	giga = NULL;
	vm_unmap_aliases();
}

bool deferred_flush_test_is_giga(unsigned long addr)
{
	unsigned int level;

	return lookup_address(addr, &level) && level == PG_LEVEL_1G;
}

/*
 * Will this CPU be given the address again, once it has been purged?  It is kept
 * in the pool of its node of mm/vmalloc.c then, and a CPU allocates from one.
 */
bool deferred_flush_test_comes_back(unsigned long addr)
{
	/* nr_vmap_nodes and vmap_zone_size there. */
	unsigned int nodes = clamp(num_possible_cpus(), 1U, 128U);

	return addr / (16 * PAGE_SIZE) % nodes == raw_smp_processor_id() % nodes;
}

/* What is freed lazily by now, and flushes at once: never deferred. */
void deferred_flush_test_purge_small(void)
{
	vm_unmap_aliases();
}

/* Enough lazily freed addresses for vmalloc to purge all of them, soon. */
int deferred_flush_test_purge(void)
{
	/* lazy_max_pages() of mm/vmalloc.c, and one. */
	unsigned long nr = fls(num_online_cpus()) * (32UL * 1024 * 1024 / PAGE_SIZE) + 1;
	struct page *page, **pages;
	void *addr = NULL;

	page = alloc_page(GFP_KERNEL);
	pages = kvmalloc_array(nr, sizeof(*pages), GFP_KERNEL);
	if (page && pages) {
		memset64((u64 *)pages, (u64)page, nr);
		addr = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
		vunmap(addr);
	}
	kvfree(pages);
	if (page)
		__free_page(page);
	return addr ? 0 : -ENOMEM;
}
