/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system has no way to wait at a word of shared memory, it is looked at again and again, at intervals of an
 * eighth of the time waited so far: whoever waits briefly learns it at once, whoever waits long costs little.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include "unix.h"

/* The shortest interval, and the longest, in microseconds. */
enum { FIRST = 20, LAST = 50000 };

/* What this thread waits for, in however many calls: they are parts of one wait if hardly any time is between them. */
static _Thread_local struct {
    const _Atomic uint32_t *word;
    sys_time_t since;
    sys_time_t until;
} this_wait;

static void nap(sys_time_t now, sys_time_t end)
{
    sys_time_t pause = (now - this_wait.since) / 8;
    pause = pause < FIRST ? FIRST : pause > LAST ? LAST : pause;
    if (end - now < pause)
        pause = end - now;
    const struct timespec time = {0, (long)pause * 1000};
    nanosleep(&time, NULL);
}

apr_status_t sys_park(_Atomic uint32_t *word, uint32_t value, sys_time_t deadline)
{
    sys_time_t now = sys_now();
    /* A wake cannot be seen here, only a change; so the caller is to look for itself from time to time. */
    const sys_time_t end = deadline - now < LAST ? deadline : now + LAST;
    if (this_wait.word != word || now - this_wait.until > FIRST * 50)
        this_wait.since = now;
    this_wait.word = word;
    for (; atomic_load(word) == value; now = sys_now()) {
        this_wait.until = now;
        if (now >= end)
            return APR_TIMEUP;
        nap(now, end);
    }
    this_wait.word = NULL;
    return APR_SUCCESS;
}

void sys_unpark(_Atomic uint32_t *word, unsigned count)
{
    (void)word;
    (void)count;
}
