/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file robust.h
 * @brief A lock between processes that survives the death of whoever has it, whenever that comes.
 *
 * One word says who owns it and whether others wait, so these are never apart: to take the lock is one step, to take it
 * from a dead owner is one step. Members of the family are named by tickets (member.h), which are never used again.
 *
 * One of those who wait is the watcher: it wakes up often and looks whether the owner is alive. The others sleep
 * longer, and look whether both are: the watcher may have died too, or be stopped. When it goes, it wakes one who takes
 * its place.
 */
#ifndef MPROC_ROBUST_H
#define MPROC_ROBUST_H

#include <apr_errno.h>

#include "shm.h"

/** The lock: zeros are a free one. */
typedef struct robust_t {
    shm_u32_t word;    /* the owner's ticket, and ROBUST_WAITERS; 0: it is free */
    shm_u32_t watcher; /* the ticket of the process that has the watcher; 0: there is none */
} robust_t;

#define ROBUST_WAITERS ((uint32_t)1 << 31)

/** What a thread that waits for a lock needs. */
typedef struct robust_wait_t {
    uint32_t self; /* its process's ticket */
    sys_time_t deadline;
    /** Whether to give up: the object is closed; NULL: never. */
    int (*is_over)(const void *context);
    const void *context;
} robust_wait_t;

/**
 * Acquire a lock.
 *
 * @return APR_SUCCESS; MPROC_EOWNERDEAD: it is acquired, but its owner has died; APR_TIMEUP; MPROC_ECLOSED.
 */
apr_status_t robust_acquire(robust_t *lock, const robust_wait_t *wait);

/** Acquire it if that can be done at once, without looking whether its owner is alive. */
static inline int robust_try(robust_t *lock, uint32_t self)
{
    return shm_replace(&lock->word, 0, self);
}

/** Release it if this process owns it and nobody waits; else there is more to do, in robust_release(). */
static inline int robust_try_release(robust_t *lock, uint32_t self)
{
    return shm_replace(&lock->word, self, 0);
}

/** Release a lock, whoever owns it: MPROC_ESTATE if it is free. */
apr_status_t robust_release(robust_t *lock);

/** Have those who wait look again: their watcher or owner may be dead, or a wake may have gone to one who was. */
void robust_stir(robust_t *lock);

/** The ticket of the owner; 0 if there is none. */
static inline uint32_t robust_owner(const robust_t *lock)
{
    return shm_load(&lock->word) & ~ROBUST_WAITERS;
}

#endif
