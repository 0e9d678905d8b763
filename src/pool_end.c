/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a pool: that no more tasks come, that it is all over, or that it is to be over now. */
#include <mproc/system.h>

#include "handle.h"
#include "pool_object.h"

/* How long killed workers may take to be gone, in microseconds. */
enum { END_PATIENCE = 10000000 };

apr_status_t mproc_pool_shutdown(mproc_pool_t *handle)
{
    pool_t *pool;
    const apr_status_t status = pool_acquire(&pool, handle, "mproc_pool_shutdown");
    if (status != APR_SUCCESS)
        return status;
    pool_lock(pool);
    if (pool->state == POOL_OPEN)
        pool->state = POOL_SHUT;
    /* Those that wait for room are refused now. */
    pool_tell_waiting(pool);
    pool_unlock(pool);
    pool_alarm(pool);
    pool_release(pool);
    return status;
}

/** Wait until it is all over: APR_TIMEUP, without a text. With the lock held. */
static apr_status_t join(pool_t *pool, sys_time_t deadline)
{
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS && pool->state != POOL_JOINED) {
        const uint32_t round = shm_load(&pool->head->rounds);
        status = pool_wait(pool, round, deadline);
    }
    return status;
}

/** Fail if this thread must not wait for the end of the pool. */
static apr_status_t check_may_join(const pool_t *pool, const char *call)
{
    if (map_is_telling(pool))
        return mproc_fail(MPROC_EDEADLOCK, "%s: called while the progress of a map of %s is told, which goes on then",
                          call, pool->name);
    return pool_check_may_wait(pool, call);
}

apr_status_t mproc_pool_join(mproc_pool_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_pool_join";
    pool_t *pool;
    apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(pool);
    if (pool->state == POOL_OPEN)
        status = mproc_fail(MPROC_ESTATE, "%s: %s was neither shut down nor terminated", call, pool->name);
    if (status == APR_SUCCESS && pool->state != POOL_JOINED)
        status = check_may_join(pool, call);
    if (status == APR_SUCCESS) {
        status = join(pool, timeout ? process_deadline(timeout) : 0);
        if (status != APR_SUCCESS)
            mproc_fail(status, "%s: %s has not ended", call, pool->name);
    }
    pool_unlock(pool);
    pool_release(pool);
    return status;
}

/* ---- Now --------------------------------------------------------------------------------------------------------- */

/**
 * A worker has ended: have the dispatcher clean up behind it, or do so if that is in a callback, which may not return.
 * With the lock held, which is released now and then.
 */
static void see_settled(pool_t *pool, unsigned number, const mproc_process_t *process)
{
    enum { MOMENT = 100000, MOMENTS = 20 };
    for (int i = 0; i < MOMENTS && pool->state != POOL_JOINED && pool->workers[number].process == process; i++) {
        const uint32_t round = shm_load(&pool->head->rounds);
        if (!pool->is_watching) {
            pool_settle_worker(pool, number);
            return;
        }
        pool_wait(pool, round, sys_now() + MOMENT);
    }
}

/** Wait until a worker that is being started was: whether it was. With the lock held, which is released meanwhile. */
static int await_start(pool_t *pool, unsigned number, sys_time_t deadline)
{
    while (pool->workers[number].is_starting) {
        const uint32_t round = shm_load(&pool->head->rounds);
        if (pool_wait(pool, round, deadline) == APR_TIMEUP)
            return 0;
    }
    return 1;
}

/**
 * Wait until a worker has ended: whether it has. If what that is done by is gone, as the program has closed it, the
 * worker is looked at now and then.
 */
static int await_worker(mproc_process_t *process, sys_time_t deadline)
{
    enum { NOW_AND_THEN = 5000 };
    while (mproc_process_join(process, mproc_time_left(deadline)) != APR_SUCCESS && mproc_process_is_alive(process)) {
        if (sys_now() >= deadline)
            return 0;
        apr_sleep(NOW_AND_THEN);
    }
    return 1;
}

/** Wait until all workers have ended: whether they have. With the lock held, which is released now and then. */
static int await_workers(pool_t *pool, sys_time_t deadline)
{
    kept_error_t kept;
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        if (!await_start(pool, i, deadline))
            return 0;
        mproc_process_t *process = pool->workers[i].process;
        /* A task of a pool of threads cannot wait for its own worker. */
        if (!process || pool->state == POOL_JOINED || process == process_current()->handle)
            continue;
        pool_unlock(pool);
        /* If the dispatcher closes it meanwhile it has ended. */
        mproc_keep_error(&kept);
        const int has_ended = await_worker(process, deadline);
        mproc_restore_error(&kept);
        pool_lock(pool);
        if (!has_ended)
            return 0;
        see_settled(pool, i, process);
    }
    return 1;
}

