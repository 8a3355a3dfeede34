// SPDX-License-Identifier: GPL-2.0

#include <linux/sched/isolation.h>

#include "shim.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "deferred_flush_trace.h"

bool deferred_flush_shim_isolated(unsigned int cpu)
{
	return !housekeeping_cpu(cpu, HK_TYPE_KERNEL_NOISE);
}
