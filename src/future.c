/* SPDX-License-Identifier: Apache-2.0 */
/* Single tasks, as their owner has them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handle.h"
#include "pool_object.h"

void pool_make_error(mproc_task_error_t *error, apr_status_t status, int pid, int exitcode, const char *format, ...)
{
    va_list values;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->pid = pid;
    error->exitcode = exitcode;
    va_start(values, format);
    vsnprintf(error->text, sizeof error->text, format, values);
    va_end(values);
}

/* ---- Lives ------------------------------------------------------------------------------------------------------- */

/* How many futures a pool keeps the memory of. */
enum { SPARE_FUTURES = 1024 };

void future_let_go(future_t *future)
{
    pool_t *pool = future->pool;
    if (--future->users > 0)
        return;
    if (future->record)
        pool_free_record(pool, future->record);
    pool->users--; /* its handle, or its dispatcher, is another one */
    if (pool->spare_future_count == SPARE_FUTURES) {
        free(future);
        return;
    }
    future->next_call = pool->spare_futures;
    pool->spare_futures = future;
    pool->spare_future_count++;
}

static void destroy(void *object)
{
    future_t *future = object;
    pool_t *pool = future->pool;
    if (future->owner != sys_getpid())
        return;
    pool_lock(pool);
    future->handle = NULL;
    /* Nobody else looks whether it has ended. */
    if (!future->has_ended && !future_look(future))
        future_list(future);
    pool->users++;
    future_let_go(future);
    pool_let_go(pool);
}

void future_forget_result(future_t *future)
{
    future->record = NULL;
    if (future->error.status == APR_SUCCESS)
        pool_make_error(&future->error, MPROC_ECLOSED, 0, 0, "the library was terminated");
}

apr_status_t future_make(future_t **made, pool_t *pool, const pool_order_t *order)
{
    future_t *future = pool->spare_futures;
    if (future) {
        pool->spare_futures = future->next_call;
        pool->spare_future_count--;
    } else {
        future = malloc(sizeof *future);
    }
    *made = future;
    if (!future)
        return APR_ENOMEM;
    /* The error is not touched as long as there is none. */
    memset(future, 0, offsetof(future_t, error));
    future->closable = (closable_t){0, 0};
    future->error.status = APR_SUCCESS;
    future->next_call = future->next_of_stream = NULL;
    future->pool = pool;
    future->owner = pool->owner;
    future->timeout = order->opts.timeout;
    future->retries = order->opts.retries;
    future->index = order->index;
    future->callback = order->opts.callback;
    future->context = order->opts.context;
    future->users = order->is_kept ? 2 : 1;
    return APR_SUCCESS;
}

