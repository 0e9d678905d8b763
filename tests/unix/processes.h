/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file processes.h
 * @brief A look at other processes through /proc, for tests that count what is left. Linux has it; others skip.
 */
#ifndef MPROC_TEST_PROCESSES_H
#define MPROC_TEST_PROCESSES_H

#include <stddef.h>

#include "support/random.h"

/** Skip the test where /proc does not tell. */
void need_proc(void);

/** List the children of a process, zombies included: how many there are, which may be more than `capacity`. */
int children_of(int parent, int *pids, int capacity);

/** The fork server that a process started, or 0. */
int server_of(int parent);

/** Wait until a process has a fork server, whose program runs: that, or 0 if it has none within so many seconds. */
int server_within(int parent, int seconds);

/** How many descriptors a process has open; -1 if it is gone. */
int descriptors_of(int pid);

/** How many threads this process has. */
int count_threads(void);

/** Wait until a process has just so many children: 1, or 0 if it has not within so many seconds. */
int has_children_within(int parent, int count, int seconds);

/** Wait until a process has at most so many descriptors: 1, or 0 if it has not within so many seconds. */
int has_descriptors_within(int pid, int most, int seconds);

#endif
