/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an event is. What it is, event_linux.c and event_pipe.c know. */
#include <errno.h>
#include <sys/stat.h>

#include "unix.h"

apr_status_t unix_identify(uint64_t identity[3], int fd)
{
    struct stat object;
    if (fstat(fd, &object) != 0)
        return errno;
    identity[0] = (uint64_t)object.st_dev;
    identity[1] = (uint64_t)object.st_ino;
    identity[2] = (uint64_t)(object.st_mode & S_IFMT) | 1; /* never 0 */
    return APR_SUCCESS;
}

int unix_is_identical(const uint64_t identity[3], int fd)
{
    uint64_t now[3];
    const apr_status_t status = unix_identify(now, fd);
    /* If the system does not tell just now it is taken for what it was. */
    if (status != APR_SUCCESS)
        return status != APR_EBADF;
    const uint32_t number = (uint32_t)(identity[2] >> 32);
    if (now[0] != identity[0] || now[1] != identity[1] || (uint32_t)now[2] != (uint32_t)identity[2])
        return 0;
    const uint32_t number_now = number ? unix_event_number(fd) : 0;
    return number_now == number || number_now == 0;
}

void sys_event_know(sys_event_t *event)
{
    /* What is no file of any kind may have its inode in common with others. */
    if (((uint32_t)event->identity[2] & S_IFMT) == 0)
        event->identity[2] |= (uint64_t)unix_event_number((int)event->setter) << 32;
}

apr_status_t sys_event_adopt(sys_event_t *event, sys_handle_t setter)
{
    *event = (sys_event_t){.sentinel = SYS_NO_HANDLE, .setter = SYS_NO_HANDLE};
    const apr_status_t status = unix_identify(event->identity, (int)setter);
    if (status != APR_SUCCESS)
        return status;
    const int fd = unix_adopt((int)setter);
    if (fd < 0)
        return errno;
    event->setter = fd;
    sys_event_know(event);
    return APR_SUCCESS;
}

int sys_event_is_intact(const sys_event_t *event)
{
    if (event->setter == SYS_NO_HANDLE)
        return 0;
    return event->identity[2] == 0 || unix_is_identical(event->identity, (int)event->setter);
}
