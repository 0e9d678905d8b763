/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

/* ---- The working folder ------------------------------------------------------------------------------------------ */

/** Make a path absolute: one allocation for free(). */
static apr_status_t make_absolute(wchar_t **absolute, const wchar_t *path)
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

static apr_status_t find_directory(wchar_t **path, const char *directory)
{
    wchar_t *given;
    *path = NULL;
    if (!*directory)
        return APR_FROM_OS_ERROR(ERROR_PATH_NOT_FOUND);
    apr_status_t status = win32_to_utf16(&given, directory);
    if (status == APR_SUCCESS)
        status = make_absolute(path, given);
    if (status == APR_SUCCESS)
        status = check_directory(*path);
    free(given);
    return status;
}

/* ---- The environment --------------------------------------------------------------------------------------------- */

/** The length of a variable's name; some begin with '='. */
static int name_length(const wchar_t *variable)
{
    const wchar_t *end = *variable ? wcschr(variable + 1, L'=') : NULL;
    return end ? (int)(end - variable) : (int)wcslen(variable);
}

static int compare_names(const void *a, const void *b)
{
    const wchar_t *const *left = a;
    const wchar_t *const *right = b;
    return CompareStringOrdinal(*left, name_length(*left), *right, name_length(*right), TRUE) - CSTR_EQUAL;
}

/** This process's own "SystemRoot=...": without it a program cannot even use sockets, and APR's start needs them. */
static wchar_t *copy_system_root(void)
{
    static const wchar_t name[] = L"SystemRoot";
    enum { NAME = sizeof name / sizeof name[0] - 1 };
    const DWORD size = GetEnvironmentVariableW(name, NULL, 0);
    wchar_t *variable = size ? malloc((NAME + 1 + size) * sizeof *variable) : NULL;
    if (!variable)
        return NULL;
    wmemcpy(variable, name, NAME);
    variable[NAME] = L'=';
    if (GetEnvironmentVariableW(name, variable + NAME + 1, size) < size)
        return variable;
    free(variable);
    return NULL;
}

/** Lay out variables as the system wants them: sorted, back to back, with an empty string at the end. */
static wchar_t *lay_out(wchar_t **variables, size_t count)
{
    size_t length = 2;
    qsort(variables, count, sizeof *variables, compare_names);
    for (size_t i = 0; i < count; i++)
        length += wcslen(variables[i]) + 1;
    wchar_t *block = calloc(length, sizeof *block);
    wchar_t *to = block;
    for (size_t i = 0; block && i < count; i++) {
        const size_t size = wcslen(variables[i]) + 1;
        wmemcpy(to, variables[i], size);
        to += size;
    }
    return block;
}

/** Make the block that a process is started with: one allocation for free(). */
static apr_status_t build_environment(wchar_t **block, const char *const *environment)
{
    size_t count = 0;
    apr_status_t status = APR_SUCCESS;
    *block = NULL;
    while (environment[count])
        count++;
    wchar_t **variables = calloc(count + 1, sizeof *variables);
    if (!variables)
        return APR_ENOMEM;
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++)
        status = win32_to_utf16(&variables[i], environment[i]);
    if (status == APR_SUCCESS) {
        wchar_t *root = copy_system_root();
        for (size_t i = 0; root && i < count; i++) {
            if (compare_names(&root, &variables[i]) == 0) {
                free(root);
                root = NULL;
            }
        }
        variables[count] = root;
        *block = lay_out(variables, root ? count + 1 : count);
        status = *block ? APR_SUCCESS : APR_ENOMEM;
    }
    for (size_t i = 0; i <= count; i++)
        free(variables[i]);
    free(variables);
    return status;
}

/* ---- The process ------------------------------------------------------------------------------------------------- */

/** Make the command line: one allocation for free(). No path has a quotation mark in it, and the marker is ASCII. */
static wchar_t *build_command(const wchar_t *path, const char *marker)
{
    enum { COMMAND_MAX = 32767 }; /* the system's limit */
    const size_t rest = strlen(marker) + 4;
    /* A path that is too long for a command line: its end will do, for this is but a name. */
    size_t length = wcslen(path);
    if (length + rest > COMMAND_MAX) {
        path += length + rest - COMMAND_MAX;
        length = wcslen(path);
    }
    wchar_t *command = malloc((length + rest) * sizeof *command);
    if (!command)
        return NULL;
    wchar_t *to = command;
    *to++ = L'"';
    wmemcpy(to, path, length);
    to += length;
    *to++ = L'"';
    *to++ = L' ';
    while (*marker)
        *to++ = (wchar_t)*marker++;
    *to = L'\0';
    return command;
}

