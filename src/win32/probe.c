/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a message without taking it: by a read of nothing, which ends when there is a message and leaves it where
 * it is. All threads of the process that wait share one such read and its event, which is set unless that read is under
 * way: whoever wakes looks anew, so nobody has to know what the others have done. A read that has ended may look as if
 * it had not, until the thread that began it has been told: who wants to be sure stops it.
 *
 * A read of nothing takes an empty message away: it is counted, and comes before all that is in the pipe.
 */
#include <string.h>

#include <mproc/status.h>

#include "stream.h"

/** What the end of a read means. */
apr_status_t win32_read_status(DWORD error)
{
    switch (error) {
    case ERROR_SUCCESS:
    case ERROR_MORE_DATA:
        return APR_SUCCESS;
    case ERROR_OPERATION_ABORTED:
        return APR_EAGAIN;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return APR_EOF;
    default:
        return APR_FROM_OS_ERROR(error);
    }
}

/** Take down how a read of nothing has ended: as win32_probe_look(), or APR_EAGAIN if it was stopped. */
static apr_status_t note(win32_probe_t *probe, DWORD error)
{
    if (error == ERROR_SUCCESS)
        probe->empty_count++;
    probe->has_message = error == ERROR_MORE_DATA;
    return win32_read_status(error);
}

/** See how the read that is under way ends, and stop it first if it has not ended; with the lock held. */
static apr_status_t collect(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    DWORD unused;
    if (!HasOverlappedIoCompleted(&probe->overlapped))
        CancelIoEx(stream->pipe, &probe->overlapped);
    const BOOL is_through = GetOverlappedResult(stream->pipe, &probe->overlapped, &unused, TRUE);
    probe->is_pending = 0;
    return note(probe, is_through ? ERROR_SUCCESS : GetLastError());
}

/** Begin to read nothing: as note(), or APR_EINPROGRESS; with the lock held. */
static apr_status_t issue(sys_stream_t *stream)
{
    static unsigned char nothing;
    win32_probe_t *probe = &stream->probe;
    HANDLE event = probe->overlapped.hEvent;
    memset(&probe->overlapped, 0, sizeof probe->overlapped);
    probe->overlapped.hEvent = event;
    const DWORD error = ReadFile(stream->pipe, &nothing, 0, NULL, &probe->overlapped) ? 0 : GetLastError();
    if (error == ERROR_IO_PENDING) {
        probe->is_pending = 1;
        return APR_EINPROGRESS;
    }
    /* Others may wait for the event, which the system leaves as it is where a read has failed at once. */
    if (probe->users > 1)
        SetEvent(event);
    return note(probe, error);
}

/** As win32_probe_look(); with the lock held. */
static apr_status_t look(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    apr_status_t status = APR_EAGAIN;
    if (probe->is_leaving)
        return APR_EINPROGRESS;
    if (probe->is_pending) {
        if (!HasOverlappedIoCompleted(&probe->overlapped))
            return APR_EINPROGRESS;
        status = collect(stream);
    } else if (probe->empty_count > 0 || probe->has_message) {
        status = APR_SUCCESS;
    }
    /* Reads are stopped when the thread ends that has begun them. */
    return status == APR_EAGAIN ? issue(stream) : status;
}

apr_status_t win32_probe_enter(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    apr_status_t status = APR_SUCCESS;
    AcquireSRWLockExclusive(&probe->lock);
    if (!probe->overlapped.hEvent)
        probe->overlapped.hEvent = CreateEventW(NULL, TRUE, TRUE, NULL);
    if (!probe->overlapped.hEvent)
        status = win32_error();
    /* A sender whose time is up takes its message back: what others have seen long ago is not to be relied on. */
    else if (probe->users++ == 0)
        probe->has_message = 0;
    ReleaseSRWLockExclusive(&probe->lock);
    return status;
}

void win32_probe_leave(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    AcquireSRWLockExclusive(&probe->lock);
    if (--probe->users == 0 && probe->is_pending)
        collect(stream);
    ReleaseSRWLockExclusive(&probe->lock);
}

HANDLE win32_probe_event(const sys_stream_t *stream)
{
    return stream->probe.overlapped.hEvent;
}

apr_status_t win32_probe_look(sys_stream_t *stream)
{
    AcquireSRWLockExclusive(&stream->probe.lock);
    const apr_status_t status = look(stream);
    ReleaseSRWLockExclusive(&stream->probe.lock);
    return status;
}

apr_status_t win32_probe_look_last(sys_stream_t *stream)
{
    AcquireSRWLockExclusive(&stream->probe.lock);
    apr_status_t status = look(stream);
    if (status == APR_EINPROGRESS && stream->probe.is_pending)
        status = collect(stream);
    ReleaseSRWLockExclusive(&stream->probe.lock);
    return status == APR_EAGAIN ? APR_EINPROGRESS : status;
}

apr_status_t win32_probe_wait(sys_stream_t *stream, sys_time_t deadline, sys_handle_t stop)
{
    apr_status_t waited = APR_SUCCESS;
    apr_status_t status = win32_probe_enter(stream);
    if (status != APR_SUCCESS)
        return status;
    while (waited == APR_SUCCESS && (status = win32_probe_look(stream)) == APR_EINPROGRESS)
        waited = win32_wait_for(win32_probe_event(stream), deadline, stop);
    if (waited != APR_SUCCESS)
        status = win32_probe_look_last(stream);
    win32_probe_leave(stream);
    return status == APR_EINPROGRESS ? waited : status;
}

int win32_probe_begin_taking(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    AcquireSRWLockExclusive(&probe->lock);
    if (probe->is_pending && (HasOverlappedIoCompleted(&probe->overlapped) || win32_pipe_look(stream->pipe) > 0))
        collect(stream);
    probe->has_message = 0;
    if (probe->empty_count == 0)
        return !probe->is_pending; /* if it has not ended, there is nothing */
    probe->empty_count--;
    return -1;
}

void win32_probe_end_taking(sys_stream_t *stream)
{
    ReleaseSRWLockExclusive(&stream->probe.lock);
}

int win32_probe_has_empty(sys_stream_t *stream)
{
    AcquireSRWLockShared(&stream->probe.lock);
    const int has_empty = stream->probe.empty_count > 0;
    ReleaseSRWLockShared(&stream->probe.lock);
    return has_empty;
}

void win32_probe_stop(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    AcquireSRWLockExclusive(&probe->lock);
    probe->is_leaving = 1;
    if (probe->is_pending)
        collect(stream);
    /* Those who wait go on waiting: until the stream is closed here, or stays. */
    if (probe->overlapped.hEvent)
        ResetEvent(probe->overlapped.hEvent);
    ReleaseSRWLockExclusive(&probe->lock);
}

void sys_stream_keep(sys_stream_t *stream)
{
    win32_probe_t *probe = &stream->probe;
    AcquireSRWLockExclusive(&probe->lock);
    probe->is_leaving = 0;
    if (probe->overlapped.hEvent)
        SetEvent(probe->overlapped.hEvent);
    ReleaseSRWLockExclusive(&probe->lock);
}
