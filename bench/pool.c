/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools: mproc's beside OpenMP, a pool of forked workers and two pipes, and Python's (rows P8 and P9).
 *
 * Each way to have tasks done has a helper of its own with as many workers as there are CPUs, which stay for all rounds
 * and are bound to no CPU. A round has all of a number of tasks done, and checks the results; an eighth more is done
 * before, to warm up. Trivial tasks are told by the time of one of them: that of the whole round, through all workers,
 * divided by all tasks. Tasks of a length are told by how many of them are done in a second.
 *
 * The work of a task is a loop of so many iterations, the same code for all (pool_work.c): what waits for a time to
 * pass would not be slowed by losing the CPU. How many iterations make a microsecond is found in the beginning, from
 * the shortest of many runs. What there is to reach is measured in each round like all others ("no pool"): as many
 * processes as CPUs, each bound to one, do the same iterations and nothing else. So whatever slows the machine is on
 * both sides, and the ratio of the two is how much of the CPUs' time has gone into the tasks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mproc/mproc.h>

#include "helper.h"
#include "measure.h"
#include "pool_kinds.h"

/** The first argument that makes this program a helper; the second is its team. */
#define TEAM_ARGUMENT "--team"

/* ---- The helpers ------------------------------------------------------------------------------------------------- */

typedef enum team_t { MPROC, OPENMP, PIPES, NO_POOL, PYTHON, TEAMS, NOBODY = TEAMS } team_t;

static const char *const team_names[TEAMS] = {"mproc", "openmp", "pipes", "no-pool", "python"};

static unsigned workers;

/** All kinds of this helper's. */
static const pool_kind_t *const *kinds;
static uint64_t *values, *results;

/** Each result is its value, and the same number for all. */
static int are_right(size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (results[i] - values[i] != results[0] - values[0])
            return 0;
    return 1;
}

/** The nanoseconds of a task, or 0. */
static double run(const pool_kind_t *kind, size_t count, uint32_t iterations)
{
    memset(results, 0, count * sizeof *results);
    const double start = measure_now();
    if (kind->run(values, results, count, iterations) != 0)
        return 0;
    const double time = measure_now() - start;
    if (are_right(count))
        return time * 1e3 / (double)count;
    fprintf(stderr, "%s: these are not the results\n", kind->name);
    return 0;
}

static double measure_kind(const char *what, int count)
{
    enum { PART = 8 };
    char name[32];
    unsigned iterations;
    if (count > POOL_TASKS_MAX || sscanf(what, "%31[^/]/%u", name, &iterations) != 2)
        return 0;
    if (!kinds)
        return pool_ideal(count / PART + 1, iterations) > 0 ? pool_ideal(count, iterations) : 0;
    for (const pool_kind_t *const *kind = kinds; *kind; kind++) {
        if (strcmp((*kind)->name, name) != 0)
            continue;
        const double time =
            run(*kind, (size_t)count / PART + 1, iterations) > 0 ? run(*kind, (size_t)count, iterations) : 0;
        /* Threads of OpenMP look for work for a while: that is not to be on whoever comes next. */
        const struct timespec rest = {0, 10000000};
        nanosleep(&rest, NULL);
        return time;
    }
    return 0;
}

static int begin(team_t team)
{
    switch (team) {
    case MPROC:
        kinds = pool_mproc;
        return pool_mproc_begin(workers);
#if defined(MPROC_BENCH_OPENMP)
    case OPENMP:
        kinds = pool_openmp;
        return pool_openmp_begin(workers);
#endif
    case PIPES:
        kinds = pool_pipes;
        return pool_pipes_begin(workers);
    case NO_POOL:
        return pool_ideal_begin(workers);
    default:
        return -1;
    }
}

static int be_helper(team_t team)
{
    values = calloc(POOL_TASKS_MAX, sizeof *values);
    results = calloc(POOL_TASKS_MAX, sizeof *results);
    if (!values || !results || begin(team) != 0)
        return 1;
    for (size_t i = 0; i < POOL_TASKS_MAX; i++)
        values[i] = i;
    helper_serve(measure_kind);
    if (team == MPROC)
        pool_mproc_end();
    else if (team == PIPES)
        pool_pipes_end();
    else if (team == NO_POOL)
        pool_ideal_end();
    free(values);
    free(results);
    return 0;
}

/* ---- What is measured -------------------------------------------------------------------------------------------- */

