/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_arena.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "helper.h"

enum { LOCKS = 100000 };

/** What a process has. */
typedef struct state_t {
    double descriptors;
    double private_kib; /* of memory that no other process has */
    double arena_kib;   /* of the arena that are resident, in this process */
} state_t;

/** What is measured: once, as there is one beginning. */
typedef struct found_t {
    state_t before;    /* without an arena */
    state_t empty;     /* with one, with nothing in it */
    state_t child;     /* in a child that has joined */
    state_t full;      /* with many locks */
    double bytes;      /* of the arena for a lock */
    double more_bytes; /* that the process has for the lock's handle */
} found_t;

static double count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    double count = -1; /* the one that reads the folder */
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

/** Resident KiB of the arena: of the one mapping that is larger than all others could be. */
static double arena_kib(void)
{
    enum { LARGE = 1 << 20 };
    char line[512];
    double size = 0, kib = 0, sum = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Size: %lf", &kib) == 1)
            size = kib;
        if (size >= LARGE && sscanf(line, "Rss: %lf", &kib) == 1)
            sum += kib;
    }
    if (file)
        fclose(file);
    return sum;
}

static state_t look(void)
{
    return (state_t){count_descriptors(), memory_private_kib((int)getpid()), arena_kib()};
}

/* ---- The process ------------------------------------------------------------------------------------------------- */

/** Have the arena, with nothing in it. */
static int use_arena(void)
{
    mproc_lock_t *lock;
    return mproc_lock_create(&lock, NULL) == APR_SUCCESS && mproc_lock_close(lock) == APR_SUCCESS ? 0 : -1;
}

static int look_in_child(mproc_call_t *call)
{
    if (use_arena() != 0)
        return 1;
    const state_t state = look();
    return write((int)mproc_call_handle(call, 0), &state, sizeof state) == (ssize_t)sizeof state ? 0 : 1;
}

static int look_at_child(state_t *state)
{
    int ends[2];
    int code = -1;
    mproc_process_t *child;
    if (pipe(ends) != 0)
        return -1;
    const mproc_os_handle_t handles[] = {ends[1]};
    const mproc_process_opts_t opts = {.start_method = MPROC_SPAWN, .handles = handles, .handle_count = 1};
    if (mproc_process_start(&child, look_in_child, &opts) != APR_SUCCESS)
        return -1;
    close(ends[1]);
    const int is_read = read(ends[0], state, sizeof *state) == (ssize_t)sizeof *state;
    close(ends[0]);
    mproc_process_finish(child, &code);
    return is_read && code == 0 ? 0 : -1;
}

static int look_at_locks(found_t *found)
{
    mproc_family_info_t before, after;
    mproc_lock_t *lock;
    if (mproc_family_info(&before) != APR_SUCCESS)
        return -1;
    for (int i = 0; i < LOCKS; i++)
        if (mproc_lock_create(&lock, NULL) != APR_SUCCESS)
            return -1;
    if (mproc_family_info(&after) != APR_SUCCESS)
        return -1;
    found->full = look();
    found->bytes = (double)(after.used - before.used) / LOCKS;
    found->more_bytes = (found->full.private_kib - found->empty.private_kib) * 1024 / LOCKS;
    return 0;
}

static found_t found;

static double tell(const char *what, int count)
{
    const struct {
        const char *what;
        double value;
    } all[] = {
        {"root-kib", found.empty.arena_kib},          {"child-kib", found.child.arena_kib},
        {"private", found.empty.private_kib},         {"private-before", found.before.private_kib},
        {"descriptors", found.empty.descriptors},     {"descriptors-before", found.before.descriptors},
        {"descriptors-full", found.full.descriptors}, {"lock-bytes", found.bytes},
        {"lock-private", found.more_bytes},           {"mutex-bytes", sizeof(pthread_mutex_t)},
    };
    (void)count;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i].what, what) == 0)
            return all[i].value;
    return 0;
}

int memory_arena_serve(void)
{
    found.before = look();
    if (use_arena() != 0)
        return 1;
    found.empty = look();
    if (look_at_child(&found.child) != 0 || look_at_locks(&found) != 0) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 1;
    }
    helper_serve(tell);
    return 0;
}

/* ---- The comparisons --------------------------------------------------------------------------------------------- */

static helper_t helper;

size_t memory_arena_set_up(measure_subject_t *subjects, measure_comparison_t *comparisons, size_t *comparison_count,
                           char *path)
{
    static char argument[] = MEMORY_ARENA_ARGUMENT;
    static helper_task_t tasks[MEMORY_ARENA_SUBJECTS];
    static const struct {
        const char *work, *unit, *ours, *our_name, *theirs, *their_name;
        double target;
    } rows[] = {
        {"resident memory of an arena with nothing in it", "KiB", "root-kib", "mproc, first process", "child-kib",
         "a child that has joined", 0},
        {"private memory of a process", "KiB", "private", "mproc, with an arena", "private-before", "without one", 0},
        {"open in a process", "descriptors", "descriptors", "mproc, with an arena", "descriptors-before", "without one",
         0},
        {"open in a process with 100 000 locks", "descriptors", "descriptors-full", "mproc", "descriptors", "with none",
         1},
        {"memory of the family for a lock", "B", "lock-bytes", "mproc lock", "mutex-bytes", "pthread_mutex_t", 0},
        {"private memory for a lock's handle", "B", "lock-private", "mproc lock", "mutex-bytes", "pthread_mutex_t", 0},
    };
    char *const argv[] = {path, argument, NULL};
    const char *missing = helper_open(&helper, argv) == 0 ? NULL : "it does not start";
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_theirs = 0; is_theirs < 2; is_theirs++) {
            tasks[count] = (helper_task_t){&helper, is_theirs ? rows[i].theirs : rows[i].ours};
            subjects[count] = (measure_subject_t){.name = is_theirs ? rows[i].their_name : rows[i].our_name,
                                                  .round = helper_measure,
                                                  .context = &tasks[count],
                                                  .missing = missing};
            count++;
        }
        comparisons[i] = (measure_comparison_t){
            "P11",         rows[i].work, rows[i].unit, MEASURE_REFERENCE, &subjects[count - 2], &subjects[count - 1],
            rows[i].target};
    }
    *comparison_count = sizeof rows / sizeof rows[0];
    return count;
}

void memory_arena_end(void)
{
    helper_close(&helper);
}
