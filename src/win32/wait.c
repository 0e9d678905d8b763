/* SPDX-License-Identifier: Apache-2.0 */
#include "win32.h"

/* The longest single wait, far below INFINITE. */
enum { WAIT_MAX = 0x7fffffff };

/** The milliseconds from now to a deadline, rounded up so that a wait never ends early. */
static DWORD milliseconds_to(sys_time_t deadline)
{
    if (deadline == SYS_NEVER)
        return INFINITE;
    const sys_time_t left = deadline - sys_now();
    if (left <= 0)
        return 0;
    return left / 1000 >= WAIT_MAX ? WAIT_MAX : (DWORD)((left + 999) / 1000);
}

apr_status_t sys_wait(sys_handle_t handle, sys_time_t deadline)
{
    for (;;) {
        switch (WaitForSingleObject((HANDLE)handle, milliseconds_to(deadline))) {
        case WAIT_OBJECT_0:
            return APR_SUCCESS;
        case WAIT_FAILED:
            return win32_error();
        default:
            if (deadline != SYS_NEVER && sys_now() >= deadline)
                return APR_TIMEUP;
        }
    }
}

apr_status_t sys_event_create(sys_event_t *event)
{
    event->sentinel = event->setter = SYS_NO_HANDLE;
    HANDLE made = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!made)
        return win32_error();
    event->sentinel = event->setter = (sys_handle_t)made;
    return APR_SUCCESS;
}

void sys_event_set(sys_event_t *event)
{
    SetEvent((HANDLE)event->setter);
}

void sys_event_close(sys_event_t *event)
{
    sys_handle_close(event->sentinel); /* the setter is the same */
    event->sentinel = event->setter = SYS_NO_HANDLE;
}
