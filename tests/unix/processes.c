/* SPDX-License-Identifier: Apache-2.0 */
#include "processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_thread_proc.h>
#include <apr_time.h>

#include "support/harness.h"

/** Count the entries of a folder; -1 if it is not there. */
static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

void need_proc(void)
{
    if (count_entries("/proc/self/fd") < 0 || access("/proc/self/stat", R_OK) != 0)
        skip_because("this system has no /proc to look into");
}

/**
 * Read a file about a process, with a zero at its end: its length, 0 if there is none. Without a FILE: a thread that
 * has one locked makes a child that is forked meanwhile wait for ever in `exit`, where the C library is musl.
 */
static size_t read_about(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t)length : 0;
}

/** The system's parent of a process, or 0. */
static int parent_of(int pid)
{
    char text[512];
    int parent = 0;
    if (read_about(pid, "stat", text, sizeof text) == 0)
        return 0;
    /* The name, in parentheses, can hold anything. */
    const char *end = strrchr(text, ')');
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

int children_of(int parent, int *pids, int capacity)
{
    DIR *folder = opendir("/proc");
    int count = 0;
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const int pid = atoi(entry->d_name);
        if (pid <= 0 || parent_of(pid) != parent)
            continue;
        if (count < capacity)
            pids[count] = pid;
        count++;
    }
    closedir(folder);
    return count;
}

int server_of(int parent)
{
    int pids[256];
    const int count = children_of(parent, pids, 256);
    for (int i = 0; i < count && i < 256; i++) {
        char text[8192];
        const size_t length = read_about(pids[i], "cmdline", text, sizeof text);
        if (length > strlen(text) + 1 && strncmp(text + strlen(text) + 1, "--mproc=forkserver:", 19) == 0)
            return pids[i];
    }
    return 0;
}

int server_within(int parent, int seconds)
{
    const apr_time_t end = apr_time_now() + apr_time_from_sec(seconds) * slowdown();
    int server;
    while ((server = server_of(parent)) == 0 && apr_time_now() < end)
        apr_sleep(5000);
    return server;
}

int descriptors_of(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    return count_entries(path);
}

int count_threads(void)
{
    return count_entries("/proc/self/task");
}

int has_children_within(int parent, int count, int seconds)
{
    const apr_time_t end = apr_time_now() + apr_time_from_sec(seconds) * slowdown();
    while (children_of(parent, NULL, 0) != count) {
        if (apr_time_now() > end)
            return 0;
        apr_sleep(5000);
    }
    return 1;
}

int has_descriptors_within(int pid, int most, int seconds)
{
    const apr_time_t end = apr_time_now() + apr_time_from_sec(seconds) * slowdown();
    while (descriptors_of(pid) > most) {
        if (apr_time_now() > end)
            return 0;
        apr_sleep(5000);
    }
    return 1;
}
