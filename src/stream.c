/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "handle.h"
#include "pool_object.h"

/** A stream, which one thread uses at a time. */
typedef struct stream_t {
    mproc_stream_t *handle;
    int owner; /* process id */
    pool_t *pool;
    mproc_task_fn_t function;
    mproc_input_fn_t input;
    void *context;
    mproc_stream_opts_t opts;
    _Atomic int is_in_use;
    apr_status_t end; /* why no more inputs come; APR_SUCCESS: they do */
    uint64_t next_index;
    future_t *first; /* what is under way, in the order of the inputs */
    future_t *last;
    size_t count;
    future_t *taken; /* whose result the program has; NULL: none */
} stream_t;

/** Cancel and forget what is under way; with the pool's lock held. */
static void drop_all(stream_t *stream)
{
    mproc_task_error_t error;
    future_t *last = NULL;
    pool_make_error(&error, MPROC_ECANCELLED, 0, 0, "the stream was closed");
    /* The last one first: a worker that is rid of its task must not begin one that is to be cancelled, too. */
    for (future_t *future = stream->first, *next; future; future = next) {
        next = future->next_of_stream;
        future->next_of_stream = last;
        last = future;
    }
    for (future_t *future = last, *next; future; future = next) {
        next = future->next_of_stream;
        future_take(future, &error);
        future_let_go(future);
    }
}

static void destroy(void *object)
{
    stream_t *stream = object;
    pool_t *pool = stream->pool;
    if (stream->owner == sys_getpid()) {
        pool_lock(pool);
        if (stream->taken)
            future_let_go(stream->taken);
        drop_all(stream);
        pool_let_go(pool);
        free(stream);
    }
}

apr_status_t mproc_pool_stream_sized(mproc_pool_t *pool_handle, mproc_stream_t **handle, mproc_task_fn_t function,
                                     mproc_input_fn_t input, void *context, const mproc_stream_opts_t *opts,
                                     size_t opts_size)
{
    enum { EACH = 16 };
    static const char call[] = "mproc_pool_stream";
    mproc_stream_opts_t options;
    pool_t *pool;
    uintptr_t address;
    uint64_t found;
    if (handle)
        *handle = NULL;
    memcpy(&address, &function, sizeof address);
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status == APR_SUCCESS && (!handle || !function || !input))
        status = mproc_fail(APR_EINVAL, "%s: %s", call,
                            !handle     ? "nowhere to store the stream: it is NULL"
                            : !function ? "the function is NULL"
                                        : "the function for inputs is NULL");
    if (status == APR_SUCCESS)
        status = pool_acquire(&pool, pool_handle, call);
    if (status != APR_SUCCESS)
        return status;
    stream_t *stream = calloc(1, sizeof *stream);
    if (!stream)
        status = mproc_fail(APR_ENOMEM, "%s: no memory for a stream", call);
    if (status == APR_SUCCESS)
        status = pool_take_timeout(&options.timeout, pool, call);
    if (status == APR_SUCCESS)
        status = pool_check_may_wait(pool, call);
    pool_lock(pool);
    if (status == APR_SUCCESS)
        status = pool_check_open(pool, call);
    /* That workers cannot find it is told now: later an input would have been fetched for nothing. */
    if (status == APR_SUCCESS)
        status = pool_find_function(pool, &found, address);
    if (status == APR_SUCCESS) {
        if (options.buffer == 0)
            options.buffer = (size_t)pool->opts.workers * EACH;
        *stream = (stream_t){.owner = pool->owner,
                             .pool = pool,
                             .function = function,
                             .input = input,
                             .context = context,
                             .opts = options};
        stream->handle = handle_open(HANDLE_STREAM, stream, destroy);
        if (stream->handle)
            pool->users++;
        else
            status = mproc_fail(APR_ENOMEM, "%s: no memory for a stream", call);
    }
    pool_unlock(pool);
    if (status == APR_SUCCESS)
        *handle = stream->handle;
    else
        free(stream);
    pool_release(pool);
    return status;
}

/** Get a stream for one thread. */
static apr_status_t acquire(stream_t **stream, const mproc_stream_t *handle, const char *call)
{
    void *object;
    *stream = NULL;
    apr_status_t status = handle_acquire(&object, handle, HANDLE_STREAM);
    if (status == APR_EINVAL)
        return mproc_fail(status, "%s: the stream is NULL", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: %p is not an open stream: closed before, or never one", call,
                          (const void *)handle);
    *stream = object;
    if ((*stream)->owner != sys_getpid())
        status =
            mproc_fail(MPROC_EFOREIGN, "%s: the stream belongs to the process that this one was forked from", call);
    else if (atomic_exchange(&(*stream)->is_in_use, 1))
        status = mproc_fail(MPROC_ESTATE, "%s: another thread uses the stream just now", call);
    if (status == APR_SUCCESS)
        return status;
    handle_release(handle);
    *stream = NULL;
    return status;
}

static void release(stream_t *stream)
{
    atomic_store(&stream->is_in_use, 0);
    handle_release(stream->handle);
}

