/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start and join: mproc's start methods, each against the least that the same work can cost, and against other
 * libraries (rows P1, P2, P3, and threads). The large parent has touched memory of the size that --parent-mib gives, in
 * small pages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

#include "forkserver_reference.h"
#include "helper.h"
#include "measure.h"
#include "start_references.h"

/** The first argument that makes this program the large parent; the second is its size in MiB. */
#define LARGE_PARENT_ARGUMENT "--large-parent"

/** The only argument that makes this program a parent without mproc, whose forks run none of its handlers. */
#define PLAIN_PARENT_ARGUMENT "--plain-parent"

/** The subjects, in the order in which they take turns. */
enum {
    FORK_MPROC,
    FORK_RAW,
    SPAWN_MPROC,
    SPAWN_POSIX,
    SPAWN_STATIC,
    SPAWN_LIBUV,
    SPAWN_APR,
    THREAD_MPROC,
    THREAD_RAW,
    LARGE_FORKSERVER_MPROC,
    LARGE_FORKSERVER_MINIMAL,
    LARGE_FORKSERVER_PAYLOAD,
    LARGE_SPAWN_MPROC,
    LARGE_SPAWN_POSIX,
    LARGE_FORK_RAW,
    LARGE_SPAWN_LIBUV,
    LARGE_SPAWN_APR,
    PYTHON_FORK,
    PYTHON_FORKSERVER,
    PYTHON_SPAWN,
    SUBJECTS
};

/** This program's file. */
static char *path;

/** The target of all of mproc's children. */
static int end_at_once(mproc_call_t *call)
{
    (void)call;
    return EXIT_EXPECTED;
}

static int start_mproc(void *method)
{
    mproc_process_t *child;
    mproc_process_opts_t opts = {.start_method = *(const mproc_start_method_t *)method};
    int code = -1;
    if (mproc_process_start(&child, end_at_once, &opts) == APR_SUCCESS &&
        mproc_process_finish(child, &code) == APR_SUCCESS && code == EXIT_EXPECTED)
        return 0;
    fprintf(stderr, "mproc, %s: exit code %d; %s\n", mproc_start_method_name(opts.start_method), code,
            mproc_last_error()->text);
    return -1;
}

/* ---- The large parent: this program, started as a helper --------------------------------------------------------- */

/** What subjects of the large parent are called in requests to it. */
static const struct task_t {
    const char *what;
    int (*operation)(void *context);
    mproc_start_method_t method;
} tasks[] = {
    {"forkserver-mproc", start_mproc, MPROC_FORKSERVER},
    {"forkserver-minimal", forkserver_reference_minimal, MPROC_DEFAULT},
    {"forkserver-payload", forkserver_reference_payload, MPROC_DEFAULT},
    {"spawn-mproc", start_mproc, MPROC_SPAWN},
    {"spawn-posix", start_posix_spawn, MPROC_DEFAULT},
    {"fork-raw", start_fork, MPROC_DEFAULT},
    {"spawn-libuv", start_libuv, MPROC_DEFAULT},
    {"spawn-apr", start_apr, MPROC_DEFAULT},
};

static double measure_task(const char *what, int count)
{
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        mproc_start_method_t method = tasks[i].method;
        void *context = method == MPROC_DEFAULT ? (void *)path : &method;
        double value;
        if (strcmp(tasks[i].what, what) == 0 && measure_operations(tasks[i].operation, context, count, &value) == 0)
            return value;
    }
    return 0;
}

static int be_large_parent(const char *mib)
{
    start_libuv_load();
    if (forkserver_reference_open(path) != 0 || helper_touch_memory(strtoul(mib, NULL, 10) << 20) != 0)
        return 1;
    helper_serve(measure_task);
    forkserver_reference_close();
    return 0;
}

/* ---- The plain parent: as large as the one that measures mproc's fork -------------------------------------------- */

static double measure_plain(const char *what, int count)
{
    double value;
    return strcmp(what, "fork-raw") == 0 && measure_operations(start_fork, NULL, count, &value) == 0 ? value : 0;
}

/* ---- The small parent, and all the comparisons ------------------------------------------------------------------- */

