/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lock_fast.h
 * @brief The quick way to acquire and release a lock: it is free, or nobody waits for it, as nearly always.
 *
 * Nothing is called here, so that who uses it need not save registers for that.
 */
#ifndef MPROC_LOCK_FAST_H
#define MPROC_LOCK_FAST_H

#include "hazard.h"
#include "lock_object.h"

/** Note whose it is now: as mproc_lock_acquire(). */
static inline apr_status_t lock_fast_take(lock_t *lock, uint32_t thread)
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
static inline int lock_fast_has(const lock_t *lock, uint32_t thread)
{
    return robust_owner(&lock->robust) == member_self() && shm_load64(&lock->thread) == lock_thread(thread);
}

/** Have it once more, if that can be: as mproc_lock_acquire(), or APR_EAGAIN. */
static inline apr_status_t lock_fast_take_again(lock_t *lock, uint32_t thread)
{
    if (!lock_is_recursive(lock) || !lock_fast_has(lock, thread) || shm_load(&lock->depth) == UINT32_MAX)
        return APR_EAGAIN;
    shm_write(&lock->depth, shm_load(&lock->depth) + 1);
    return APR_SUCCESS;
}

/** Acquire it for a thread, by its number: as mproc_lock_acquire(), or APR_EAGAIN if that takes longer. */
static inline apr_status_t lock_fast_acquire(lock_t *lock, uint32_t thread)
{
    return robust_try(&lock->robust, member_self()) ? lock_fast_take(lock, thread) : lock_fast_take_again(lock, thread);
}

/** Release a recursive one once, if this thread has it: whether that was possible. */
static inline int lock_fast_release_recursive(lock_t *lock, uint32_t thread)
{
    if (!lock_fast_has(lock, thread))
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

/** Release it once: whether that was possible so quickly. */
static inline int lock_fast_release(lock_t *lock, uint32_t thread)
{
    return lock_is_recursive(lock) ? lock_fast_release_recursive(lock, thread)
                                   : robust_try_release(&lock->robust, member_self());
}

#endif
