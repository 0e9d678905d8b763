/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: made, handed over, closed. stream_send.c and stream_receive.c move messages. */
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "stream.h"

/* ---- What a handle is -------------------------------------------------------------------------------------------- */

/* What the system knows of a handle, as its kernel tells it. */
typedef LONG(NTAPI *query_object_t)(HANDLE, int, void *, ULONG, ULONG *);
typedef LONG(NTAPI *query_file_t)(HANDLE, void *, void *, ULONG, int);

enum { BASIC_INFORMATION = 0, MODE_INFORMATION = 16, IS_SYNCHRONOUS = 0x30 };

typedef struct object_t {
    ULONG attributes;
    ACCESS_MASK access;
    ULONG others[12];
} object_t;

/** Which ways a handle goes; 0 if the system does not tell. */
static int directions_of(HANDLE handle)
{
    object_t object;
    const query_object_t query = (query_object_t)win32_kernel_function("NtQueryObject");
    if (!query || query(handle, BASIC_INFORMATION, &object, sizeof object, NULL) < 0)
        return 0;
    return (object.access & FILE_READ_DATA ? SYS_STREAM_IN : 0) |
           (object.access & FILE_WRITE_DATA ? SYS_STREAM_OUT : 0);
}

/** Whether calls on a handle wait until they are through: there are no deadlines then. */
static int is_synchronous(HANDLE handle)
{
    ULONG_PTR result[2];
    ULONG mode = 0;
    const query_file_t query = (query_file_t)win32_kernel_function("NtQueryInformationFile");
    return query && query(handle, result, &mode, sizeof mode, MODE_INFORMATION) >= 0 && (mode & IS_SYNCHRONOUS);
}

/** Check that a handle is a pipe of messages, and have it read as such. */
static apr_status_t examine(HANDLE handle)
{
    DWORD kind = 0;
    DWORD state = 0;
    DWORD mode = PIPE_READMODE_MESSAGE;
    if (!GetHandleInformation(handle, &kind))
        return APR_EBADF;
    if (GetFileType(handle) != FILE_TYPE_PIPE || !GetNamedPipeInfo(handle, &kind, NULL, NULL, NULL) ||
        !(kind & PIPE_TYPE_MESSAGE) || is_synchronous(handle))
        return APR_EINVAL;
    if (GetNamedPipeHandleStateW(handle, &state, NULL, NULL, NULL, NULL, 0) && (state & PIPE_READMODE_MESSAGE))
        return APR_SUCCESS;
    return SetNamedPipeHandleState(handle, &mode, NULL, NULL) ? APR_SUCCESS : win32_error();
}

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

apr_status_t win32_stream_make(sys_stream_t **stream, HANDLE pipe, int directions)
{
    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return APR_ENOMEM;
    (*stream)->pipe = pipe;
    (*stream)->directions = directions;
    InitializeSRWLock(&(*stream)->probe.lock);
    return APR_SUCCESS;
}

/** Make both ends of a pipe. */
static apr_status_t make_pipe(HANDLE ends[2], int one_way)
{
    wchar_t path[WIN32_PATH_SIZE];
    const DWORD access = one_way ? PIPE_ACCESS_INBOUND : PIPE_ACCESS_DUPLEX;
    ends[0] = ends[1] = NULL;
    apr_status_t status = win32_pipe_new_path(path);
    if (status == APR_SUCCESS)
        status = win32_pipe_create(&ends[0], path, access | FILE_FLAG_FIRST_PIPE_INSTANCE, 1, 0);
    if (status == APR_SUCCESS)
        status = win32_pipe_connect(&ends[1], path, one_way ? SYS_STREAM_OUT : SYS_STREAM_IN | SYS_STREAM_OUT);
    return status == APR_SUCCESS ? win32_pipe_join(ends[0]) : status;
}

apr_status_t sys_stream_pair(sys_stream_t **first, sys_stream_t **second, int one_way)
{
    HANDLE ends[2];
    const int both = SYS_STREAM_IN | SYS_STREAM_OUT;
    *first = *second = NULL;
    apr_status_t status = make_pipe(ends, one_way);
    if (status == APR_SUCCESS)
        status = win32_stream_make(first, ends[0], one_way ? SYS_STREAM_IN : both);
    if (status == APR_SUCCESS)
        status = win32_stream_make(second, ends[1], one_way ? SYS_STREAM_OUT : both);
    if (status == APR_SUCCESS)
        return status;
    win32_close(ends[0]);
    win32_close(ends[1]);
    free(*first);
    *first = NULL;
    return status;
}

apr_status_t sys_stream_open(sys_stream_t **stream, sys_handle_t handle, int directions)
{
    *stream = NULL;
    /* Negative numbers stand for processes and threads. */
    if (handle <= 0)
        return APR_EBADF;
    apr_status_t status = examine((HANDLE)handle);
    if (status != APR_SUCCESS)
        return status;
    const int is_of_program = directions == 0;
    const int known = directions_of((HANDLE)handle);
    if (directions && known)
        directions &= known;
    else if (!directions)
        directions = known;
    if (!directions)
        return APR_EINVAL;
    status = win32_stream_make(stream, (HANDLE)handle, directions);
    if (status == APR_SUCCESS && is_of_program)
        win32_stream_check_peer(*stream);
    return status;
}

