/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file sync_objects.h
 * @brief What bench/sync measures: objects of synchronisation, each by the same three functions.
 *
 * Locks and semaphores: acquire, add one to a shared counter, release. Barriers: wait. Events and conditions: there and
 * back; one process tells the other and waits until it is told, by an event for each, or by the value that a condition
 * guards. Whoever cannot go on sleeps in the kernel at once, with all of them but one: at a barrier of mproc's with a
 * CPU for each party it looks for up to 20 microseconds first, while that has paid lately (src/shared.c).
 */
#ifndef MPROC_BENCH_SYNC_OBJECTS_H
#define MPROC_BENCH_SYNC_OBJECTS_H

#include "sync_team.h"

/* ---- sync_mproc.c ------------------------------------------------------------------------------------------------ */

/** Initialise the library, for the objects below. */
int sync_mproc_begin(void);

/** A `start` for sync_team_open(): a child by the start method fork. */
int sync_mproc_start(void (*serve)(void));

extern const sync_object_t sync_mproc_lock;
extern const sync_object_t sync_mproc_recursive;
extern const sync_object_t sync_mproc_semaphore;
extern const sync_object_t sync_mproc_barrier;
extern const sync_object_t sync_mproc_event;
extern const sync_object_t sync_mproc_condition;

/* ---- sync_pthread.c: what POSIX has for several processes -------------------------------------------------------- */

extern const sync_object_t sync_mutex;

/** A death is told to the next one, as mproc does; opening it fails where the system has none. */
extern const sync_object_t sync_robust;
extern const sync_object_t sync_robust_recursive;

extern const sync_object_t sync_sem;

/** Opening it fails where the system has none. */
extern const sync_object_t sync_barrier;

/** An event by hand: a flag, a mutex and a condition. */
extern const sync_object_t sync_cond_event;

/** A condition, with a plain mutex. */
extern const sync_object_t sync_cond;

/** The same with a robust one. */
extern const sync_object_t sync_robust_cond;

/* ---- sync_futex.c: by hand, the least that it takes; elsewhere opening them fails ------------------------ */

/** Free, taken, taken with somebody who waits. */
extern const sync_object_t sync_futex_lock;

/** Cleared, set, cleared with somebody who waits. */
extern const sync_object_t sync_futex_event;

/* ---- Peers ------------------------------------------------------------------------------------------------------- */

/** apr_proc_mutex with the mechanism that APR takes here by itself. */
extern const sync_object_t sync_apr;

/** boost::interprocess::interprocess_mutex; it is compiled where it is installed. */
extern const sync_object_t sync_boost;

#endif