enum {
    MAP_1,
    MAP,
    MAP_IN_PLACE,
    SUBMIT,
    STREAM,
    STREAM_WIDE,
    APPLY,
    OF_OPENMP,
    OF_PIPES,
    PIPES_APPLY,
    IDEAL,
    PYTHON_MAP_1,
    PYTHON_MAP,
    PYTHON_UNORDERED,
    PYTHON_ASYNC,
    PYTHON_APPLY,
    PYTHON_SUBMIT,
    PYTHON_EXECUTOR_MAP,
    THREE_MILLION,
    PLAYERS
};

/** Who takes part, in the order in which they take turns. */
static const struct player_t {
    const char *name;
    team_t team;
    const char *kind;
    double trivial; /* about how many nanoseconds a trivial task takes: slow ones do fewer */
    measure_role_t role;
} players[PLAYERS] = {
    [MAP_1] = {"mproc map, .chunk = 1", MPROC, "map-1", 100, MEASURE_REFERENCE},
    [MAP] = {"mproc map", MPROC, "map", 100, MEASURE_REFERENCE},
    [MAP_IN_PLACE] = {"mproc map, shared arrays", MPROC, "map-in-place", 100, MEASURE_REFERENCE},
    [SUBMIT] = {"mproc submit", MPROC, "submit", 400, MEASURE_REFERENCE},
    [STREAM] = {"mproc stream", MPROC, "stream", 2000, MEASURE_REFERENCE},
    [STREAM_WIDE] = {"mproc stream, .buffer = 1024", MPROC, "stream-wide", 400, MEASURE_REFERENCE},
    [APPLY] = {"mproc apply", MPROC, "apply", 20000, MEASURE_REFERENCE},
    [OF_OPENMP] = {"OpenMP schedule(dynamic,1)", OPENMP, "openmp", 100, MEASURE_REFERENCE},
    [OF_PIPES] = {"C pool, two pipes", PIPES, "pipes", 1000, MEASURE_REFERENCE},
    [PIPES_APPLY] = {"C pool, two pipes", PIPES, "pipes-one", 20000, MEASURE_REFERENCE},
    [IDEAL] = {"no pool", NO_POOL, "loop", 100, MEASURE_REFERENCE},
    [PYTHON_MAP_1] = {"Python Pool.map, chunksize=1", PYTHON, "map-1", 20000, MEASURE_PEER},
    [PYTHON_MAP] = {"Python Pool.map", PYTHON, "map", 1000, MEASURE_PEER},
    [PYTHON_UNORDERED] = {"Python Pool.imap_unordered", PYTHON, "unordered", 20000, MEASURE_PEER},
    [PYTHON_ASYNC] = {"Python Pool.apply_async", PYTHON, "apply-async", 40000, MEASURE_PEER},
    [PYTHON_APPLY] = {"Python Pool.apply", PYTHON, "apply", 100000, MEASURE_PEER},
    [PYTHON_SUBMIT] = {"Python ProcessPoolExecutor.submit", PYTHON, "submit", 100000, MEASURE_PEER},
    [PYTHON_EXECUTOR_MAP] = {"Python ProcessPoolExecutor.map", PYTHON, "executor-map", 100000, MEASURE_PEER},
    [THREE_MILLION] = {"3 million tasks a second", NOBODY, "", 100, MEASURE_REFERENCE},
};

/** How long tasks are; `to_reach` is the least part of what there is to reach, if that is a target. */
static const struct length_t {
    const char *name;
    double ns;
    double to_reach;
} lengths[] = {
    {"trivial", 0, 0},  {"0.1 us", 100, 0},   {"0.3 us", 300, 0}, {"1 us", 1e3, 0.75},
    {"3 us", 3e3, 0},   {"10 us", 1e4, 0.95}, {"30 us", 3e4, 0},  {"100 us", 1e5, 0},
    {"300 us", 3e5, 0}, {"1 ms", 1e6, 0.98},  {"10 ms", 1e7, 0},
};

enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

