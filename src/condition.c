/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/condition.h>

#include <limits.h>
#include <stdio.h>

#include "blocks.h"
#include "call.h"
#include "error.h"
#include "lock_object.h"
#include "member.h"
#include "process_object.h"
#include "spots.h"

/**
 * A condition in the arena. Who waits at it has a spot (spots.h) and waits at that spot's word, so each is notified by
 * itself, and one that dies with a notification leaves it to another.
 */
typedef struct condition_t {
    shared_head_t head;
    shm_u64_t lock;  /* the offset of its lock, which it keeps */
    shm_u64_t order; /* of the last one that came; changed with the lock */
} condition_t;

_Static_assert(offsetof(condition_t, lock) == OBJECT_KEPT_AT, "where what it keeps is looked for");

static void stir(void *at)
{
    const uint64_t object = arena_offset(at);
    for (spot_t *spot = spot_next(NULL); spot; spot = spot_next(spot))
        if (shm_load64(&spot->object) == object)
            shm_unpark(&spot->word, UINT_MAX);
    /* Those who were notified wait for the lock. */
    robust_stir(&((lock_t *)arena_at(shm_load64(&((condition_t *)at)->lock)))->robust);
}

static void describe(const void *at, char *text, size_t size)
{
    const uint64_t offset = shm_load64(&((const condition_t *)at)->lock);
    /* Who describes it may look at what is something else by now. */
    const shared_head_t *lock = blocks_can_be_object(offset) ? arena_at(offset) : at;
    snprintf(text, size, "its lock is %llu", (unsigned long long)shm_load64(&lock->object.serial));
}

const shared_kind_t condition_kind = {HANDLE_CONDITION, "condition", sizeof(condition_t), stir, NULL, describe};

static condition_t *condition_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

static lock_t *lock_of(const shared_t *shared)
{
    return arena_at(shm_load64(&condition_of(shared)->lock));
}

/** Get a condition whose lock the caller has; the status has its text. */
static apr_status_t acquire_locked(shared_t **shared, mproc_condition_t *handle, const char *call)
{
    const apr_status_t status = shared_acquire(shared, handle, &condition_kind, call);
    if (status != APR_SUCCESS || lock_is_mine(lock_of(*shared)))
        return status;
    mproc_fail(MPROC_ESTATE, "%s: the caller does not have the condition's lock", call);
    shared_release(*shared);
    return MPROC_ESTATE;
}

/* ---- Notifying --------------------------------------------------------------------------------------------------- */

/** Find who has waited longest, and the word of its spot; NULL if nobody waits. */
static spot_t *find_first(uint64_t object, uint32_t *word)
{
    spot_t *first = NULL;
    for (spot_t *spot = spot_next(NULL); spot; spot = spot_next(spot)) {
        /* The word first: if it is the same later on, the object was that of this wait. */
        const uint32_t now = shm_load(&spot->word);
        if ((now & SPOT_STATE) != SPOT_WAITING || shm_load64(&spot->object) != object ||
            (first && shm_load64(&spot->order) >= shm_load64(&first->order)))
            continue;
        first = spot;
        *word = now;
    }
    return first;
}

/** Notify one: whether there was one. */
static int notify_one(uint64_t object)
{
    uint32_t word;
    for (spot_t *spot = find_first(object, &word); spot; spot = find_first(object, &word)) {
        /* Its time may have been up in this moment. */
        if (!shm_replace(&spot->word, word, spot_word(word, SPOT_NOTIFIED)))
            continue;
        shm_unpark(&spot->word, UINT_MAX);
        return 1;
    }
    return 0;
}

void condition_pass_on(uint64_t object)
{
    notify_one(object);
}

static apr_status_t notify(mproc_condition_t *handle, unsigned count, const char *call)
{
    shared_t *shared;
    const apr_status_t status = acquire_locked(&shared, handle, call);
    if (status != APR_SUCCESS)
        return status;
    while (count > 0 && notify_one(shared->offset))
        count--;
    shared_release(shared);
    return status;
}

apr_status_t mproc_condition_notify(mproc_condition_t *handle, unsigned count)
{
    return notify(handle, count, "mproc_condition_notify");
}

