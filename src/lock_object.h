/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lock_object.h
 * @brief Locks in the arena, for the calls on locks (lock.c) and on conditions, which have one.
 */
#ifndef MPROC_LOCK_OBJECT_H
#define MPROC_LOCK_OBJECT_H

#include <mproc/lock.h>

#include "robust.h"
#include "shared.h"

/** A lock in the arena: a cache line. */
typedef struct lock_t {
    shared_head_t head;
    robust_t robust;
    shm_u32_t flags;  /* LOCK_... */
    shm_u32_t depth;  /* how often the owner has it */
    shm_u64_t thread; /* the owner's, in terms of its process */
} lock_t;

enum { LOCK_RECURSIVE = 1, LOCK_ABANDONED = 2 };

static inline lock_t *lock_behind(const shared_t *shared)
{
    return arena_at(shared->offset);
}

static inline int lock_is_recursive(const lock_t *lock)
{
    return (shm_load(&lock->flags) & LOCK_RECURSIVE) != 0;
}

/**
 * What tells a thread from all others of the family, made of its number (hazard.h). An address would not do: with fork,
 * many processes have a thread at the same one, and what a dead owner has left here could be taken for a living
 * thread's.
 */
static inline uint64_t lock_thread(uint32_t thread)
{
    return (uint64_t)member_self() << 32 | thread;
}

/** Whether this process has it; a recursive one: this thread. */
int lock_is_mine(const lock_t *lock);

/**
 * Acquire a lock for a call on `shared`, the lock itself or a condition: as mproc_lock_acquire(); without a text.
 */
apr_status_t lock_acquire(lock_t *lock, shared_t *shared, apr_interval_time_t timeout);

/** Release it however often it was acquired, and tell how often that was. */
uint32_t lock_release_all(lock_t *lock);

/** Have it as often as before, once it is acquired. */
void lock_restore(lock_t *lock, uint32_t depth);

/** Release it once: as mproc_lock_release(); the status has its text. */
apr_status_t lock_release(lock_t *lock, const char *call);

/** The rest of mproc_lock_acquire(), if it was acquired at once (MPROC_EOWNERDEAD) or not (APR_EAGAIN). */
apr_status_t lock_acquire_handle(mproc_lock_t *handle, apr_interval_time_t timeout, apr_status_t at_once);

/** The rest of mproc_lock_release(), if it was not released at once. */
apr_status_t lock_release_handle(mproc_lock_t *handle);

/** Put a failure to acquire it into words. */
apr_status_t lock_fail(apr_status_t status, const lock_t *lock, const char *call);

#endif
