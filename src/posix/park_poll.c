/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system has no way to wait at a word of shared memory, it is looked at again and again: soon at first, as
 * most waits are short, and then every few milliseconds.
 */
#include <stdatomic.h>
#include <time.h>

#include "unix.h"

enum { FIRST = 20, LAST = 5000 }; /* microseconds */

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    for (long pause = FIRST; atomic_load(word) == value;) {
        const sys_time_t now = sys_now();
        if (deadline != SYS_NEVER && now >= deadline)
            return APR_TIMEUP;
        const struct timespec nap = {0, (deadline - now < pause ? (long)(deadline - now) : pause) * 1000};
        nanosleep(&nap, NULL);
        pause = pause * 2 < LAST ? pause * 2 : LAST;
    }
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    (void)word;
    (void)count;
}
