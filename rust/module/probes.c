// SPDX-License-Identifier: GPL-2.0
/*
 * The probes that emit the event catch_up.  In C: the kernel crate can neither
 * probe tracepoints nor wait for those that do.
 */

#include <linux/array_size.h>
#include <linux/cleanup.h>
#include <linux/irqflags.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include "deferred_flush_trace.h"
#include "shim.h"

/*
 * Catching up cannot be traced where it happens. While its event is on, do it
 * where this CPU next gets: at a system call or a timer interrupt.
 */
static void report(void)
{
	/* A system call may be preempted here, and the timer comes in between. */
	guard(irqsave)();
	deferred_flush_report();
}

static void on_sys_enter(void *data, struct pt_regs *regs, long id)
{
	report();
}

static void on_timer(void *data, int vector)
{
	report();
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
 * to a worker. Called once more after deferred_flush_probes_exit(), when the
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

void deferred_flush_probes_exit(void)
{
	scoped_guard(mutex, &probes_lock)
		probes_closed = true;
	cancel_work_sync(&probes_work);
	remove_probes();
}
