/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/lock.h>
#include <mproc/version.h>

#include <string.h>

#include "call.h"
#include "error.h"
#include "member.h"
#include "process_object.h"
#include "shared.h"

/** A lock in the arena: a cache line. */
typedef struct lock_t {
    shared_head_t head;
    robust_t robust;
    uint32_t is_recursive;
    shm_u32_t depth;  /* how often the owner has it */
    shm_u64_t thread; /* the owner's, in terms of its process */
} lock_t;

_Static_assert(sizeof(lock_t) == 64, "the same for all members of the family");

static void stir(void *at)
{
    robust_stir(&((lock_t *)at)->robust);
}

const shared_kind_t lock_kind = {HANDLE_LOCK, "lock", sizeof(lock_t), stir};

static lock_t *lock_of(const shared_t *shared)
{
    return arena_at(shared->offset);
}

/**
 * What tells a thread from all others of the family. An address would not do: with fork, many processes have a thread
 * at the same one, and what a dead owner has left here could be taken for a living thread's.
 */
static uint64_t this_thread(void)
{
    static _Atomic uint32_t count;
    static _Thread_local uint32_t number;
    if (number == 0)
        number = atomic_fetch_add(&count, 1) + 1;
    return (uint64_t)member_self() << 32 | number;
}

/* ---- Acquiring and releasing ------------------------------------------------------------------------------------- */

static int has_it(const lock_t *lock)
{
    return robust_owner(&lock->robust) == member_self() && shm_load64(&lock->thread) == this_thread();
}

static apr_status_t acquire_slowly(shared_t *shared, lock_t *lock, apr_interval_time_t timeout)
{
    const robust_wait_t wait = {.self = member_self(),
                                .deadline = timeout == 0 ? 0 : process_deadline(timeout),
                                .is_over = shared_is_closed,
                                .context = shared};
    atomic_fetch_add(&shared->closable.waiters, 1);
    const apr_status_t status = robust_acquire(&lock->robust, &wait);
    atomic_fetch_sub(&shared->closable.waiters, 1);
    return status;
}

/** Acquire once more what this thread has already. */
static apr_status_t acquire_again(lock_t *lock, const char *call)
{
    const uint32_t depth = shm_load(&lock->depth);
    if (depth == UINT32_MAX)
        return mproc_fail(MPROC_ESTATE, "%s: the lock was acquired too often", call);
    shm_store(&lock->depth, depth + 1);
    return APR_SUCCESS;
}

static apr_status_t fail_to_acquire(apr_status_t status, const lock_t *lock, const char *call)
{
    if (status == APR_TIMEUP)
        return mproc_fail(status, "%s: process %d has the lock%s%s", call, member_pid(robust_owner(&lock->robust)),
                          lock->head.name[0] ? " " : "", lock->head.name);
    return mproc_fail(status,
                      status == MPROC_EOWNERDEAD ? "%s: the process that had the lock has ended: it is this one's now"
                                                 : "%s: another thread has closed the lock",
                      call);
}

apr_status_t mproc_lock_acquire(mproc_lock_t *handle, apr_interval_time_t timeout)
{
    static const char call[] = "mproc_lock_acquire";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &lock_kind, call);
    if (status != APR_SUCCESS)
        return status;
    lock_t *lock = lock_of(shared);
    if (lock->is_recursive && has_it(lock)) {
        status = acquire_again(lock, call);
    } else {
        if (!robust_try(&lock->robust, member_self()))
            status = acquire_slowly(shared, lock, timeout);
        if (lock->is_recursive && (status == APR_SUCCESS || status == MPROC_EOWNERDEAD)) {
            shm_store64(&lock->thread, this_thread());
            shm_store(&lock->depth, 1);
        }
        if (status != APR_SUCCESS)
            fail_to_acquire(status, lock, call);
    }
    shared_release(shared);
    return status;
}

/** Release a lock that belongs to a thread. */
static apr_status_t release_recursive(lock_t *lock, const char *call)
{
    if (robust_owner(&lock->robust) == 0)
        return mproc_fail(MPROC_ESTATE, "%s: nobody has the lock", call);
    if (!has_it(lock))
        return mproc_fail(APR_EACCES, "%s: another thread has the lock, one of process %d", call,
                          member_pid(robust_owner(&lock->robust)));
    const uint32_t depth = shm_load(&lock->depth) - 1;
    shm_store(&lock->depth, depth);
    if (depth > 0)
        return APR_SUCCESS;
    shm_store64(&lock->thread, 0);
    return robust_release(&lock->robust);
}

apr_status_t mproc_lock_release(mproc_lock_t *handle)
{
    static const char call[] = "mproc_lock_release";
    shared_t *shared;
    apr_status_t status = shared_acquire(&shared, handle, &lock_kind, call);
    if (status != APR_SUCCESS)
        return status;
    lock_t *lock = lock_of(shared);
    if (lock->is_recursive)
        status = release_recursive(lock, call);
    else if (robust_release(&lock->robust) != APR_SUCCESS)
        status = mproc_fail(MPROC_ESTATE, "%s: nobody has the lock", call);
    shared_release(shared);
    return status;
}

int mproc_lock_owner(mproc_lock_t *handle)
{
    shared_t *shared;
    if (shared_acquire(&shared, handle, &lock_kind, "mproc_lock_owner") != APR_SUCCESS)
        return 0;
    const int pid = member_pid(robust_owner(&lock_of(shared)->robust));
    shared_release(shared);
    mproc_forget_error();
    return pid;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static void init(void *at, const void *context)
{
    const mproc_lock_opts_t *opts = context;
    ((lock_t *)at)->is_recursive = opts->recursive != 0;
}

apr_status_t mproc_lock_create_sized(mproc_lock_t **handle, const mproc_lock_opts_t *opts, size_t opts_size)
{
    static const char call[] = "mproc_lock_create";
    mproc_lock_opts_t options = {0};
    void *made = NULL;
    if (opts && opts_size > sizeof options)
        return mproc_fail(MPROC_EBUILD, "%s: the program was built for a later libmproc than %s", call,
                          mproc_version());
    if (opts)
        memcpy(&options, opts, opts_size);
    const apr_status_t status =
        shared_create(handle ? &made : NULL, &lock_kind, options.name, options.pool, init, &options, call);
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
