/* SPDX-License-Identifier: Apache-2.0 */
/* An event is a pipe with a byte in it, or none. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "unix.h"

uint32_t unix_event_number(int fd)
{
    (void)fd;
    return 0;
}

apr_status_t sys_event_create(sys_event_t *event)
{
    int ends[2];
    *event = (sys_event_t){.sentinel = SYS_NO_HANDLE, .setter = SYS_NO_HANDLE};
    if (unix_pipe(ends) != 0)
        return errno;
    for (int i = 0; i < 2; i++)
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    const apr_status_t status = unix_identify(event->identity, ends[1]);
    if (status != APR_SUCCESS) {
        unix_close(ends[0]);
        unix_close(ends[1]);
        return status;
    }
    event->sentinel = ends[0];
    event->setter = ends[1];
    return APR_SUCCESS;
}

void sys_event_set(sys_event_t *event)
{
    /* Its reader is open, and a full pipe is set already: this cannot fail, only be interrupted. */
    while (write((int)event->setter, "", 1) < 0 && errno == EINTR) {}
}

void sys_event_reset(sys_event_t *event)
{
    char bytes[64];
    ssize_t length;
    do {
        length = read((int)event->sentinel, bytes, sizeof bytes);
    } while (length > 0 || (length < 0 && errno == EINTR));
}

void sys_event_close(sys_event_t *event)
{
    unix_close((int)event->sentinel);
    if (sys_event_is_intact(event))
        unix_close((int)event->setter);
    event->sentinel = event->setter = SYS_NO_HANDLE;
}
