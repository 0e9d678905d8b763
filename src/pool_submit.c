/* SPDX-License-Identifier: Apache-2.0 */
/* Putting single tasks in, and waiting for one. */
#include <string.h>

#include "pool_object.h"

/** Give a record the message. */
static apr_status_t fill_message(pool_t *pool, pool_record_t *record, const pool_order_t *order)
{
    record->in = 0;
    record->in_size = order->size;
    if (order->size > sizeof record->message) {
        const apr_status_t status = pool_take_memory(pool, &record->in, order->size);
        if (status != APR_SUCCESS)
            return status;
    }
    if (order->size)
        memcpy(record->in ? arena_at(record->in) : record->message, order->in, order->size);
    return APR_SUCCESS;
}

static apr_status_t fail_to_submit(const pool_t *pool, apr_status_t status, size_t size, const char *call)
{
    return mproc_fail(status, "%s: %s has no room for a task with %zu bytes: the family's memory (%llu bytes) is full",
                      call, pool->name, size, (unsigned long long)arena->size);
}

apr_status_t future_submit(future_t **made, pool_t *pool, const pool_order_t *order, const char *call)
{
    uint64_t function;
    uintptr_t address;
    pool_record_t *record;
    *made = NULL;
    memcpy(&address, &order->function, sizeof address);
    apr_status_t status = pool_find_function(pool, &function, address);
    if (status != APR_SUCCESS)
        return status;
    status = pool_get_record(pool, &record);
    if (status != APR_SUCCESS)
        return fail_to_submit(pool, status, order->size, call);
    status = fill_message(pool, record, order);
    if (status == APR_SUCCESS)
        status = future_make(made, pool, order);
    if (status != APR_SUCCESS) {
        pool_free_record(pool, record);
        return fail_to_submit(pool, status, order->size, call);
    }
    future_t *future = *made;
    record->function = function;
    record->index = order->index;
    record->tries = 0;
    shm_write(&record->is_timed, order->opts.timeout != 0);
    future->record = record;
    future->is_listed = order->opts.callback || !order->is_kept || pool->are_listed;
    pool_entry(pool, record)->future = future;
    pool->users++;
    pool->unended++;
    pool_begin_timed(pool, future->timeout);
    const uint64_t state = record_become(shm_read64(&record->state), RECORD_QUEUED);
    shm_store64(&record->state, state | (future->is_listed ? RECORD_IS_LISTED : 0));
    pool_put_in(pool, record, POOL_FIRST);
    if (future->is_listed)
        pool_watch(pool);
    return APR_SUCCESS;
}

/* ---- Public calls ------------------------------------------------------------------------------------------------ */

/** Wait for room in the backlog; with the lock held. */
static apr_status_t wait_for_room(pool_t *pool, apr_interval_time_t timeout, const char *call)
{
    const sys_time_t deadline = timeout ? process_deadline(timeout) : 0;
    apr_status_t status = pool_check_open(pool, call);
    while (status == APR_SUCCESS && pool->opts.backlog) {
        const uint32_t round = shm_load(&pool->head->rounds);
        const uint64_t waiting = pool_count_waiting(pool);
        if (waiting < pool->opts.backlog)
            break;
        if (timeout == 0)
            return mproc_fail(MPROC_EFULL, "%s: %llu tasks wait in %s already", call, (unsigned long long)waiting,
                              pool->name);
        status = pool_check_may_wait(pool, call);
        if (status != APR_SUCCESS)
            return status;
        /* Whoever makes room after this says so. */
        if (!shm_load(&pool->head->is_full)) {
            shm_store(&pool->head->is_full, 1);
            continue;
        }
        status = pool_wait(pool, round, deadline);
        if (status == APR_TIMEUP)
            return mproc_fail(MPROC_EFULL, "%s: the time is up, and %llu tasks wait in %s", call,
                              (unsigned long long)waiting, pool->name);
        status = pool_check_open(pool, call);
    }
    return status;
}

static apr_status_t check_order(const pool_t *pool, pool_order_t *order, const char *call)
{
    if (!order->function || (!order->in && order->size))
        return mproc_fail(APR_EINVAL, "%s: %s is NULL", call, order->function ? "the message" : "the function");
    return pool_take_timeout(&order->opts.timeout, pool, call);
}

