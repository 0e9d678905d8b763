/* SPDX-License-Identifier: Apache-2.0 */
/* An event is a counter of the kernel's, which is set when it is not 0. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unix.h"

apr_status_t sys_event_create(sys_event_t *event)
{
    unix_making();
    const int fd = unix_made(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    event->sentinel = event->setter = fd;
    return fd >= 0 ? APR_SUCCESS : errno;
}

void sys_event_set(sys_event_t *event)
{
    const uint64_t one = 1;
    while (write((int)event->setter, &one, sizeof one) < 0 && errno == EINTR) {}
}

void sys_event_reset(sys_event_t *event)
{
    uint64_t count;
    while (read((int)event->sentinel, &count, sizeof count) < 0 && errno == EINTR) {}
}

void sys_event_close(sys_event_t *event)
{
    unix_close((int)event->sentinel); /* the setter is the same */
    event->sentinel = event->setter = SYS_NO_HANDLE;
}
