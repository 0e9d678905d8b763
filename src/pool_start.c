/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the workers of a pool. */
#include <string.h>

#include <apr_strings.h>

#include "log.h"
#include "pool_object.h"
#include "pool_worker.h"
#include "trace.h"

/** Have a process or a thread: it may take long, so others use the pool meanwhile. */
static apr_status_t launch(pool_t *pool, pool_worker_t *worker, const mproc_process_opts_t *opts)
{
    mproc_process_t *process;
    worker->is_starting = 1;
    pool_unlock(pool);
    apr_status_t status = process_create_shielded(&process, pool_work, opts);
    if (status == APR_SUCCESS)
        status = mproc_process_launch(process);
    if (status != APR_SUCCESS)
        mproc_process_close(process);
    pool_lock(pool);
    worker->is_starting = 0;
    worker->process = status == APR_SUCCESS ? process : NULL;
    pool_tell_waiting(pool);
    return status;
}

apr_status_t pool_start_worker(pool_t *pool, unsigned number)
{
    pool_worker_t *worker = &pool->workers[number];
    pool_slot_t *slot = pool_slot(pool->head, number);
    const pool_argument_t argument = {number};
    if (!sys_event_is_intact(&pool->alarm))
        return mproc_fail(APR_EBADF, "%s-%u cannot be started: this program has closed the pool's alarm", pool->name,
                          number);
    const mproc_arg_t arg = mproc_arg_bytes(NULL, &argument, sizeof argument);
    const mproc_os_handle_t alarm = (mproc_os_handle_t)pool->alarm.setter;
    char name[96];
    apr_snprintf(name, sizeof name, "%s-%u", pool->name, number);
    mproc_process_opts_t opts = {.name = name,
                                 .start_method = pool->opts.start_method,
                                 .data = pool->data,
                                 .size = pool->opts.size,
                                 .args = &arg,
                                 .arg_count = 1,
                                 .handles = &alarm,
                                 .handle_count = 1};
    size_t shares = 0;
    for (; shares < MPROC_POOL_SHARE_MAX && pool->opts.share[shares]; shares++)
        opts.share[shares] = pool->opts.share[shares];
    opts.share[shares] = pool->state_handle;
    if (!pool->head->is_of_threads) {
        opts.daemon = 1;
        opts.standard_input = mproc_stdio_null();
    }
    memset(&slot->error, 0, sizeof slot->error);
    shm_store(&slot->stage, SLOT_STARTING);
    worker->done = pool_read_count(pool, number, &slot->done);
    pool->restarts += worker->was_started != 0;
    const apr_status_t status = launch(pool, worker, &opts);
    if (status != APR_SUCCESS) {
        pool->restarts -= worker->was_started != 0;
        pool_settle_failed_start(pool, number);
        return status;
    }
    mproc_os_handle_t sentinel = MPROC_NO_HANDLE;
    mproc_process_sentinel(worker->process, &sentinel);
    worker->sentinel = (sys_handle_t)sentinel;
    worker->pid = pool->head->is_of_threads ? 0 : mproc_process_pid(worker->process);
    worker->ready_by = pool->head->is_of_threads ? SYS_NEVER : process_deadline(pool->opts.start_timeout);
    if (trace_is_on())
        trace_instant(pool->name, number, worker->was_started ? "started again" : "started");
    worker->was_started = 1;
    /* If the pool was ended meanwhile, or its task taken from it, it could not be killed then. */
    if (pool->state == POOL_TERMINATED || worker->doom.record)
        pool_kill_worker(pool, number);
    return APR_SUCCESS;
}

/** Whether there is a worker that is ready, or one that has not failed to become so. */
static int has_hope(const pool_t *pool)
{
    for (unsigned i = 0; i < pool->opts.workers; i++) {
        const pool_worker_t *worker = &pool->workers[i];
        const uint32_t stage = shm_load(&pool_slot(pool->head, i)->stage);
        if (worker->process && (stage == SLOT_STARTING ? !worker->has_failed : stage != SLOT_FAILED))
            return 1;
    }
    return 0;
}

/** When to start a worker the next time: after a pause that is twice as long each time, but only that often. */
static sys_time_t after_pause(unsigned doublings, unsigned most_doublings)
{
    enum { FIRST_PAUSE = 10000 };
    return sys_now() + ((sys_time_t)FIRST_PAUSE << (doublings < most_doublings ? doublings : most_doublings));
}

void pool_note_futility(pool_t *pool, unsigned number)
{
    /* Who kills idle workers is not to wait for long for others. */
    enum { MOST_DOUBLINGS = 3 };
    pool->workers[number].start_at = after_pause(pool->futile++, MOST_DOUBLINGS);
}

void pool_note_failure(pool_t *pool, unsigned number, const char *cause)
{
    enum { MOST_DOUBLINGS = 7 };
    pool->workers[number].start_at = after_pause(pool->failures++, MOST_DOUBLINGS);
    pool->workers[number].has_failed = 1;
    apr_snprintf(pool->cause, sizeof pool->cause, "worker %u of %s could not begin: %s", number, pool->name, cause);
    mproc_log(MPROC_LOG_WARNING, "%s", pool->cause);
    if (pool->failures < pool->opts.max_start_failures || has_hope(pool) || pool->state > POOL_SHUT)
        return;
    pool->state = POOL_BROKEN;
    pool->was_broken = 1;
    shm_store(&pool->head->order, POOL_STOPS);
    pool_fail_all(pool, MPROC_EBROKENPOOL, pool->cause);
    /* Those that are being started once more. */
    for (unsigned i = 0; i < pool->opts.workers; i++)
        pool_kill_worker(pool, i);
    pool_wake_all(pool->head);
}

/** Whether workers are still needed: while there are tasks, also to come. */
static int needs_workers(const pool_t *pool)
{
    return pool->state == POOL_OPEN || (pool->state == POOL_SHUT && !pool_is_idle(pool));
}

sys_time_t pool_start_workers(pool_t *pool)
{
    sys_time_t next = SYS_NEVER;
    const sys_time_t now = sys_now();
    for (unsigned i = 0; i < pool->opts.workers && needs_workers(pool); i++) {
        pool_worker_t *worker = &pool->workers[i];
        if (!worker->process && worker->start_at <= now && pool_start_worker(pool, i) != APR_SUCCESS)
            pool_note_failure(pool, i, mproc_last_error()->text);
        if (!worker->process && worker->start_at < next)
            next = worker->start_at;
    }
    return next;
}
