/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEFERRED_FLUSH_TEST_SHIM_H
#define DEFERRED_FLUSH_TEST_SHIM_H

#include <linux/types.h>

#include "uapi.h"

struct page;

/*
 * Pages of the area that is freed and mapped anew.  Many, as some translations
 * get lost on the way to the reading; and a number that hardly anybody else
 * uses, so that vmalloc has one free area of that size, and gives it back.
 */
#define DEFERRED_FLUSH_TEST_PAGES 29

int deferred_flush_test_init(void);
u64 deferred_flush_test_read(u64 *addr);
void deferred_flush_test_exit(void);
void deferred_flush_test_probe_timer(u64 *addr, u64 us);
int deferred_flush_test_probe_nmi(unsigned int cpu, u64 *addr);
int deferred_flush_test_probe_ipi(unsigned int cpu, u64 *addr);
bool deferred_flush_test_probe_done(u64 *value);
bool deferred_flush_test_comes_back(unsigned long addr);
int deferred_flush_test_purge(void);
void deferred_flush_test_purge_small(void);
void deferred_flush_test_write_everywhere(void);
int deferred_flush_test_write_read_only(bool alias);
void *deferred_flush_test_vmalloc_huge(size_t bytes);
struct page *deferred_flush_test_table(unsigned long addr);
void deferred_flush_test_fill_table(struct page *table, struct page *target, bool user);
void deferred_flush_test_force_ptes(unsigned long addr);
void deferred_flush_test_forget_ptes(void);
void deferred_flush_test_clear_ptes(void);
unsigned long deferred_flush_test_map_giga(void);
void deferred_flush_test_unmap_giga(void);
bool deferred_flush_test_is_giga(unsigned long addr);
int deferred_flush_test_map_wc(void);
int deferred_flush_test_set_wb(void);
u64 deferred_flush_test_read_frame(u64 pfn);
u64 deferred_flush_test_text_page_size(void);

#endif
