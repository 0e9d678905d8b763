/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenBSD: nobody knows which file runs here. It is looked for as a shell does, by argv[0]: what is found is taken for
 * the program, and its image tells in the child whether that was right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix.h"

sys_method_t sys_default_method(void)
{
    return SYS_FORKSERVER;
}

static int is_program(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) && access(path, X_OK) == 0;
}

int unix_program_find(char path[SYS_PATH_MAX], const char *argv0)
{
    if (strchr(argv0, '/')) {
        const int length = snprintf(path, SYS_PATH_MAX, "%s", argv0);
        return length < SYS_PATH_MAX && is_program(path) ? 0 : -1;
    }
    const char *folders = getenv("PATH");
    while (folders && *argv0) {
        const size_t length = strcspn(folders, ":");
        /* An empty entry is the working folder. */
        const int written = snprintf(path, SYS_PATH_MAX, "%.*s%s%s", (int)length, folders, length ? "/" : "./", argv0);
        if (written < SYS_PATH_MAX && is_program(path))
            return 0;
        folders = folders[length] ? folders + length + 1 : NULL;
    }
    return -1;
}
