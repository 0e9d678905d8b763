/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/lock.h>

#include <apr_strings.h>

#include "call.h"
#include "error.h"
#include "hazard.h"
#include "lock_object.h"
#include "member.h"
#include "process_object.h"
#include "spots.h"

_Static_assert(sizeof(lock_t) == 64, "the same for all members of the family");

static void stir(void *at)
{
    robust_stir(&((lock_t *)at)->robust);
}

static void describe(const void *at, char *text, size_t size)
{
    const lock_t *lock = at;
    const uint32_t owner = robust_owner(&lock->robust);
    if (owner && member_has_ended(owner))
        apr_cpystrn(text, "a process that has ended has it", size);
    else if (owner)
        apr_snprintf(text, size, "process %d has it", member_pid(owner));
    else
        apr_cpystrn(text, "nobody has it", size);
}

const shared_kind_t lock_kind = {HANDLE_LOCK, "lock", sizeof(lock_t), stir, NULL, describe};

static uint64_t this_thread(void)
{
    return lock_thread(hazard_thread());
}

int lock_is_mine(const lock_t *lock)
{
    return robust_owner(&lock->robust) == member_self() &&
           (!lock_is_recursive(lock) || shm_load64(&lock->thread) == this_thread());
}

/* ---- Acquiring --------------------------------------------------------------------------------------------------- */

static apr_status_t acquire_slowly(lock_t *lock, shared_t *shared, apr_interval_time_t timeout)
{
    const robust_wait_t wait = {.self = member_self(),
                                .deadline = timeout == 0 ? 0 : process_deadline(timeout),
                                .is_over = shared_is_closed,
                                .context = shared};
    spot_t *spot = timeout == 0 ? NULL : spot_begin(arena_offset(lock));
    atomic_fetch_add(&shared->closable.waiters, 1);
    const apr_status_t status = robust_acquire(&lock->robust, &wait);
    atomic_fetch_sub(&shared->closable.waiters, 1);
    spot_end(spot);
    return status;
}

/** It was acquired from nobody, or from the dead (MPROC_EOWNERDEAD): note whose it is. */
static apr_status_t take(lock_t *lock, apr_status_t status)
{
    /* Looked at with the lock: whoever had it may have abandoned it. */
    const uint32_t flags = shm_load(&lock->flags);
    if (flags & LOCK_ABANDONED) {
        shm_store(&lock->flags, flags & LOCK_RECURSIVE);
        status = MPROC_EOWNERDEAD;
    }
    if (flags & LOCK_RECURSIVE) {
        shm_write64(&lock->thread, this_thread());
        shm_write(&lock->depth, 1);
    }
    return status;
}

/** Acquire it at once: as mproc_lock_acquire(), or APR_EAGAIN if another thread has it. */
static apr_status_t try_it(lock_t *lock)
{
    if (robust_try(&lock->robust, member_self()))
        return take(lock, APR_SUCCESS);
    if (!lock_is_recursive(lock) || !lock_is_mine(lock))
        return APR_EAGAIN;
    const uint32_t depth = shm_load(&lock->depth);
    if (depth == UINT32_MAX)
        return MPROC_ESTATE;
    shm_write(&lock->depth, depth + 1);
    return APR_SUCCESS;
}

apr_status_t lock_acquire(lock_t *lock, shared_t *shared, apr_interval_time_t timeout)
{
    apr_status_t status = try_it(lock);
    if (status != APR_EAGAIN)
        return status;
    status = acquire_slowly(lock, shared, timeout);
    return mproc_has_acquired(status) ? take(lock, status) : status;
}

apr_status_t lock_fail(apr_status_t status, const lock_t *lock, const char *call)
{
    char name[SHARED_NAME_MAX];
    shm_get_text(name, lock->head.name, sizeof name);
    const unsigned long long serial = (unsigned long long)shm_load64(&lock->head.object.serial);
    switch (status) {
    case APR_TIMEUP:
        return mproc_fail(status, "%s: process %d has the lock %s(%llu)", call, member_pid(robust_owner(&lock->robust)),
                          name, serial);
    case MPROC_EOWNERDEAD:
        return mproc_fail(status, "%s: who had the lock %s(%llu) has died, or abandoned it: it is the caller's now",
                          call, name, serial);
    case MPROC_ESTATE:
        return mproc_fail(status, "%s: the lock %s(%llu) was acquired too often", call, name, serial);
    default:
        return mproc_fail(status, "%s: another thread has closed it", call);
    }
}

