/* SPDX-License-Identifier: Apache-2.0 */
#include "unix.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#if defined(MPROC_HAVE_PRCTL)
#include <sys/prctl.h>
#endif
#if defined(MPROC_HAVE_NSGETENVIRON)
#include <crt_externs.h>
#endif

char ***unix_environment(void)
{
#if defined(MPROC_HAVE_NSGETENVIRON)
    return _NSGetEnviron(); /* a shared library has no other way to it */
#else
    extern char **environ;
    return &environ;
#endif
}

sys_time_t sys_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (sys_time_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Objects are asked whose they are at each use, and a system call takes as long as the rest of that; 0: not known. */
static _Atomic int identity;

static void learn_identity(void)
{
    atomic_store_explicit(&identity, getpid(), memory_order_relaxed);
}

int unix_watch_identity(void)
{
    if (unix_at_fork(UNIX_FORK_IDENTITY, NULL, NULL, learn_identity) != 0)
        return -1;
    learn_identity();
    return 0;
}

int sys_getpid(void)
{
    const int known = atomic_load_explicit(&identity, memory_order_relaxed);
    return known ? known : getpid();
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
    char **own = *unix_environment();
    size_t count = 0;
    size_t bytes = sizeof(char *);
    *list = NULL;
    for (; own && own[count]; count++)
        bytes += sizeof(char *) + strlen(own[count]) + 1;
    char **copy = malloc(bytes);
    if (!copy)
        return APR_ENOMEM;
    char *text = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        const size_t size = strlen(own[i]) + 1;
        copy[i] = memcpy(text, own[i], size);
        text += size;
    }
    copy[count] = NULL;
    *list = copy;
    return APR_SUCCESS;
}

apr_status_t sys_environment_get(char *value, size_t size, const char *name)
{
    const char *set = getenv(name);
    const size_t length = set ? strlen(set) : 0;
    value[0] = '\0';
    if (!set)
        return APR_ENOENT;
    if (length >= size)
        return APR_ENAMETOOLONG;
    memcpy(value, set, length + 1);
    return APR_SUCCESS;
}

int sys_environment_is(const char *strings, size_t size)
{
    char **own = *unix_environment();
    size_t at = 0;
    for (; at < size && strings[at]; own++) {
        const size_t length = strlen(strings + at) + 1;
        if (!own || !*own || strcmp(*own, strings + at) != 0)
            return 0;
        at += length;
    }
    return own && !*own;
}

apr_status_t sys_set_environment(char **list)
{
    *unix_environment() = list;
    return APR_SUCCESS;
}

int sys_terminal_width(FILE *stream)
{
    enum { USUAL = 80 };
    struct winsize size;
    const int error = errno;
    const int fd = fileno(stream);
    int width = 0;
    if (fd >= 0 && isatty(fd))
        width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL;
    errno = error;
    return width;
}

void sys_set_process_title(const char *name)
{
#if defined(MPROC_HAVE_PRCTL)
    prctl(PR_SET_NAME, name, 0, 0, 0);
#else
    (void)name;
#endif
}

apr_status_t unix_split_strings(char ***list, int *count, const char *text, size_t size)
{
    *list = NULL;
    *count = 0;
    if (!text || size == 0)
        return APR_ENOTIMPL;
    int found = 0;
    for (size_t i = 0; i < size; i++)
        found += text[i] == '\0';
    /* The strings go behind the list, so that one free() does. */
    *list = malloc(((size_t)found + 1) * sizeof **list + size);
    if (!*list)
        return APR_ENOMEM;
    char *copy = (char *)(*list + found + 1);
    memcpy(copy, text, size);
    for (int i = 0; i < found; i++) {
        (*list)[i] = copy;
        copy += strlen(copy) + 1;
    }
    (*list)[found] = NULL;
    *count = found;
    return APR_SUCCESS;
}
