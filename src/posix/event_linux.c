/* SPDX-License-Identifier: Apache-2.0 */
/* An event is a counter of the kernel's, which is set when it is not 0. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unix.h"

uint32_t unix_event_number(int fd)
{
    char path[40];
    char text[300];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    const int info = unix_open(path, O_RDONLY);
    const ssize_t length = info < 0 ? -1 : read(info, text, sizeof text - 1);
    unix_close(info);
    if (length < 0)
        return 0;
    text[length] = '\0';
    const char *number = strstr(text, "eventfd-id:");
    return number ? (uint32_t)strtoul(strchr(number, ':') + 1, NULL, 10) + 2 : 1;
}

apr_status_t sys_event_create(sys_event_t *event)
{
    unix_making();
    const int fd = unix_made(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    *event = (sys_event_t){.sentinel = fd, .setter = fd};
    if (fd < 0)
        return errno;
    const apr_status_t status = unix_identify(event->identity, fd);
    if (status != APR_SUCCESS) {
        unix_close(fd);
        event->sentinel = event->setter = SYS_NO_HANDLE;
    }
    return status;
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
    /* The sentinel is the same, or there is none. */
    if (sys_event_is_intact(event))
        unix_close((int)event->setter);
    event->sentinel = event->setter = SYS_NO_HANDLE;
}