apr_status_t lock_acquire_handle(mproc_lock_t *handle, apr_interval_time_t timeout, apr_status_t at_once)
{
    static const char call[] = "mproc_lock_acquire";
    shared_t *shared;
    hazard_begin_thread();
    apr_status_t status = shared_acquire(&shared, handle, &lock_kind, call);
    /* Closed in this moment, but it was acquired before. */
    if (status != APR_SUCCESS)
        return at_once == MPROC_EOWNERDEAD ? mproc_fail(at_once, "%s: who had the lock has died", call) : status;
    lock_t *lock = lock_behind(shared);
    status = at_once == APR_EAGAIN ? lock_acquire(lock, shared, timeout) : at_once;
    if (status != APR_SUCCESS)
        lock_fail(status, lock, call);
    shared_release(shared);
    return status;
}

/* ---- Releasing --------------------------------------------------------------------------------------------------- */

/** Release what the caller may release: once, where it was acquired more often. */
static apr_status_t give(lock_t *lock)
{
    if (lock_is_recursive(lock)) {
        const uint32_t depth = shm_load(&lock->depth) - 1;
        shm_write(&lock->depth, depth);
        if (depth > 0)
            return APR_SUCCESS;
        shm_write64(&lock->thread, 0);
    }
    return robust_release(&lock->robust);
}

apr_status_t lock_release(lock_t *lock, const char *call)
{
    if (robust_owner(&lock->robust) == 0)
        return mproc_fail(MPROC_ESTATE, "%s: nobody has the lock", call);
    if (lock_is_recursive(lock) && !lock_is_mine(lock))
        return mproc_fail(APR_EACCES, "%s: another thread has the lock, one of process %d", call,
                          member_pid(robust_owner(&lock->robust)));
    return give(lock) == APR_SUCCESS ? APR_SUCCESS : mproc_fail(MPROC_ESTATE, "%s: nobody has the lock", call);
}

uint32_t lock_release_all(lock_t *lock)
{
    const uint32_t depth = shm_load(&lock->depth);
    if (lock_is_recursive(lock))
        shm_store64(&lock->thread, 0);
    robust_release(&lock->robust);
    return depth;
}

void lock_restore(lock_t *lock, uint32_t depth)
{
    if (lock_is_recursive(lock))
        shm_store(&lock->depth, depth);
}

/** Release for a public function, and have the next one told first if it is abandoned. */
static apr_status_t release_handle(mproc_lock_t *handle, int is_abandoned, const char *call)
{
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &lock_kind, call);
    if (status != APR_SUCCESS)
        return status;
    lock_t *lock = lock_behind(shared);
    if (is_abandoned && robust_owner(&lock->robust) != 0 && (!lock_is_recursive(lock) || lock_is_mine(lock)))
        shm_store(&lock->flags, shm_load(&lock->flags) | LOCK_ABANDONED);
    status = lock_release(lock, call);
    shared_release(shared);
    return status;
}

apr_status_t lock_release_handle(mproc_lock_t *handle)
{
    return release_handle(handle, 0, "mproc_lock_release");
}

apr_status_t mproc_lock_abandon(mproc_lock_t *handle)
{
    return release_handle(handle, 1, "mproc_lock_abandon");
}

int mproc_lock_owner_pid(mproc_lock_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &lock_kind, "mproc_lock_owner_pid") != APR_SUCCESS)
        return 0;
    const int pid = member_pid(robust_owner(&lock_behind(shared)->robust));
    shared_release(shared);
    mproc_forget_error();
    return pid;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void init(void *at, const void *context)
{
    const mproc_lock_opts_t *opts = context;
    shm_store(&((lock_t *)at)->flags, opts->recursive ? LOCK_RECURSIVE : 0);
}

apr_status_t mproc_lock_create_sized(mproc_lock_t **handle, const mproc_lock_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_lock_create";
    mproc_lock_opts_t options;
    void *made = NULL;
    apr_status_t status = shared_take_options(&options, sizeof options, opts, opts_size, call);
    const shared_plan_t plan = {
        .kind = &lock_kind, .name = options.name, .pool = options.pool, .init = init, .context = &options};
    if (status == APR_SUCCESS)
        status = shared_create(handle ? &made : NULL, &plan, call);
    if (handle)
        *handle = made;
    return status;
}

apr_status_t mproc_lock_open(mproc_lock_t **handle, const mproc_ref_t *ref, apr_pool_t *pool)
{
    void *opened = NULL;
    const apr_status_t status = shared_open(handle ? &opened : NULL, &lock_kind, ref, pool, "mproc_lock_open");
    if (handle)
        *handle = opened;
    return status;
}

apr_status_t mproc_lock_close(mproc_lock_t *handle)
{
    return shared_close(handle, &lock_kind, "mproc_lock_close");
}

mproc_lock_t *mproc_call_lock(mproc_call_t *call, size_t index)
{
    return call_share(call, index, HANDLE_LOCK, "mproc_call_lock");
}
