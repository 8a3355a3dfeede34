// SPDX-License-Identifier: GPL-2.0
/* For kunit.rs: what it needs of the kernel in C. */

#include <linux/err.h>
#include <linux/hw_breakpoint.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>

#include <asm/deferred_flush.h>

#include "shim.h"

/* 0 if the page of @cpu could be given a data breakpoint, which is not left there. */
int deferred_flush_kunit_breakpoint(unsigned int cpu)
{
	struct perf_event * __percpu *event;
	struct perf_event_attr attr;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)per_cpu_ptr(&deferred_flush_cpu, cpu);
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_W;
	event = register_wide_hw_breakpoint(&attr, NULL, NULL);
	if (IS_ERR((void __force *)event))
		return PTR_ERR((void __force *)event);
	unregister_wide_hw_breakpoint(event);
	return 0;
}
