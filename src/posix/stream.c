/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: made, handed over, closed. stream_send.c and stream_receive.c move messages. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mproc/status.h>

/** Find out what a descriptor is: a stream socket or a pipe, and which way it goes. */
static apr_status_t examine(sys_stream_t *stream)
{
    struct stat file;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int type = 0;
    socklen_t type_size = sizeof type;
    if (fstat(stream->fd, &file) != 0)
        return errno;
    const int flags = fcntl(stream->fd, F_GETFL);
    if (flags < 0)
        return errno;
    if (S_ISFIFO(file.st_mode)) {
        const int mode = flags & O_ACCMODE;
        stream->directions = mode == O_RDONLY ? SYS_STREAM_IN : mode == O_WRONLY ? SYS_STREAM_OUT : 0;
        return stream->directions ? APR_SUCCESS : APR_EINVAL;
    }
    if (!S_ISSOCK(file.st_mode) || getsockopt(stream->fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 ||
        type != SOCK_STREAM)
        return APR_EINVAL;
    stream->is_socket = 1;
    stream->directions = SYS_STREAM_IN | SYS_STREAM_OUT;
    const int is_known = getsockname(stream->fd, (struct sockaddr *)&address, &size) == 0;
    /* A lack of memory says nothing about the socket; other failures say that it is none of ours. */
    if (!is_known && (errno == ENOBUFS || errno == ENOMEM))
        return errno;
    stream->can_attach = is_known && address.ss_family == AF_UNIX;
    return APR_SUCCESS;
}

apr_status_t unix_stream_make(sys_stream_t **stream, int fd, int directions)
{
    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return APR_ENOMEM;
    (*stream)->is_socket = (*stream)->can_attach = (*stream)->is_ours = 1;
    (*stream)->directions = directions;
    unix_stream_take(*stream, fd);
    return APR_SUCCESS;
}

void unix_stream_take(sys_stream_t *stream, int fd)
{
    stream->fd = fd;
#if defined(MPROC_HAVE_SO_NOSIGPIPE)
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int)); /* fails for pipes */
#endif
}

apr_status_t sys_stream_pair(sys_stream_t **first, sys_stream_t **second, int one_way)
{
    int ends[2];
    const int both = SYS_STREAM_IN | SYS_STREAM_OUT;
    *first = *second = NULL;
    if (unix_socketpair(ends, SOCK_STREAM) != 0)
        return errno;
    /* The other direction is closed, so that nobody waits for what can never come. */
    if (one_way)
        shutdown(ends[0], SHUT_WR);
    apr_status_t status = unix_stream_make(first, ends[0], one_way ? SYS_STREAM_IN : both);
    if (status == APR_SUCCESS)
        status = unix_stream_make(second, ends[1], one_way ? SYS_STREAM_OUT : both);
    if (status == APR_SUCCESS)
        return status;
    unix_close(ends[0]);
    unix_close(ends[1]);
    free(*first);
    *first = NULL;
    return status;
}

apr_status_t sys_stream_open(sys_stream_t **stream, sys_handle_t handle, int directions)
{
    *stream = NULL;
    if (handle < 0 || handle > INT32_MAX)
        return APR_EBADF;
    apr_status_t status = unix_stream_make(stream, (int)handle, 0);
    if (status != APR_SUCCESS)
        return status;
    (*stream)->is_socket = (*stream)->can_attach = 0;
    (*stream)->is_ours = directions != 0;
    status = examine(*stream);
    if (status == APR_SUCCESS && directions)
        (*stream)->directions &= directions;
    if (status == APR_SUCCESS) {
        (*stream)->fd = unix_adopt((int)handle);
        if ((*stream)->fd >= 0)
            return APR_SUCCESS;
        status = errno;
    }
    free(*stream);
    *stream = NULL;
    return status;
}

int sys_stream_directions(const sys_stream_t *stream)
{
    return stream->directions;
}

sys_handle_t sys_stream_handle(const sys_stream_t *stream)
{
    return stream->fd;
}

void sys_stream_interrupt(sys_stream_t *stream)
{
    if (stream->is_ours)
        shutdown(stream->fd, SHUT_RDWR);
}

void sys_stream_keep(sys_stream_t *stream)
{
    (void)stream; /* nobody reads while nobody receives */
}

void sys_stream_shutdown(void)
{
    /* What is on its way is the system's. */
}

void sys_stream_close(sys_stream_t *stream)
{
    if (!stream)
        return;
    unix_close(stream->fd);
    unix_passed_drop(&stream->passed);
    free(stream->rest);
    free(stream->ahead);
    free(stream);
}

/* ---- Handing over what was read ahead -------------------- */

