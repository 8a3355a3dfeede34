/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM deferred_flush

#if !defined(DEFERRED_FLUSH_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DEFERRED_FLUSH_TRACE_H

#include <linux/tracepoint.h>

#include "shim.h"

DECLARE_EVENT_CLASS(deferred_flush_target,
	TP_PROTO(unsigned int target, u64 gen),
	TP_ARGS(target, gen),
	TP_STRUCT__entry(
		__field(unsigned int, target)
		__field(u64, gen)
	),
	TP_fast_assign(
		__entry->target = target;
		__entry->gen = gen;
	),
	TP_printk("target=%u gen=%llu", __entry->target, __entry->gen)
);

/* A flush was left to the target's next kernel entry. */
DEFINE_EVENT(deferred_flush_target, defer,
	TP_PROTO(unsigned int target, u64 gen),
	TP_ARGS(target, gen)
);

/* A target gave no promise and is interrupted (or is the initiator itself). */
DEFINE_EVENT(deferred_flush_target, ipi,
	TP_PROTO(unsigned int target, u64 gen),
	TP_ARGS(target, gen)
);

#define DEFERRED_FLUSH_HOW				\
	{ DEFERRED_FLUSH_RECORDED_RANGES, "ranges" },	\
	{ DEFERRED_FLUSH_RECORDED_FULL, "full" },	\
	{ DEFERRED_FLUSH_RECORDED_NOW, "now" }

/* What became of the user PCID's part of a flush of user addresses. */
TRACE_EVENT(record,
	TP_PROTO(unsigned long start, unsigned long end,
		 unsigned int stride_shift, unsigned int how),
	TP_ARGS(start, end, stride_shift, how),
	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, stride_shift)
		__field(unsigned int, how)
	),
	TP_fast_assign(
		__entry->start = start;
		__entry->end = end;
		__entry->stride_shift = stride_shift;
		__entry->how = how;
	),
	TP_printk("start=%#lx end=%#lx stride_shift=%u how=%s",
		  __entry->start, __entry->end, __entry->stride_shift,
		  __print_symbolic(__entry->how, DEFERRED_FLUSH_HOW))
);

int deferred_flush_trace_reg(void);
void deferred_flush_trace_unreg(void);

/*
 * This CPU has caught up.  Emitted at its next system call or timer interrupt,
 * because where it happens nothing can be traced; count is the number since the
 * last event.
 */
TRACE_EVENT_FN(catch_up,
	TP_PROTO(u64 gen, u64 count),
	TP_ARGS(gen, count),
	TP_STRUCT__entry(
		__field(u64, gen)
		__field(u64, count)
	),
	TP_fast_assign(
		__entry->gen = gen;
		__entry->count = count;
	),
	TP_printk("gen=%llu count=%llu", __entry->gen, __entry->count),
	deferred_flush_trace_reg, deferred_flush_trace_unreg
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE deferred_flush_trace
#include <trace/define_trace.h>
