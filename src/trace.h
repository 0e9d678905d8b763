/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file trace.h
 * @brief Who ran what and when, for the viewers of Chrome and Perfetto: what MPROC_TRACE names is the file.
 *
 * Each process of the family keeps its events for a while and appends them in whole lines. All calls are for any
 * thread, need no memory and never fail: what cannot be written is no failure of the pool.
 */
#ifndef MPROC_TRACE_H
#define MPROC_TRACE_H

#include <stdatomic.h>

#include "sys.h"

/** See trace_is_on(). */
extern _Atomic int trace_on;

/** Whether events are written. */
static inline int trace_is_on(void)
{
    return atomic_load_explicit(&trace_on, memory_order_relaxed);
}

/**
 * See whether events are to be written, and open the file, once in each process. Of a family the first that comes
 * begins the file anew; it has the family's memory then, and the name of its process.
 */
void trace_begin(void);

/**
 * A task that has ended: so many items from an index on.
 *
 * @param pool   The pool's name, in UTF-8; only its beginning is written, as of the other texts.
 * @param worker The worker's number in it.
 * @param name   What was run.
 * @param index  .
 * @param count  .
 * @param start  As sys_now() has it.
 * @param end    .
 * @param status How it went.
 */
void trace_task(const char *pool, unsigned worker, const char *name, uint64_t index, uint64_t count, sys_time_t start,
                sys_time_t end, apr_status_t status);

/** What has become of a worker just now: "started", "died" and the like. */
void trace_instant(const char *pool, unsigned worker, const char *what);

/** Write what is kept. A process that is killed before loses it. */
void trace_flush(void);

/** The program ends: finish the file, if it is the first process that has begun it. */
void trace_end(void);

#endif
