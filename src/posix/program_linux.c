/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: /proc/self/exe is the running file itself, also when it was deleted or replaced. Where it is a loader (`ld.so
 * program`, valgrind) or there is no /proc, the program is started by its path, if that still leads to the same file.
 */
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
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

/** The program's file as it is mapped. */
typedef struct mapping_t {
    struct stat file;
    char path[];
} mapping_t;

/*
 * Both are found once and never change. There is no lock: one that another thread holds during a fork would stay locked
 * in the child.
 */
static _Atomic(mapping_t *) mapping;
static _Atomic int self_will_do; /* /proc/self/exe is the program */

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

/** Read from the list of mappings which file the program itself was mapped from; NULL if it does not tell. */
static mapping_t *read_mapping(void)
{
    uintptr_t address = 0;
    char line[SYS_PATH_MAX + 128];
    mapping_t *found = NULL;
    unix_image_lock();
    dl_iterate_phdr(find_program, &address);
    unix_image_unlock();
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
        const size_t size = strlen(line + path_at) + 1;
        found = calloc(1, offsetof(mapping_t, path) + size);
        if (!found)
            break;
        found->file.st_dev = makedev(major_number, minor_number);
        found->file.st_ino = inode;
        memcpy(found->path, line + path_at, size);
    }
    if (maps)
        fclose(maps);
    return found;
}

/** Get what the program was mapped from, reading it if nobody has; several threads may, and the first one's counts. */
static const mapping_t *get_mapping(void)
{
    mapping_t *known = atomic_load(&mapping);
    if (known)
        return known;
    mapping_t *read = read_mapping();
    if (!read || atomic_compare_exchange_strong(&mapping, &known, read))
        return read;
    free(read);
    return known;
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
    if (atomic_load(&self_will_do)) {
        *path = self;
        return APR_SUCCESS;
    }
    if (stat(self, &running) != 0) {
        if (started_as && *started_as)
            return check_path(path, started_as, &started_file, failed);
        *failed = "the program's file, which cannot be found without /proc";
        return APR_ENOENT;
    }
    const mapping_t *known = get_mapping();
    if (known && !same_file(&running, &known->file))
        return check_path(path, known->path, &known->file, failed);
    if (known)
        atomic_store(&self_will_do, 1);
    *path = self;
    return APR_SUCCESS;
}
