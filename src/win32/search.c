/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding programs, as the command interpreter does, but never in the current folder nor in this program's own, where
 * the system itself looks first: who can write a file there would decide what is run.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

/** What is looked for. */
typedef struct search_t {
    const wchar_t *name;
    const wchar_t *extensions; /* with semicolons between them */
    wchar_t *candidate;        /* there is room for each */
    wchar_t *found;            /* for free() */
    int is_refused;            /* something has that name that cannot be run */
} search_t;

/** Copy the next piece of a list without quotation marks, which keep a semicolon from ending it; NULL: no more. */
static const wchar_t *next_piece(wchar_t *piece, const wchar_t *list)
{
    int is_quoted = 0;
    if (!*list)
        return NULL;
    for (; *list && (is_quoted || *list != L';'); list++) {
        if (*list == L'"')
            is_quoted = !is_quoted;
        else
            *piece++ = *list;
    }
    *piece = L'\0';
    return *list ? list + 1 : list;
}

/** The extension of a file's name, or its end. */
static const wchar_t *extension_of(const wchar_t *name)
{
    const wchar_t *dot = NULL;
    const wchar_t *at = name;
    for (; *at; at++) {
        if (wcschr(L"\\/:", *at))
            dot = NULL;
        else if (*at == L'.')
            dot = at;
    }
    return dot ? dot : at;
}

/** Whether something is one of the extensions of what the system can run. */
static int is_known(const wchar_t *extension)
{
    static const wchar_t *const known[] = {L".com", L".exe", L".bat", L".cmd"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (_wcsicmp(extension, known[i]) == 0)
            return 1;
    return 0;
}

/** Look whether the candidate is a file. */
static apr_status_t look(search_t *search)
{
    const DWORD attributes = GetFileAttributesW(search->candidate);
    if (attributes == INVALID_FILE_ATTRIBUTES)
        search->is_refused |= GetLastError() == ERROR_ACCESS_DENIED;
    else if (attributes & FILE_ATTRIBUTE_DIRECTORY)
        search->is_refused = 1;
    else
        return win32_absolute_path(&search->found, search->candidate);
    return APR_SUCCESS;
}

/** Look with each extension behind the candidate. */
static apr_status_t look_with_extensions(search_t *search)
{
    apr_status_t status = APR_SUCCESS;
    wchar_t *end = search->candidate + wcslen(search->candidate);
    const wchar_t *list = search->extensions;
    /* A folder. */
    if (end == search->candidate || wcschr(L"\\/:", end[-1]))
        return APR_SUCCESS;
    while (status == APR_SUCCESS && !search->found && (list = next_piece(end, list)) != NULL)
        if (is_known(end))
            status = look(search);
    *end = L'\0';
    return status;
}

/**
 * Look in a folder, or with an empty one where the name says. A name without an extension gets one first: what has none
 * there is rather a folder, or a script for another system.
 */
static apr_status_t look_in(search_t *search, const wchar_t *folder)
{
    apr_status_t status = APR_SUCCESS;
    const int has_extension = *extension_of(search->name) != L'\0';
    wchar_t *to = search->candidate;
    if (*folder) {
        const size_t length = wcslen(folder);
        wmemmove(to, folder, length);
        to += length;
        *to++ = L'\\';
    }
    wmemcpy(to, search->name, wcslen(search->name) + 1);
    if (has_extension)
        status = look(search);
    if (status == APR_SUCCESS && !search->found)
        status = look_with_extensions(search);
    if (status == APR_SUCCESS && !search->found && !has_extension)
        status = look(search);
    return status;
}

/** Look in each folder of a list. */
static apr_status_t look_along(search_t *search, const wchar_t *list)
{
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS && !search->found && (list = next_piece(search->candidate, list)) != NULL)
        if (*search->candidate)
            status = look_in(search, search->candidate);
    return status;
}

static apr_status_t find(search_t *search, const wchar_t *environment)
{
    static const wchar_t usual[] = L".com;.exe;.bat;.cmd";
    wchar_t *list = NULL;
    wchar_t *extensions;
    const int is_path = wcspbrk(search->name, L"\\/:") != NULL;
    apr_status_t status = win32_variable(&extensions, environment, L"PATHEXT");
    if (status == APR_SUCCESS && !is_path)
        status = win32_variable(&list, environment, L"PATH");
    if (status == APR_SUCCESS) {
        search->extensions = extensions ? extensions : usual;
        search->candidate = malloc((wcslen(search->name) + (list ? wcslen(list) : 0) + wcslen(search->extensions) + 2) *
                                   sizeof *search->candidate);
        status = search->candidate ? APR_SUCCESS : APR_ENOMEM;
    }
    if (status == APR_SUCCESS && is_path)
        status = look_in(search, L"");
    else if (status == APR_SUCCESS && list)
        status = look_along(search, list);
    free(search->candidate);
    free(extensions);
    free(list);
    return status;
}

apr_status_t win32_find_program(wchar_t **path, const char *file, const wchar_t *environment)
{
    wchar_t *name;
    search_t search = {.name = NULL};
    *path = NULL;
    if (!*file)
        return APR_ENOENT;
    apr_status_t status = win32_to_utf16(&name, file);
    if (status != APR_SUCCESS)
        return status;
    search.name = name;
    status = find(&search, environment);
    free(name);
    *path = search.found;
    if (status == APR_SUCCESS && !search.found)
        status = search.is_refused ? APR_EACCES : APR_ENOENT;
    return status;
}

int win32_is_batch(const wchar_t *path)
{
    /* The system does not see spaces and dots at the end of a name. */
    size_t length = wcslen(path);
    while (length > 0 && wcschr(L" .", path[length - 1]))
        length--;
    return length > 4 &&
           (_wcsnicmp(path + length - 4, L".bat", 4) == 0 || _wcsnicmp(path + length - 4, L".cmd", 4) == 0);
}
