/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls on locks that are short, nearly always. What does the rest, in lock.c, is called last, so that no registers
 * are saved for it.
 */
#include "lock_fast.h"

apr_status_t mproc_lock_acquire(mproc_lock_t *handle, apr_interval_time_t timeout)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_LOCK);
    if (!shared)
        return lock_acquire_handle(handle, timeout, APR_EAGAIN);
    apr_status_t status = APR_EAGAIN;
    if (shared_is_own(shared))
        status = lock_fast_acquire(lock_behind(shared), hazard->thread);
    hazard_end(hazard);
    return status == APR_SUCCESS ? status : lock_acquire_handle(handle, timeout, status);
}

apr_status_t mproc_lock_release(mproc_lock_t *handle)
{
    hazard_t *hazard;
    const shared_t *shared = hazard_begin(&hazard, handle, HANDLE_LOCK);
    if (!shared)
        return lock_release_handle(handle);
    const int is_released = shared_is_own(shared) && lock_fast_release(lock_behind(shared), hazard->thread);
    hazard_end(hazard);
    return is_released ? APR_SUCCESS : lock_release_handle(handle);
}
