// SPDX-License-Identifier: GPL-2.0

#include <linux/cpumask.h>
#include <linux/percpu.h>

#include <asm/deferred_flush.h>
#include <asm/deferred_flush_ops.h>

#include "deferred_flush_shim.h"

#define CREATE_TRACE_POINTS
#include "deferred_flush_trace.h"

int deferred_flush_trace_reg(void)
{
	deferred_flush_set_report(true);
	return 0;
}

void deferred_flush_trace_unreg(void)
{
	deferred_flush_set_report(false);
}

struct deferred_flush_cpu *deferred_flush_shim_cpu(unsigned int cpu)
{
	return per_cpu_ptr(&deferred_flush_cpu, cpu);
}

struct deferred_flush_local *deferred_flush_shim_local(unsigned int cpu)
{
	return per_cpu_ptr(&deferred_flush_local, cpu);
}

struct deferred_flush_local *deferred_flush_shim_this_local(void)
{
	return this_cpu_ptr(&deferred_flush_local);
}

bool deferred_flush_shim_possible(unsigned int cpu)
{
	return cpu_possible(cpu);
}

void deferred_flush_shim_trace_defer(unsigned int cpu, u64 gen)
{
	trace_defer(cpu, gen);
}

void deferred_flush_shim_trace_ipi(unsigned int cpu, u64 gen)
{
	trace_ipi(cpu, gen);
}

void deferred_flush_shim_trace_catch_up(u64 gen, u64 count)
{
	trace_catch_up(gen, count);
}