apr_status_t mproc_condition_notify_all(mproc_condition_t *handle)
{
    return notify(handle, UINT_MAX, "mproc_condition_notify_all");
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/** Wait at a spot until it is notified: until its word is another one. */
static apr_status_t wait_at(spot_t *spot, uint32_t word, shared_t *shared, sys_time_t deadline)
{
    while (shm_load(&spot->word) == word) {
        const apr_status_t status = shared_watch(shared, &spot->word, word, deadline);
        if (status != APR_SUCCESS && shm_replace(&spot->word, word, spot_word(word, SPOT_IDLE)))
            return status;
    }
    return APR_SUCCESS;
}

/** Release the lock, wait, and acquire the lock as before; the status has no text. */
static apr_status_t wait_with(shared_t *shared, sys_time_t deadline)
{
    condition_t *condition = condition_of(shared);
    lock_t *lock = lock_of(shared);
    spot_t *spot = spot_begin(shared->offset);
    if (!spot)
        return APR_ENOMEM;
    const uint64_t order = shm_load64(&condition->order) + 1;
    shm_store64(&condition->order, order);
    shm_store64(&spot->order, order);
    const uint32_t word = spot_word(shm_load(&spot->word), SPOT_WAITING);
    shm_store(&spot->word, word);
    const uint32_t depth = lock_release_all(lock);
    const apr_status_t outcome = wait_at(spot, word, shared, deadline);
    apr_status_t status = outcome == MPROC_ECLOSED ? outcome : lock_acquire(lock, shared, MPROC_FOREVER);
    if (mproc_has_acquired(status))
        lock_restore(lock, depth);
    else if (outcome == APR_SUCCESS)
        notify_one(shared->offset); /* it was for nothing */
    spot_end(spot);
    return status == APR_SUCCESS ? outcome : status;
}

static apr_status_t fail(apr_status_t status, const shared_t *shared, const char *call)
{
    if (status == APR_ENOMEM)
        return mproc_fail(status, "%s: too many threads of the family wait", call);
    return status == MPROC_EOWNERDEAD ? lock_fail(status, lock_of(shared), call)
                                      : shared_fail_to_wait(status, shared, call);
}

apr_status_t mproc_condition_wait(mproc_condition_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_condition_wait";
    shared_t *shared;
    apr_status_t status = acquire_locked(&shared, handle, call);
    if (status != APR_SUCCESS)
        return status;
    status = wait_with(shared, process_deadline(timeout));
    if (status != APR_SUCCESS)
        fail(status, shared, call);
    shared_release(shared);
    return status;
}

apr_status_t mproc_condition_wait_for(mproc_condition_t *handle, int (*predicate)(void *context), void *context,
                                      apr_interval_time_t timeout)
{
    static const char call[] = "mproc_condition_wait_for";
    const sys_time_t deadline = process_deadline(timeout);
    shared_t *shared;
    if (!predicate)
        return mproc_fail(APR_EINVAL, "%s: the predicate is NULL", call);
    apr_status_t status = acquire_locked(&shared, handle, call);
    if (status != APR_SUCCESS)
        return status;
    while (status == APR_SUCCESS && !predicate(context))
        status = wait_with(shared, deadline);
    /* What has become true in the last moment counts. */
    if (status == APR_TIMEUP && predicate(context))
        status = APR_SUCCESS;
    if (status != APR_SUCCESS)
        fail(status, shared, call);
    shared_release(shared);
    return status;
}

/* ---- Its lock ---------------------------------------------------------------------------------------------------- */

apr_status_t mproc_condition_acquire(mproc_condition_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_condition_acquire";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &condition_kind, call);
    if (status != APR_SUCCESS)
        return status;
    status = lock_acquire(lock_of(shared), shared, timeout);
    if (status != APR_SUCCESS)
        lock_fail(status, lock_of(shared), call);
    shared_release(shared);
    return status;
}

apr_status_t mproc_condition_release(mproc_condition_t *handle)
{
    static const char call[] = "mproc_condition_release";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &condition_kind, call);
    if (status != APR_SUCCESS)
        return status;
    status = lock_release(lock_of(shared), call);
    shared_release(shared);
    return status;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** Make a condition that has a lock; the status has its text. */
static apr_status_t create(mproc_condition_t **handle, const mproc_condition_opts_t *opts, mproc_lock_t *lock,
                           const char *call)
{
    shared_t *of_lock;
    void *made;
    apr_status_t status = shared_acquire(&of_lock, lock, &lock_kind, call);
    if (status != APR_SUCCESS)
        return status;
    const shared_plan_t plan = {.kind = &condition_kind, .name = opts->name, .pool = opts->pool, .kept = of_lock};
    status = shared_create(&made, &plan, call);
    shared_release(of_lock);
    *handle = made;
    return status;
}

apr_status_t mproc_condition_create_sized(mproc_condition_t **handle, const mproc_condition_opts_t *opts,
                                          size_t opts_size)
{
    static const char call[] = "mproc_condition_create";
    mproc_condition_opts_t options;
    mproc_lock_opts_t recursive = {.recursive = 1};
    if (!handle)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store the condition: it is NULL", call);
    *handle = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    if (status != APR_SUCCESS)
        return status;
    if (options.lock)
        return create(handle, &options, options.lock, call);
    recursive.name = options.name;
    status = mproc_lock_create(&options.lock, &recursive);
    if (status != APR_SUCCESS)
        return status;
    status = create(handle, &options, options.lock, call);
    mproc_lock_close(options.lock);
    return status;
}

apr_status_t mproc_condition_open(mproc_condition_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status =
        shared_open(handle ? &opened : NULL, &condition_kind, ref, pool, "mproc_condition_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_condition_close(mproc_condition_t *handle)
{
    return shared_close(handle, &condition_kind, "mproc_condition_close");
}

mproc_condition_t *mproc_call_condition(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_CONDITION, "mproc_call_condition");
}
