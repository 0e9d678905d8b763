/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file waiter.h
 * @brief Threads of this process that wait: woken when the object that they wait for is closed, and taking turns.
 *
 * A thread that has to wait borrows an event for as long as it does. Events are kept for the next ones, so there are as
 * many as there were threads waiting at one time, however many objects there are.
 */
#ifndef MPROC_WAITER_H
#define MPROC_WAITER_H

#include <stdatomic.h>

#include "sys.h"

struct closable_t;

/** A thread that waits. */
typedef struct waiter_t {
    sys_event_t event;
    const struct closable_t *of; /* what it waits for; NULL: several things */
    _Atomic int is_set;          /* the event: most waits end without it, and need not reset it */
    int has_turn;
    struct waiter_t *next;         /* in its turn's queue, or among the spare ones */
    struct waiter_t *next_waiting; /* among all that wait */
    struct waiter_t **link;
} waiter_t;

/**
 * What can be closed while threads wait for it. Whoever waits counts itself first and looks whether it is closed then;
 * whoever closes it looks for waiters afterwards.
 */
typedef struct closable_t {
    _Atomic int is_closed;
    _Atomic unsigned waiters;
} closable_t;

/** Borrow an event to wait for a thing, or for several (NULL); with a status without a text. */
apr_status_t waiter_begin(waiter_t **waiter, const closable_t *of);

/** Be ready to be woken again: look at what may have changed after this. */
void waiter_reset(waiter_t *waiter);

/** Give it back. */
void waiter_end(waiter_t *waiter);

/** Close a thing, and wake the threads that wait for it. */
void closable_close(closable_t *closable);

/** Wake the threads that wait for a thing, to look again. */
void closable_wake(closable_t *closable);

/** One thread's turn at a time, first come, first served. */
typedef struct turn_t {
    _Atomic int state;
    waiter_t *first;
    waiter_t *last;
} turn_t;

/** Wait for one's turn: APR_SUCCESS, APR_TIMEUP, MPROC_ECLOSED if it is closed. A deadline of 0 does not wait. */
apr_status_t turn_take(turn_t *turn, closable_t *of, sys_time_t deadline);

/** Let the next one have its turn. */
void turn_give(turn_t *turn);

/** Close the spare events, when the library is ended. */
void waiter_terminate(void);

/** In a forked child, with the core's lock held: forget those of its creator. */
void waiter_forked(void);

#endif
