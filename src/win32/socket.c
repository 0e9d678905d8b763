/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a socket, among other things: by the request that the system's own select() makes. The documented ways
 * would change the socket (whether it waits, which events it is asked for), or need a thread.
 */
#include "win32.h"

#include <mswsock.h>
#include <winternl.h>

typedef LONG(NTAPI *control_t)(HANDLE, HANDLE, void *, void *, void *, ULONG, const void *, ULONG, void *, ULONG);
typedef LONG(NTAPI *open_t)(HANDLE *, ACCESS_MASK, void *, void *, void *, ULONG, ULONG, ULONG, ULONG, void *, ULONG);

enum { POLL = 0x12024, IS_PENDING = 0x103 };

/* Something to read, a caller, or the end: as select() has it. */
enum { READABLE = 0x01 | 0x08 | 0x10 | 0x20 | 0x80 };

static control_t control;

/** Open the system's sockets as such: requests on this handle never wait, whatever the socket's do. */
static BOOL CALLBACK open_device(INIT_ONCE *once, void *data, void **device)
{
    static wchar_t name[] = L"\\Device\\Afd\\mproc";
    UNICODE_STRING text = {sizeof name - sizeof *name, sizeof name, name};
    OBJECT_ATTRIBUTES attributes = {.Length = sizeof attributes, .ObjectName = &text};
    ULONG_PTR result[2];
    HANDLE handle;
    (void)once;
    (void)data;
    const open_t create = (open_t)win32_kernel_function("NtCreateFile");
    control = (control_t)win32_kernel_function("NtDeviceIoControlFile");
    if (!create || !control ||
        create(&handle, SYNCHRONIZE, &attributes, result, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0,
               NULL, 0) < 0)
        return FALSE;
    *device = handle; /* the lowest bits, which the system wants to be 0, are so in all handles */
    return TRUE;
}

static apr_status_t get_device(HANDLE *device)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    void *found = NULL;
    if (!InitOnceExecuteOnce(&once, open_device, NULL, &found))
        return APR_ENOTIMPL;
    *device = found;
    return APR_SUCCESS;
}

apr_status_t win32_poll_begin(win32_poll_t *poll, SOCKET socket, HANDLE event)
{
    SOCKET base;
    DWORD size;
    int type;
    int type_size = sizeof type;
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, (char *)&type, &type_size) != 0)
        return APR_EBADF;
    /* Others may have put their own sockets over the system's. */
    if (WSAIoctl(socket, SIO_BASE_HANDLE, NULL, 0, &base, sizeof base, &size, NULL, NULL) != 0)
        base = socket;
    const apr_status_t status = get_device(&poll->device);
    if (status != APR_SUCCESS)
        return status;
    *poll = (win32_poll_t){.overlapped = {.hEvent = event},
                           .device = poll->device,
                           .request = {.timeout = INT64_MAX, .count = 1, .socket = base, .events = READABLE}};
    const LONG result = control(poll->device, event, NULL, NULL, &poll->overlapped, POLL, &poll->request,
                                sizeof poll->request, &poll->request, sizeof poll->request);
    return result == IS_PENDING ? APR_EINPROGRESS : result == 0 ? APR_SUCCESS : APR_EBADF;
}

int win32_poll_finish(win32_poll_t *poll, int is_to_stop)
{
    DWORD size;
    if (is_to_stop)
        CancelIoEx(poll->device, &poll->overlapped);
    return GetOverlappedResult(poll->device, &poll->overlapped, &size, TRUE) && poll->request.count > 0;
}
