/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick way to use a semaphore that is not owned: there is one to take, or nobody waits for one, and nobody comes
 * in between. As in lock_fast.c, nothing is called but what does the rest.
 */
#include "hazard.h"
#include "semaphore_object.h"

static inline int try_acquire_once(semaphore_t *semaphore)
{
    const uint32_t word = shm_load(&semaphore->word);
    return (word & ~SEMAPHORE_WAITERS) > 0 && shm_replace(&semaphore->word, word, word - 1);
}

apr_status_t mproc_semaphore_acquire(mproc_semaphore_t *handle, apr_interval_time_t timeout)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_SEMAPHORE);
    if (!shared)
        return semaphore_acquire_handle(handle, timeout);
    semaphore_t *semaphore = semaphore_behind(shared);
    const int is_done = shared_is_own(shared) && !shm_fixed(&semaphore->is_owned) && try_acquire_once(semaphore);
    hazard_end(hazard);
    return is_done ? APR_SUCCESS : semaphore_acquire_handle(handle, timeout);
}

static inline int try_release_once(semaphore_t *semaphore)
{
    const uint32_t word = shm_load(&semaphore->word);
    return word < shm_fixed(&semaphore->most) && shm_replace(&semaphore->word, word, word + 1);
}

apr_status_t mproc_semaphore_release(mproc_semaphore_t *handle)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_SEMAPHORE);
    if (!shared)
        return semaphore_release_handle(handle);
    semaphore_t *semaphore = semaphore_behind(shared);
    /* The value is never so large that a word which says that somebody waits is less than it. */
    const int is_done = shared_is_own(shared) && !shm_fixed(&semaphore->is_owned) && try_release_once(semaphore);
    hazard_end(hazard);
    return is_done ? APR_SUCCESS : semaphore_release_handle(handle);
}
