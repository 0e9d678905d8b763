/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mproc-blur: blur pictures, each in a process of its own. The command line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>

#include <mproc/mproc.h>

#include "batch.h"
#include "gauss.h"
#include "plan.h"

/* Exit codes. */
enum { ALL_DONE = 0, SOME_FAILED = 1, USAGE_ERROR = 2 };

#define ROUNDS_MAX 10000

enum { OPTION_RADIUS = 256, OPTION_ROUNDS, OPTION_METHOD, OPTION_VIA, OPTION_VERSION };

static const apr_getopt_option_t option_table[] = {
    {"output", 'o', 1, NULL},
    {"jobs", 'j', 1, NULL},
    {"radius", OPTION_RADIUS, 1, NULL},
    {"rounds", OPTION_ROUNDS, 1, NULL},
    {"method", OPTION_METHOD, 1, NULL},
    {"via", OPTION_VIA, 1, NULL},
    {"quiet", 'q', 0, NULL},
    {"help", 'h', 0, NULL},
    {"version", OPTION_VERSION, 0, NULL},
    {NULL, 0, 0, NULL},
};

static const char usage_text[] = "usage: mproc-blur PICTURES... -o FOLDER [-j N] [--radius R] [--rounds K]\n"
                                 "                  [--method forkserver|fork|spawn|thread]\n"
                                 "                  [--via file|pipe|shm] [--quiet]\n"
                                 "       mproc-blur --help | --version\n";

static const char help_text[] =
    "\n"
    "Blur pictures, each in a process of its own, and write them to FOLDER as PNG.\n"
    "A folder among the PICTURES stands for the pictures in it.\n"
    "\n"
    "  -o, --output FOLDER  where to write; made if it does not exist\n"
    "  -j, --jobs N         how many processes at once (default: one for each CPU)\n"
    "      --radius R       the standard deviation of the Gaussian, in pixels (default: 5)\n"
    "      --rounds K       how often each picture is blurred (default: 1)\n"
    "      --method M       how processes are started (default: the platform's)\n"
    "      --via file|pipe|shm\n"
    "                       whether the processes read and write the files, or get and\n"
    "                       return them through pipes, or in shared memory (default: file)\n"
    "  -q, --quiet          tell failures only\n"
    "  -h, --help           show this\n"
    "      --version        show the version\n"
    "\n"
    "PNG, JPEG, BMP, GIF, TGA, PSD, HDR, PIC and PNM are read, up to 64 million pixels.\n"
    "Pictures of the same name, and of the name of an input, get a number: a-2.png.\n"
    "\n"
    "Exit code: 0 if all is well, 1 if a picture could not be done, 2 for a wrong\n"
    "command line.\n";

/* What the command line says. */
typedef struct command_t {
    const char *folder;
    batch_options_t batch;
    /* Left over: the pictures. */
    const char *const *pictures;
    int count;
} command_t;

static int wrong(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "mproc-blur: %s %s: %s\n", option, value, expected);
    return USAGE_ERROR;
}

/* Read an integer of a command line. Returns 0 if it is none, or out of range. */
static int read_number(int *number, const char *text, int maximum)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > maximum)
        return 0;
    *number = (int)value;
    return 1;
}

static int read_radius(double *radius, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    /* Written so that it is false for what is not a number. */
    if (end == text || *end != '\0' || !(value > 0 && value <= GAUSS_RADIUS_MAX))
        return 0;
    *radius = value;
    return 1;
}

static int read_way(worker_way_t *way, const char *text)
{
    static const char *const names[] = {
        [WORKER_VIA_FILE] = "file", [WORKER_VIA_PIPE] = "pipe", [WORKER_VIA_SHM] = "shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            *way = (worker_way_t)i;
            return 1;
        }
    }
    return 0;
}

