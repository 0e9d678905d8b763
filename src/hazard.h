/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file hazard.h
 * @brief Short uses of objects that cost almost nothing, and keep the object from being destroyed.
 *
 * To count a use, as handle_acquire() does, takes two steps that are atomic, and a lock's own work is no more than
 * that. Here a thread just notes which handle it is using. Whoever destroys an object looks, after its handle is
 * closed, whether a thread has noted it. That a thread's note is seen, or the thread sees that the handle is closed,
 * needs a fence between the two; where the system lets it, whoever destroys issues it for all threads.
 *
 * A use must not wait for anything, and there is one at a time in a thread.
 */
#ifndef MPROC_HAZARD_H
#define MPROC_HAZARD_H

#include <stdatomic.h>

#include "handle_table.h"
#include "sys.h"

/** A thread that uses objects. */
typedef struct hazard_t {
    uint32_t thread;              /* its number, see hazard_thread() */
    uint32_t line_ticket;         /* as which member it has this: */
    struct spot_t *line;          /* its place in the arena, to announce what it does at queues; NULL: none */
    _Atomic(const void *) handle; /* what it is using; NULL: nothing */
    _Atomic int is_taken;         /* by a thread that lives */
    struct hazard_t *next;
    sys_thread_exit_t at_exit;
} hazard_t;

/* This thread's; NULL before hazard_begin_thread(). */
extern _Thread_local hazard_t *hazard_mine;

/** Have one for this thread: before a use that is not short, so that the next ones can be. */
void hazard_begin_thread(void);

/** This thread's number, which no other thread of this process has or had; not 0. */
uint32_t hazard_thread(void);

/**
 * Begin a use: the object, which stays until hazard_end(); NULL if the handle is not open, or not of this kind, or this
 * thread has none yet. Then nothing was begun.
 */
static inline void *hazard_begin(hazard_t **hazard, const void *handle, handle_kind_t kind)
{
    hazard_t *mine = *hazard = hazard_mine;
    if (!mine)
        return NULL;
    if (sys_fences_all) {
        atomic_store_explicit(&mine->handle, handle, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
    } else {
        atomic_store(&mine->handle, handle);
    }
    void *object = handle_peek(handle, kind);
    if (!object)
        atomic_store_explicit(&mine->handle, NULL, memory_order_relaxed);
    return object;
}

static inline void hazard_end(hazard_t *hazard)
{
    atomic_store_explicit(&hazard->handle, NULL, memory_order_release);
}

/** Wait until no thread uses a handle that is closed. */
void hazard_wait(const void *handle);

/** In a forked child: no other thread is here. */
void hazard_forked(void);

#endif
