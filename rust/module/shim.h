/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEFERRED_FLUSH_SHIM_H
#define DEFERRED_FLUSH_SHIM_H

#include <linux/types.h>

/*
 * For Rust, which cannot name macros, static inlines and per-CPU variables.
 * Anything with a branch belongs there.
 */
struct deferred_flush_cpu *deferred_flush_shim_cpu(unsigned int cpu);
struct deferred_flush_local *deferred_flush_shim_local(unsigned int cpu);
struct deferred_flush_local *deferred_flush_shim_this_local(void);
bool deferred_flush_shim_possible(unsigned int cpu);
bool deferred_flush_shim_isolated(unsigned int cpu);
void deferred_flush_shim_exit(void);
void deferred_flush_shim_trace_defer(unsigned int cpu, u64 gen);
void deferred_flush_shim_trace_ipi(unsigned int cpu, u64 gen);
void deferred_flush_shim_trace_catch_up(u64 gen, u64 count);
void deferred_flush_shim_trace_record(unsigned long start, unsigned long end,
				      unsigned int stride_shift, unsigned int how);

/* kunit_breakpoint.c */
int deferred_flush_kunit_breakpoint(unsigned int cpu);

/* hooks.rs */
void deferred_flush_report(void);

#endif