static void set_up(measure_subject_t *subjects, helper_t *plain, helper_t *large, helper_t *python)
{
    static mproc_start_method_t fork_method = MPROC_FORK, spawn = MPROC_SPAWN, thread = MPROC_THREAD;
    static char static_path[] = MPROC_BENCH_STATIC;
    static helper_task_t in_plain, in_large[sizeof tasks / sizeof tasks[0]], in_python[3];
    static const char *const methods[] = {"fork", "forkserver", "spawn"};
    const measure_subject_t all[SUBJECTS] = {
        [FORK_MPROC] = {.name = "mproc fork", .operation = start_mproc, .context = &fork_method},
        [FORK_RAW] = {.name = "fork + waitpid", .round = helper_measure, .context = &in_plain},
        [SPAWN_MPROC] = {.name = "mproc spawn, small parent", .operation = start_mproc, .context = &spawn},
        [SPAWN_POSIX] = {.name = "posix_spawn, same binary", .operation = start_posix_spawn, .context = path},
        [SPAWN_STATIC] = {.name = "posix_spawn, empty static binary",
                          .operation = start_posix_spawn,
                          .context = static_path},
        [SPAWN_LIBUV] = {.name = "libuv uv_spawn, same binary", .operation = start_libuv, .context = path},
        [SPAWN_APR] = {.name = "APR apr_proc_create, same binary", .operation = start_apr, .context = path},
        [THREAD_MPROC] = {.name = "mproc thread", .operation = start_mproc, .context = &thread},
        [THREAD_RAW] = {.name = "pthread_create + pthread_join", .operation = start_pthread},
        [LARGE_FORKSERVER_MPROC] = {.name = "mproc forkserver", .round = helper_measure, .context = &in_large[0]},
        [LARGE_FORKSERVER_MINIMAL] = {.name = "hand-written, minimal",
                                      .round = helper_measure,
                                      .context = &in_large[1]},
        [LARGE_FORKSERVER_PAYLOAD] = {.name = "hand-written, same payload",
                                      .round = helper_measure,
                                      .context = &in_large[2]},
        [LARGE_SPAWN_MPROC] = {.name = "mproc spawn, large parent", .round = helper_measure, .context = &in_large[3]},
        [LARGE_SPAWN_POSIX] = {.name = "posix_spawn, same binary", .round = helper_measure, .context = &in_large[4]},
        [LARGE_FORK_RAW] = {.name = "fork + waitpid", .round = helper_measure, .context = &in_large[5], .divisor = 10},
        [LARGE_SPAWN_LIBUV] = {.name = "libuv uv_spawn, same binary",
                               .round = helper_measure,
                               .context = &in_large[6],
                               .divisor = 10},
        [LARGE_SPAWN_APR] = {.name = "APR apr_proc_create, same binary",
                             .round = helper_measure,
                             .context = &in_large[7],
                             .divisor = 10},
        [PYTHON_FORK] = {.name = "Python fork", .round = helper_measure, .context = &in_python[0], .divisor = 4},
        [PYTHON_FORKSERVER] = {.name = "Python forkserver",
                               .round = helper_measure,
                               .context = &in_python[1],
                               .divisor = 4},
        [PYTHON_SPAWN] = {.name = "Python spawn", .round = helper_measure, .context = &in_python[2], .divisor = 8},
    };
    memcpy(subjects, all, sizeof all);
    in_plain = (helper_task_t){plain, "fork-raw"};
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
        in_large[i] = (helper_task_t){large, tasks[i].what};
    for (int i = 0; i < 3; i++)
        in_python[i] = (helper_task_t){python, methods[i]};
    if (!*static_path)
        subjects[SPAWN_STATIC].missing = "nothing can be linked statically here";
}

/** Start what takes part, and note what is missing. */
static void open_others(measure_subject_t *subjects, helper_t *plain, helper_t *large, helper_t *python, int parent_mib)
{
    static char plain_argument[] = PLAIN_PARENT_ARGUMENT;
    static char large_argument[] = LARGE_PARENT_ARGUMENT, script[] = MPROC_BENCH_PYTHON, interpreter[] = "python3";
    char mib[16];
    snprintf(mib, sizeof mib, "%d", parent_mib);
    char *const large_argv[] = {path, large_argument, mib, NULL};
    char *const python_argv[] = {interpreter, script, NULL};
    char *const plain_argv[] = {path, plain_argument, NULL};
    subjects[SPAWN_LIBUV].missing = subjects[LARGE_SPAWN_LIBUV].missing = start_libuv_load();
    if (helper_open(plain, plain_argv) != 0)
        subjects[FORK_RAW].missing = "the plain parent cannot be started";
    if (helper_open(large, large_argv) != 0)
        for (int i = LARGE_FORKSERVER_MPROC; i <= LARGE_SPAWN_APR; i++)
            subjects[i].missing = "the large parent cannot be started";
    if (helper_open(python, python_argv) != 0)
        for (int i = PYTHON_FORK; i <= PYTHON_SPAWN; i++)
            subjects[i].missing = "there is no python3 in PATH";
}

