/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file steps.h
 * @brief A child that goes one call of the system at a time, or one instruction, and can be killed at any of them.
 *        Linux only (ptrace).
 */
#ifndef MPROC_TEST_STEPS_H
#define MPROC_TEST_STEPS_H

#include <mproc/mproc.h>

/** Skip the test where processes cannot be traced. */
void need_steps(void);

/** In a child by fork: from here on it goes step by step. 0, or -1 if it cannot be traced. */
int steps_begin(void);

/**
 * In the thread that started it: have the child do so many steps, and kill it there. A step is a call of the system
 * that is about to be made, one that has been made, or one in which the child sleeps. When it sleeps, what may wake it
 * is done (NULL: nothing), which tells whether there was something to be done: then to sleep again is another step.
 *
 * Whether it was killed; else it has ended by itself, and nobody has waited for it.
 */
int steps_go(mproc_process_t *process, int count, int (*while_asleep)(void *context), void *context);

/**
 * The same by instructions: in the child, what is done between steps_begin() and steps_end() can be walked through.
 * Not for processors whose atomic steps are loops of several instructions, which never end then.
 */
void steps_end(void);

/** In the thread that started it: wait until it has begun. */
void steps_meet(mproc_process_t *process);

/** Have it do so many instructions more: how many it did before it came to steps_end(). */
long steps_walk(mproc_process_t *process, long count);

/** Kill it where it is, or let it go on by itself, from there or from steps_end(). */
void steps_kill(mproc_process_t *process);
void steps_release(mproc_process_t *process);

#endif