/** The comparisons of trivial tasks. */
static const struct trivial_t {
    const char *work;
    int ours;
    int theirs;
    double target;
} trivial[] = {
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, THREE_MILLION, 1},
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, OF_OPENMP, 0},
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, OF_PIPES, 1.0 / 3},
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, MAP_IN_PLACE, 0},
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, PYTHON_MAP_1, 1.0 / 60},
    {"pool: trivial tasks, map with .chunk = 1", MAP_1, PYTHON_EXECUTOR_MAP, 1.0 / 60},
    {"pool: trivial tasks, map", MAP, OF_OPENMP, 0},
    {"pool: trivial tasks, map", MAP, PYTHON_MAP, 0},
    {"pool: trivial tasks, submit", SUBMIT, OF_PIPES, 1.0 / 3},
    {"pool: trivial tasks, submit", SUBMIT, PYTHON_ASYNC, 1.0 / 60},
    {"pool: trivial tasks, submit", SUBMIT, PYTHON_SUBMIT, 1.0 / 60},
    {"pool: trivial tasks, unordered stream", STREAM, STREAM_WIDE, 0},
    {"pool: trivial tasks, unordered stream", STREAM, OF_PIPES, 1.0 / 3},
    {"pool: trivial tasks, unordered stream", STREAM, PYTHON_UNORDERED, 1.0 / 60},
    {"pool: trivial tasks, unordered stream, .buffer = 1024", STREAM_WIDE, OF_PIPES, 1.0 / 3},
    {"pool: trivial tasks, unordered stream, .buffer = 1024", STREAM_WIDE, PYTHON_UNORDERED, 1.0 / 60},
    {"pool: one trivial task after the other", APPLY, PIPES_APPLY, 0},
    {"pool: one trivial task after the other", APPLY, PYTHON_APPLY, 0},
};

enum { TRIVIAL = sizeof trivial / sizeof trivial[0] };

/** Of tasks of a length: who of ours, and beside whom. */
static const struct {
    const char *how;
    int player;
} ours[] = {{"map with .chunk = 1", MAP_1}, {"map", MAP}};
static const int theirs[] = {IDEAL, OF_OPENMP, OF_PIPES, PYTHON_MAP_1};

enum { OURS = sizeof ours / sizeof ours[0], THEIRS = sizeof theirs / sizeof theirs[0] };

/* ---- Subjects ---------------------------------------------------------------------------------------------------- */

/** What a subject is measured by. */
typedef struct job_t {
    helper_task_t task;
    char what[40];
    int is_rate;
} job_t;

static int measure_job(void *context, int count, double *value)
{
    const job_t *job = context;
    if (helper_measure((void *)(uintptr_t)&job->task, count, value) != 0)
        return -1;
    if (job->is_rate)
        *value = 1e9 / *value;
    return 0;
}

static int tell_three_million(void *context, int count, double *value)
{
    (void)context;
    (void)count;
    *value = 1e9 / 3e6;
    return 0;
}

/** How many iterations make a microsecond, when nothing is in the way. */
static double calibrate(void)
{
    enum { ITERATIONS = 50000, TIMES = 400 };
    double least = 1e9;
    volatile uint64_t result;
    for (int i = 0; i < TIMES; i++) {
        const double start = measure_now();
        result = busy_work(0, ITERATIONS);
        const double time = measure_now() - start;
        least = time < least ? time : least;
    }
    (void)result;
    return ITERATIONS / least;
}

/**
 * How many tasks a round has: as many as take some 20 milliseconds, but so many that it does not matter that a worker
 * may have one more to do than another one.
 */
static int choose_count(const struct player_t *player, const struct length_t *length)
{
    const double time = player->trivial > length->ns / workers ? player->trivial : length->ns / workers;
    const double count = 20e6 / time;
    const double least = length->ns > 1e6 ? 40 : length->ns > 1e5 ? 200 : 1;
    return (int)(count > least ? count : least);
}

static const char *open_team(helper_t *helper, team_t team, char *path)
{
    static char argument[] = TEAM_ARGUMENT;
    static char interpreter[] = "python3", script[] = MPROC_BENCH_PYTHON, library[] = MPROC_BENCH_POOL_WORK;
    char name[16], number[16];
    char *const team_argv[] = {path, argument, name, NULL};
    char *const python_argv[] = {interpreter, script, number, library, NULL};
    snprintf(name, sizeof name, "%s", team_names[team]);
    snprintf(number, sizeof number, "%u", workers);
#if !defined(MPROC_BENCH_OPENMP)
    if (team == OPENMP)
        return "it was not installed when this was built";
#endif
    if (helper_open(helper, team == PYTHON ? python_argv : team_argv) == 0)
        return NULL;
    return team == PYTHON ? "there is no python3 in PATH" : "it does not start";
}

