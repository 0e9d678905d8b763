/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lock_object.h
 * @brief Locks in the arena, for the calls on locks (lock.c) and on conditions, which have one.
 */
#ifndef MPROC_LOCK_OBJECT_H
#define MPROC_LOCK_OBJECT_H

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

/** Put a failure to acquire it into words. */
apr_status_t lock_fail(apr_status_t status, const lock_t *lock, const char *call);

#endif