apr_status_t pool_terminate(pool_t *pool, apr_interval_time_t grace)
{
    pool_lock(pool);
    if (pool->state == POOL_JOINED) {
        pool_unlock(pool);
        return APR_SUCCESS;
    }
    if (pool->state != POOL_TERMINATED) {
        pool->was_terminated = 1;
        pool->state = POOL_TERMINATED;
    }
    pool->is_gentle = grace != 0;
    shm_store(&pool->head->order, POOL_STOPS);
    /* First of all: one that is stopped may have what is needed to end the others' tasks. */
    for (unsigned i = 0; i < pool->opts.workers && grace == 0; i++)
        pool_kill_worker(pool, i);
    pool_fail_all(pool, MPROC_ETERMINATED, "the pool was terminated");
    pool_wake_all(pool->head);
    /* For the callbacks of these. */
    pool_alarm(pool);
    int are_gone = await_workers(pool, grace ? process_deadline(grace) : sys_now());
    if (!are_gone) {
        pool->is_gentle = 0;
        for (unsigned i = 0; i < pool->opts.workers; i++)
            pool_kill_worker(pool, i);
        const sys_time_t patience = pool->head->is_of_threads ? 0 : END_PATIENCE;
        are_gone = await_workers(pool, sys_now() + patience);
    }
    pool_unlock(pool);
    pool_alarm(pool);
    return are_gone ? APR_SUCCESS : APR_TIMEUP;
}

apr_status_t mproc_pool_terminate(mproc_pool_t *handle, apr_interval_time_t grace)
{
    static const char call[] = "mproc_pool_terminate";
    pool_t *pool;
    apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = pool_terminate(pool, grace);
    if (status != APR_SUCCESS)
        status = mproc_fail(status, "%s: %s has workers that do not end", call, pool->name);
    pool_release(pool);
    return status;
}

/* ---- Letting go -------------------------------------------------------------------------------------------------- */

/** Whether a terminated pool is over, though its dispatcher may not have seen it: it waits for nothing else. */
static int is_as_good_as_over(pool_t *pool)
{
    pool_drain(pool);
    if (pool->state != POOL_TERMINATED || !pool_is_idle(pool))
        return 0;
    for (unsigned i = 0; i < pool->opts.workers; i++)
        if (pool->workers[i].process || pool->workers[i].is_starting)
            return 0;
    return 1;
}

/** Close a pool that is over: MPROC_ESTATE if it is not, MPROC_ECLOSED if another thread was faster. */
static apr_status_t close_joined(pool_t *pool, const char *call)
{
    pool_lock(pool);
    const int is_over =
        pool->state == POOL_JOINED || (is_as_good_as_over(pool) && join(pool, SYS_NEVER) == APR_SUCCESS);
    pool_unlock(pool);
    if (!is_over)
        return mproc_fail(MPROC_ESTATE, "%s: %s was not joined", call, pool->name);
    if (handle_close(pool->handle, HANDLE_POOL) != APR_SUCCESS)
        return mproc_fail(MPROC_ECLOSED, "%s: another thread has closed the pool", call);
    return APR_SUCCESS;
}

apr_status_t mproc_pool_close(mproc_pool_t *handle)
{
    static const char call[] = "mproc_pool_close";
    pool_t *pool;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = close_joined(pool, call);
    pool_release(pool);
    return status;
}

apr_status_t mproc_pool_finish(mproc_pool_t *handle)
{
    static const char call[] = "mproc_pool_finish";
    pool_t *pool;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = check_may_join(pool, call);
    if (status == APR_SUCCESS)
        status = mproc_pool_shutdown(handle);
    if (status == APR_SUCCESS)
        status = mproc_pool_join(handle, MPROC_FOREVER);
    if (status == APR_SUCCESS)
        status = close_joined(pool, call);
    if (status == APR_SUCCESS && pool->was_broken)
        status = mproc_fail(MPROC_EBROKENPOOL, "%s: %s", call, pool->cause);
    else if (status == APR_SUCCESS && pool->was_terminated)
        status = mproc_fail(MPROC_ETERMINATED, "%s: %s was terminated", call, pool->name);
    pool_release(pool);
    return status;
}