/* Take one option. Returns ALL_DONE or USAGE_ERROR. */
static int take_option(command_t *command, int option, const char *value)
{
    apr_status_t status;
    switch (option) {
    case 'o':
        command->folder = value;
        return *value ? ALL_DONE : wrong("-o", "''", "a folder is needed");
    case 'j':
        return read_number(&command->batch.jobs, value, BATCH_JOBS_MAX)
                   ? ALL_DONE
                   : wrong("-j", value, "must be from 1 to " APR_STRINGIFY(BATCH_JOBS_MAX));
    case OPTION_RADIUS:
        return read_radius(&command->batch.settings.radius, value)
                   ? ALL_DONE
                   : wrong("--radius", value, "must be above 0 and up to 10000");
    case OPTION_ROUNDS:
        return read_number(&command->batch.settings.rounds, value, ROUNDS_MAX)
                   ? ALL_DONE
                   : wrong("--rounds", value, "must be from 1 to " APR_STRINGIFY(ROUNDS_MAX));
    case OPTION_METHOD:
        status = mproc_start_method_parse(&command->batch.method, value);
        if (APR_STATUS_IS_ENOTIMPL(status))
            return wrong("--method", value, "this system does not have it");
        return status == APR_SUCCESS ? ALL_DONE : wrong("--method", value, "must be forkserver, fork, spawn or thread");
    case OPTION_VIA:
        return read_way(&command->batch.settings.way, value) ? ALL_DONE
                                                             : wrong("--via", value, "must be file, pipe or shm");
    case 'q':
        command->batch.quiet = 1;
        return ALL_DONE;
    default:
        return USAGE_ERROR;
    }
}

/* Read the command line. Returns ALL_DONE, USAGE_ERROR, or -1 when the answer was already given. */
static int read_command(command_t *command, int argc, const char *const *argv, apr_pool_t *pool)
{
    apr_getopt_t *state;
    const char *value;
    int option;
    apr_status_t status = apr_getopt_init(&state, pool, argc, argv);
    if (status != APR_SUCCESS)
        return USAGE_ERROR;
    state->interleave = 1;

    while ((status = apr_getopt_long(state, option_table, &option, &value)) == APR_SUCCESS) {
        if (option == 'h') {
            printf("%s%s", usage_text, help_text);
            return -1;
        }
        if (option == OPTION_VERSION) {
            printf("mproc-blur %s\n", mproc_version());
            return -1;
        }
        if (take_option(command, option, value) != ALL_DONE)
            return USAGE_ERROR;
    }
    /* What is wrong with an option was told by APR. */
    if (!APR_STATUS_IS_EOF(status))
        return USAGE_ERROR;

    command->pictures = state->argv + state->ind;
    command->count = argc - state->ind;
    if (command->count == 0 || !command->folder) {
        fprintf(stderr, "mproc-blur: %s\n", command->folder ? "no pictures" : "no folder to write to (-o)");
        return USAGE_ERROR;
    }
    return ALL_DONE;
}

static int blur(const command_t *command, apr_pool_t *pool)
{
    plan_t plan;
    const char *reason;
    batch_result_t result;
    if (plan_make(&plan, &reason, command->pictures, command->count, command->folder, pool) != APR_SUCCESS) {
        fprintf(stderr, "mproc-blur: %s\n", reason);
        return SOME_FAILED;
    }
    result = batch_run(&plan, &command->batch, pool);
    if (result.interrupted_by != 0) {
        /* All is cleaned up. End as if the signal had not been caught, so that a shell's loop ends too. */
        signal(result.interrupted_by, SIG_DFL);
        raise(result.interrupted_by);
    }
    return result.failed == 0 ? ALL_DONE : SOME_FAILED;
}

int main(int argc, char **argv)
{
    /* APR makes names UTF-8 on Windows. It comes before mproc_initialize because workers use it too. */
    int count = argc;
    const char *const *arguments = (const char *const *)argv;
    apr_pool_t *pool;
    if (apr_app_initialize(&count, &arguments, NULL) != APR_SUCCESS)
        return SOME_FAILED;
    atexit(apr_terminate);

    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "mproc-blur: %s\n", mproc_last_error()->text);
        return SOME_FAILED;
    }
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return SOME_FAILED;

    command_t command = {.batch = {.settings = {.radius = 5, .rounds = 1}}};
    command.batch.jobs = mproc_cpu_count();
    if (command.batch.jobs > BATCH_JOBS_MAX)
        command.batch.jobs = BATCH_JOBS_MAX;

    int result = read_command(&command, count, arguments, pool);
    if (result == USAGE_ERROR)
        fputs(usage_text, stderr);
    if (result != ALL_DONE)
        return result < 0 ? ALL_DONE : result;
    return blur(&command, pool);
}
