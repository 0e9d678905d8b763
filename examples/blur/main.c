/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mproc-blur: blur pictures by a pool of workers. The command line.
 */
#include <math.h>
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

/* Seconds: some days. */
#define TIMEOUT_MAX 1000000

enum {
    OPTION_RADIUS = 256,
    OPTION_ROUNDS,
    OPTION_TIMEOUT,
    OPTION_RETRIES,
    OPTION_CHAOS,
    OPTION_COMPARE,
    OPTION_NO_SHEET,
    OPTION_METHOD,
    OPTION_VIA,
    OPTION_VERSION
};

static const apr_getopt_option_t option_table[] = {
    {"output", 'o', 1, NULL},
    {"jobs", 'j', 1, NULL},
    {"radius", OPTION_RADIUS, 1, NULL},
    {"rounds", OPTION_ROUNDS, 1, NULL},
    {"timeout", OPTION_TIMEOUT, 1, NULL},
    {"retries", OPTION_RETRIES, 1, NULL},
    {"chaos", OPTION_CHAOS, 0, NULL},
    {"compare", OPTION_COMPARE, 0, NULL},
    {"no-sheet", OPTION_NO_SHEET, 0, NULL},
    {"method", OPTION_METHOD, 1, NULL},
    {"via", OPTION_VIA, 1, NULL},
    {"quiet", 'q', 0, NULL},
    {"help", 'h', 0, NULL},
    {"version", OPTION_VERSION, 0, NULL},
    {NULL, 0, 0, NULL},
};

static const char usage_text[] = "usage: mproc-blur PICTURES... -o FOLDER [-j N] [--radius R] [--rounds K]\n"
                                 "                  [--timeout SECONDS] [--retries N] [--chaos] [--compare]\n"
                                 "                  [--method forkserver|fork|spawn|thread]\n"
                                 "                  [--via file|pipe|shm] [--no-sheet] [--quiet]\n"
                                 "       mproc-blur --help | --version\n";

static const char help_text[] =
    "\n"
    "Blur pictures by a pool of workers, and write them to FOLDER as PNG, with a\n"
    "contact sheet if they are several (of the first 1000). A folder among the\n"
    "PICTURES stands for the pictures in it.\n"
    "\n"
    "  -o, --output FOLDER  where to write; made if it does not exist\n"
    "  -j, --jobs N         how many workers (default: one for each CPU)\n"
    "      --radius R       the standard deviation of the Gaussian, in pixels (default: 5)\n"
    "      --rounds K       how often each picture is blurred (default: 1)\n"
    "      --timeout S      how long a picture may take: then its worker is killed\n"
    "                       (default: for ever)\n"
    "      --retries N      how often a picture is done again whose worker has died, or\n"
    "                       whose time was up (default: 2)\n"
    "      --chaos          kill the worker in the middle of every fourth picture, once\n"
    "      --compare        do all in one process first, and tell how much faster the\n"
    "                       workers are, and whether the pictures are the same\n"
    "      --no-sheet       write no contact sheet\n"
    "      --method M       how processes are started (default: the platform's)\n"
    "      --via file|pipe|shm\n"
    "                       file: workers of a pool read and write the files (the\n"
    "                       default); pipe: a process for each picture gets and returns\n"
    "                       it through a pipe; shm: the same, in shared memory\n"
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
    int has_no_sheet;
    /* The last option that is for a pool alone, or NULL. */
    const char *for_pool;
    /* The last option that threads cannot have, or NULL. */
    const char *for_processes;
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
static int read_number(int *number, const char *text, int minimum, int maximum)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < minimum || value > maximum)
        return 0;
    *number = (int)value;
    return 1;
}

static int read_real(double *number, const char *text, double maximum)
{
    char *end;
    double value = strtod(text, &end);
    /* Written so that it is false for what is not a number. */
    if (end == text || *end != '\0' || !(value > 0 && value <= maximum))
        return 0;
    *number = value;
    return 1;
}

static int read_way(batch_way_t *way, const char *text)
{
    static const char *const names[] = {[BATCH_VIA_FILE] = "file", [BATCH_VIA_PIPE] = "pipe", [BATCH_VIA_SHM] = "shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            *way = (batch_way_t)i;
            return 1;
        }
    }
    return 0;
}

