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

static void CALLBACK look(void *context, BOOLEAN timed_out);

/** Have it looked at once, when its event is set or some time has passed. With the lock held. */
static void watch(win32_linger_t *linger)
{
    /* Without it the thing stays open until the library is ended: that is better than to close it too early. */
    if (!RegisterWaitForSingleObject(&linger->registration, linger->event, look, linger, linger->period,
                                     WT_EXECUTEINWAITTHREAD | WT_EXECUTEONLYONCE))
        linger->registration = NULL;
}

/**
 * Called by the system's thread that waits: once for each registration, since Wine does not look at the event any more
 * after the first time that is up.
 */
static void CALLBACK look(void *context, BOOLEAN timed_out)
{
    win32_linger_t *linger = context;
    win32_look_t found = WIN32_GOES_ON;
    AcquireSRWLockExclusive(&lock);
    /* If it was taken off, who did that waits for the end of this call. */
    if (linger->link) {
        found = linger->look(linger, timed_out);
        if (linger->registration)
            UnregisterWaitEx(linger->registration, NULL);
        if (found == WIN32_GOES_ON)
            watch(linger);
        else
            take_off(linger);
    }
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
    watch(linger);
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
