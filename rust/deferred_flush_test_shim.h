/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEFERRED_FLUSH_TEST_SHIM_H
#define DEFERRED_FLUSH_TEST_SHIM_H

#include <linux/types.h>

int deferred_flush_test_init(void);
void deferred_flush_test_exit(void);
void deferred_flush_test_probe_timer(u64 *addr, u64 us);
int deferred_flush_test_probe_nmi(unsigned int cpu, u64 *addr);
bool deferred_flush_test_probe_done(u64 *value);
int deferred_flush_test_purge(void);

#endif
