/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External programs: start and wait, run with the outputs captured, and much data there and back; mproc beside the
 * system's own calls and other libraries.
 *
 * Whoever starts programs does it in a process of its own, which is this program started anew: nobody's handlers around
 * forks or for signals are in another one's way, and all parents are alike. There is a small one and a large one, which
 * has touched memory of the size that --parent-mib gives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "measure.h"
#include "program_players.h"

/** The first argument that makes this program such a parent; the second is its size in MiB. */
#define PARENT_ARGUMENT "--parent"

static char child_path[] = MPROC_BENCH_CHILD;
static char exit_argument[] = CHILD_EXIT, say_argument[] = CHILD_SAY, echo_argument[] = CHILD_ECHO;

char *const program_exit[] = {child_path, exit_argument, NULL};
char *const program_say[] = {child_path, say_argument, NULL};
char *const program_echo[] = {child_path, echo_argument, NULL};

int program_check_said(int code, const char *output, size_t output_size, size_t error_output_size)
{
    return code == CHILD_EXIT_CODE && output_size == CHILD_OUTPUT && error_output_size == CHILD_ERROR_OUTPUT &&
                   output[CHILD_OUTPUT - 1] == CHILD_LETTER
               ? 0
               : -1;
}

int program_check_echoed(int code, const char *output, size_t output_size, const void *data, size_t size)
{
    enum { STEP = 1000003 };
    if (code != CHILD_EXIT_CODE || output_size != size)
        return -1;
    for (size_t i = 0; i < size; i += STEP)
        if (output[i] != ((const char *)data)[i])
            return -1;
    return 0;
}

/* ---- A parent ---------------------------------------------------------------------------------------------------- */

static char **parent_argv;

static const program_player_t *const players[] = {
    &program_mproc, &program_vfork, &program_posix_spawn, &program_posix_spawn_duties, &program_apr,
#if defined(MPROC_BENCH_LIBUV)
    &program_libuv,
#endif
};

/** NULL if it is not installed. */
static const program_player_t *find_player(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof players / sizeof players[0]; i++)
        if (strlen(players[i]->name) == length && strncmp(players[i]->name, name, length) == 0)
            return players[i];
    return NULL;
}

/** What is to be done, as measure_operations() takes it. */
typedef struct job_t {
    const program_player_t *player;
    char *data;
    size_t size;
} job_t;

static int do_start(void *job)
{
    return ((const job_t *)job)->player->start();
}

static int do_capture(void *job)
{
    return ((const job_t *)job)->player->capture();
}

static int do_communicate(void *context)
{
    const job_t *job = context;
    return job->player->communicate(job->data, job->size);
}

/** Have data of a size, which stay for the next rounds. */
static int have_data(job_t *job, size_t size)
{
    static char *data;
    static size_t data_size;
    if (data_size != size) {
        free(data);
        data = malloc(size);
        data_size = data ? size : 0;
        for (size_t i = 0; i < data_size; i++)
            data[i] = (char)(i * 31 >> 3);
    }
    job->data = data;
    job->size = data_size;
    return data ? 0 : -1;
}

/** Measure "PLAYER/start", "PLAYER/capture" in microseconds, or "PLAYER/communicate:MIB" in milliseconds. */
static double measure_program(const char *what, int count)
{
    static const program_player_t *opened;
    const size_t length = strcspn(what, "/");
    job_t job = {.player = find_player(what, length)};
    const char *work = what + length;
    double value = 0;
    if (!job.player || (opened != job.player && job.player->open && job.player->open(parent_argv) != 0))
        return 0;
    opened = job.player;
    if (strcmp(work, "/start") == 0)
        return measure_operations(do_start, &job, count, &value) == 0 ? value : 0;
    if (strcmp(work, "/capture") == 0)
        return measure_operations(do_capture, &job, count, &value) == 0 ? value : 0;
    if (sscanf(work, "/communicate:%zu", &job.size) != 1 || !job.player->communicate ||
        have_data(&job, job.size << 20) != 0)
        return 0;
    return measure_operations(do_communicate, &job, count, &value) == 0 ? value / 1000 : 0;
}

static int be_parent(char **argv)
{
    parent_argv = argv;
    if (helper_touch_memory(strtoul(argv[2], NULL, 10) << 20) != 0)
        return 1;
    helper_serve(measure_program);
    return 0;
}

/* ---- All the comparisons ----------------------------------------------------------------------------------------- */

/** The processes that start programs. */
enum { MPROC, SYSTEM, LIBUV, APR, PYTHON, PARENTS };

/** Who takes part, in the order in which they take turns; ours is the first. */
static const struct entry_t {
    const char *name;
    const char *player; /* as above, or "python" */
    int parent;
    measure_role_t role;
    double target;
    int divisor;
    int large_divisor;
} entries[] = {
    {"mproc", "mproc", MPROC, MEASURE_REFERENCE, 0, 1, 1},
    {"vfork + execve + waitpid", "vfork", SYSTEM, MEASURE_REFERENCE, 1.15, 1, 1},
    {"posix_spawn + waitpid", "posix_spawn", SYSTEM, MEASURE_REFERENCE, 1.15, 1, 1},
    {"posix_spawn, same duties", "posix_spawn-duties", SYSTEM, MEASURE_REFERENCE, 1.15, 1, 1},
    {"libuv", "libuv", LIBUV, MEASURE_PEER, 0, 2, 20},
    {"APR", "apr", APR, MEASURE_PEER, 0, 2, 20},
    {"Python", "python", PYTHON, MEASURE_PEER, 1, 2, 2},
};

