/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(MPROC_HAVE_PRCTL)
#include <sys/prctl.h>
#endif

#include "unix.h"

extern char **environ;

sys_time_t sys_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (sys_time_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int sys_getpid(void)
{
    return getpid();
}

int sys_getppid(void)
{
    return getppid();
}

int sys_environment_compare(const char *a, const char *b, size_t length)
{
    return strncmp(a, b, length);
}

apr_status_t sys_environment(char ***list)
{
    size_t count = 0;
    size_t bytes = sizeof(char *);
    *list = NULL;
    for (; environ && environ[count]; count++)
        bytes += sizeof(char *) + strlen(environ[count]) + 1;
    char **copy = malloc(bytes);
    if (!copy)
        return APR_ENOMEM;
    char *text = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        const size_t size = strlen(environ[i]) + 1;
        copy[i] = memcpy(text, environ[i], size);
        text += size;
    }
    copy[count] = NULL;
    *list = copy;
    return APR_SUCCESS;
}

apr_status_t sys_set_environment(char **list)
{
    environ = list;
    return APR_SUCCESS;
}

/* The core's handlers. */
static void (*core_prepare)(void);
static void (*core_parent)(void);
static void (*core_child)(void);

static void before_fork(void)
{
    if (!unix_is_spawning())
        core_prepare();
}

static void after_fork_in_parent(void)
{
    if (!unix_is_spawning())
        core_parent();
}

static void after_fork_in_child(void)
{
    if (!unix_is_spawning())
        core_child();
}

apr_status_t sys_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    core_prepare = prepare;
    core_parent = parent;
    core_child = child;
    return pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void sys_set_process_title(const char *name)
{
#if defined(MPROC_HAVE_PRCTL) && defined(PR_SET_NAME)
    prctl(PR_SET_NAME, name, 0, 0, 0);
#else
    (void)name;
#endif
}

int sys_thread_count(void)
{
    /* Each thread is a folder there, and so a link to its parent: one call tells. Elsewhere nobody knows, and 2 is the safe answer. */
    struct stat tasks;
    if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3)
        return 2;
    return (int)tasks.st_nlink - 2;
}

/** Read a whole file of unknown size; NULL if it cannot be read. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    while (file) {
        if (*size + 4096 > capacity) {
            capacity = capacity ? capacity * 2 : 8192;
            char *larger = realloc(text, capacity);
            if (!larger)
                break;
            text = larger;
        }
        const size_t more = fread(text + *size, 1, 4096, file);
        *size += more;
        if (more == 0)
            break;
    }
    if (file)
        fclose(file);
    return text;
}

apr_status_t sys_command_line(char ***argv, int *argc)
{
    size_t size;
    *argv = NULL;
    *argc = 0;
    char *text = read_file("/proc/self/cmdline", &size);
    if (!text || size == 0) {
        free(text);
        return APR_ENOTIMPL;
    }
    int count = 0;
    for (size_t i = 0; i < size; i++)
        count += text[i] == '\0';
    /* The strings go behind the list, so that one free() does. */
    char **list = malloc(((size_t)count + 1) * sizeof *list + size);
    if (list) {
        char *copy = (char *)(list + count + 1);
        memcpy(copy, text, size);
        for (int i = 0; i < count; i++) {
            list[i] = copy;
            copy += strlen(copy) + 1;
        }
        list[count] = NULL;
        *argv = list;
        *argc = count;
    }
    free(text);
    return list ? APR_SUCCESS : APR_ENOMEM;
}
