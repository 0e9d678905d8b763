/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

apr_status_t win32_absolute_path(wchar_t **absolute, const wchar_t *path)
{
    *absolute = NULL;
    DWORD size = GetFullPathNameW(path, 0, NULL, NULL);
    while (size > 0) {
        wchar_t *larger = realloc(*absolute, size * sizeof *larger);
        if (!larger) {
            free(*absolute);
            *absolute = NULL;
            return APR_ENOMEM;
        }
        *absolute = larger;
        /* Another thread may change the folder that the path starts from: then it does not fit after all. */
        const DWORD length = GetFullPathNameW(path, size, larger, NULL);
        if (length > 0 && length < size)
            return APR_SUCCESS;
        size = length;
    }
    const apr_status_t status = win32_error();
    free(*absolute);
    *absolute = NULL;
    return status;
}

/** Whether a path that leads nowhere has a file where a folder should be: on Unix that is an error of its own. */
static int leads_through_file(const wchar_t *path)
{
    DWORD attributes = INVALID_FILE_ATTRIBUTES;
    wchar_t *part = _wcsdup(path);
    wchar_t *slash;
    while (part && attributes == INVALID_FILE_ATTRIBUTES && (slash = wcsrchr(part, L'\\')) != NULL) {
        *slash = L'\0';
        attributes = GetFileAttributesW(part);
    }
    free(part);
    return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

/** Check that a folder is one, and that this process may enter it. */
static apr_status_t check_directory(const wchar_t *path)
{
    const DWORD attributes = GetFileAttributesW(path);
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        const apr_status_t status = win32_error();
        return leads_through_file(path) ? APR_FROM_OS_ERROR(ERROR_DIRECTORY) : status;
    }
    if (!(attributes & FILE_ATTRIBUTE_DIRECTORY))
        return APR_FROM_OS_ERROR(ERROR_DIRECTORY);
    HANDLE folder = CreateFileW(path, FILE_TRAVERSE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (folder == INVALID_HANDLE_VALUE)
        return win32_error();
    win32_close(folder);
    return APR_SUCCESS;
}

apr_status_t win32_find_directory(wchar_t **path, const char *directory)
{
    wchar_t *given;
    *path = NULL;
    if (!*directory)
        return APR_FROM_OS_ERROR(ERROR_PATH_NOT_FOUND);
    apr_status_t status = win32_to_utf16(&given, directory);
    if (status == APR_SUCCESS)
        status = win32_absolute_path(path, given);
    if (status == APR_SUCCESS)
        status = check_directory(*path);
    free(given);
    return status;
}
