/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/semaphore.h>

#include <limits.h>

#include "call.h"
#include "error.h"
#include "process_object.h"
#include "shared.h"

/** A semaphore in the arena. */
typedef struct semaphore_t {
    shared_head_t head;
    shm_u32_t word; /* the value, and whether somebody may be waiting */
    uint32_t most;
} semaphore_t;

static const uint32_t waiters = (uint32_t)1 << 31;

static void stir(void *at)
{
    shm_unpark(&((semaphore_t *)at)->word, UINT_MAX);
}

const shared_kind_t semaphore_kind = {HANDLE_SEMAPHORE, "semaphore", sizeof(semaphore_t), stir, NULL};

static semaphore_t *semaphore_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

/**
 * Take one away if there is one. Who has slept says that others may be sleeping, which whoever woke it has forgotten,
 * and wakes one of them if there is more to take.
 */
static int try_acquire(semaphore_t *semaphore, int has_slept)
{
    for (;;) {
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) == 0)
            return 0;
        const uint32_t rest = word - 1;
        if (!shm_replace(&semaphore->word, word, has_slept ? rest | waiters : rest))
            continue;
        if (has_slept && (rest & ~waiters) > 0)
            shm_unpark(&semaphore->word, 1);
        return 1;
    }
}

static apr_status_t acquire_by_waiting(shared_t *shared, semaphore_t *semaphore, sys_time_t deadline)
{
    for (;;) {
        if (try_acquire(semaphore, 1))
            return APR_SUCCESS;
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) > 0 || (word == 0 && !shm_replace(&semaphore->word, 0, waiters)))
            continue;
        const apr_status_t status = shared_park(shared, &semaphore->word, waiters, deadline);
        if (status == APR_SUCCESS)
            continue;
        if (try_acquire(semaphore, 1))
            return APR_SUCCESS;
        /* It may have been woken, and who sleeps on may be forgotten. */
        shm_unpark(&semaphore->word, 1);
        return status;
    }
}

apr_status_t mproc_semaphore_acquire(mproc_semaphore_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_semaphore_acquire";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &semaphore_kind, call);
    if (status != APR_SUCCESS)
        return status;
    semaphore_t *semaphore = semaphore_of(shared);
    if (!try_acquire(semaphore, 0))
        status = timeout == 0 ? APR_TIMEUP : acquire_by_waiting(shared, semaphore, process_deadline(timeout));
    if (status != APR_SUCCESS)
        shared_fail_to_wait(status, shared, call);
    shared_release(shared);
    return status;
}

/** Add one, and wake somebody: whether it had not the largest value. */
static int release(semaphore_t *semaphore)
{
    for (;;) {
        const uint32_t word = shm_load(&semaphore->word);
        if ((word & ~waiters) >= semaphore->most)
            return 0;
        if (!shm_replace(&semaphore->word, word, (word & ~waiters) + 1))
            continue;
        if (word & waiters)
            shm_unpark(&semaphore->word, 1);
        return 1;
    }
}

apr_status_t mproc_semaphore_release(mproc_semaphore_t *handle)
{
    static const char call[] = "mproc_semaphore_release";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &semaphore_kind, call);
    if (status != APR_SUCCESS)
        return status;
    semaphore_t *semaphore = semaphore_of(shared);
    if (!release(semaphore))
        status = mproc_fail(MPROC_ESTATE, "%s: the semaphore has the largest value that it can have: %u", call,
                            semaphore->most);
    shared_release(shared);
    return status;
}

unsigned mproc_semaphore_value(mproc_semaphore_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &semaphore_kind, "mproc_semaphore_value") != APR_SUCCESS)
        return 0;
    const unsigned value = shm_load(&semaphore_of(shared)->word) & ~waiters;
    shared_release(shared);
    mproc_forget_error();
    return value;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** What it is to be. */
typedef struct plan_t {
    unsigned value;
    unsigned most;
} plan_t;

static void init(void *at, const void *context)
{
    const plan_t *plan = context;
    semaphore_t *semaphore = at;
    shm_store(&semaphore->word, plan->value);
    semaphore->most = plan->most;
}

apr_status_t mproc_semaphore_create_sized(mproc_semaphore_t **handle, unsigned value,
                                          const mproc_semaphore_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_semaphore_create";
    mproc_semaphore_opts_t options;
    void *made = NULL;
    if (handle)
        *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    if (value > MPROC_SEMAPHORE_MAX)
        return mproc_fail(APR_EINVAL, "%s: the value %u is more than %u", call, value, MPROC_SEMAPHORE_MAX);
    const plan_t plan = {value, options.bounded ? value : MPROC_SEMAPHORE_MAX};
    status = shared_create(handle ? &made : NULL, &semaphore_kind, options.name, options.pool, init, &plan, call);
    if (handle)
        *handle = made;
    return status;
}

apr_status_t mproc_semaphore_open(mproc_semaphore_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status =
        shared_open(handle ? &opened : NULL, &semaphore_kind, ref, pool, "mproc_semaphore_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_semaphore_close(mproc_semaphore_t *handle)
{
    return shared_close(handle, &semaphore_kind, "mproc_semaphore_close");
}

mproc_semaphore_t *mproc_call_semaphore(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_SEMAPHORE, "mproc_call_semaphore");
}
