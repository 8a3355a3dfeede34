/* SPDX-License-Identifier: GPL-2.0 */
/* Another process, with an ASID of its own, that reads what TEST_READ reads. */
#ifndef OTHER_PROCESS_H
#define OTHER_PROCESS_H

#include <sys/wait.h>
#include "deferred_flush_test.h"

struct other_process {
	pid_t pid;
	/* Each byte on the pipe is a read of the address, answered by its value. */
	int request;
	int answer;
};

static inline void serve_reads(int fd, int cpu, int request, int answer)
{
	uint64_t value;
	char byte;

	if (pin_to(cpu))
		_exit(1);
	while (read(request, &byte, 1) == 1) {
		if (ioctl(fd, TEST_READ, &value) ||
		    write(answer, &value, sizeof(value)) != sizeof(value))
			_exit(1);
	}
	_exit(0);
}

/* On @cpu, with @fd for the device. */
static inline bool start_other(struct other_process *other, int fd, int cpu)
{
	int request[2], answer[2];

	if (pipe(request) || pipe(answer))
		return false;
	other->pid = fork();
	if (!other->pid) {
		close(request[1]);
		serve_reads(fd, cpu, request[0], answer[1]);
	}
	close(request[0]);
	close(answer[1]);
	other->request = request[1];
	other->answer = answer[0];
	return other->pid > 0;
}

static inline bool ask(struct other_process *other, uint64_t *value)
{
	return write(other->request, "", 1) == 1 &&
	       read(other->answer, value, sizeof(*value)) == sizeof(*value);
}

/* False if it has failed. */
static inline bool end_other(struct other_process *other)
{
	int status;

	close(other->request);
	close(other->answer);
	return waitpid(other->pid, &status, 0) == other->pid && !status;
}

#endif
