/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

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

/** Create the process with nothing but what is listed, a member of the job from its first moment. */
static apr_status_t create(PROCESS_INFORMATION *child, const wchar_t *path, wchar_t *command, const wchar_t *directory,
                           wchar_t *environment, const win32_spawn_t *spawn)
{
    const win32_stream_t *streams = spawn->streams;
    HANDLE job;
    const apr_status_t status = win32_job(&job);
    if (status != APR_SUCCESS)
        return status;
    win32_create_t create = {.path = path,
                             .command = command,
                             .directory = directory,
                             .environment = environment,
                             .streams = {streams[0].passed, streams[1].passed, streams[2].passed},
                             .jobs = &job,
                             .job_count = 1,
                             .flags = CREATE_SUSPENDED};
    /* The first of a group begins with Ctrl-C turned off. */
    if (spawn->is_shielded)
        create.flags |= CREATE_NEW_PROCESS_GROUP;
    /* Where this process has no console, a child would get one of its own, and show it. */
    if (GetConsoleCP() == 0)
        create.flags |= DETACHED_PROCESS;
    return win32_create(child, &create);
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
        status = win32_find_directory(&directory, spawn->directory);
        if (status != APR_SUCCESS)
            spawn->failed = "the working folder";
    }
    if (status == APR_SUCCESS && spawn->environment) {
        status = win32_environment_block(&environment, spawn->environment);
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
        status = create(child, path, command, directory, environment, spawn);
        if (status != APR_SUCCESS)
            spawn->failed = blame(status);
    }
    free(directory);
    free(environment);
    free(path);
    free(command);
    return status;
}
