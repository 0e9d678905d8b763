/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux: CPUs by affinity, and time by control groups of both versions, along the whole path to this process's own
 * group.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unix.h"

enum { CPUS_MAX = 8192 };

/** Get this process's affinity into a set of the caller's; 0 if the system does not tell. */
static cpu_set_t *get_affinity(size_t *size)
{
    /* The kernel refuses a set that is smaller than its own: grow until it fits. */
    for (int cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        *size = CPU_ALLOC_SIZE((size_t)cpus);
        if (set && sched_getaffinity(0, *size, set) == 0)
            return set;
        CPU_FREE(set);
    }
    return NULL;
}

static int count_affinity(void)
{
    size_t size;
    cpu_set_t *set = get_affinity(&size);
    int count = set ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count < 1)
        count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

/** Read the first line of a file; 0 if there is none. */
static int read_line(const char *folder, const char *name, char *line, size_t size)
{
    char path[2 * SYS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    const int is_read = file && fgets(line, (int)size, file) != NULL;
    if (file)
        fclose(file);
    return is_read;
}

/** The CPUs' worth of time that one group grants, rounded up; 0 for no limit. */
static int read_quota(const char *folder, int version)
{
    char line[128];
    long long quota = -1;
    long long period = 100000;
    if (version == 2) {
        if (!read_line(folder, "cpu.max", line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        if (!read_line(folder, "cpu.cfs_quota_us", line, sizeof line) || sscanf(line, "%lld", &quota) != 1)
            return 0;
        if (read_line(folder, "cpu.cfs_period_us", line, sizeof line))
            period = atoll(line);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    const long long cpus = (quota + period - 1) / period;
    return cpus > CPUS_MAX ? 0 : (int)cpus;
}

/** Take the smallest limit from a group up to the mount point. */
static int limit_along(const char *mount, const char *group, int version)
{
    char folder[SYS_PATH_MAX];
    int limit = 0;
    if ((size_t)snprintf(folder, sizeof folder, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group) >= sizeof folder)
        return 0;
    const size_t end = strlen(mount);
    for (;;) {
        const int quota = read_quota(folder, version);
        if (quota > 0 && (limit == 0 || quota < limit))
            limit = quota;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= end || !slash || (size_t)(slash - folder) < end)
            return limit;
        *slash = '\0';
    }
}

/** Whether a comma-separated list holds a word. */
static int has_word(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return 1;
    return 0;
}

/** Find this process's own group: the path below its hierarchy, from /proc/self/cgroup. */
static int find_group(char *group, size_t size, int version)
{
    char line[SYS_PATH_MAX];
    int found = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        controllers++;
        found = version == 2 ? *controllers == '\0' : has_word(controllers, "cpu");
        if (found)
            snprintf(group, size, "%s", path);
    }
    if (file)
        fclose(file);
    return found;
}

/** Find where a version's hierarchy is mounted, and from which group on it is visible, from /proc/self/mountinfo. */
static int find_mount(char *mount, char *root, size_t size, int version)
{
    char line[2 * SYS_PATH_MAX];
    int found = 0;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        char from[SYS_PATH_MAX], to[SYS_PATH_MAX], type[64], options[512];
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", from, to) != 2 ||
            sscanf(rest, " - %63s %*s %511s", type, options) != 2)
            continue;
        found = version == 2 ? strcmp(type, "cgroup2") == 0 : strcmp(type, "cgroup") == 0 && has_word(options, "cpu");
        if (found) {
            snprintf(mount, size, "%s", to);
            snprintf(root, size, "%s", from);
        }
    }
    if (file)
        fclose(file);
    return found;
}

static int limit_of(int version)
{
    char group[SYS_PATH_MAX], mount[SYS_PATH_MAX], root[SYS_PATH_MAX];
    if (!find_group(group, sizeof group, version) || !find_mount(mount, root, sizeof mount, version))
        return 0;
    /* In a container the mount shows a part of the hierarchy: what lies above it is not in the path there. */
    const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(group, root, length) == 0 ? group + length : "/";
    return limit_along(mount, *below ? below : "/", version);
}

int sys_cpu_count(void)
{
    int count = count_affinity();
    for (int version = 1; version <= 2; version++) {
        const int limit = limit_of(version);
        if (limit > 0 && limit < count)
            count = limit;
    }
    return count;
}

apr_status_t sys_check_cpu(int cpu)
{
    size_t size;
    if (cpu < 0 || cpu >= CPUS_MAX)
        return APR_EINVAL;
    /* Wider than its creator a child cannot be: that is what an affinity is for. */
    cpu_set_t *set = get_affinity(&size);
    const int is_allowed = set && (size_t)cpu < size * 8 && CPU_ISSET_S((size_t)cpu, size, set);
    CPU_FREE(set);
    return is_allowed ? APR_SUCCESS : APR_EINVAL;
}

apr_status_t sys_bind_cpus(const int *cpus, size_t count)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
    const size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    if (!set)
        return APR_ENOMEM;
    CPU_ZERO_S(size, set);
    for (size_t i = 0; i < count; i++)
        CPU_SET_S((size_t)cpus[i], size, set);
    const int error = sched_setaffinity(0, size, set) == 0 ? 0 : errno;
    CPU_FREE(set);
    return error;
}
