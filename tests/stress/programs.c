/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many short external programs, one after the other: started and waited for, run with their outputs captured, given
 * input, started by another thread, stopped, connected, detached; and some that cannot be started.
 *
 *     programs [COUNT]
 *
 * It ends with 0 if each gave what it had to give, and at the end no child (also none that has ended), thread or
 * descriptor is left. Linux only: it looks into /proc.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "support/messages.h"
#include "support/support.h"
#include "unix/processes.h"

#define SHELL(command) ((const char *const[]){"/bin/sh", "-c", command, NULL})

static int failures;

/** Note a failure; the first ones are printed. */
static void expect(int is_right, const char *what, int number)
{
    if (is_right || failures++ > 20)
        return;
    printf("program %d, %s: %s\n", number, what, mproc_last_error()->text);
}

static void start_and_wait(int number)
{
    mproc_subprocess_t *subprocess;
    int code = -1;
    expect(mproc_subprocess_start(&subprocess, SHELL("exit 3"), NULL) == APR_SUCCESS &&
               mproc_subprocess_wait(subprocess, patience()) == APR_SUCCESS &&
               mproc_subprocess_exitcode(subprocess, &code) == APR_SUCCESS &&
               mproc_subprocess_close(subprocess) == APR_SUCCESS && code == 3,
           "start and wait", number);
}

static void capture(int number)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    opts.standard_output = opts.standard_error = mproc_stdio_pipe();
    expect(mproc_subprocess_run(&done, SHELL("echo out; echo err >&2"), &opts, patience()) == APR_SUCCESS &&
               done.exitcode == 0 && strcmp(done.output, "out\n") == 0 && strcmp(done.error_output, "err\n") == 0,
           "outputs", number);
    mproc_completed_clear(&done);
}

static void give_input(int number)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    opts.input = "in";
    opts.input_size = 2;
    expect(mproc_subprocess_check_output(&done, SHELL("exec cat"), &opts, patience()) == APR_SUCCESS &&
               done.output_size == 2 && memcmp(done.output, "in", 2) == 0,
           "input", number);
    mproc_completed_clear(&done);
}

static void *start_in_thread(void *number)
{
    start_and_wait(*(int *)number);
    return NULL;
}

static void start_by_thread(int number)
{
    pthread_t thread;
    expect(pthread_create(&thread, NULL, start_in_thread, &number) == 0 && pthread_join(thread, NULL) == 0, "thread",
           number);
}

static void stop(int number)
{
    mproc_subprocess_t *subprocess;
    int code = 0;
    expect(mproc_subprocess_start(&subprocess, SHELL("exec sleep 600"), NULL) == APR_SUCCESS &&
               mproc_subprocess_stop(subprocess, patience()) == APR_SUCCESS &&
               mproc_subprocess_finish(subprocess, &code) == APR_SUCCESS && code == -15,
           "stop", number);
}

static void connect_two(int number)
{
    const char *const *const commands[] = {SHELL("echo one"), SHELL("exec cat")};
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    opts.standard_output = mproc_stdio_pipe();
    expect(mproc_subprocess_pipeline(&done, NULL, commands, 2, &opts, patience()) == APR_SUCCESS &&
               strcmp(done.output, "one\n") == 0,
           "pipeline", number);
    mproc_completed_clear(&done);
}

static void detach(int number)
{
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    opts.detached = 1;
    expect(mproc_subprocess_start(&subprocess, SHELL("exit 0"), &opts) == APR_SUCCESS &&
               mproc_subprocess_close(subprocess) == APR_SUCCESS,
           "detached", number);
}

static void fail_to_start(int number)
{
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    const char *const missing[] = {"/no-such-program", NULL};
    opts.standard_input = opts.standard_output = mproc_stdio_pipe();
    expect(mproc_subprocess_start(&subprocess, missing, &opts) == APR_ENOENT, "missing", number);
}

static void run_all(int count)
{
    static void (*const ways[])(int number) = {start_and_wait, capture,     give_input, start_by_thread,
                                               stop,           connect_two, detach,     fail_to_start};
    for (int i = 0; i < count; i++)
        ways[(size_t)i % (sizeof ways / sizeof ways[0])](i);
}

/** Detached ones that had not ended when the last one started are noticed, and forgotten, by the next. */
static void let_all_end(void)
{
    for (int i = 0; i < 1000 && children_of(getpid(), NULL, 0) > 0; i++) {
        apr_sleep(MPROC_MILLISECONDS(10));
        start_and_wait(-1);
    }
}

static void compare(const char *what, int before, int after)
{
    if (before == after)
        return;
    printf("%d %s before, %d after\n", before, what, after);
    failures++;
}

int main(int argc, char **argv)
{
    enum { WARM_UP = 16, USUAL = 10000 };
    const int count = argc > 1 ? atoi(argv[1]) : USUAL;
    if (count < 1 || mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "usage: programs [COUNT]\n");
        return 2;
    }
    run_all(WARM_UP);
    let_all_end();
    const int descriptors = count_descriptors();
    const int threads = count_threads();
    run_all(count);
    let_all_end();
    compare("children", 0, children_of(getpid(), NULL, 0));
    compare("descriptors", descriptors, count_descriptors());
    compare("threads", threads, count_threads());
    printf("%d programs, %d descriptors, %d threads; %d faults\n", count, count_descriptors(), count_threads(),
           failures);
    return failures > 0;
}
