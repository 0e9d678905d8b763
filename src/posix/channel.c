/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "unix.h"

struct sys_channel_t {
    int fd;
    int is_input;
};

apr_status_t sys_channel_create(sys_channel_t **channel, sys_handle_t *theirs, int is_input)
{
    int ends[2];
    *theirs = SYS_NO_HANDLE;
    sys_channel_t *made = *channel = calloc(1, sizeof **channel);
    if (!made)
        return APR_ENOMEM;
    if (unix_pipe(ends) != 0) {
        const apr_status_t status = errno;
        free(made);
        *channel = NULL;
        return status;
    }
    made->is_input = is_input;
    made->fd = ends[is_input ? 1 : 0];
    *theirs = ends[is_input ? 0 : 1];
    /* Each end of a pipe is a file of its own: this one alone does not wait. */
    fcntl(made->fd, F_SETFL, O_NONBLOCK);
    return APR_SUCCESS;
}

apr_status_t sys_channel_read(sys_channel_t *channel, void *buffer, size_t size, size_t *got)
{
    ssize_t length;
    *got = 0;
    do {
        length = read(channel->fd, buffer, size);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EWOULDBLOCK ? APR_EAGAIN : errno;
    *got = (size_t)length;
    return length > 0 ? APR_SUCCESS : APR_EOF;
}

apr_status_t sys_channel_write(sys_channel_t *channel, const void *data, size_t size, size_t *done)
{
    ssize_t length;
    *done = 0;
    do {
        length = unix_write_to_pipe(channel->fd, data, size);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EWOULDBLOCK ? APR_EAGAIN : errno;
    *done = (size_t)length;
    return APR_SUCCESS;
}

void sys_channel_close(sys_channel_t *channel)
{
    if (!channel)
        return;
    unix_close(channel->fd);
    free(channel);
}

int unix_channel_descriptor(const sys_channel_t *channel, short *events)
{
    *events = channel->is_input ? POLLOUT : POLLIN;
    return channel->fd;
}
