/* SPDX-License-Identifier: Apache-2.0 */
#include "waiter.h"

#include <stdlib.h>

#include <mproc/status.h>

/* Guarded by the core's lock, as the queues of turns are; only threads that wait or wake take it. */
static waiter_t *waiting;
static waiter_t *spare;

/** Get one that was used before, or a new one. */
static apr_status_t get(waiter_t **waiter)
{
    sys_lock();
    *waiter = spare;
    if (spare)
        spare = spare->next;
    sys_unlock();
    if (*waiter)
        return APR_SUCCESS;
    *waiter = calloc(1, sizeof **waiter);
    if (!*waiter)
        return APR_ENOMEM;
    const apr_status_t status = sys_event_create(&(*waiter)->event);
    if (status != APR_SUCCESS) {
        free(*waiter);
        *waiter = NULL;
    }
    return status;
}

apr_status_t waiter_begin(waiter_t **waiter, const closable_t *of)
{
    const apr_status_t status = get(waiter);
    if (status != APR_SUCCESS)
        return status;
    (*waiter)->of = of;
    (*waiter)->has_turn = 0;
    (*waiter)->next = NULL;
    sys_lock();
    (*waiter)->next_waiting = waiting;
    (*waiter)->link = &waiting;
    if (waiting)
        waiting->link = &(*waiter)->next_waiting;
    waiting = *waiter;
    sys_unlock();
    return APR_SUCCESS;
}

/** Set a waiter's event; with the lock held, as for reset(), so that event and flag are never apart. */
static void wake(waiter_t *waiter)
{
    if (atomic_exchange(&waiter->is_set, 1) == 0)
        sys_event_set(&waiter->event);
}

static void reset(waiter_t *waiter)
{
    if (atomic_exchange(&waiter->is_set, 0) == 1)
        sys_event_reset(&waiter->event);
}

void waiter_reset(waiter_t *waiter)
{
    if (atomic_load(&waiter->is_set) == 0)
        return;
    sys_lock();
    reset(waiter);
    sys_unlock();
}

void waiter_end(waiter_t *waiter)
{
    sys_lock();
    *waiter->link = waiter->next_waiting;
    if (waiter->next_waiting)
        waiter->next_waiting->link = waiter->link;
    reset(waiter);
    waiter->next = spare;
    spare = waiter;
    sys_unlock();
}

void closable_wake(closable_t *closable)
{
    if (atomic_load(&closable->waiters) == 0)
        return;
    sys_lock();
    for (waiter_t *waiter = waiting; waiter; waiter = waiter->next_waiting)
        if (!waiter->of || waiter->of == closable)
            wake(waiter);
    sys_unlock();
}

void closable_close(closable_t *closable)
{
    atomic_store(&closable->is_closed, 1);
    closable_wake(closable);
}

void waiter_terminate(void)
{
    sys_lock();
    waiter_t *first = spare;
    spare = NULL;
    sys_unlock();
    while (first) {
        waiter_t *next = first->next;
        sys_event_close(&first->event);
        free(first);
        first = next;
    }
}

void waiter_forked(void)
{
    /* No other thread is here, and the events were closed with the library's other descriptors. */
    while (spare) {
        waiter_t *next = spare->next;
        free(spare);
        spare = next;
    }
    if (waiting)
        waiting = NULL;
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

enum { FREE, TAKEN, WANTED };

static int try_take(turn_t *turn)
{
    int expected = FREE;
    return atomic_compare_exchange_strong_explicit(&turn->state, &expected, TAKEN, memory_order_acquire,
                                                   memory_order_relaxed);
}

/** Take the turn if it is free, or queue for it; with the lock held. */
static void queue(turn_t *turn, waiter_t *waiter)
{
    int state = FREE;
    /* From now on whoever gives it away takes the lock. */
    while (!atomic_compare_exchange_weak(&turn->state, &state, state == FREE ? TAKEN : WANTED)) {}
    if (state == FREE) {
        waiter->has_turn = 1;
        return;
    }
    if (turn->last)
        turn->last->next = waiter;
    else
        turn->first = waiter;
    turn->last = waiter;
}

/** Leave the queue before one's turn has come; with the lock held. */
static void leave(turn_t *turn, waiter_t *waiter)
{
    waiter_t *before = NULL;
    for (waiter_t **at = &turn->first; *at != waiter; at = &(*at)->next)
        before = *at;
    if (before)
        before->next = waiter->next;
    else
        turn->first = waiter->next;
    if (turn->last == waiter)
        turn->last = before;
}

apr_status_t turn_take(turn_t *turn, closable_t *of, sys_time_t deadline)
{
    waiter_t *waiter;
    if (try_take(turn))
        return APR_SUCCESS;
    if (deadline == 0)
        return APR_TIMEUP;
    apr_status_t status = waiter_begin(&waiter, of);
    if (status != APR_SUCCESS)
        return status;
    atomic_fetch_add(&of->waiters, 1);
    sys_lock();
    queue(turn, waiter);
    while (!waiter->has_turn && status == APR_SUCCESS) {
        reset(waiter);
        sys_unlock();
        if (!atomic_load(&of->is_closed))
            status = sys_wait(waiter->event.sentinel, deadline);
        sys_lock();
        if (atomic_load(&of->is_closed))
            status = MPROC_ECLOSED;
    }
    if (waiter->has_turn)
        status = APR_SUCCESS;
    else
        leave(turn, waiter);
    sys_unlock();
    atomic_fetch_sub(&of->waiters, 1);
    waiter_end(waiter);
    return status;
}

void turn_give(turn_t *turn)
{
    int expected = TAKEN;
    if (atomic_compare_exchange_strong_explicit(&turn->state, &expected, FREE, memory_order_release,
                                                memory_order_relaxed))
        return;
    sys_lock();
    waiter_t *next = turn->first;
    if (next) {
        turn->first = next->next;
        if (!turn->first)
            turn->last = NULL;
        next->next = NULL;
        next->has_turn = 1;
        wake(next);
    }
    /* Those that still queue are told by the next one. */
    atomic_store(&turn->state, !next ? FREE : turn->first ? WANTED : TAKEN);
    sys_unlock();
}
