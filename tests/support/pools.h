/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pools.h
 * @brief Pools under test, and a board in the family's memory on which their tasks and the test tell each other things.
 */
#ifndef MPROC_TEST_POOLS_H
#define MPROC_TEST_POOLS_H

#include <stdatomic.h>

#include "messages.h"

enum { BOARD_RUNS = 100000, BOARD_NOTES = 64 };

/** What tasks and the test tell each other. */
typedef struct board_t {
    _Atomic uint32_t begun;
    _Atomic uint32_t ended;
    _Atomic uint32_t gate; /* tasks that wait go on when it is not 0 */
    _Atomic uint32_t notes[BOARD_NOTES];
    _Atomic uint32_t runs[BOARD_RUNS]; /* how often each was begun, or whatever is counted */
} board_t;

/** The board of this test; NULL before make_board(). */
extern board_t *board;

/** Make the board; workers of pools that pool_options() is for have it as their first `.share`. */
void make_board(void);
void close_board(void);

/** The board as a task has it. */
board_t *board_of(mproc_task_t *task);

/** Options of a pool under the method under test, with the board, if there is one. */
mproc_pool_opts_t pool_options(unsigned workers);

/** Make a pool, or fail the test; skip it where only threads can be started. */
mproc_pool_t *make_pool(mproc_pool_opts_t opts);

/** What a pool is doing. */
mproc_pool_info_t info_of(mproc_pool_t *pool);

/** Finish a pool, close the board, and see that nothing is left. */
void end_pool(mproc_pool_t *pool);

/** What there is of everything, so that it can be seen that a refusal has left nothing. */
typedef struct belongings_t {
    int descriptors;
    uint64_t objects;
    uint64_t used; /* bytes of the family's memory */
} belongings_t;

/** Count it when all of a pool's workers are ready, and it has done something. */
belongings_t belongings_of(mproc_pool_t *pool);

/** See that there is as much as there was, and that the pool does what it is asked to. */
void expect_unharmed(mproc_pool_t *pool, const belongings_t *before);

/** An address that no module has, as a function of each kind. */
mproc_task_fn_t code_of_no_module(void);
mproc_slice_fn_t slice_of_no_module(void);

/** Wait until a number on the board is at least so large; the test fails if that takes too long. */
void await_note(_Atomic uint32_t *note, uint32_t least);

/** Wait until so many workers are ready. */
void await_ready(mproc_pool_t *pool, unsigned count);

/** In a task: say that it has begun, and wait until the gate is open or the task is cancelled: whether it is open. */
int wait_at_gate(mproc_task_t *task);

/** A task with a message: it waits at the gate, and its result is its message. */
int echo_at_gate(mproc_task_t *task, const void *in, size_t size);

/** A task with a message: its result is its message. */
int echo(mproc_task_t *task, const void *in, size_t size);

#endif