/** What goes before the bytes. */
typedef struct packed_t {
    sys_next_t next;
    uint32_t is_in_message;
    uint32_t is_exact;
    uint32_t is_ours;
    uint32_t set_count;
    unix_set_t sets[UNIX_PASSED_SETS];
} packed_t;

/* Both ends of a move may have other alignments: 32 and 64 bits. */
_Static_assert(sizeof(packed_t) == 24 + 4 * sizeof(uint32_t) + UNIX_PASSED_SETS * sizeof(unix_set_t), "no padding");

size_t sys_stream_pack(sys_stream_t *stream, void *bytes, size_t capacity, sys_handle_t *handles, size_t *handle_count)
{
    const size_t ahead = stream->end - stream->begin;
    const unix_passed_t *passed = &stream->passed;
    *handle_count = passed->fd_count;
    for (size_t i = 0; i < passed->fd_count && i < SYS_PACKED_HANDLES_MAX; i++)
        handles[i] = passed->fds[i];
    if (!stream->is_in_message && !stream->is_exact && stream->is_ours && ahead == 0 && passed->set_count == 0)
        return 0;
    if (capacity >= sizeof(packed_t) + ahead) {
        packed_t packed = {.next = stream->next,
                           .is_in_message = (uint32_t)stream->is_in_message,
                           .is_exact = (uint32_t)stream->is_exact,
                           .is_ours = (uint32_t)stream->is_ours,
                           .set_count = (uint32_t)passed->set_count};
        memcpy(packed.sets, passed->sets, sizeof packed.sets);
        memcpy(bytes, &packed, sizeof packed);
        if (ahead)
            memcpy((unsigned char *)bytes + sizeof packed, stream->ahead + stream->begin, ahead);
    }
    return sizeof(packed_t) + ahead;
}

/** Whether what another process says of a stream can be so. */
static int is_sound(const packed_t *packed, uint64_t taken, size_t handle_count)
{
    const sys_next_t *next = &packed->next;
    size_t fds = 0;
    if (packed->set_count > UNIX_PASSED_SETS)
        return 0;
    if (packed->is_in_message &&
        (next->size > INT64_MAX || next->left > next->size || next->handle_count > SYS_ATTACHED_MAX ||
         (next->handle_count > 0 && !next->is_marked)))
        return 0;
    if (taken != (packed->is_in_message ? next->size - next->left : 0))
        return 0;
    for (uint32_t i = 0; i < packed->set_count; i++) {
        if (packed->sets[i].count < 0 || packed->sets[i].count > SYS_ATTACHED_MAX)
            return 0;
        fds += (size_t)packed->sets[i].count;
    }
    return fds == handle_count;
}

apr_status_t sys_stream_unpack(sys_stream_t *stream, const void *bytes, size_t size, uint64_t taken,
                               const sys_handle_t *handles, size_t handle_count)
{
    packed_t packed;
    if (size == 0 && taken == 0 && handle_count == 0)
        return APR_SUCCESS;
    if (size < sizeof packed)
        return APR_EINVAL;
    memcpy(&packed, bytes, sizeof packed);
    if (!is_sound(&packed, taken, handle_count))
        return APR_EINVAL;
    const size_t ahead = size - sizeof packed;
    unsigned char *copy = malloc(ahead ? ahead : 1);
    int *fds = handle_count ? calloc(UNIX_PASSED_MAX, sizeof *fds) : NULL;
    if (!copy || (handle_count && !fds)) {
        free(copy);
        free(fds);
        return APR_ENOMEM;
    }
    memcpy(copy, (const unsigned char *)bytes + sizeof packed, ahead);
    for (size_t i = 0; i < handle_count; i++)
        fds[i] = (int)handles[i];
    stream->next = packed.next;
    stream->is_in_message = packed.is_in_message != 0;
    stream->is_exact = packed.is_exact != 0;
    stream->is_ours = packed.is_ours != 0;
    stream->ahead = copy;
    stream->begin = 0;
    stream->end = stream->ahead_size = ahead;
    stream->passed = (unix_passed_t){.set_count = packed.set_count, .fds = fds, .fd_count = handle_count};
    memcpy(stream->passed.sets, packed.sets, sizeof packed.sets);
    return APR_SUCCESS;
}

/* ---- Who is there -------------------- */

apr_status_t sys_stream_peer(const sys_stream_t *stream, int *pid, int *is_same_user)
{
    uid_t user;
    if (!stream->can_attach)
        return APR_ENOTIMPL;
    if (unix_peer(stream->fd, pid, &user) != 0)
        return errno;
    *is_same_user = user == geteuid();
    return APR_SUCCESS;
}
