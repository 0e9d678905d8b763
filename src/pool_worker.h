/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool_worker.h
 * @brief A pool's worker: what it runs, and what its tasks are told.
 */
#ifndef MPROC_POOL_WORKER_H
#define MPROC_POOL_WORKER_H

#include "call.h"
#include "pool_claim.h"

/** A function that this worker has found. */
typedef struct worker_function_t {
    uint64_t offset; /* of a pool_function_t */
    uintptr_t address;
} worker_function_t;

/** How many of these a worker keeps: whatever else it needs, it finds again. Not on the heap, as a task may `exit`. */
enum { WORKER_FUNCTIONS = 32 };

/** A worker. */
typedef struct worker_t {
    mproc_call_t *call;
    shared_t *shared; /* the pool */
    pool_hand_t hand;
    sys_event_t alarm; /* of the owner's dispatcher */
    int has_no_alarm;  /* it was closed, or is something else by now */
    char pool_name[SHARED_NAME_MAX];
    void *state; /* the program's */
    worker_function_t functions[WORKER_FUNCTIONS];
    size_t function_count; /* that were found so far; of more than there is room for, the last ones are kept */
    uint64_t tasks;
    unsigned lineage; /* see worker_forked() */
} worker_t;

/** What a task's function is told. */
struct mproc_task_t {
    worker_t *worker;
    const pool_claim_t *claim; /* NULL: it is the initializer's or the finalizer's */
    uint64_t index;            /* of the first item, or of the input */
    size_t count;              /* items; 0: it is a single task */
    size_t failed;             /* of these, one by one */
    uint32_t tries;
    mproc_task_error_t *error; /* where to say why it fails */
    int has_text;
    size_t room;       /* in the memory that was taken for the result, in bytes; 0: none was */
    int has_no_result; /* there was no memory for it */
};

/** The target of a worker: 0 if it ends in order. */
int pool_work(mproc_call_t *call);

/** Find a function in this process; the status has its text. */
apr_status_t worker_find(worker_t *worker, uintptr_t *address, uint64_t offset);

/** Give back the memory of a result that a record does not have yet. */
void worker_drop_result(worker_t *worker);

/** Begin an error of a task: its first one, unless it has words already. */
void task_begin_error(mproc_task_t *task, apr_status_t status, int code);

/** Note the status of an item, by its place in the map, if that is wanted. */
void task_note_item(const mproc_task_t *task, uint64_t index, apr_status_t status);

/** The pool whose task this thread runs; NULL: none. */
const pool_head_t *worker_pool(void);

/** This process is a forked child: if a task forked it, it must not go on as the worker that its creator is. */
void worker_forked(void);

/** Among how many workers of a pool this process is; 1 if it is none. */
unsigned worker_siblings(void);

#endif