apr_status_t future_publish(mproc_future_t **handle, future_t *future, const char *call)
{
    future->handle = handle_open(HANDLE_FUTURE, future, destroy);
    if (!future->handle)
        return mproc_fail(APR_ENOMEM, "%s: no memory for another future", call);
    if (handle)
        *handle = future->handle;
    else
        future->is_lent = 1;
    return APR_SUCCESS;
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

void future_end(future_t *future, const mproc_task_error_t *error)
{
    pool_t *pool = future->pool;
    if (error) {
        future->error = *error;
        future->error.index = future->index;
    }
    future->has_ended = 1;
    /* The last one is what the dispatcher of a pool that is shut down waits for. */
    if (--pool->unended == 0 && pool->state != POOL_OPEN)
        pool_alarm(pool);
    pool_end_timed(pool, future->timeout);
    if (future->callback) {
        future->users++;
        pool->calling++;
        if (pool->calls_last)
            pool->calls_last->next_call = future;
        else
            pool->calls_first = future;
        pool->calls_last = future;
    }
    closable_wake(&future->closable);
    futures_wake();
}

int future_look(future_t *future)
{
    pool_record_t *record = future->record;
    if (future->has_ended)
        return 1;
    if (!record || record_kind(shm_load64(&record->state)) != RECORD_ENDED)
        return 0;
    if (record->status == APR_SUCCESS) {
        future->result = record_result(record);
        future->size = (size_t)record->size;
        future->error.tries = record->tries + 1;
        future_end(future, NULL);
    } else {
        future_end(future, &record->error);
    }
    /* If it was listed its record must stay until it has come. */
    if (!future->is_listed)
        future_let_go(future);
    return 1;
}

void future_list(future_t *future)
{
    if (future->has_ended || future->is_listed)
        return;
    for (;;) {
        const uint64_t state = shm_load64(&future->record->state);
        if (record_kind(state) == RECORD_ENDED) {
            future_look(future);
            return;
        }
        if (shm_replace64(&future->record->state, state, state | RECORD_IS_LISTED)) {
            future->is_listed = 1;
            pool_watch(future->pool);
            return;
        }
    }
}

/** A task has ended, and its record is not its own any more. */
static void end_without_record(future_t *future, const mproc_task_error_t *error)
{
    pool_t *pool = future->pool;
    pool_entry(pool, future->record)->future = NULL;
    future->record = NULL;
    future->is_listed = 0;
    pool->lost++;
    future_end(future, error);
    future_let_go(future);
    pool_tell_waiting(pool);
}

int future_take(future_t *future, const mproc_task_error_t *error)
{
    pool_t *pool = future->pool; /* which stays, if the task does not */
    pool_record_t *record = future->record;
    mproc_task_error_t full = *error;
    while (!future_look(future)) {
        const uint64_t state = shm_load64(&record->state);
        full.tries = record->tries;
        if (record_kind(state) == RECORD_QUEUED && pool_take(record, state)) {
            end_without_record(future, &full);
            pool_free_record(pool, record);
            return 1;
        }
        if (record_kind(state) == RECORD_CLAIMED && pool_doom_single(future, state, error)) {
            full.tries++;
            full.pid = pool_worker_id(pool, record_worker(state));
            end_without_record(future, &full);
            return 1;
        }
        /* It was to be run again: the record stays with the worker that runs it still. */
        if (record_kind(state) == RECORD_TAKEN) {
            full.tries++;
            end_without_record(future, &full);
            return 1;
        }
    }
    return 0;
}

void future_lose(future_t *future, const mproc_task_error_t *error)
{
    pool_t *pool = future->pool;
    pool_record_t *record = future->record;
    mproc_task_error_t full = *error;
    const uint64_t state = shm_load64(&record->state);
    record->tries++;
    pool_give_memory(pool, record->result);
    record->result = 0;
    if (future->retries > 0 && pool->state != POOL_TERMINATED) {
        future->retries--;
        /* Of another generation: what is left of it in a ring is not meant. */
        const uint64_t again = (state >> RECORD_GENERATION_SHIFT) + 1;
        const uint64_t flags = state & (RECORD_IS_AWAITED | RECORD_IS_LISTED);
        shm_store64(&record->state, again << RECORD_GENERATION_SHIFT | flags | RECORD_QUEUED);
        pool_put_in(pool, record, POOL_AGAIN);
        pool_wake(pool->head, 1);
        return;
    }
    full.tries = record->tries;
    end_without_record(future, &full);
    pool_free_record(pool, record);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

int future_ask(future_t *future)
{
    for (;;) {
        const uint64_t state = shm_load64(&future->record->state);
        if (record_kind(state) == RECORD_ENDED)
            return 0;
        if ((state & RECORD_IS_AWAITED) || shm_replace64(&future->record->state, state, state | RECORD_IS_AWAITED))
            return 1;
    }
}

apr_status_t future_await(future_t *future, sys_time_t deadline)
{
    pool_t *pool = future->pool;
    apr_status_t status = APR_SUCCESS;
    pool_lock(pool);
    while (status == APR_SUCCESS && !future_look(future)) {
        const uint32_t round = shm_load(&pool->head->rounds);
        if (atomic_load(&future->closable.is_closed))
            status = MPROC_ECLOSED;
        else if (future_ask(future))
            status = pool_wait(pool, round, deadline);
    }
    pool_unlock(pool);
    return status;
}

/* ---- Public calls ------------------------------------------------------------------------------------------------ */

apr_status_t future_acquire(future_t **future, const mproc_future_t *handle, const char *call)
{
    void *object;
    *future = NULL;
    const apr_status_t status = handle_acquire(&object, handle, HANDLE_FUTURE);
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the future is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open future: closed before, or never one", call,
                          (const void *)handle);
    *future = object;
    const int is_closed = atomic_load(&(*future)->closable.is_closed) && !pool_is_dispatcher((*future)->pool);
    if ((*future)->owner == sys_getpid() && !is_closed)
        return APR_SUCCESS;
    handle_release(handle);
    if (is_closed)
        return mproc_fail(MPROC_ECLOSED, "%s: %p was closed, and is its callback's alone", call, (const void *)handle);
    return mproc_fail(MPROC_EFOREIGN, "%s: the future belongs to the process that this one was forked from", call);
}

apr_status_t future_watch(future_t *future, const char *call)
{
    pool_t *pool = future->pool;
    apr_status_t status = APR_SUCCESS;
    pool_lock(pool);
    if (!future_look(future)) {
        status = pool_check_may_wait(pool, call);
        future_list(future);
    }
    pool_unlock(pool);
    return status;
}

int future_has_ended(future_t *future)
{
    pool_t *pool = future->pool;
    pool_lock(pool);
    const int has_ended = future_look(future);
    pool_unlock(pool);
    return has_ended;
}

void future_tell(mproc_task_error_t *error, const future_t *future)
{
    if (error && future->error.status != APR_SUCCESS)
        *error = future->error;
    else if (error)
        error->tries = future->error.tries;
}

apr_status_t mproc_future_wait(mproc_future_t *handle, mproc_task_error_t *error, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_future_wait";
    future_t *future;
    if (error)
        memset(error, 0, sizeof *error);
    apr_status_t status = future_acquire(&future, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(future->pool);
    const int has_ended = future_look(future);
    pool_unlock(future->pool);
    if (!has_ended && timeout != 0)
        status = pool_check_may_wait(future->pool, call);
    if (status == APR_SUCCESS && !has_ended) {
        status = future_await(future, timeout ? process_deadline(timeout) : 0);
        if (status == APR_TIMEUP)
            mproc_fail(status, "%s: the task has not ended", call);
        else if (status != APR_SUCCESS)
            mproc_fail(status, "%s: another thread has closed the future", call);
    }
    if (status == APR_SUCCESS)
        future_tell(error, future);
    handle_release(handle);
    return status;
}

apr_status_t mproc_future_result(mproc_future_t *handle, const void **result, size_t *size)
{
    static const char call[] = "mproc_future_result";
    future_t *future;
    if (result)
        *result = NULL;
    if (size)
        *size = 0;
    if (!result)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the result: it is NULL", call);
    apr_status_t status = future_acquire(&future, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(future->pool);
    if (!future_look(future)) {
        status = mproc_fail(MPROC_ESTATE, "%s: the task has not ended", call);
    } else if (future->error.status != APR_SUCCESS) {
        status = mproc_fail(future->error.status, "%s: %s", call, future->error.text);
    } else {
        *result = future->result ? future->result : "";
        if (size)
            *size = future->size;
    }
    pool_unlock(future->pool);
    handle_release(handle);
    return status;
}

void *mproc_future_context(mproc_future_t *handle)
{
    future_t *future;
    if (future_acquire(&future, handle, "mproc_future_context") != APR_SUCCESS)
        return NULL;
    void *context = future->context;
    handle_release(handle);
    mproc_forget_error();
    return context;
}

apr_status_t mproc_future_cancel(mproc_future_t *handle)
{
    static const char call[] = "mproc_future_cancel";
    future_t *future;
    mproc_task_error_t error;
    apr_status_t status = future_acquire(&future, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_make_error(&error, MPROC_ECANCELLED, 0, 0, "the task was cancelled");
    pool_lock(future->pool);
    if (!future_take(future, &error))
        status = mproc_fail(MPROC_ESTATE, "%s: the task has ended before", call);
    /* The pool may be closed by now. */
    if (future->pool->state != POOL_JOINED)
        pool_alarm(future->pool);
    pool_unlock(future->pool);
    handle_release(handle);
    return status;
}

apr_status_t mproc_future_close(mproc_future_t *handle)
{
    static const char call[] = "mproc_future_close";
    future_t *future;
    if (!handle)
        return APR_SUCCESS;
    apr_status_t status = future_acquire(&future, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_t *pool = future->pool;
    pool_lock(pool);
    const int is_lent = future->is_lent;
    /* Its callback still needs it. */
    future->is_lent |= future->callback != NULL;
    const int is_to_close = !future->is_lent;
    pool_unlock(pool);
    if (is_lent) {
        status = mproc_fail(MPROC_ESTATE, "%s: it is closed when its callback returns", call);
    } else if (!is_to_close || handle_close(handle, HANDLE_FUTURE) == APR_SUCCESS) {
        closable_close(&future->closable);
        futures_wake();
        pool_lock(pool);
        pool_tell_waiting(pool);
        pool_unlock(pool);
    }
    handle_release(handle);
    return status;
}
