// SPDX-License-Identifier: GPL-2.0
/*
 * BPF programs are loaded and thrown away.  Without a JIT compiler the kernel
 * changes the permissions of the memory of each with set_memory_ro().
 *
 * Reports how many interrupts the CPUs in user mode receive.  What it is there
 * for is judged by the machine that counts stale hits.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <sys/syscall.h>
#include "kselftest_harness.h"
#include "deferred_flush_test.h"

#define JIT "/proc/sys/net/core/bpf_jit_enable"

static int load_program(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)insns,
		.insn_cnt = 2,
		.license = (uintptr_t)"GPL",
	};

	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

TEST(programs_are_loaded)
{
	pthread_t threads[MAX_CPUS];
	int cpus[MAX_CPUS];
	struct ipi_count count;
	uint64_t end, rounds = 0;
	char was = '1';
	int nr, i, fd;
	FILE *jit;

	fd = load_program();
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "no CONFIG_BPF_SYSCALL, or not root");
	ASSERT_LE(0, fd) TH_LOG("%s", strerror(errno));
	close(fd);
	/* Without a JIT compiler there is nothing to turn off. */
	jit = fopen(JIT, "r+");
	if (jit) {
		was = fgetc(jit);
		rewind(jit);
		fputc('0', jit);
		if (fflush(jit)) {
			fclose(jit);
			SKIP(return, "the JIT compiler cannot be turned off");
		}
	}

	nr = allowed_cpus(cpus);
	spinners_stop = false;
	for (i = 1; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, spinner,
					    (void *)(intptr_t)cpus[i]));
	ASSERT_EQ(0, pin_to(cpus[0]));
	sleep_ms(200);

	count_start(&count, cpus + 1, nr - 1, 0);
	for (end = now_ms() + test_ms(); now_ms() < end; rounds++) {
		fd = load_program();
		ASSERT_LE(0, fd) TH_LOG("%s", strerror(errno));
		close(fd);
	}
	count_stop(&count);

	spinners_stop = true;
	for (i = 1; i < nr; i++)
		pthread_join(threads[i], NULL);
	if (jit) {
		rewind(jit);
		fputc(was, jit);
		fclose(jit);
	}
	print_result("bpf", "1", nr, rounds, &count, 0);
	EXPECT_LT(0, rounds);
}

TEST_HARNESS_MAIN