/** The inheritable handles that a child gets, each once: the system refuses a list that names one twice. */
static size_t list_passed(HANDLE list[3], const win32_stream_t *streams)
{
    size_t count = 0;
    for (int i = 0; i < 3; i++) {
        size_t known = 0;
        while (known < count && list[known] != streams[i].passed)
            known++;
        if (known == count)
            list[count++] = streams[i].passed;
    }
    return count;
}

/**
 * Make the list of what else a process is created with: exactly these handles, and this job. To be freed by
 * free_attributes().
 */
static apr_status_t make_attributes(LPPROC_THREAD_ATTRIBUTE_LIST *attributes, HANDLE *passed, size_t count, HANDLE *job)
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
        UpdateProcThreadAttribute(*attributes, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, job, sizeof *job, NULL, NULL))
        return APR_SUCCESS;
    return win32_error();
}

static void free_attributes(LPPROC_THREAD_ATTRIBUTE_LIST attributes)
{
    if (attributes)
        DeleteProcThreadAttributeList(attributes);
    free(attributes);
}

/** Create the process with nothing but what is listed, a member of the job from its first moment. */
static apr_status_t create(PROCESS_INFORMATION *child, const wchar_t *path, wchar_t *command, const wchar_t *directory,
                           wchar_t *environment, const win32_stream_t *streams)
{
    enum { TRIES = 3 };
    HANDLE job;
    HANDLE passed[3];
    const size_t count = list_passed(passed, streams);
    STARTUPINFOEXW info = {.StartupInfo = {.cb = sizeof info,
                                           .dwFlags = STARTF_USESTDHANDLES,
                                           .hStdInput = streams[0].passed,
                                           .hStdOutput = streams[1].passed,
                                           .hStdError = streams[2].passed}};
    DWORD flags = EXTENDED_STARTUPINFO_PRESENT | CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT;
    /* Where this process has no console, a child would get one of its own, and show it. */
    if (GetConsoleCP() == 0)
        flags |= DETACHED_PROCESS;
    apr_status_t status = win32_job(&job);
    if (status == APR_SUCCESS)
        status = make_attributes(&info.lpAttributeList, passed, count, &job);
    /*
     * Wine loses a process now and then while it makes it, which it calls an internal error. Nothing has happened then.
     */
    for (int i = 0, made = 0; i < TRIES && status == APR_SUCCESS && !made; i++) {
        made = CreateProcessW(path, command, NULL, NULL, TRUE, flags, environment, directory, &info.StartupInfo, child);
        if (!made && (GetLastError() != ERROR_INTERNAL_ERROR || i + 1 == TRIES))
            status = win32_error();
    }
    free_attributes(info.lpAttributeList);
    return status;
}

/** What a failure of the system's is about, if that can be told. */
static const char *blame(apr_status_t status)
{
    switch (APR_TO_OS_ERROR(status)) {
    case ERROR_DIRECTORY:
        return "the working folder";
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_SHARING_VIOLATION:
        return "the program's file";
    default:
        return NULL;
    }
}

apr_status_t win32_spawn(PROCESS_INFORMATION *child, win32_spawn_t *spawn)
{
    wchar_t *directory = NULL;
    wchar_t *environment = NULL;
    wchar_t *path = NULL;
    wchar_t *command = NULL;
    apr_status_t status = APR_SUCCESS;
    spawn->failed = NULL;
    if (spawn->directory) {
        status = find_directory(&directory, spawn->directory);
        if (status != APR_SUCCESS)
            spawn->failed = "the working folder";
    }
    if (status == APR_SUCCESS && spawn->environment) {
        status = build_environment(&environment, spawn->environment);
        if (status != APR_SUCCESS)
            spawn->failed = "the environment";
    }
    if (status == APR_SUCCESS) {
        status = win32_module_path(&path, NULL);
        if (status == APR_SUCCESS) {
            command = build_command(path, spawn->marker);
            status = command ? APR_SUCCESS : APR_ENOMEM;
        }
    }
    if (status == APR_SUCCESS) {
        status = create(child, path, command, directory, environment, spawn->streams);
        if (status != APR_SUCCESS)
            spawn->failed = blame(status);
    }
    free(directory);
    free(environment);
    free(path);
    free(command);
    return status;
}
