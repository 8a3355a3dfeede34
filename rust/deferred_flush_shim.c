// SPDX-License-Identifier: GPL-2.0

#include <linux/array_size.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include <asm/deferred_flush.h>
#include <asm/deferred_flush_ops.h>

#include "deferred_flush_shim.h"

#define CREATE_TRACE_POINTS
#include "deferred_flush_trace.h"

/*
 * Catching up cannot be traced where it happens. While its event is on, do it
 * where this CPU next gets: at a system call or a timer interrupt.
 */
static void on_sys_enter(void *data, struct pt_regs *regs, long id)
{
	deferred_flush_report();
}

static void on_timer(void *data, int vector)
{
	deferred_flush_report();
}

static struct probe {
	const char *name;
	void *func;
	struct tracepoint *tp;
} probes[] = {
	{ "sys_enter", on_sys_enter },
	{ "local_timer_entry", on_timer },
};

static void find_probe(struct tracepoint *tp, void *data)
{
	struct probe *probe;

	for (probe = probes; probe < probes + ARRAY_SIZE(probes); probe++)
		if (!strcmp(tp->name, probe->name))
			probe->tp = tp;
}

int deferred_flush_trace_reg(void)
{
	struct probe *probe;
	int err;

	for_each_kernel_tracepoint(find_probe, NULL);
	for (probe = probes; probe < probes + ARRAY_SIZE(probes); probe++) {
		if (!probe->tp)
			continue;
		err = tracepoint_probe_register(probe->tp, probe->func, NULL);
		if (err) {
			while (probe-- > probes)
				if (probe->tp)
					tracepoint_probe_unregister(probe->tp, probe->func, NULL);
			return err;
		}
	}
	return 0;
}

void deferred_flush_trace_unreg(void)
{
	struct probe *probe;

	for (probe = probes; probe < probes + ARRAY_SIZE(probes); probe++)
		if (probe->tp)
			tracepoint_probe_unregister(probe->tp, probe->func, NULL);
	/* No probe runs once the module may go. */
	tracepoint_synchronize_unregister();
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
