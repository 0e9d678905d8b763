/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: what an idle child of the fork server, the server itself, and an idle worker of a pool have to themselves;
 * and what the family's memory takes (row P11). Shared pages, such as the code of libraries, are not counted, unless
 * they are the family's.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "helper.h"
#include "measure.h"
#include "memory_arena.h"

/** The subjects, in the order in which they take turns. */
enum {
    CHILD_MPROC,
    SERVER_MPROC,
    WORKER_MPROC,
    CHILD_PYTHON,
    SERVER_PYTHON,
    WORKER_PYTHON,
    FORKED_WORKER_PYTHON,
    FIRST_OF_ARENA
};

enum { COMPARISONS = 4 };

double memory_private_kib(int pid)
{
    char path[64], line[128];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        double kib;
        if (strncmp(line, "Private_", 8) == 0 && sscanf(strchr(line, ':') + 1, "%lf", &kib) == 1)
            sum += kib;
    }
    if (file)
        fclose(file);
    return sum;
}

/** The target: tell the system's own parent, which is the fork server, then idle until the other end is closed. */
static int idle(mproc_call_t *call)
{
    const int in = (int)mproc_call_handle(call, 0);
    const int out = (int)mproc_call_handle(call, 1);
    const int server = (int)getppid();
    char byte;
    return write(out, &server, sizeof server) == sizeof server && read(in, &byte, 1) == 0 ? 0 : 1;
}

/** Look at an idle child, or at its server, if `of_server` points to a number that is not 0. */
static int measure_idle(void *of_server, int count, double *kib)
{
    int to_child[2], from_child[2];
    int server = 0;
    int code = -1;
    mproc_process_t *child;
    (void)count;
    if (pipe(to_child) != 0 || pipe(from_child) != 0)
        return -1;
    const mproc_os_handle_t handles[] = {to_child[0], from_child[1]};
    const mproc_process_opts_t opts = {.start_method = MPROC_FORKSERVER, .handles = handles, .handle_count = 2};
    if (mproc_process_start(&child, idle, &opts) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return -1;
    }
    close(to_child[0]);
    close(from_child[1]);
    *kib = 0;
    if (read(from_child[0], &server, sizeof server) == sizeof server)
        *kib = memory_private_kib(*(const int *)of_server ? server : mproc_process_pid(child));
    close(to_child[1]);
    close(from_child[0]);
    mproc_process_finish(child, &code);
    return code == 0 && *kib > 0 ? 0 : -1;
}

static int do_nothing(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)task;
    (void)in;
    (void)out;
    (void)count;
    return 0;
}

/** Look at a worker that has done a task, and waits for the next one. */
static int measure_worker(void *context, int count, double *kib)
{
    const mproc_pool_opts_t opts = {.workers = 2, .start_method = MPROC_FORKSERVER};
    const struct timespec a_while = {0, 200000000};
    mproc_pool_t *pool;
    (void)context;
    (void)count;
    *kib = 0;
    if (mproc_pool_create(&pool, &opts) == APR_SUCCESS &&
        mproc_pool_map(pool, do_nothing, NULL, 0, NULL, 0, 1000, NULL) == APR_SUCCESS) {
        nanosleep(&a_while, NULL);
        const int pid = mproc_pool_worker_pid(pool, 0);
        *kib = pid > 0 ? memory_private_kib(pid) : 0;
    }
    if (*kib == 0)
        fprintf(stderr, "%s\n", mproc_last_error()->text);
    mproc_pool_finish(pool);
    return *kib > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    static char interpreter[] = "python3", script[] = MPROC_BENCH_PYTHON;
    static int no = 0, yes = 1;
    char *const python_argv[] = {interpreter, script, NULL};
    measure_options_t options = {.rounds = 5, .operations = 1};
    helper_t python = {0, NULL, NULL};
    helper_task_t tasks[] = {
        {&python, "memory"}, {&python, "memory-server"}, {&python, "memory-worker"}, {&python, "memory-forked-worker"}};
    measure_subject_t s[FIRST_OF_ARENA + MEMORY_ARENA_SUBJECTS] = {
        [CHILD_MPROC] = {.name = "mproc", .round = measure_idle, .context = &no},
        [SERVER_MPROC] = {.name = "mproc", .round = measure_idle, .context = &yes},
        [WORKER_MPROC] = {.name = "mproc", .round = measure_worker},
        [CHILD_PYTHON] = {.name = "Python", .round = helper_measure, .context = &tasks[0]},
        [SERVER_PYTHON] = {.name = "Python", .round = helper_measure, .context = &tasks[1]},
        [WORKER_PYTHON] = {.name = "Python", .round = helper_measure, .context = &tasks[2]},
        [FORKED_WORKER_PYTHON] = {.name = "Python, forked worker", .round = helper_measure, .context = &tasks[3]},
    };
    measure_comparison_t comparisons[COMPARISONS + MEMORY_ARENA_SUBJECTS] = {
        {"P11", "private memory of an idle child of the fork server", "KiB", MEASURE_REFERENCE, &s[CHILD_MPROC],
         &s[CHILD_PYTHON], 1.0 / 10},
        {"P11", "private memory of the fork server", "KiB", MEASURE_REFERENCE, &s[SERVER_MPROC], &s[SERVER_PYTHON],
         1.0 / 10},
        {"P11", "private memory of an idle pool worker", "KiB", MEASURE_REFERENCE, &s[WORKER_MPROC], &s[WORKER_PYTHON],
         1.0 / 10},
        {"P11", "private memory of an idle pool worker", "KiB", MEASURE_REFERENCE, &s[WORKER_MPROC],
         &s[FORKED_WORKER_PYTHON], 1.0 / 10},
    };
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 1;
    }
    if (argc == 2 && strcmp(argv[1], MEMORY_ARENA_ARGUMENT) == 0)
        return memory_arena_serve();
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    if (helper_open(&python, python_argv) != 0)
        for (int i = CHILD_PYTHON; i <= FORKED_WORKER_PYTHON; i++)
            s[i].missing = "there is no python3 in PATH";
    size_t more;
    const size_t more_subjects = memory_arena_set_up(s + FIRST_OF_ARENA, comparisons + COMPARISONS, &more, argv[0]);
    const int result = measure(&options, s, FIRST_OF_ARENA + more_subjects, comparisons, COMPARISONS + more);
    memory_arena_end();
    helper_close(&python);
    return result == 0 ? 0 : 1;
}