static int compare(const measure_options_t *options, measure_subject_t *s)
{
    static const char fork_work[] = "fork: start + join";
    static const char spawn_work[] = "spawn: start + join";
    static const char forkserver_work[] = "forkserver: start + join, large parent";
    static const char large_work[] = "spawn: start + join, large parent";
    static const char thread_work[] = "start + join";
    const measure_comparison_t comparisons[] = {
        {"P1", fork_work, "us", MEASURE_REFERENCE, &s[FORK_MPROC], &s[FORK_RAW], 1.3},
        {"P1", fork_work, "us", MEASURE_PEER, &s[FORK_MPROC], &s[PYTHON_FORK], 1.0 / 8},
        {"P2", spawn_work, "us", MEASURE_REFERENCE, &s[SPAWN_MPROC], &s[SPAWN_POSIX], 1.15},
        {"P2", spawn_work, "us", MEASURE_PEER, &s[SPAWN_MPROC], &s[PYTHON_SPAWN], 1.0 / 40},
        {"P2", spawn_work, "us", MEASURE_PEER, &s[SPAWN_MPROC], &s[SPAWN_LIBUV], 0},
        {"P2", spawn_work, "us", MEASURE_PEER, &s[SPAWN_MPROC], &s[SPAWN_APR], 0},
        {"P2", spawn_work, "us", MEASURE_PEER, &s[SPAWN_MPROC], &s[SPAWN_STATIC], 0},
        {"P2", large_work, "us", MEASURE_REFERENCE, &s[LARGE_SPAWN_MPROC], &s[LARGE_SPAWN_POSIX], 1.15},
        {"P2", large_work, "us", MEASURE_REFERENCE, &s[LARGE_SPAWN_MPROC], &s[SPAWN_MPROC], 1.15},
        {"P2", large_work, "us", MEASURE_PEER, &s[LARGE_SPAWN_MPROC], &s[LARGE_SPAWN_LIBUV], 0},
        {"P2", large_work, "us", MEASURE_PEER, &s[LARGE_SPAWN_MPROC], &s[LARGE_SPAWN_APR], 0},
        {"P3", forkserver_work, "us", MEASURE_REFERENCE, &s[LARGE_FORKSERVER_MPROC], &s[LARGE_FORKSERVER_MINIMAL], 1.3},
        {"P3", forkserver_work, "us", MEASURE_REFERENCE, &s[LARGE_FORKSERVER_MPROC], &s[LARGE_FORKSERVER_PAYLOAD], 1.3},
        {"P3", forkserver_work, "us", MEASURE_PEER, &s[LARGE_FORKSERVER_MPROC], &s[LARGE_FORK_RAW], 0},
        {"P3", forkserver_work, "us", MEASURE_PEER, &s[LARGE_FORKSERVER_MPROC], &s[PYTHON_FORKSERVER], 0},
        {"thread", thread_work, "us", MEASURE_REFERENCE, &s[THREAD_MPROC], &s[THREAD_RAW], 0},
    };
    return measure(options, s, SUBJECTS, comparisons, sizeof comparisons / sizeof comparisons[0]);
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 50, .operations = 40, .parent_mib = 1024};
    measure_subject_t subjects[SUBJECTS];
    helper_t plain = {0, NULL, NULL}, large = {0, NULL, NULL}, python = {0, NULL, NULL};
    path = argv[0];
    if (argc == 2 && strcmp(argv[1], EXIT_ARGUMENT) == 0)
        return EXIT_EXPECTED;
    forkserver_reference_serve(argc, argv);
    if (argc == 2 && strcmp(argv[1], PLAIN_PARENT_ARGUMENT) == 0) {
        helper_serve(measure_plain);
        return 0;
    }
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], LARGE_PARENT_ARGUMENT) == 0)
        return be_large_parent(argv[2]);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    set_up(subjects, &plain, &large, &python);
    open_others(subjects, &plain, &large, &python, options.parent_mib);
    const int result = compare(&options, subjects);
    helper_close(&plain);
    helper_close(&large);
    helper_close(&python);
    return result == 0 ? 0 : 1;
}
