/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread on another CPU that caches the translation of the test device's area,
 * waits, and reads again: what the coherence tests share.
 */
#ifndef READER_H
#define READER_H

#include "deferred_flush_test.h"

enum turn {
	READER_FILLS,	/* The reader caches the translation, ... */
	READER_WAITS,	/* ... waits in user mode, if waits() does nothing else, ... */
	READER_READS,	/* ... and enters the kernel, and reads there. */
	READER_DOES,	/* Or does what the test has for it. */
	READER_DONE,
	READER_EXITS,
};

static volatile enum turn turn;
static volatile uint64_t reader_value;
static volatile bool reader_failed;
static int reader_fd;

/* What a test adds; NULL: nothing. */
static struct {
	void (*filled)(void);
	void (*waits)(void);
	void (*does)(void);
	int (*reads)(uint64_t *value);	/* not by libc */
} reader_adds;

static inline void *reader(void *cpu)
{
	uint64_t value;

	if (pin_to((intptr_t)cpu))
		reader_failed = true;

	for (;;) {
		/* Spins without a system call: this CPU is in user mode. */
		switch (turn) {
		case READER_FILLS:
			if (ioctl(reader_fd, TEST_READ, &value))
				reader_failed = true;
			if (reader_adds.filled)
				reader_adds.filled();
			turn = READER_WAITS;
			if (reader_adds.waits)
				reader_adds.waits();
			break;
		case READER_READS:
			if (reader_adds.reads ? reader_adds.reads(&value) :
						ioctl(reader_fd, TEST_READ, &value))
				reader_failed = true;
			reader_value = value;
			turn = READER_DONE;
			break;
		case READER_DOES:
			reader_adds.does();
			turn = READER_DONE;
			break;
		case READER_EXITS:
			return NULL;
		default:
			break;
		}
	}
}

static inline void await_turn(enum turn until)
{
	while (turn != until)
		sched_yield();
}

/* The reader's turn, until it has come to @until. */
static inline void hand_over(enum turn to, enum turn until)
{
	turn = to;
	await_turn(until);
}

/* Begins the reader on @cpu.  0, or an error number. */
static inline int start_reader(pthread_t *thread, int fd, int cpu)
{
	reader_fd = fd;
	reader_failed = false;
	turn = READER_DONE;
	return pthread_create(thread, NULL, reader, (void *)(intptr_t)cpu);
}

#endif