static int read_timeout(apr_interval_time_t *timeout, const char *text)
{
    double seconds;
    if (!read_real(&seconds, text, TIMEOUT_MAX))
        return 0;
    *timeout = (apr_interval_time_t)ceil(seconds * APR_USEC_PER_SEC);
    return 1;
}

/* Take an option that is for a pool alone. Returns ALL_DONE or USAGE_ERROR. */
static int take_pool_option(command_t *command, int option, const char *value)
{
    switch (option) {
    case OPTION_TIMEOUT:
        command->for_pool = command->for_processes = "--timeout";
        return read_timeout(&command->batch.timeout, value)
                   ? ALL_DONE
                   : wrong("--timeout", value, "must be above 0 and up to " APR_STRINGIFY(TIMEOUT_MAX));
    case OPTION_RETRIES:
        command->for_pool = "--retries";
        return read_number(&command->batch.retries, value, 0, BATCH_RETRIES_MAX)
                   ? ALL_DONE
                   : wrong("--retries", value, "must be from 0 to " APR_STRINGIFY(BATCH_RETRIES_MAX));
    case OPTION_CHAOS:
        command->for_pool = command->for_processes = "--chaos";
        command->batch.chaos = 1;
        return ALL_DONE;
    case OPTION_COMPARE:
        command->for_pool = "--compare";
        command->batch.compare = 1;
        return ALL_DONE;
    default:
        return USAGE_ERROR;
    }
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
        return read_number(&command->batch.jobs, value, 1, BATCH_JOBS_MAX)
                   ? ALL_DONE
                   : wrong("-j", value, "must be from 1 to " APR_STRINGIFY(BATCH_JOBS_MAX));
    case OPTION_RADIUS:
        return read_real(&command->batch.settings.radius, value, GAUSS_RADIUS_MAX)
                   ? ALL_DONE
                   : wrong("--radius", value, "must be above 0 and up to 10000");
    case OPTION_ROUNDS:
        return read_number(&command->batch.settings.rounds, value, 1, ROUNDS_MAX)
                   ? ALL_DONE
                   : wrong("--rounds", value, "must be from 1 to " APR_STRINGIFY(ROUNDS_MAX));
    case OPTION_METHOD:
        status = mproc_start_method_parse(&command->batch.method, value);
        if (APR_STATUS_IS_ENOTIMPL(status))
            return wrong("--method", value, "this system does not have it");
        return status == APR_SUCCESS ? ALL_DONE : wrong("--method", value, "must be forkserver, fork, spawn or thread");
    case OPTION_VIA:
        return read_way(&command->batch.way, value) ? ALL_DONE : wrong("--via", value, "must be file, pipe or shm");
    case OPTION_NO_SHEET:
        command->has_no_sheet = 1;
        return ALL_DONE;
    case 'q':
        command->batch.quiet = 1;
        return ALL_DONE;
    default:
        return take_pool_option(command, option, value);
    }
}

/* Whether the options go together. Returns ALL_DONE or USAGE_ERROR. */
static int check_command(const command_t *command)
{
    const mproc_start_method_t method =
        command->batch.method == MPROC_DEFAULT ? mproc_get_start_method() : command->batch.method;
    if (command->count == 0 || !command->folder) {
        fprintf(stderr, "mproc-blur: %s\n", command->folder ? "no pictures" : "no folder to write to (-o)");
        return USAGE_ERROR;
    }
    if (command->for_pool && command->batch.way != BATCH_VIA_FILE)
        return wrong(command->for_pool, "is for a pool", "only with --via file");
    if (command->for_processes && method == MPROC_THREAD)
        return wrong(command->for_processes, "ends processes", "not with threads, which cannot be ended");
    return ALL_DONE;
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
    return check_command(command);
}

static int blur(const command_t *command, apr_pool_t *pool)
{
    plan_t plan;
    const char *reason;
    batch_result_t result;
    if (plan_make(&plan, &reason, command->pictures, command->count, command->folder, !command->has_no_sheet, pool) !=
        APR_SUCCESS) {
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

    command_t command = {.batch = {.settings = {.radius = 5, .rounds = 1}, .retries = 2}};
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
