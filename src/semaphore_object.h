/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file semaphore_object.h
 * @brief Semaphores in the arena, for the quick way to use them (semaphore_fast.c) and all others (semaphore.c).
 */
#ifndef MPROC_SEMAPHORE_OBJECT_H
#define MPROC_SEMAPHORE_OBJECT_H

#include <mproc/semaphore.h>

#include "shared.h"

/** A semaphore in the arena. */
typedef struct semaphore_t {
    shared_head_t head;
    shm_u32_t word; /* the value, and whether somebody may be waiting; of an owned one: how often one was given back */
    shm_fixed_t most;
    shm_fixed_t is_owned;
    shm_u32_t units[]; /* of an owned one, `most` of them: the ticket of who has it, or 0 */
} semaphore_t;

#define SEMAPHORE_WAITERS ((uint32_t)1 << 31)

static inline semaphore_t *semaphore_behind(const shared_t *shared)
{
    return arena_at(shared->offset);
}

/** The rest of mproc_semaphore_acquire() and mproc_semaphore_release(), if that was not possible at once. */
apr_status_t semaphore_acquire_handle(mproc_semaphore_t *handle, apr_interval_time_t timeout);
apr_status_t semaphore_release_handle(mproc_semaphore_t *handle);

#endif
