// SPDX-License-Identifier: GPL-2.0

#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/cleanup.h>
#include <linux/cpumask.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sched/isolation.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include <asm/deferred_flush.h>
#include <asm/deferred_flush_ops.h>

#include "shim.h"

#define CREATE_TRACE_POINTS
#include "deferred_flush_trace.h"

/* As percpu.rs and protocol/user.rs have them. */
static_assert(offsetof(struct deferred_flush_cpu, range_bytes) == 16);
static_assert(offsetof(struct deferred_flush_cpu, ranges) == 24);
static_assert(sizeof_field(struct deferred_flush_cpu, ranges) == 4 * 24);
static_assert(offsetof(struct deferred_flush_local, credit) == 14 * 8);
static_assert(sizeof(struct deferred_flush_local) == 23 * 8);
/* As protocol/policy.rs. */
static_assert(DEFERRED_FLUSH_PROMISE_USER == 1 && DEFERRED_FLUSH_PROMISE_IDLE == 2 &&
	      DEFERRED_FLUSH_PROMISE_ASK == 4);

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
	bool added;
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

static void add_probes(void)
{
	struct probe *probe;

	for_each_kernel_tracepoint(find_probe, NULL);
	for (probe = probes; probe < probes + ARRAY_SIZE(probes); probe++)
		probe->added = probe->tp &&
			!tracepoint_probe_register(probe->tp, probe->func, NULL);
}

static void remove_probes(void)
{
	struct probe *probe;

	for (probe = probes; probe < probes + ARRAY_SIZE(probes); probe++) {
		if (probe->added)
			tracepoint_probe_unregister(probe->tp, probe->func, NULL);
		probe->added = false;
	}
	/* No probe runs once the module may go. */
	tracepoint_synchronize_unregister();
}

static bool probes_wanted;
static bool probes_closed;
static DEFINE_MUTEX(probes_lock);

static void update_probes(struct work_struct *work)
{
	remove_probes();
	if (READ_ONCE(probes_wanted))
		add_probes();
}

static DECLARE_WORK(probes_work, update_probes);

/*
 * Called with tracepoints_mutex held, which adding a probe takes, too: leave it
 * to a worker. Called once more after deferred_flush_shim_exit(), when the
 * events of the module are removed: not then.
 */
static void want_probes(bool wanted)
{
	guard(mutex)(&probes_lock);
	WRITE_ONCE(probes_wanted, wanted);
	if (!probes_closed)
		schedule_work(&probes_work);
}

int deferred_flush_trace_reg(void)
{
	want_probes(true);
	return 0;
}

void deferred_flush_trace_unreg(void)
{
	want_probes(false);
}

void deferred_flush_shim_exit(void)
{
	scoped_guard(mutex, &probes_lock)
		probes_closed = true;
	cancel_work_sync(&probes_work);
	remove_probes();
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

bool deferred_flush_shim_isolated(unsigned int cpu)
{
	return !housekeeping_cpu(cpu, HK_TYPE_KERNEL_NOISE);
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

void deferred_flush_shim_trace_record(unsigned long start, unsigned long end,
				      unsigned int stride_shift, unsigned int how)
{
	trace_record(start, end, stride_shift, how);
}