static apr_status_t submit(mproc_future_t **handle, pool_t *pool, pool_order_t *order, const char *call)
{
    future_t *future;
    apr_status_t status = check_order(pool, order, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(pool);
    order->is_kept = handle || order->opts.callback;
    status = wait_for_room(pool, order->opts.room_timeout, call);
    if (status == APR_SUCCESS)
        status = future_submit(&future, pool, order, call);
    if (status == APR_SUCCESS && order->is_kept) {
        status = future_publish(handle, future, call);
        if (status != APR_SUCCESS) {
            /* Without a handle nobody would hear of it. */
            mproc_task_error_t error;
            pool_make_error(&error, APR_ENOMEM, 0, 0, "no memory for a future");
            future->callback = NULL;
            future_take(future, &error);
            future_let_go(future);
        }
    }
    pool_unlock(pool);
    if (status == APR_SUCCESS)
        pool_wake(pool->head, 1);
    return status;
}

apr_status_t mproc_pool_submit_sized(mproc_pool_t *handle, mproc_future_t **future, mproc_task_fn_t function,
                                     const void *in, size_t size, const mproc_submit_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_pool_submit";
    pool_t *pool;
    pool_order_t order = {.function = function, .in = in, .size = size};
    if (future)
        *future = NULL;
    apr_status_t status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = shared_take_options(&order.opts, sizeof order.opts, opts, opts_size, call);
    if (status == APR_SUCCESS)
        status = submit(future, pool, &order, call);
    pool_release(pool);
    return status;
}

/* ---- One task, waited for ---------------------------------------------------------------------------------------- */

/** Store the result of a task that has ended, if there is room for it. */
static apr_status_t copy_result(const future_t *future, void *out, size_t capacity, size_t *length, const char *call)
{
    if (future->error.status != APR_SUCCESS)
        return mproc_fail(future->error.status, "%s: %s", call, future->error.text);
    if (length)
        *length = future->size;
    if (future->size > capacity)
        return mproc_fail(MPROC_ETOOBIG, "%s: the result has %zu bytes, but there is room for %zu", call, future->size,
                          capacity);
    if (!length && future->size != capacity)
        return mproc_fail(MPROC_ESIZE, "%s: the result has %zu bytes, but %zu are expected", call, future->size,
                          capacity);
    if (future->size)
        memcpy(out, future->result, future->size);
    return APR_SUCCESS;
}

static apr_status_t apply(pool_t *pool, pool_order_t *order, void *out, size_t capacity, size_t *length,
                          mproc_task_error_t *error)
{
    static const char call[] = "mproc_pool_apply";
    future_t *future;
    apr_status_t status = check_order(pool, order, call);
    if (status == APR_SUCCESS)
        status = pool_check_may_wait(pool, call);
    if (status != APR_SUCCESS)
        return status;
    pool_lock(pool);
    status = wait_for_room(pool, MPROC_FOREVER, call);
    if (status == APR_SUCCESS)
        status = future_submit(&future, pool, order, call);
    pool_unlock(pool);
    if (status != APR_SUCCESS)
        return status;
    pool_wake(pool->head, 1);
    status = future_await(future, SYS_NEVER);
    pool_lock(pool);
    if (status == APR_SUCCESS) {
        future_tell(error, future);
        status = copy_result(future, out, capacity, length, call);
    } else {
        status = mproc_fail(status, "%s: the pool was closed", call);
    }
    future_let_go(future);
    pool_unlock(pool);
    return status;
}

apr_status_t mproc_pool_apply_sized(mproc_pool_t *handle, mproc_task_fn_t function, void *out, size_t capacity,
                                    size_t *length, const void *in, size_t size, const mproc_apply_opts_t *opts,
                                    size_t opts_size)
{
    static const char call[] = "mproc_pool_apply";
    pool_t *pool;
    mproc_apply_opts_t options;
    if (length)
        *length = 0;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status == APR_SUCCESS && options.error)
        memset(options.error, 0, sizeof *options.error);
    if (status == APR_SUCCESS && !out && capacity)
        status = mproc_fail(APR_EINVAL, "%s: there is no place for the result: it is NULL", call);
    if (status == APR_SUCCESS)
        status = pool_acquire(&pool, handle, call);
    if (status != APR_SUCCESS)
        return status;
    pool_order_t order = {.function = function,
                          .in = in,
                          .size = size,
                          .opts = {.timeout = options.timeout, .retries = options.retries},
                          .is_kept = 1};
    status = apply(pool, &order, out, capacity, length, options.error);
    pool_release(pool);
    return status;
}
