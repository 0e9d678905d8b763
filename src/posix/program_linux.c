/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: /proc/self/exe is the running file itself, also when it was deleted or replaced. Where it is a loader (`ld.so
 * program`, valgrind) or there is no /proc, the program is started by its path, if that still leads to the same file.
 */
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "unix.h"

static const char self[] = "/proc/self/exe";

static char name[256];   /* argv[0] */
static char *started_as; /* where there is no /proc */
static struct stat started_file;

static char *mapped_path; /* the program's file as it is mapped */
static struct stat mapped_file;
static int self_will_do; /* /proc/self/exe is the program: that never changes */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

sys_method_t sys_default_method(void)
{
    return SYS_FORKSERVER;
}

void unix_program_remember(const char *argv0)
{
    snprintf(name, sizeof name, "%s", argv0 && *argv0 ? argv0 : "mproc");
    if (access(self, F_OK) == 0)
        return;
    const char *path = (const char *)getauxval(AT_EXECFN);
    free(started_as);
    started_as = path ? realpath(path, NULL) : NULL;
    if (started_as && stat(started_as, &started_file) != 0)
        started_as[0] = '\0';
}

const char *unix_program_name(void)
{
    return name;
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/** The first module is the program; any address in it will do. */
static int find_program(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        *(uintptr_t *)data = (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        break;
    }
    return 1;
}

/** Read from the list of mappings which file the program itself was mapped from. */
static int read_mapping(void)
{
    uintptr_t address = 0;
    char line[SYS_PATH_MAX + 128];
    int found = 0;
    dl_iterate_phdr(find_program, &address);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long start, end, inode;
        unsigned major_number, minor_number;
        int path_at = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %x:%x %lu %n", &start, &end, &major_number, &minor_number, &inode,
                   &path_at) != 5 ||
            address < start || address >= end || !path_at)
            continue;
        line[strcspn(line, "\n")] = '\0';
        mapped_file.st_dev = makedev(major_number, minor_number);
        mapped_file.st_ino = inode;
        mapped_path = strdup(line + path_at);
        found = mapped_path != NULL;
    }
    if (maps)
        fclose(maps);
    return found ? 0 : -1;
}

/** A path will do only while it leads to the very file that runs here. */
static apr_status_t check_path(const char **path, const char *candidate, const struct stat *expected,
                               const char **failed)
{
    struct stat now;
    if (stat(candidate, &now) != 0) {
        *failed = "the program's file, which is gone";
        return errno;
    }
    if (!same_file(&now, expected)) {
        *failed = "the program's file, which was replaced";
        return APR_ENOENT;
    }
    *path = candidate;
    return APR_SUCCESS;
}

apr_status_t unix_program_path(const char **path, const char **failed)
{
    struct stat running;
    *path = NULL;
    pthread_mutex_lock(&mutex);
    const int is_self = self_will_do;
    pthread_mutex_unlock(&mutex);
    if (is_self) {
        *path = self;
        return APR_SUCCESS;
    }
    if (stat(self, &running) != 0) {
        if (started_as && *started_as)
            return check_path(path, started_as, &started_file, failed);
        *failed = "the program's file, which cannot be found without /proc";
        return APR_ENOENT;
    }
    pthread_mutex_lock(&mutex);
    const int is_known = mapped_path || read_mapping() == 0;
    const int is_program = !is_known || same_file(&running, &mapped_file);
    self_will_do = is_known && is_program;
    pthread_mutex_unlock(&mutex);
    if (is_program) {
        *path = self;
        return APR_SUCCESS;
    }
    return check_path(path, mapped_path, &mapped_file, failed);
}