int sys_stream_directions(const sys_stream_t *stream)
{
    return stream->directions;
}

sys_handle_t sys_stream_handle(const sys_stream_t *stream)
{
    return (sys_handle_t)stream->pipe;
}

void sys_stream_interrupt(sys_stream_t *stream)
{
    (void)stream; /* whoever waits looks for `stop`, too */
}

void sys_stream_close(sys_stream_t *stream)
{
    if (!stream)
        return;
    win32_close(stream->pipe);
    win32_close(stream->sending);
    win32_close(stream->receiving);
    win32_close(stream->probe.overlapped.hEvent);
    win32_parcel_drop(stream->parcel);
    free(stream->rest);
    free(stream->ahead);
    free(stream);
}

/* ---- Handing over what was read ahead ---------------------------------------------------------------------------- */

/** What goes before the bytes. */
typedef struct packed_t {
    sys_next_t next;
    uint64_t empty_count;
    uint64_t sender_birth;
    uint64_t received;
    uint32_t sender;
    uint32_t is_in_message;
    uint32_t is_strange;
    uint32_t reserved;
    uint64_t handles[SYS_ATTACHED_MAX];
} packed_t;

size_t sys_stream_pack(sys_stream_t *stream, void *bytes, size_t capacity, sys_handle_t *handles, size_t *handle_count)
{
    const size_t ahead = stream->end - stream->begin;
    (void)handles; /* those of a message that was begun are the sender's still */
    *handle_count = 0;
    win32_probe_stop(stream);
    if (!stream->is_in_message && !stream->probe.empty_count && !stream->is_strange)
        return 0;
    if (capacity >= sizeof(packed_t) + ahead) {
        packed_t packed = {.next = stream->next,
                           .empty_count = stream->probe.empty_count,
                           .sender_birth = stream->sender_birth,
                           .received = stream->received,
                           .sender = stream->sender,
                           .is_in_message = (uint32_t)stream->is_in_message,
                           .is_strange = (uint32_t)stream->is_strange};
        memcpy(packed.handles, stream->handles, sizeof packed.handles);
        memcpy(bytes, &packed, sizeof packed);
        if (ahead)
            memcpy((unsigned char *)bytes + sizeof packed, stream->ahead + stream->begin, ahead);
    }
    return sizeof(packed_t) + ahead;
}

apr_status_t sys_stream_unpack(sys_stream_t *stream, const void *bytes, size_t size, uint64_t taken,
                               const sys_handle_t *handles, size_t handle_count)
{
    packed_t packed;
    (void)handles;
    if (size == 0 && taken == 0 && handle_count == 0)
        return APR_SUCCESS;
    if (size < sizeof packed || handle_count > 0)
        return APR_EINVAL;
    memcpy(&packed, bytes, sizeof packed);
    const size_t ahead = size - sizeof packed;
    if (packed.next.handle_count > SYS_ATTACHED_MAX || packed.next.size > INT64_MAX ||
        (packed.next.handle_count > 0 && !packed.next.is_marked) ||
        (packed.is_in_message ? packed.next.left > packed.next.size || ahead > packed.next.left : ahead > 0) ||
        taken != (packed.is_in_message ? packed.next.size - packed.next.left : 0))
        return APR_EINVAL;
    if (ahead) {
        stream->ahead = malloc(ahead);
        if (!stream->ahead)
            return APR_ENOMEM;
        memcpy(stream->ahead, (const unsigned char *)bytes + sizeof packed, ahead);
        stream->end = stream->ahead_size = ahead;
    }
    stream->next = packed.next;
    stream->probe.empty_count = (size_t)packed.empty_count;
    stream->sender_birth = packed.sender_birth;
    stream->received = packed.received;
    stream->sender = packed.sender;
    stream->is_in_message = packed.is_in_message != 0;
    stream->is_strange = packed.is_strange != 0;
    memcpy(stream->handles, packed.handles, sizeof stream->handles);
    return APR_SUCCESS;
}

/* ---- Who is there ------------------------------------------------------------------------------------------------ */

apr_status_t sys_stream_peer(const sys_stream_t *stream, int *pid, int *is_same_user)
{
    DWORD kind = 0;
    ULONG found = 0;
    *pid = *is_same_user = 0;
    if (!GetNamedPipeInfo(stream->pipe, &kind, NULL, NULL, NULL))
        return win32_error();
    if (!(kind & PIPE_SERVER_END ? GetNamedPipeClientProcessId(stream->pipe, &found)
                                 : GetNamedPipeServerProcessId(stream->pipe, &found)))
        return win32_error();
    *pid = (int)found;
    *is_same_user = win32_is_own_user(found);
    return APR_SUCCESS;
}

void win32_stream_check_peer(sys_stream_t *stream)
{
    int pid, is_same_user;
    stream->is_strange = sys_stream_peer(stream, &pid, &is_same_user) != APR_SUCCESS || !is_same_user;
}
