/* SPDX-License-Identifier: Apache-2.0 */
/* External programs: where they are, and how they are started. What becomes of them is seen as with other children. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unix.h"

/* ---- Finding them -------------------- */

/** Where programs are looked for if nothing is said. */
static const char usual_path[] = "/usr/local/bin:/usr/bin:/bin";

static const char *path_of(const char *const *environment)
{
    static const char name[] = "PATH=";
    /* After clearenv() there is no list at all. */
    for (const char *const *at = environment ? environment : (const char *const *)*unix_environment(); at && *at; at++)
        if (strncmp(*at, name, sizeof name - 1) == 0)
            return *at + sizeof name - 1;
    return usual_path;
}

/** How many folders a list has: an empty name counts, too. */
static size_t count_folders(const char *list)
{
    size_t count = 1;
    for (const char *at = list; (at = strchr(at, ':')) != NULL; at++)
        count++;
    return count;
}

/** Whether a list of folders has one that does not begin at the root. */
static int has_relative(const char *list)
{
    for (; *list == '/'; list++) {
        list += strcspn(list, ":");
        if (!*list)
            return 0;
    }
    return 1;
}

/**
 * Write one path: `length` bytes of a folder, and a file in it. What does not begin at the root begins at `here`, since
 * the program may have another working folder by then.
 */
static char *write_path(char *to, const char *here, const char *folder, size_t length, const char *file)
{
    const int is_absolute = length > 0 ? folder[0] == '/' : file[0] == '/' && !folder;
    if (here && !is_absolute) {
        to = stpcpy(to, here);
        *to++ = '/';
    }
    memcpy(to, folder ? folder : "", length);
    to += length;
    if (length > 0)
        *to++ = '/';
    return stpcpy(to, file) + 1;
}

/** List all that a program's name may mean: one allocation for free(). */
static apr_status_t list_paths(const char ***paths, const sys_program_t *program)
{
    char here[SYS_PATH_MAX];
    const char *file = program->file;
    const int is_path = strchr(file, '/') != NULL;
    const char *list = is_path ? "" : path_of(program->environment);
    const size_t count = is_path ? 1 : count_folders(list);
    *paths = NULL;
    if (!*file)
        return APR_ENOENT;
    /* This process's folder may be gone, which is no matter to programs elsewhere. */
    const int begins_here = program->directory && (is_path ? *file != '/' : has_relative(list));
    if (begins_here && !getcwd(here, sizeof here))
        return errno;
    const size_t start = begins_here ? strlen(here) + 1 : 0;
    const size_t room = strlen(list) + count * (start + strlen(file) + 3);
    const char **made = malloc((count + 1) * sizeof *made + room);
    if (!made)
        return APR_ENOMEM;
    char *to = (char *)(made + count + 1);
    for (size_t i = 0; i < count; i++) {
        const size_t length = strcspn(list, ":");
        made[i] = to;
        to = write_path(to, start ? here : NULL, is_path ? NULL : list, length, file);
        list += length + (list[length] != '\0');
    }
    made[count] = NULL;
    *paths = made;
    return APR_SUCCESS;
}

/* ---- Starting them -------------------- */

/** Put a failure to execute into words. */
static apr_status_t explain(sys_program_t *program, apr_status_t status)
{
    if (program->failed)
        return status;
    program->failed = status == E2BIG ? "its arguments and environment" : "the program";
    return status;
}

/** A stream that exec would close is as a closed one: the program's next file would get its number. */
static void replace_closing(sys_stdio_t stdio[3])
{
    for (int i = 0; i < 3; i++) {
        const int flags = stdio[i].kind == SYS_STDIO_INHERIT ? fcntl(i, F_GETFD) : 0;
        if (flags > 0 && (flags & FD_CLOEXEC))
            stdio[i].kind = SYS_STDIO_NULL;
    }
}

/** Start with all that it needs. */
static apr_status_t start(sys_process_t **process, sys_program_t *program, unix_spawn_t *spawn)
{
    int keep[UNIX_PASS_MAX];
    pid_t pid;
    for (size_t i = 0; i < program->handle_count; i++)
        keep[spawn->keep_count++] = (int)program->handles[i];
    spawn->keep = keep;
    const apr_status_t status = program->is_detached ? unix_spawn(&pid, spawn) : unix_starter_spawn(&pid, spawn);
    if (status == APR_SUCCESS) {
        /* The child does it too. Where vfork does not wait for it (ThreadSanitizer's), it could be signalled before. */
        if (program->has_group)
            setpgid(pid, pid);
        return unix_process_of_child(process, pid, program->has_group || program->is_detached);
    }
    program->failed = spawn->failed;
    return explain(program, status);
}

apr_status_t sys_program_start(sys_process_t **process, sys_program_t *program)
{
    const char **paths;
    int null = -1;
    unix_spawn_t spawn = {.args = program->args,
                          .environment = program->environment,
                          .directory = -1,
                          .is_foreign = 1,
                          .has_group = program->has_group,
                          .has_session = program->is_detached};
    *process = NULL;
    apr_status_t status = list_paths(&paths, program);
    if (status != APR_SUCCESS)
        return explain(program, status);
    spawn.paths = paths;
    replace_closing(program->stdio);
    if (program->directory)
        status = unix_open_directory(&spawn.directory, program->directory, &program->failed);
    if (status == APR_SUCCESS && unix_plan_stdio(spawn.stdio, &null, program->stdio, 0) != 0)
        status = errno;
    if (status == APR_SUCCESS)
        status = start(process, program, &spawn);
    unix_close(spawn.directory);
    unix_close(null);
    free(paths);
    return status;
}

/* ---- Their streams -------------------- */

apr_status_t sys_file_open(sys_handle_t *handle, const char *path, sys_open_t how)
{
    static const int flags[] = {[SYS_OPEN_READ] = O_RDONLY,
                                [SYS_OPEN_WRITE] = O_WRONLY | O_CREAT | O_TRUNC,
                                [SYS_OPEN_APPEND] = O_WRONLY | O_CREAT | O_APPEND};
    /* Nobody at the other end of a named pipe is a failure, not a reason to wait. */
    const int fd = unix_open(path, flags[how] | O_NONBLOCK | O_NOCTTY);
    *handle = fd;
    if (fd < 0)
        return errno;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return APR_SUCCESS;
}

apr_status_t sys_pipe(sys_handle_t ends[2])
{
    int made[2];
    if (unix_pipe(made) != 0)
        return errno;
    ends[0] = made[0];
    ends[1] = made[1];
    return APR_SUCCESS;
}

int sys_has_terminal(void)
{
    return isatty(0);
}
