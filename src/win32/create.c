/* SPDX-License-Identifier: Apache-2.0 */
/* Processes are created in one place: with exactly the handles and in exactly the jobs that are listed. */
#include <stdlib.h>
#include <string.h>

#include "win32.h"

/** The handles that a process gets, each once: the system refuses a list that names one twice. */
static size_t list_passed(HANDLE *list, const win32_create_t *create)
{
    size_t count = 0;
    for (size_t i = 0; i < 3 + create->handle_count; i++) {
        HANDLE handle = i < 3 ? create->streams[i] : create->handles[i - 3];
        size_t known = 0;
        while (known < count && list[known] != handle)
            known++;
        if (known == count)
            list[count++] = handle;
    }
    return count;
}

/** Make the list of what else a process is created with. To be freed by free_attributes(). */
static apr_status_t make_attributes(LPPROC_THREAD_ATTRIBUTE_LIST *attributes, HANDLE *passed, size_t count,
                                    const win32_create_t *create)
{
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(NULL, 2, 0, &size);
    *attributes = malloc(size);
    if (!*attributes)
        return APR_ENOMEM;
    if (!InitializeProcThreadAttributeList(*attributes, 2, 0, &size)) {
        const apr_status_t status = win32_error();
        free(*attributes);
        *attributes = NULL;
        return status;
    }
    if (UpdateProcThreadAttribute(*attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, passed, count * sizeof *passed,
                                  NULL, NULL) &&
        (create->job_count == 0 ||
         UpdateProcThreadAttribute(*attributes, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, (void *)create->jobs,
                                   create->job_count * sizeof *create->jobs, NULL, NULL)))
        return APR_SUCCESS;
    return win32_error();
}

static void free_attributes(LPPROC_THREAD_ATTRIBUTE_LIST attributes)
{
    if (attributes)
        DeleteProcThreadAttributeList(attributes);
    free(attributes);
}

apr_status_t win32_create(PROCESS_INFORMATION *child, const win32_create_t *create)
{
    enum { TRIES = 3 };
    STARTUPINFOEXW info = {.StartupInfo = {.cb = sizeof info,
                                           .dwFlags = STARTF_USESTDHANDLES,
                                           .hStdInput = create->streams[0],
                                           .hStdOutput = create->streams[1],
                                           .hStdError = create->streams[2]}};
    const DWORD flags = create->flags | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT;
    HANDLE *passed = malloc((3 + create->handle_count) * sizeof *passed);
    if (!passed)
        return APR_ENOMEM;
    apr_status_t status = make_attributes(&info.lpAttributeList, passed, list_passed(passed, create), create);
    /*
     * Wine loses a process now and then while it makes it, which it calls an internal error. Nothing has happened then.
     */
    for (int i = 0, made = 0; i < TRIES && status == APR_SUCCESS && !made; i++) {
        made = CreateProcessW(create->path, create->command, NULL, NULL, TRUE, flags, create->environment,
                              create->directory, &info.StartupInfo, child);
        if (!made && (GetLastError() != ERROR_INTERNAL_ERROR || i + 1 == TRIES))
            status = win32_error();
    }
    free_attributes(info.lpAttributeList);
    free(passed);
    return status;
}
