/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system has no way to wait at a word of shared memory, it is looked at again and again, at intervals of an
 * eighth of the time waited so far: whoever waits briefly learns it at once, whoever waits long costs little.
 */
#include <stdatomic.h>
#include <time.h>

#include "unix.h"

enum { FIRST = 20, LAST = 50000 }; /* microseconds */

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    const sys_time_t since = sys_now();
    while (atomic_load(word) == value) {
        const sys_time_t now = sys_now();
        if (deadline != SYS_NEVER && now >= deadline)
            return APR_TIMEUP;
        sys_time_t pause = (now - since) / 8;
        pause = pause < FIRST ? FIRST : pause > LAST ? LAST : pause;
        const struct timespec nap = {0, (long)(deadline - now < pause ? deadline - now : pause) * 1000};
        nanosleep(&nap, NULL);
    }
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    (void)word;
    (void)count;
}