/** Fetch an input, and put it in. */
static apr_status_t fetch(stream_t *stream, const char *call)
{
    pool_order_t order = {.function = stream->function,
                          .index = stream->next_index,
                          .opts = {.timeout = stream->opts.timeout, .retries = stream->opts.retries},
                          .is_kept = 1};
    future_t *future;
    pool_t *pool = stream->pool;
    apr_status_t status = stream->input(stream->context, &order.in, &order.size);
    if (status != APR_SUCCESS) {
        if (status != APR_EAGAIN)
            stream->end = status;
        return status;
    }
    if (!order.in && order.size) {
        stream->end = mproc_fail(APR_EINVAL, "%s: the function for inputs says NULL, and %zu bytes", call, order.size);
        return stream->end;
    }
    pool_lock(pool);
    status = pool_check_open(pool, call);
    if (status == APR_SUCCESS)
        status = future_submit(&future, pool, &order, call);
    if (status == APR_SUCCESS) {
        stream->next_index++;
        if (stream->last)
            stream->last->next_of_stream = future;
        else
            stream->first = future;
        stream->last = future;
        stream->count++;
    } else {
        /* The input is lost, so nothing can follow it. */
        stream->end = status;
    }
    pool_unlock(pool);
    if (status == APR_SUCCESS)
        pool_wake(pool->head, 1);
    return status;
}

/** Take a task out of what is under way: the first one, or, if the order does not matter, one that has ended. */
static future_t *take_ended(stream_t *stream)
{
    future_t *before = NULL;
    for (future_t *future = stream->first; future; before = future, future = future->next_of_stream) {
        if (future_look(future)) {
            if (before)
                before->next_of_stream = future->next_of_stream;
            else
                stream->first = future->next_of_stream;
            if (stream->last == future)
                stream->last = before;
            stream->count--;
            return future;
        }
        if (!stream->opts.unordered)
            break;
    }
    return NULL;
}

/** Wait for one to take; with the lock held. */
static apr_status_t wait_for(stream_t *stream, future_t **found, sys_time_t deadline)
{
    pool_t *pool = stream->pool;
    for (;;) {
        const uint32_t round = pool->state == POOL_JOINED ? 0 : shm_load(&pool->head->rounds);
        *found = take_ended(stream);
        if (*found)
            return APR_SUCCESS;
        for (future_t *future = stream->first; future; future = future->next_of_stream) {
            future_ask(future);
            if (!stream->opts.unordered)
                break;
        }
        *found = take_ended(stream);
        if (*found)
            return APR_SUCCESS;
        const apr_status_t status = pool_wait(pool, round, deadline);
        if (status != APR_SUCCESS)
            return status;
    }
}

/** Why there is nothing to take: nothing is under way. */
static apr_status_t tell_end(const stream_t *stream, const char *call)
{
    if (stream->end == APR_SUCCESS)
        return mproc_fail(APR_EAGAIN, "%s: there is no input just now, and no task is under way", call);
    if (stream->end == APR_EOF)
        return mproc_fail(APR_EOF, "%s: all results were taken", call);
    return mproc_fail(stream->end, "%s: there are no more inputs", call);
}

static apr_status_t next(stream_t *stream, mproc_task_error_t *error, apr_interval_time_t timeout, const char *call)
{
    const sys_time_t deadline = timeout ? process_deadline(timeout) : 0;
    pool_t *pool = stream->pool;
    apr_status_t status = pool_check_may_wait(pool, call);
    if (status != APR_SUCCESS)
        return status;
    while (stream->end == APR_SUCCESS && stream->count < stream->opts.buffer)
        if (fetch(stream, call) != APR_SUCCESS)
            break;
    if (stream->count == 0)
        return tell_end(stream, call);
    pool_lock(pool);
    future_t *found = NULL;
    status = wait_for(stream, &found, deadline);
    if (found && stream->taken)
        future_let_go(stream->taken);
    if (found) {
        stream->taken = found;
        future_tell(error, found);
        if (error)
            error->index = found->index;
    }
    pool_unlock(pool);
    if (status == APR_TIMEUP)
        mproc_fail(status, "%s: no task has ended", call);
    else if (status != APR_SUCCESS)
        mproc_fail(status, "%s: the pool was closed", call);
    return status;
}

apr_status_t mproc_stream_next(mproc_stream_t *handle, const void **result, size_t *size, mproc_task_error_t *error,
                               apr_interval_time_t timeout)
{
    static const char call[] = "mproc_stream_next";
    stream_t *stream;
    if (result)
        *result = NULL;
    if (size)
        *size = 0;
    if (error)
        memset(error, 0, sizeof *error);
    if (!result)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the result: it is NULL", call);
    apr_status_t status = acquire(&stream, handle, call);
    if (!stream)
        return status;
    status = next(stream, error, timeout, call);
    if (status == APR_SUCCESS && stream->taken->error.status == APR_SUCCESS) {
        *result = stream->taken->result ? stream->taken->result : "";
        if (size)
            *size = stream->taken->size;
    }
    release(stream);
    return status;
}

apr_status_t mproc_stream_close(mproc_stream_t *handle)
{
    static const char call[] = "mproc_stream_close";
    stream_t *stream;
    if (!handle)
        return APR_SUCCESS;
    const apr_status_t status = acquire(&stream, handle, call);
    if (!stream)
        return status;
    handle_close(handle, HANDLE_STREAM);
    release(stream);
    return APR_SUCCESS;
}
