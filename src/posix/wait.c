/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "unix.h"

/** The milliseconds from now to a deadline, rounded up so that a wait never ends early; -1 for ever. */
static int milliseconds_to(sys_time_t deadline)
{
    if (deadline == SYS_NEVER)
        return -1;
    const sys_time_t left = deadline - sys_now();
    if (left <= 0)
        return 0;
    return left / 1000 >= INT_MAX ? INT_MAX : (int)((left + 999) / 1000);
}

apr_status_t sys_wait(sys_handle_t handle, sys_time_t deadline)
{
    struct pollfd item = {.fd = (int)handle, .events = POLLIN};
    for (;;) {
        const int ready = poll(&item, 1, milliseconds_to(deadline));
        if (ready > 0)
            return item.revents & POLLNVAL ? APR_EBADF : APR_SUCCESS;
        if (ready < 0 && errno != EINTR)
            return errno;
        if (deadline != SYS_NEVER && sys_now() >= deadline)
            return APR_TIMEUP;
    }
}

apr_status_t sys_event_create(sys_event_t *event)
{
    int ends[2];
    event->sentinel = event->setter = SYS_NO_HANDLE;
    if (unix_pipe(ends) != 0)
        return errno;
    event->sentinel = ends[0];
    event->setter = ends[1];
    return APR_SUCCESS;
}

void sys_event_set(sys_event_t *event)
{
    /* The pipe is empty and its reader open: this cannot block or fail, only be interrupted. */
    while (write((int)event->setter, "", 1) < 0 && errno == EINTR) {}
}

void sys_event_close(sys_event_t *event)
{
    unix_close((int)event->sentinel);
    unix_close((int)event->setter);
    event->sentinel = event->setter = SYS_NO_HANDLE;
}
