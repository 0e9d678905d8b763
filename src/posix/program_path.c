/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BSDs and macOS: the program is started by its path, which is found at the start and used as long as it leads to
 * the same file. How it is found is each system's own (program_*.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "unix.h"

static char program[SYS_PATH_MAX]; /* empty: it could not be found */
static struct stat program_file;

void unix_program_remember(const char *argv0)
{
    char found[SYS_PATH_MAX];
    if (unix_program_find(found, argv0 ? argv0 : "") != 0)
        return;
    /* In full and without links: the working folder may change, and the next version may be linked to the same name. */
    char *resolved = realpath(found, NULL);
    if (resolved && stat(resolved, &program_file) == 0)
        snprintf(program, sizeof program, "%s", resolved);
    free(resolved);
}

const char *unix_program_name(void)
{
    /*
     * The whole path: where the system does not know it, a child finds it by that, in whichever folder it is started.
     */
    return program[0] ? program : "mproc";
}

apr_status_t unix_program_path(const char **path, const char **failed)
{
    struct stat now;
    *path = NULL;
    if (!program[0]) {
        *failed = "the program's file, which cannot be found";
        return APR_ENOENT;
    }
    if (stat(program, &now) != 0) {
        *failed = "the program's file, which is gone";
        return errno;
    }
    if (now.st_dev != program_file.st_dev || now.st_ino != program_file.st_ino) {
        *failed = "the program's file, which was replaced";
        return APR_ENOENT;
    }
    *path = program;
    return APR_SUCCESS;
}