/** What is measured of each. */
static const struct work_t {
    const char *id;
    const char *what;
    const char *title;
    const char *unit;
    int is_large;
} works[] = {
    {"program", "start", "start + wait", "us", 0},
    {"program", "start", "start + wait, large parent", "us", 1},
    {"program", "capture", "run, outputs captured", "us", 0},
    {"program", "capture", "run, outputs captured, large parent", "us", 1},
    {"communicate", "communicate", "%d MiB there and back", "ms", 0},
};

enum { ENTRIES = sizeof entries / sizeof entries[0], WORKS = sizeof works / sizeof works[0] };

/** Much data is moved by those who have a call for both ways at once, and by one loop that is written by hand. */
static int takes_part(const struct work_t *work, const struct entry_t *entry)
{
    return strcmp(work->what, "communicate") != 0 || strcmp(entry->player, "mproc") == 0 ||
           strcmp(entry->player, "posix_spawn") == 0 || strcmp(entry->player, "python") == 0;
}

static const char *open_parent(helper_t *helper, int parent, int mib, char *path)
{
    static char argument[] = PARENT_ARGUMENT, interpreter[] = "python3", script[] = MPROC_BENCH_PYTHON;
    char size[16];
    char *parent_argv_of[] = {path, argument, size, NULL};
    char *python_argv[] = {interpreter, script, child_path, size, NULL};
    snprintf(size, sizeof size, "%d", mib);
    if (parent == LIBUV && !find_player("libuv", strlen("libuv")))
        return "it was not installed when this was built";
    if (helper_open(helper, parent == PYTHON ? python_argv : parent_argv_of) != 0)
        return parent == PYTHON ? "there is no python3 in PATH" : "the parent cannot be started";
    return NULL;
}

static void set_up(const measure_options_t *options, measure_subject_t subjects[WORKS][ENTRIES],
                   helper_t helpers[2][PARENTS], char *path)
{
    static helper_task_t tasks[WORKS][ENTRIES];
    static char names[WORKS][ENTRIES][64];
    const char *missing[2][PARENTS];
    for (int is_large = 0; is_large < 2; is_large++) {
        /* The large ones are many: they are there only if they are needed. */
        const int is_needed = !is_large || measure_is_wanted(options, "program");
        for (int parent = 0; parent < PARENTS; parent++)
            missing[is_large][parent] =
                is_needed ? open_parent(&helpers[is_large][parent], parent, is_large ? options->parent_mib : 0, path)
                          : "it was not asked for";
    }
    for (int work = 0; work < WORKS; work++) {
        const int is_large = works[work].is_large;
        const int is_data = strcmp(works[work].what, "communicate") == 0;
        for (int i = 0; i < ENTRIES; i++) {
            const int divisor = is_large ? entries[i].large_divisor : entries[i].divisor;
            char *name = names[work][i];
            const int length = snprintf(name, sizeof names[work][i], "%s/%s", entries[i].player, works[work].what);
            if (is_data)
                snprintf(name + length, sizeof names[work][i] - (size_t)length, ":%d", options->data_mib);
            tasks[work][i] = (helper_task_t){&helpers[is_large][entries[i].parent], name};
            subjects[work][i] = (measure_subject_t){.name = entries[i].name,
                                                    .round = helper_measure,
                                                    .context = &tasks[work][i],
                                                    .divisor = is_data ? options->operations : divisor,
                                                    .missing = missing[is_large][entries[i].parent]};
        }
    }
    for (int i = 0; i < ENTRIES; i++)
        if (strcmp(entries[i].player, "posix_spawn") == 0)
            subjects[WORKS - 1][i].name = "posix_spawn, poll loop";
    subjects[0][0].name = "mproc, small parent";
    subjects[1][0].name = "mproc, large parent";
}

static int compare(const measure_options_t *options, measure_subject_t subjects[WORKS][ENTRIES])
{
    static char titles[WORKS][64];
    measure_comparison_t comparisons[WORKS * ENTRIES + 1];
    size_t count = 0;
    for (int work = 0; work < WORKS; work++) {
        snprintf(titles[work], sizeof titles[work], works[work].title, options->data_mib);
        for (int i = 1; i < ENTRIES; i++) {
            if (!takes_part(&works[work], &entries[i]))
                continue;
            comparisons[count++] =
                (measure_comparison_t){works[work].id,     titles[work],       works[work].unit, entries[i].role,
                                       &subjects[work][0], &subjects[work][i], entries[i].target};
        }
        if (work == 1)
            comparisons[count++] = (measure_comparison_t){works[1].id,     titles[1],       "us", MEASURE_REFERENCE,
                                                          &subjects[1][0], &subjects[0][0], 1.15};
    }
    return measure(options, &subjects[0][0], (size_t)WORKS * ENTRIES, comparisons, count);
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 30, .operations = 40, .parent_mib = 1024, .data_mib = 256};
    static measure_subject_t subjects[WORKS][ENTRIES];
    static helper_t helpers[2][PARENTS];
    if (argc == 3 && strcmp(argv[1], PARENT_ARGUMENT) == 0)
        return be_parent(argv);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    if (!measure_is_wanted(&options, "program") && !measure_is_wanted(&options, "communicate"))
        return 0;
    set_up(&options, subjects, helpers, argv[0]);
    const int result = compare(&options, subjects);
    for (int i = 0; i < 2 * PARENTS; i++)
        helper_close(&helpers[i / PARENTS][i % PARENTS]);
    return result == 0 ? 0 : 1;
}
