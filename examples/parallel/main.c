/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mproc-parallel: run a command for each line of input, several at a time. The command line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>

#include <mproc/mproc.h>

#include "crew.h"
#include "lines.h"

/* Exit codes; those from 1 to 100 are numbers of failures. */
enum { ALL_DONE = 0, MANY_FAILED = 101, CANNOT_RUN = 255 };

#define RETRIES_MAX 1000000
#define TIMEOUT_MAX 1e9

enum {
    OPTION_BAR = 256,
    OPTION_BAR_ALWAYS,
    OPTION_UNORDERED,
    OPTION_HALT,
    OPTION_TIMEOUT,
    OPTION_RETRIES,
    OPTION_JOBLOG,
    OPTION_RESUME,
    OPTION_VERSION
};

static const apr_getopt_option_t option_table[] = {
    {"jobs", 'j', 1, NULL},
    {"arg-file", 'a', 1, NULL},
    /* APR knows no arguments that may be left out. */
    {"bar=always", OPTION_BAR_ALWAYS, 0, NULL},
    {"bar", OPTION_BAR, 0, NULL},
    {"unordered", OPTION_UNORDERED, 0, NULL},
    {"halt", OPTION_HALT, 1, NULL},
    {"timeout", OPTION_TIMEOUT, 1, NULL},
    {"retries", OPTION_RETRIES, 1, NULL},
    {"joblog", OPTION_JOBLOG, 1, NULL},
    {"resume", OPTION_RESUME, 0, NULL},
    {"help", 'h', 0, NULL},
    {"version", OPTION_VERSION, 0, NULL},
    {NULL, 0, 0, NULL},
};

static const char usage_text[] = "usage: mproc-parallel [OPTION...] COMMAND [ARGUMENT...]\n"
                                 "       mproc-parallel --help | --version\n";

static const char help_text[] =
    "\n"
    "Run COMMAND for each line of input, several at a time, without a shell. {} in the\n"
    "command and its arguments stands for the line; without any {} it is the last\n"
    "argument. All input is read first. Commands have no standard input.\n"
    "\n"
    "  -j, --jobs N         how many at once (default: one for each CPU)\n"
    "  -a, --arg-file FILE  where the lines are (default: standard input)\n"
    "      --bar[=always]   show how far it is, if standard error is a terminal, or always\n"
    "      --unordered      pass on output as commands end, not in the order of the lines\n"
    "      --halt WHEN      after a failure: never (go on, the default), soon (start no\n"
    "                       more), now (stop those that run, too)\n"
    "      --timeout SECS   stop a command that takes longer; fractions are allowed\n"
    "      --retries N      run a command that fails up to N times more; the last output\n"
    "                       counts\n"
    "      --joblog FILE    write a line for each command whose output was passed on: number,\n"
    "                       start, run time, exit code or minus a signal, attempts, line\n"
    "      --resume         go on with the job log: leave out what has succeeded\n"
    "  -h, --help           show this\n"
    "      --version        show the version\n"
    "\n"
    "In the log, exit code 124 is a timeout, and 127 a command that cannot be started.\n"
    "\n"
    "Exit code: 0 if all have succeeded, 1 to 100 is how many have failed, 101 is more,\n"
    "255 for a wrong command line, or files that cannot be read or written.\n";

/* What the command line says. */
typedef struct command_t {
    crew_options_t crew;
    const char *input;
    const char *log;
    int resume;
} command_t;

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "mproc-parallel: %s: %s\n", what, why);
    return CANNOT_RUN;
}

static int complain_of_status(const char *what, apr_status_t status)
{
    char text[200];
    return complain(what, apr_strerror(status, text, sizeof text));
}

static int read_number(int *number, const char *text, int minimum, int maximum)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < minimum || value > maximum)
        return complain(text, "a number is needed, not too small or large");
    *number = (int)value;
    return ALL_DONE;
}

static int read_timeout(apr_interval_time_t *timeout, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    /* Written so that it is false for what is not a number. */
    if (end == text || *end != '\0' || !(value > 0 && value <= TIMEOUT_MAX))
        return complain(text, "a number of seconds is needed");
    *timeout = MPROC_SECONDS(value);
    return ALL_DONE;
}

static int read_halt(halt_t *halt, const char *text)
{
    static const char *const names[] = {[HALT_NEVER] = "never", [HALT_SOON] = "soon", [HALT_NOW] = "now"};
    for (int i = HALT_NEVER; i <= HALT_NOW; i++) {
        if (strcmp(text, names[i]) == 0) {
            *halt = (halt_t)i;
            return ALL_DONE;
        }
    }
    return complain(text, "--halt is never, soon or now");
}

