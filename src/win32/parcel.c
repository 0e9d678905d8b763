/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles on their way. The system carries none through pipes: the sender keeps duplicates, and the receiver duplicates
 * these to itself. So somebody has to close the sender's: here, when the receiver sets an event that is among them, or
 * when the other end of the pipe is closed, and nobody can receive them any more. Only this process closes them, so
 * that nobody who dies in between leaves numbers behind that stand for something else by then.
 *
 * A parcel keeps the pipe open: what was sent before a close can still be received, and then the end is seen.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* How often it is looked whether the other end is closed: a receiver's event is noticed at once. Milliseconds. */
enum { PERIOD = 50 };

struct win32_parcel_t {
    win32_linger_t linger; /* first; used when it is sent */
    HANDLE pipe;
    HANDLE received; /* an event that resets itself: one call for one receipt */
    HANDLE handles[SYS_ATTACHED_MAX];
    size_t count;
};

/** Whether the other end of a pipe is closed: that is known whatever this end may do. */
static int is_other_end_closed(HANDLE pipe)
{
    enum { LOCAL_INFORMATION = 24, CONNECTED = 3 };
    typedef LONG(NTAPI * query_t)(HANDLE, void *, void *, ULONG, int);
    struct {
        ULONG type, configuration, maximum, current, in_quota, in_available, out_quota, out_available, state, end;
    } local;
    ULONG_PTR result[2];
    const query_t query = (query_t)win32_kernel_function("NtQueryInformationFile");
    return query && query(pipe, result, &local, sizeof local, LOCAL_INFORMATION) >= 0 && local.state != CONNECTED;
}

static void destroy(win32_parcel_t *parcel)
{
    for (size_t i = 0; i < parcel->count; i++)
        win32_close(parcel->handles[i]);
    win32_close(parcel->received);
    win32_close(parcel->pipe);
    free(parcel);
}

apr_status_t win32_parcel_make(win32_parcel_t **parcel, HANDLE pipe, const sys_handle_t *handles, size_t count)
{
    sys_handle_t copy;
    win32_parcel_t *made = *parcel = calloc(1, sizeof **parcel);
    if (!made)
        return APR_ENOMEM;
    made->received = CreateEventW(NULL, FALSE, FALSE, NULL);
    apr_status_t status = made->received ? sys_handle_duplicate(&copy, (sys_handle_t)pipe) : win32_error();
    if (status == APR_SUCCESS)
        made->pipe = (HANDLE)copy;
    while (status == APR_SUCCESS && made->count < count) {
        status = sys_handle_duplicate(&copy, handles[made->count]);
        if (status == APR_SUCCESS)
            made->handles[made->count++] = (HANDLE)copy;
    }
    if (status == APR_SUCCESS)
        return status;
    destroy(made);
    *parcel = NULL;
    return status;
}

void win32_parcel_name(const win32_parcel_t *parcel, uint64_t *received, unsigned char *names)
{
    *received = (uint64_t)(uintptr_t)parcel->received;
    for (size_t i = 0; i < parcel->count; i++) {
        const uint64_t name = (uint64_t)(uintptr_t)parcel->handles[i];
        memcpy(names + i * sizeof name, &name, sizeof name);
    }
}

/** The receiver has what it wants, or some time has passed. */
static win32_look_t look(win32_linger_t *linger, int timed_out)
{
    return timed_out && !is_other_end_closed(((win32_parcel_t *)linger)->pipe) ? WIN32_GOES_ON : WIN32_OVER;
}

static void destroy_sent(win32_linger_t *linger)
{
    destroy((win32_parcel_t *)linger);
}

void win32_parcel_send(win32_parcel_t *parcel)
{
    parcel->linger.event = parcel->received;
    parcel->linger.period = PERIOD;
    parcel->linger.look = look;
    parcel->linger.destroy = destroy_sent;
    win32_linger(&parcel->linger);
}

void win32_parcel_drop(win32_parcel_t *parcel)
{
    if (parcel)
        destroy(parcel);
}
