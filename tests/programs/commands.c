/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for tests of external programs. It prints each argument as a line of hex digits; or it does what its first
 * argument says: see `commands` below. All its streams are binary.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include <mproc/mproc.h>

#include "support/support.h"

static const char *self;
static apr_pool_t *pool;
static apr_file_t *input, *output, *error_output;

static void put(apr_file_t *file, const void *data, size_t size)
{
    if (apr_file_write_full(file, data, size, NULL) != APR_SUCCESS)
        exit(3);
}

static void say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    const char *text = apr_pvsprintf(pool, format, values);
    va_end(values);
    put(output, text, strlen(text));
}

static int sleep_for(char **arguments)
{
    apr_sleep(apr_time_from_sec(atoi(arguments[0])));
    return 0;
}

/** Start this program with `--sleep SECONDS` and all its streams. */
static int start_sleeper(const char *seconds)
{
    const char *arguments[] = {self, "--sleep", seconds, NULL};
    apr_procattr_t *attributes;
    apr_proc_t process;
    if (apr_procattr_create(&attributes, pool) != APR_SUCCESS ||
        apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV) != APR_SUCCESS ||
        apr_procattr_child_out_set(attributes, output, NULL) != APR_SUCCESS ||
        apr_procattr_child_err_set(attributes, error_output, NULL) != APR_SUCCESS ||
        apr_proc_create(&process, self, arguments, NULL, attributes, pool) != APR_SUCCESS)
        exit(4);
    return (int)process.pid;
}

static int leave_sleeper(char **arguments)
{
    say("%d\n", start_sleeper(arguments[0]));
    return 0;
}

static int be_tree(char **arguments)
{
    /* Its own pid is what mproc knows without being initialized. */
    const int child = start_sleeper(arguments[0]);
    say("%d %d\n", mproc_getpid(), child);
    return sleep_for(arguments);
}

static int end_with(char **arguments)
{
    return atoi(arguments[0]);
}

static int echo(char **arguments)
{
    static char buffer[1 << 16];
    (void)arguments;
    for (;;) {
        apr_size_t size = sizeof buffer;
        if (apr_file_read(input, buffer, &size) != APR_SUCCESS)
            return 0;
        put(output, buffer, size);
    }
}

/** Write `N` bytes to each output, by turns; what comes out can be told by its letter. */
static int write_both(char **arguments)
{
    char out[1000], err[1000];
    memset(out, 'o', sizeof out);
    memset(err, 'e', sizeof err);
    for (size_t left = (size_t)atoi(arguments[0]); left > 0;) {
        const size_t size = left < sizeof out ? left : sizeof out;
        put(output, out, size);
        put(error_output, err, size);
        left -= size;
    }
    return 0;
}

static int write_for_ever(char **arguments)
{
    char block[4096];
    (void)arguments;
    memset(block, 'y', sizeof block);
    while (apr_file_write_full(output, block, sizeof block, NULL) == APR_SUCCESS) {}
    return 3;
}

static int tell_variable(char **arguments)
{
    char *value;
    if (apr_env_get(&value, arguments[0], pool) == APR_SUCCESS)
        say("=%s", value);
    else
        say("none");
    return 0;
}

static int tell_folder(char **arguments)
{
    char *path;
    (void)arguments;
    if (apr_filepath_get(&path, 0, pool) != APR_SUCCESS)
        return 5;
    say("%s", path);
    return 0;
}

static int be_stubborn(char **arguments)
{
    (void)arguments;
    signal(SIGTERM, SIG_IGN);
    say("ready\n");
    apr_sleep(apr_time_from_sec(600));
    return 0;
}

static int close_input(char **arguments)
{
    (void)arguments;
    apr_file_close(input);
    say("closed\n");
    apr_sleep(apr_time_from_msec(300));
    return 0;
}

/** Write to handles by their numbers. */
static int use_handles(char **arguments)
{
    for (; *arguments; arguments++) {
        apr_os_file_t native = (apr_os_file_t)(intptr_t)strtoll(*arguments, NULL, 10);
        apr_file_t *file = NULL;
        if (apr_os_pipe_put_ex(&file, &native, 1, pool) != APR_SUCCESS)
            return 6;
        put(file, *arguments, strlen(*arguments));
    }
    return 0;
}

static int count_handles(char **arguments)
{
    (void)arguments;
    say("%d", count_given());
    return 0;
}

/** Write text to standard error, and end with an exit code. */
static int complain(char **arguments)
{
    put(error_output, arguments[1], strlen(arguments[1]));
    return atoi(arguments[0]);
}

static int say_text(char **arguments)
{
    put(output, arguments[0], strlen(arguments[0]));
    return 0;
}

static const struct {
    const char *name;
    int (*act)(char **arguments);
    int count;
} commands[] = {
    {"--exit", end_with, 1},            /* N: end with this exit code */
    {"--echo", echo, 0},                /* standard input to standard output */
    {"--both", write_both, 1},          /* N: so many bytes to both outputs */
    {"--forever", write_for_ever, 0},   /* to standard output */
    {"--sleep", sleep_for, 1},          /* SECONDS */
    {"--tree", be_tree, 1},             /* SECONDS: start a sleeper, tell both pids, and sleep */
    {"--background", leave_sleeper, 1}, /* SECONDS: start a sleeper that holds the outputs, tell its pid, and end */
    {"--env", tell_variable, 1},        /* NAME: "=value", or "none" */
    {"--cwd", tell_folder, 0},          /* the working folder */
    {"--stubborn", be_stubborn, 0},     /* ignore SIGTERM, say "ready", and sleep */
    {"--close-input", close_input, 0},  /* close standard input, say "closed", and sleep a little */
    {"--handles", use_handles, 1},      /* NUMBER...: write its own number to each handle */
    {"--count", count_handles, 0},      /* the descriptors or handles that it was given; -1: unknown */
    {"--complain", complain, 2},        /* N TEXT: write it to standard error, and end with this exit code */
    {"--say", say_text, 1},             /* TEXT: write it to standard output */
};

int main(int argc, const char *const *argv)
{
    if (apr_app_initialize(&argc, &argv, NULL) != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 2;
    atexit(apr_terminate);
    self = argv[0];
    apr_file_open_stdin(&input, pool);
    apr_file_open_stdout(&output, pool);
    apr_file_open_stderr(&error_output, pool);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return argc - 2 < commands[i].count ? 2 : commands[i].act((char **)(uintptr_t)(argv + 2));
    for (int i = 1; i < argc; i++) {
        for (const unsigned char *at = (const unsigned char *)argv[i]; *at; at++)
            say("%02x", *at);
        say("\n");
    }
    return 0;
}