/* Take one option. Returns ALL_DONE or CANNOT_RUN. */
static int take_option(command_t *command, int option, const char *value)
{
    switch (option) {
    case 'j':
        return read_number(&command->crew.size, value, 1, CREW_SIZE_MAX);
    case 'a':
        command->input = value;
        return ALL_DONE;
    case OPTION_BAR:
        command->crew.bar = PROGRESS_ON_TERMINAL;
        return ALL_DONE;
    case OPTION_BAR_ALWAYS:
        command->crew.bar = PROGRESS_ALWAYS;
        return ALL_DONE;
    case OPTION_UNORDERED:
        command->crew.unordered = 1;
        return ALL_DONE;
    case OPTION_HALT:
        return read_halt(&command->crew.halt, value);
    case OPTION_TIMEOUT:
        return read_timeout(&command->crew.timeout, value);
    case OPTION_RETRIES:
        return read_number(&command->crew.retries, value, 0, RETRIES_MAX);
    case OPTION_JOBLOG:
        command->log = value;
        return ALL_DONE;
    case OPTION_RESUME:
        command->resume = 1;
        return ALL_DONE;
    default:
        return CANNOT_RUN;
    }
}

/* Read the command line. Returns ALL_DONE, CANNOT_RUN, or -1 when the answer was already given. */
static int read_command(command_t *command, int argc, const char *const *argv, apr_pool_t *pool)
{
    apr_getopt_t *state;
    const char *value;
    int option;
    /* Options behind the first argument are the command's. */
    apr_status_t status = apr_getopt_init(&state, pool, argc, argv);
    if (status != APR_SUCCESS)
        return complain_of_status("command line", status);
    while ((status = apr_getopt_long(state, option_table, &option, &value)) == APR_SUCCESS) {
        if (option == 'h') {
            printf("%s%s", usage_text, help_text);
            return -1;
        }
        if (option == OPTION_VERSION) {
            printf("mproc-parallel %s\n", mproc_version());
            return -1;
        }
        if (take_option(command, option, value) != ALL_DONE)
            return CANNOT_RUN;
    }
    /* What is wrong with an option was told by APR. */
    if (!APR_STATUS_IS_EOF(status))
        return CANNOT_RUN;
    if (state->ind == argc)
        return complain("command line", "no command");
    if (command->resume && !command->log)
        return complain("--resume", "needs --joblog");
    command->crew.pattern = argv + state->ind;
    return ALL_DONE;
}

static apr_status_t read_input(lines_t *lines, const char *path, apr_pool_t *pool)
{
    apr_file_t *file;
    apr_status_t status = path ? apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, pool)
                               : apr_file_open_stdin(&file, pool);
    return status == APR_SUCCESS ? lines_read(lines, file, pool) : status;
}

static int run(command_t *command, apr_pool_t *pool)
{
    lines_t lines;
    apr_status_t status = read_input(&lines, command->input, pool);
    if (status != APR_SUCCESS)
        return complain_of_status(command->input ? command->input : "standard input", status);
    job_t *jobs = apr_pcalloc(pool, (lines.count + 1) * sizeof *jobs);
    for (size_t i = 0; i < lines.count; i++) {
        jobs[i].number = i + 1;
        jobs[i].line = lines.items[i];
    }

    if (command->log) {
        status = command->resume ? joblog_resume(&command->crew.log, command->log, jobs, lines.count, pool)
                                 : joblog_open(&command->crew.log, command->log, pool);
        if (status != APR_SUCCESS)
            return complain_of_status(command->log, status);
    }

    crew_result_t result = crew_run(jobs, lines.count, &command->crew, pool);
    if (result.reason)
        return complain("failed", result.reason);
    if (result.interrupted_by != 0) {
        /* All is cleaned up. End as if the signal had not been caught, so that a shell's loop ends too. */
        signal(result.interrupted_by, SIG_DFL);
        raise(result.interrupted_by);
    }
    return result.failed < MANY_FAILED ? (int)result.failed : MANY_FAILED;
}

int main(int argc, char **argv)
{
    /* APR makes the command line UTF-8 on Windows. */
    int count = argc;
    const char *const *arguments = (const char *const *)argv;
    apr_pool_t *pool;
    if (apr_app_initialize(&count, &arguments, NULL) != APR_SUCCESS)
        return CANNOT_RUN;
    atexit(apr_terminate);

    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return complain("initialize", mproc_last_error()->text);
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return CANNOT_RUN;

    command_t command = {.crew = {.timeout = MPROC_FOREVER}};
    command.crew.size = mproc_cpu_count();
    if (command.crew.size > CREW_SIZE_MAX)
        command.crew.size = CREW_SIZE_MAX;

    int result = read_command(&command, count, arguments, pool);
    if (result == CANNOT_RUN)
        fputs(usage_text, stderr);
    if (result != ALL_DONE)
        return result < 0 ? ALL_DONE : result;
    return run(&command, pool);
}
