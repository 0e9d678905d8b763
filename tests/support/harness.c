/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_thread_proc.h>

enum { WATCHDOG_SECONDS = 60, EXIT_SKIPPED = 77, EXIT_TIMEOUT = 99 };

static int was_skipped;

void skip_because(const char *reason)
{
    printf("skipped: %s\n", reason);
    fflush(stdout);
    was_skipped = 1;
    skip();
}

int slowdown(void)
{
    const char *factor = getenv("MPROC_TEST_SLOWDOWN");
    return factor && atoi(factor) > 1 ? atoi(factor) : 1;
}

void assert_status_at(apr_status_t status, apr_status_t expected, const char *call, const char *file, int line)
{
    char got[120], wanted[120];
    const mproc_error_t *error = mproc_last_error();
    if (status != expected) {
        print_error("%s\n  returned %d (%s), expected %d (%s)\n  %s\n", call, status,
                    mproc_strerror(status, got, sizeof got), expected, mproc_strerror(expected, wanted, sizeof wanted),
                    error->text);
        _fail(file, line);
    }
    if (expected != APR_SUCCESS && (error->status != status || !error->text[0])) {
        print_error("%s\n  returned %d, but mproc_last_error() says %d: '%s'\n", call, status, error->status,
                    error->text);
        _fail(file, line);
    }
}

void assert_error_names(const char *word)
{
    if (strstr(mproc_last_error()->text, word))
        return;
    print_error("'%s' does not name '%s'\n", mproc_last_error()->text, word);
    fail();
}

static int run_here(const char *name, const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tests[i].name, name) != 0)
            continue;
        const int failed = _cmocka_run_group_tests(name, &tests[i], 1, NULL, NULL);
        return failed ? 1 : was_skipped ? EXIT_SKIPPED : 0;
    }
    fprintf(stderr, "there is no test '%s'\n", name);
    return 2;
}

/** Start this program for one test, its output going to a file. */
static apr_status_t start(apr_proc_t *process, const char *program, const char *name, apr_file_t *output,
                          apr_pool_t *pool)
{
    const char *arguments[] = {program, "--only", name, NULL};
    apr_procattr_t *attributes;
    apr_status_t status = apr_procattr_create(&attributes, pool);
    if (status == APR_SUCCESS)
        status = apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV);
    if (status == APR_SUCCESS)
        status = apr_procattr_child_out_set(attributes, output, NULL);
    if (status == APR_SUCCESS)
        status = apr_procattr_child_err_set(attributes, output, NULL);
    return status == APR_SUCCESS ? apr_proc_create(process, program, arguments, NULL, attributes, pool) : status;
}

/** Wait for a test to end; kill it when it takes too long. */
static int watch(apr_proc_t *process)
{
    const apr_time_t end = apr_time_now() + apr_time_from_sec(WATCHDOG_SECONDS) * slowdown();
    apr_interval_time_t pause = 200;
    for (;;) {
        int code;
        apr_exit_why_e why;
        if (apr_proc_wait(process, &code, &why, APR_NOWAIT) == APR_CHILD_DONE)
            return why == APR_PROC_EXIT ? code : 128 + code;
        if (apr_time_now() > end) {
            apr_proc_kill(process, APR_KILL_ALWAYS);
            apr_proc_wait(process, &code, &why, APR_WAIT);
            return EXIT_TIMEOUT;
        }
        apr_sleep(pause);
        if (pause < 10000)
            pause *= 2;
    }
}

/** Copy what a test has printed: all of it, or just the reason why it was skipped. */
static void show(apr_file_t *output, int only_reason)
{
    apr_off_t start = 0;
    char line[1024];
    apr_file_seek(output, APR_SET, &start);
    while (apr_file_gets(line, sizeof line, output) == APR_SUCCESS)
        if (!only_reason || strncmp(line, "skipped: ", 9) == 0)
            printf("    %s", line);
}

static int run_apart(const char *program, const char *name, apr_pool_t *parent)
{
    static const char *const words[] = {"ok      ", "FAILED  ", "skipped ", "TIMEOUT "};
    apr_pool_t *pool;
    apr_file_t *output;
    apr_proc_t process;
    apr_status_t status;
    char path[] = "mproc-test-XXXXXX";
    apr_pool_create(&pool, parent);
    int code = 1;
    const apr_time_t begin = apr_time_now();
    if (apr_file_mktemp(&output, path, APR_READ | APR_WRITE | APR_CREATE | APR_EXCL | APR_DELONCLOSE, pool) !=
        APR_SUCCESS)
        printf("    no temporary file for the output in this folder\n");
    else if ((status = start(&process, program, name, output, pool)) != APR_SUCCESS)
        printf("    %s cannot be started: %d\n", program, status);
    else
        code = watch(&process);
    const int word = code == 0 ? 0 : code == EXIT_SKIPPED ? 2 : code == EXIT_TIMEOUT ? 3 : 1;
    printf("%s%s (%d ms)\n", words[word], name, (int)apr_time_as_msec(apr_time_now() - begin));
    if (word != 0)
        show(output, word == 2);
    if (word == 1)
        printf("    exit code %d\n", code);
    fflush(stdout);
    apr_pool_destroy(pool);
    return word;
}

int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    apr_pool_t *pool;
    int counts[4] = {0, 0, 0, 0};
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 2;
    }
    if (argc == 3 && strcmp(argv[1], "--only") == 0)
        return run_here(argv[2], tests, count);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            printf("%s\n", tests[i].name);
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "usage: %s [--only NAME | --list]\n", argv[0]);
        return 2;
    }
    apr_pool_create(&pool, NULL);
    for (size_t i = 0; i < count; i++)
        counts[run_apart(argv[0], tests[i].name, pool)]++;
    apr_pool_destroy(pool);
    printf("%d passed, %d failed, %d skipped\n", counts[0], counts[1] + counts[3], counts[2]);
    return counts[1] + counts[3] > 0;
}
