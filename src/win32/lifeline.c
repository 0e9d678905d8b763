/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel ends the children: they belong to a job that only this process has a handle to, and however this process
 * ends, its handles are closed. What a child starts itself is not in the job: its own children are tied to it in the
 * same way, and other programs are as free as they are on Unix.
 */
#include <string.h>

#include "win32.h"

static SRWLOCK lock = SRWLOCK_INIT;
static HANDLE own_job; /* made with the first child; guarded by the lock */

static apr_status_t create_job(HANDLE *job)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    *job = CreateJobObjectW(NULL, NULL);
    if (!*job)
        return win32_error();
    memset(&limits, 0, sizeof limits);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    if (SetInformationJobObject(*job, JobObjectExtendedLimitInformation, &limits, sizeof limits))
        return APR_SUCCESS;
    const apr_status_t status = win32_error();
    win32_close(*job);
    *job = NULL;
    return status;
}

apr_status_t win32_job(HANDLE *job)
{
    apr_status_t status = APR_SUCCESS;
    AcquireSRWLockExclusive(&lock);
    if (!own_job)
        status = create_job(&own_job);
    *job = own_job;
    ReleaseSRWLockExclusive(&lock);
    return status;
}

void win32_job_close(void)
{
    AcquireSRWLockExclusive(&lock);
    win32_close(own_job);
    own_job = NULL;
    ReleaseSRWLockExclusive(&lock);
}
