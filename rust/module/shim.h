/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEFERRED_FLUSH_SHIM_H
#define DEFERRED_FLUSH_SHIM_H

/*
 * What Rust calls in C, by bindgen: what the kernel crate has no way to name.
 * Anything with a branch belongs there.
 */
#include <linux/types.h>

struct tracepoint;

/* What became of a flush of user addresses, in the event record. */
#define DEFERRED_FLUSH_RECORDED_RANGES	0	/* INVLPG on exit */
#define DEFERRED_FLUSH_RECORDED_FULL	1	/* CR3 write on exit */
#define DEFERRED_FLUSH_RECORDED_NOW	2	/* INVPCID */

/* shim.c: sched/isolation.h is not bound, and an inline at that. */
bool deferred_flush_shim_isolated(unsigned int cpu);

/* shim.c: the events, by deferred_flush_trace.h.  Only macros make such. */
extern struct tracepoint __tracepoint_defer;
extern struct tracepoint __tracepoint_ipi;
extern struct tracepoint __tracepoint_catch_up;
extern struct tracepoint __tracepoint_record;
void rust_do_trace_defer(unsigned int target, u64 gen);
void rust_do_trace_ipi(unsigned int target, u64 gen);
void rust_do_trace_catch_up(u64 gen, u64 count);
void rust_do_trace_record(unsigned long start, unsigned long end,
			  unsigned int stride_shift, unsigned int how);

/* probes.c */
void deferred_flush_probes_exit(void);

/* kunit_breakpoint.c */
int deferred_flush_kunit_breakpoint(unsigned int cpu);

/* hooks.rs */
void deferred_flush_report(void);

#endif
