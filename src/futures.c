/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for several single tasks, which may be of several pools. */
#include <stdlib.h>

#include "handle.h"
#include "pool_object.h"
#include "waiter.h"

/* What threads wait for that wait for several: that any task has ended, or been let go of. */
static closable_t any;

void futures_wake(void)
{
    closable_wake(&any);
}

/** What an array of tasks is like just now. */
typedef struct count_t {
    size_t there;
    size_t ended;
    size_t failed;
    size_t first; /* the place of the first one that has ended */
} count_t;

/**
 * Count those that have ended. If this thread is to wait, whoever ends the others has the dispatcher take them in,
 * which wakes it; and it must not wait for itself.
 */
static apr_status_t look(count_t *counts, mproc_future_t *const *futures, size_t count, int is_to_wait,
                         const char *call)
{
    *counts = (count_t){.first = count};
    for (size_t i = 0; i < count; i++) {
        future_t *future;
        if (!futures[i])
            continue;
        apr_status_t status = future_acquire(&future, futures[i], call);
        if (status != APR_SUCCESS)
            return status;
        pool_lock(future->pool);
        counts->there++;
        if (!future_look(future) && is_to_wait)
            future_list(future);
        if (future->has_ended) {
            counts->ended++;
            counts->failed += future->error.status != APR_SUCCESS;
            if (counts->first == count)
                counts->first = i;
        } else if (is_to_wait) {
            status = pool_check_may_wait(future->pool, call);
        }
        pool_unlock(future->pool);
        handle_release(futures[i]);
        if (status != APR_SUCCESS)
            return status;
    }
    return APR_SUCCESS;
}

static int is_enough(const count_t *counts, mproc_futures_until_t until)
{
    if (counts->ended == counts->there)
        return 1;
    return until == MPROC_UNTIL_FIRST ? counts->ended > 0 : until == MPROC_UNTIL_FAILED && counts->failed > 0;
}

/** Wait until it is enough, with a waiter that is woken when something has changed. */
static apr_status_t wait_with(waiter_t *waiter, count_t *counts, mproc_future_t *const *futures, size_t count,
                              mproc_futures_until_t until, sys_time_t deadline, const char *call)
{
    for (;;) {
        waiter_reset(waiter);
        apr_status_t status = look(counts, futures, count, 1, call);
        if (status != APR_SUCCESS || is_enough(counts, until))
            return status;
        status = sys_wait(waiter->event.sentinel, deadline);
        if (status == APR_TIMEUP)
            return mproc_fail(status, "%s: the time is up, and %zu of %zu tasks have ended", call, counts->ended,
                              counts->there);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s: the system does not let this thread wait", call);
    }
}

static apr_status_t wait_for(count_t *counts, mproc_future_t *const *futures, size_t count, mproc_futures_until_t until,
                             apr_interval_time_t timeout, const char *call)
{
    waiter_t *waiter;
    apr_status_t status = look(counts, futures, count, 0, call);
    if (status != APR_SUCCESS || is_enough(counts, until))
        return status;
    if (timeout == 0)
        return mproc_fail(APR_TIMEUP, "%s: %zu of %zu tasks have ended", call, counts->ended, counts->there);
    const sys_time_t deadline = process_deadline(timeout);
    status = waiter_begin(&waiter, &any);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: no memory to wait", call);
    atomic_fetch_add(&any.waiters, 1);
    status = wait_with(waiter, counts, futures, count, until, deadline, call);
    atomic_fetch_sub(&any.waiters, 1);
    waiter_end(waiter);
    return status;
}

apr_status_t mproc_futures_wait(mproc_future_t *const *futures, size_t count, mproc_futures_until_t until,
                                apr_interval_time_t timeout)
{
    static const char call[] = "mproc_futures_wait";
    count_t counts;
    if (!futures && count)
        return mproc_fail(APR_EINVAL, "%s: the array is NULL", call);
    if ((int)until < MPROC_UNTIL_ALL || until > MPROC_UNTIL_FAILED)
        return mproc_fail(APR_EINVAL, "%s: there is no way to wait of number %d", call, (int)until);
    return wait_for(&counts, futures, count, until, timeout, call);
}

apr_status_t mproc_futures_next(mproc_future_t **futures, size_t count, mproc_future_t **next, size_t *index,
                                apr_interval_time_t timeout)
{
    static const char call[] = "mproc_futures_next";
    count_t counts;
    if (next)
        *next = NULL;
    if (index)
        *index = 0;
    if (!next || (!futures && count))
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", call, next ? "the array" : "where to store the task");
    const apr_status_t status = wait_for(&counts, futures, count, MPROC_UNTIL_FIRST, timeout, call);
    if (status != APR_SUCCESS)
        return status;
    if (counts.there == 0)
        return mproc_fail(APR_EOF, "%s: no task is left in the array", call);
    *next = futures[counts.first];
    futures[counts.first] = NULL;
    if (index)
        *index = counts.first;
    return APR_SUCCESS;
}
