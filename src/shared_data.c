/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/shared_data.h>

#include <stdio.h>

#include "blocks.h"
#include "call.h"
#include "error.h"
#include "lock_fast.h"
#include "memory.h"

/** Shared data in the arena: a cache line. Small ones follow it at once, larger ones have memory of their own. */
typedef struct data_t {
    shared_head_t head;
    shm_u64_t lock;   /* the offset of its lock, which it keeps; 0: it has none */
    shm_u64_t memory; /* see memory.h; 0: it has none */
    shm_u64_t size;
} data_t;

_Static_assert(sizeof(data_t) == MPROC_SHARED_ALIGNMENT, "what follows is aligned");
_Static_assert(offsetof(data_t, lock) == OBJECT_KEPT_AT, "where what it keeps is looked for");
_Static_assert(offsetof(data_t, memory) == OBJECT_MEMORY_AT, "where its memory is looked for");

/** The most bytes that lie in the object's own block. */
#define SMALL_MAX (BLOCK_SMALL_MAX - sizeof(data_t))

static data_t *data_behind(const shared_t *shared)
{
    return arena_at(shared->offset);
}

/** Its lock; NULL if it has none. */
static lock_t *lock_of(const data_t *data)
{
    const uint64_t offset = shm_load64(&data->lock);
    return offset ? arena_at(offset) : NULL;
}

/** Where the bytes are. */
static void *bytes_of(data_t *data)
{
    const uint64_t part = memory_last(&data->head.object);
    return part ? arena_at(part) : data + 1;
}

static void stir(void *at)
{
    lock_t *lock = lock_of(at);
    if (lock)
        robust_stir(&lock->robust);
}

static void describe(const void *at, char *text, size_t size)
{
    const data_t *data = at;
    const uint64_t lock = shm_load64(&data->lock);
    const unsigned long long bytes = (unsigned long long)shm_load64(&data->size);
    /* Who describes it may look at what is something else by now. */
    if (lock && blocks_can_be_object(lock))
        snprintf(text, size, "%llu bytes, its lock is %llu", bytes,
                 (unsigned long long)shm_load64(&((const shared_head_t *)arena_at(lock))->object.serial));
    else
        snprintf(text, size, "%llu bytes", bytes);
}

const shared_kind_t data_kind = {HANDLE_DATA, "shared area", sizeof(data_t), stir, NULL, describe};

/* ---- The bytes --------------------------------------------------------------------------------------------------- */

void *mproc_shared_data(mproc_shared_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &data_kind, "mproc_shared_data") != APR_SUCCESS)
        return NULL;
    void *bytes = bytes_of(data_behind(shared));
    shared_release(shared);
    mproc_forget_error();
    return bytes;
}

size_t mproc_shared_size(mproc_shared_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &data_kind, "mproc_shared_size") != APR_SUCCESS)
        return 0;
    const size_t size = (size_t)shm_load64(&data_behind(shared)->size);
    shared_release(shared);
    mproc_forget_error();
    return size;
}

/* ---- Its lock ---------------------------------------------------------------------------------------------------- */

static apr_status_t fail_without_lock(const char *call)
{
    return mproc_fail(MPROC_ESTATE, "%s: the shared area was made without a lock (mproc_shared_opts_t)", call);
}

/** The rest of mproc_shared_acquire(), if it was acquired at once (MPROC_EOWNERDEAD) or not (APR_EAGAIN). */
static apr_status_t acquire_handle(mproc_shared_t *handle, apr_interval_time_t timeout, apr_status_t at_once)
{
    static const char call[] = "mproc_shared_acquire";
    shared_t *shared;
    hazard_begin_thread();
    apr_status_t status = shared_acquire(&shared, handle, &data_kind, call);
    /* Closed in this moment, but it was acquired before. */
    if (status != APR_SUCCESS)
        return at_once == MPROC_EOWNERDEAD ? mproc_fail(at_once, "%s: who had the lock has died", call) : status;
    lock_t *lock = lock_of(data_behind(shared));
    if (lock) {
        status = at_once == APR_EAGAIN ? lock_acquire(lock, shared, timeout) : at_once;
        if (status != APR_SUCCESS)
            lock_fail(status, lock, call);
    } else {
        status = fail_without_lock(call);
    }
    shared_release(shared);
    return status;
}

