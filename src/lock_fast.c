/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick way to acquire and release a lock: it is free, or nobody waits for it, as nearly always. Nothing is called
 * here but what does the rest, in lock.c, and last, so that no registers are saved for it.
 */
#include "hazard.h"
#include "lock_object.h"

/** Note whose it is now: as mproc_lock_acquire(). */
static inline apr_status_t take(lock_t *lock, uint32_t thread)
{
    const uint32_t flags = shm_load(&lock->flags);
    if (flags & LOCK_RECURSIVE) {
        shm_write64(&lock->thread, lock_thread(thread));
        shm_write(&lock->depth, 1);
    }
    if (!(flags & LOCK_ABANDONED))
        return APR_SUCCESS;
    shm_store(&lock->flags, flags & LOCK_RECURSIVE);
    return MPROC_EOWNERDEAD;
}

/** Whether this thread has one that is recursive. */
static inline int has_recursive(const lock_t *lock, uint32_t thread)
{
    return robust_owner(&lock->robust) == member_self() && shm_load64(&lock->thread) == lock_thread(thread);
}

/** Have it once more, if that can be: as mproc_lock_acquire(), or APR_EAGAIN. */
static inline apr_status_t take_again(lock_t *lock, uint32_t thread)
{
    if (!lock_is_recursive(lock) || !has_recursive(lock, thread) || shm_load(&lock->depth) == UINT32_MAX)
        return APR_EAGAIN;
    shm_write(&lock->depth, shm_load(&lock->depth) + 1);
    return APR_SUCCESS;
}

apr_status_t mproc_lock_acquire(mproc_lock_t *handle, apr_interval_time_t timeout)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_LOCK);
    if (!shared)
        return lock_acquire_handle(handle, timeout, APR_EAGAIN);
    lock_t *lock = lock_behind(shared);
    apr_status_t status = APR_EAGAIN;
    if (shared_is_own(shared))
        status =
            robust_try(&lock->robust, member_self()) ? take(lock, hazard->thread) : take_again(lock, hazard->thread);
    hazard_end(hazard);
    return status == APR_SUCCESS ? status : lock_acquire_handle(handle, timeout, status);
}

/** Release a recursive one once, if this thread has it: whether that was possible. */
static inline int release_recursive(lock_t *lock, uint32_t thread)
{
    if (!has_recursive(lock, thread))
        return 0;
    const uint32_t depth = shm_load(&lock->depth);
    if (depth > 1) {
        shm_write(&lock->depth, depth - 1);
        return 1;
    }
    /* Before it is released: another thread of this process may have it then. */
    shm_write64(&lock->thread, 0);
    if (robust_try_release(&lock->robust, member_self()))
        return 1;
    shm_write64(&lock->thread, lock_thread(thread));
    return 0;
}

apr_status_t mproc_lock_release(mproc_lock_t *handle)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_LOCK);
    if (!shared)
        return lock_release_handle(handle);
    lock_t *lock = lock_behind(shared);
    int is_released = 0;
    if (shared_is_own(shared))
        is_released = lock_is_recursive(lock) ? release_recursive(lock, hazard->thread)
                                              : robust_try_release(&lock->robust, member_self());
    hazard_end(hazard);
    return is_released ? APR_SUCCESS : lock_release_handle(handle);
}