static void set_up(const measure_options_t *options, measure_subject_t subjects[LENGTHS][PLAYERS], helper_t *helpers,
                   char *path)
{
    static job_t jobs[LENGTHS][PLAYERS];
    const char *missing[TEAMS + 1] = {NULL};
    const double per_us = calibrate();
    for (int team = 0; team < TEAMS; team++)
        missing[team] = open_team(&helpers[team], (team_t)team, path);
    for (int l = 0; l < LENGTHS; l++) {
        for (int i = 0; i < PLAYERS; i++) {
            const struct player_t *player = &players[i];
            const int divisor = options->operations / choose_count(player, &lengths[l]);
            job_t *job = &jobs[l][i];
            snprintf(job->what, sizeof job->what, "%s/%u", player->kind, (unsigned)(lengths[l].ns / 1e3 * per_us));
            job->task = (helper_task_t){player->team == NOBODY ? NULL : &helpers[player->team], job->what};
            job->is_rate = l > 0;
            subjects[l][i] = (measure_subject_t){.name = player->name,
                                                 .round = i == THREE_MILLION ? tell_three_million : measure_job,
                                                 .context = job,
                                                 .divisor = divisor,
                                                 .missing = missing[player->team]};
        }
    }
}

/* ---- All the comparisons ----------------------------------------------------------------------------------------- */

enum { COMPARISONS = TRIVIAL + LENGTHS * OURS * THEIRS };

static size_t compare_trivial(measure_comparison_t *comparisons, measure_subject_t *subjects)
{
    for (int i = 0; i < TRIVIAL; i++) {
        const struct trivial_t *row = &trivial[i];
        comparisons[i] = (measure_comparison_t){
            "P8",       row->work, "ns", players[row->theirs].role, &subjects[row->ours], &subjects[row->theirs],
            row->target};
    }
    return TRIVIAL;
}

/** The lengths without a target are there for the chart. */
static size_t compare_length(measure_comparison_t *comparisons, measure_subject_t *subjects,
                             const struct length_t *length)
{
    static char works[LENGTHS][OURS][64];
    size_t count = 0;
    for (int o = 0; o < OURS; o++) {
        char *work = works[length - lengths][o];
        snprintf(work, sizeof works[0][0], "pool: tasks of %s, %s", length->name, ours[o].how);
        for (int t = 0; t < THEIRS; t++)
            comparisons[count++] = (measure_comparison_t){length->to_reach > 0 ? "P9" : "pool",
                                                          work,
                                                          "tasks/s",
                                                          players[theirs[t]].role,
                                                          &subjects[ours[o].player],
                                                          &subjects[theirs[t]],
                                                          theirs[t] == IDEAL ? -length->to_reach : 0};
    }
    return count;
}

static int compare(const measure_options_t *options, measure_subject_t subjects[LENGTHS][PLAYERS])
{
    static measure_comparison_t comparisons[COMPARISONS];
    size_t count = compare_trivial(comparisons, subjects[0]);
    for (int l = 1; l < LENGTHS; l++)
        count += compare_length(comparisons + count, subjects[l], &lengths[l]);
    return measure(options, &subjects[0][0], (size_t)LENGTHS * PLAYERS, comparisons, count);
}

static team_t find_team(const char *name)
{
    int team = 0;
    while (team < TEAMS && strcmp(team_names[team], name) != 0)
        team++;
    return (team_t)team;
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 20, .operations = 200000};
    static measure_subject_t subjects[LENGTHS][PLAYERS];
    static helper_t helpers[TEAMS];
    const team_t team = argc == 3 && strcmp(argv[1], TEAM_ARGUMENT) == 0 ? find_team(argv[2]) : NOBODY;
    /* Nobody else's processes are to have anything of mproc's. */
    if ((team == NOBODY || team == MPROC) && mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 1;
    }
    const int cpus = mproc_cpu_count();
    workers = cpus < POOL_WORKERS_MAX ? (unsigned)cpus : POOL_WORKERS_MAX;
    if (team != NOBODY)
        return be_helper(team);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    if (!measure_is_wanted(&options, "P8") && !measure_is_wanted(&options, "P9") &&
        !measure_is_wanted(&options, "pool"))
        return 0;
    set_up(&options, subjects, helpers, argv[0]);
    const int result = compare(&options, subjects);
    for (int i = 0; i < TEAMS; i++)
        helper_close(&helpers[i]);
    return result == 0 ? 0 : 1;
}