apr_status_t mproc_shared_acquire(mproc_shared_t *handle, apr_interval_time_t timeout)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_DATA);
    if (!shared)
        return acquire_handle(handle, timeout, APR_EAGAIN);
    apr_status_t status = APR_EAGAIN;
    lock_t *lock = shared_is_own(shared) ? lock_of(data_behind(shared)) : NULL;
    if (lock)
        status = lock_fast_acquire(lock, hazard->thread);
    hazard_end(hazard);
    return status == APR_SUCCESS ? status : acquire_handle(handle, timeout, status);
}

/** The rest of mproc_shared_release(), if it was not released at once. */
static apr_status_t release_handle(mproc_shared_t *handle)
{
    static const char call[] = "mproc_shared_release";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &data_kind, call);
    if (status != APR_SUCCESS)
        return status;
    lock_t *lock = lock_of(data_behind(shared));
    status = lock ? lock_release(lock, call) : fail_without_lock(call);
    shared_release(shared);
    return status;
}

apr_status_t mproc_shared_release(mproc_shared_t *handle)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_DATA);
    if (!shared)
        return release_handle(handle);
    lock_t *lock = shared_is_own(shared) ? lock_of(data_behind(shared)) : NULL;
    const int is_released = lock && lock_fast_release(lock, hazard->thread);
    hazard_end(hazard);
    return is_released ? APR_SUCCESS : release_handle(handle);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void init(void *at, const void *context)
{
    shm_store64(&((data_t *)at)->size, *(const size_t *)context);
}

static apr_status_t furnish(transaction_t *transaction, void *at, const void *context)
{
    uint64_t part;
    return memory_take(transaction, &part, *(const size_t *)context, at);
}

/** Make the memory of a new one zeros: here, and not in the transaction that has taken it, as that may take long. */
static apr_status_t clear(mproc_shared_t *handle, const char *call)
{
    shared_t *shared;
    const apr_status_t status = shared_acquire(&shared, handle, &data_kind, call);
    if (status != APR_SUCCESS)
        return status;
    data_t *data = data_behind(shared);
    arena_clear(arena_offset(bytes_of(data)), shm_load64(&data->size));
    shared_release(shared);
    return status;
}

/** Make one, with a lock or without; the status has its text. */
static apr_status_t create(mproc_shared_t **handle, size_t size, const mproc_shared_opts_t *opts, mproc_lock_t *lock,
                           const char *call)
{
    shared_t *of_lock = NULL;
    void *made;
    const int is_small = size <= SMALL_MAX;
    apr_status_t status = lock ? shared_acquire(&of_lock, lock, &lock_kind, call) : APR_SUCCESS;
    if (status != APR_SUCCESS)
        return status;
    const shared_plan_t plan = {.kind = &data_kind,
                                .size = sizeof(data_t) + (is_small ? size : 0),
                                .name = opts->name,
                                .pool = opts->pool,
                                .init = init,
                                .context = &size,
                                .kept = of_lock,
                                .furnish = is_small ? NULL : furnish,
                                .room = size};
    status = shared_create(&made, &plan, call);
    if (of_lock)
        shared_release(of_lock);
    if (status == APR_SUCCESS && !is_small)
        status = clear(made, call);
    *handle = status == APR_SUCCESS ? made : NULL;
    return status;
}

apr_status_t mproc_shared_create_sized(mproc_shared_t **handle, size_t size, const mproc_shared_opts_t *opts,
                                       size_t opts_size)
{
    static const char call[] = "mproc_shared_create";
    mproc_shared_opts_t options;
    mproc_lock_opts_t recursive = {.recursive = 1};
    mproc_lock_t *lock = NULL;
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the shared area: it is NULL", call);
    *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status == APR_SUCCESS && size == 0)
        status = mproc_fail(APR_EINVAL, "%s: the size is 0", call);
    recursive.name = options.name;
    if (status == APR_SUCCESS && options.lock)
        status = mproc_lock_create(&lock, &recursive);
    if (status == APR_SUCCESS)
        status = create(handle, size, &options, lock, call);
    if (lock)
        mproc_lock_close(lock);
    return status;
}

apr_status_t mproc_shared_open(mproc_shared_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status = shared_open(handle ? &opened : NULL, &data_kind, ref, pool, "mproc_shared_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_shared_close(mproc_shared_t *handle)
{
    return shared_close(handle, &data_kind, "mproc_shared_close");
}

mproc_shared_t *mproc_call_shared(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_DATA, "mproc_call_shared");
}
