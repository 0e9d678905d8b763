/* SPDX-License-Identifier: Apache-2.0 */
#include "win32.h"

static SRWLOCK lock = SRWLOCK_INIT;

void sys_lock(void)
{
    AcquireSRWLockExclusive(&lock);
}

void sys_unlock(void)
{
    ReleaseSRWLockExclusive(&lock);
}
