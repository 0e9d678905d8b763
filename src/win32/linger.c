/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be looked after although nobody calls: a thread of the system's does, and closes it when it is over. What
 * is left when the library ends is closed then, since no code may be called that is unloaded.
 */
#include "win32.h"

static SRWLOCK lock = SRWLOCK_INIT; /* guards the list, and `link` and `registration` of those in it */
static win32_linger_t *lingering;

/** Take something off the list: whether it was there. With the lock held. */
static int take_off(win32_linger_t *linger)
{
    if (!linger->link)
        return 0;
    *linger->link = linger->next;
    if (linger->next)
        linger->next->link = linger->link;
    linger->link = NULL;
    return 1;
}

/** Called by the system's thread that waits. */
static void CALLBACK look(void *context, BOOLEAN timed_out)
{
    win32_linger_t *linger = context;
    AcquireSRWLockExclusive(&lock);
    const win32_look_t found = linger->link ? linger->look(linger, timed_out) : WIN32_GOES_ON;
    /* In the thread that waits there is no other call for this one, and none comes after this. */
    if (found != WIN32_GOES_ON && take_off(linger) && linger->registration)
        UnregisterWaitEx(linger->registration, NULL);
    ReleaseSRWLockExclusive(&lock);
    if (found == WIN32_OVER)
        linger->destroy(linger);
}

void win32_linger(win32_linger_t *linger)
{
    AcquireSRWLockExclusive(&lock);
    linger->next = lingering;
    linger->link = &lingering;
    if (lingering)
        lingering->link = &linger->next;
    lingering = linger;
    /* Without it the thing stays open until the library is ended: that is better than to close it too early. */
    if (!RegisterWaitForSingleObject(&linger->registration, linger->event, look, linger, linger->period,
                                     WT_EXECUTEINWAITTHREAD))
        linger->registration = NULL;
    ReleaseSRWLockExclusive(&lock);
}

/** Wait until nobody looks after something that was taken off the list. */
static void end(win32_linger_t *linger)
{
    if (linger->registration)
        UnregisterWaitEx(linger->registration, INVALID_HANDLE_VALUE);
}

void win32_linger_end(win32_linger_t *linger)
{
    AcquireSRWLockExclusive(&lock);
    const int is_mine = take_off(linger);
    ReleaseSRWLockExclusive(&lock);
    if (is_mine)
        end(linger);
}

void sys_stream_shutdown(void)
{
    for (;;) {
        AcquireSRWLockExclusive(&lock);
        win32_linger_t *linger = lingering;
        if (linger)
            take_off(linger);
        ReleaseSRWLockExclusive(&lock);
        if (!linger)
            return;
        end(linger);
        linger->destroy(linger);
    }
}
