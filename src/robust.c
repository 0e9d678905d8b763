/* SPDX-License-Identifier: Apache-2.0 */
#include "robust.h"

#include <mproc/status.h>

#include "member.h"

/* How long the watcher sleeps, in microseconds. The others sleep for as long as member_patience() says. */
enum { WATCH = 40000 };

/** A thread that waits. */
typedef struct waiting_t {
    robust_t *lock;
    uint32_t self;
    int is_watcher;
    int is_left; /* who is the watcher is about to leave */
    member_look_t look;
} waiting_t;

/**
 * Become the watcher if there is none that lives, as far as that is known. Where few wait each of them looks often
 * enough.
 */
static void take_watch(waiting_t *waiting, uint32_t word)
{
    if (waiting->is_watcher || !member_is_crowd())
        return;
    const uint32_t watcher = shm_load(&waiting->lock->watcher);
    if (watcher == 0 || member_has_ended(watcher))
        waiting->is_watcher = shm_replace(&waiting->lock->watcher, watcher, waiting->self);
    /* It has the lock now, and may have woken somebody before this thread sleeps. */
    waiting->is_left = watcher == (word & ~ROBUST_WAITERS);
}

/** Be the watcher no more: somebody else is to be it. */
static void leave_watch(waiting_t *waiting)
{
    if (!waiting->is_watcher)
        return;
    shm_store(&waiting->lock->watcher, 0);
    shm_unpark(&waiting->lock->word, 1);
    waiting->is_watcher = 0;
}

/**
 * After a sleep to its end: see whether the owner has died, also if this is not the watcher, which may have died as
 * well, or is stopped by somebody. Whether the lock was taken from it.
 */
static int look_for_death(waiting_t *waiting, uint32_t word)
{
    return member_look_at(&waiting->look, word & ~ROBUST_WAITERS) &&
           shm_replace(&waiting->lock->word, word, waiting->self | ROBUST_WAITERS);
}

/** Sleep until the lock may be free: whether it was taken from a dead owner. */
static int sleep_once(waiting_t *waiting, uint32_t word, sys_time_t deadline)
{
    const sys_time_t slice = sys_now() + (waiting->is_watcher || waiting->is_left ? WATCH : member_patience());
    return shm_park(&waiting->lock->word, word, slice < deadline ? slice : deadline) && look_for_death(waiting, word);
}

static apr_status_t acquire_by_waiting(waiting_t *waiting, const robust_wait_t *wait)
{
    robust_t *lock = waiting->lock;
    for (;;) {
        uint32_t word = shm_load(&lock->word);
        /* Others may wait as well, which the one before has forgotten. */
        if (word == 0 && shm_replace(&lock->word, 0, waiting->self | ROBUST_WAITERS))
            return APR_SUCCESS;
        if (word == 0)
            continue;
        /* A death that was noticed already counts at once, also for who only tries. */
        if (member_has_ended(word & ~ROBUST_WAITERS)) {
            if (shm_replace(&lock->word, word, waiting->self | ROBUST_WAITERS))
                return MPROC_EOWNERDEAD;
            continue;
        }
        if (wait->is_over && wait->is_over(wait->context))
            return MPROC_ECLOSED;
        if (wait->deadline != SYS_NEVER && sys_now() >= wait->deadline)
            return APR_TIMEUP;
        if (!(word & ROBUST_WAITERS) && !shm_replace(&lock->word, word, word | ROBUST_WAITERS))
            continue;
        take_watch(waiting, word);
        if (sleep_once(waiting, word | ROBUST_WAITERS, wait->deadline))
            return MPROC_EOWNERDEAD;
    }
}

apr_status_t robust_acquire(robust_t *lock, const robust_wait_t *wait)
{
    waiting_t waiting = {.lock = lock, .self = wait->self};
    if (robust_try(lock, wait->self))
        return APR_SUCCESS;
    const apr_status_t status = acquire_by_waiting(&waiting, wait);
    leave_watch(&waiting);
    member_look_away(&waiting.look);
    /* A wake may have been for this thread, which has no use for it; and who came in between knows of no waiters. */
    if (status == APR_TIMEUP || status == MPROC_ECLOSED)
        shm_unpark(&lock->word, 1);
    return status;
}

apr_status_t robust_release(robust_t *lock)
{
    const uint32_t word = shm_exchange(&lock->word, 0);
    if (word & ROBUST_WAITERS)
        shm_unpark(&lock->word, 1);
    return word ? APR_SUCCESS : MPROC_ESTATE;
}

void robust_stir(robust_t *lock)
{
    shm_unpark(&lock->word, 1);
}
