/* SPDX-License-Identifier: Apache-2.0 */
/* External programs of children: a child of every start method can run them, and they end with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

#define PROGRAM(...) ((const char *const[]){PROGRAM_COMMANDS, __VA_ARGS__, NULL})

static int run_echo(mproc_call_t *call)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)call;
    opts.input = "there and back";
    opts.input_size = strlen(opts.input);
    for (int i = 0; i < 5; i++) {
        if (mproc_subprocess_check_output(&done, PROGRAM("--echo"), &opts, patience()) != APR_SUCCESS)
            return 1;
        const int is_right = strcmp(done.output, opts.input) == 0;
        mproc_completed_clear(&done);
        if (!is_right)
            return 2;
    }
    return 5;
}

static void test_run(void **state)
{
    (void)state;
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    const int used = count_after_waiting();
    for (int i = 0; i < 3; i++)
        assert_int_equal(finish(start(run_echo, method_options())), 5);
    if (method_under_test() == MPROC_THREAD)
        expect_descriptors(used);
}

/** How a child leaves its program. */
enum { RETURN, EXIT, SLEEP, BY_THREAD, DETACHED };

typedef struct wish_t {
    int how;
    const char *option;
} wish_t;

static mproc_subprocess_t *started;

static void start_program(void *context)
{
    const wish_t *wish = context;
    mproc_subprocess_opts_t opts = {0};
    opts.standard_output = mproc_stdio_pipe();
    opts.grace = MPROC_MILLISECONDS(200);
    opts.detached = wish->how == DETACHED;
    const char *const tree[] = {PROGRAM_COMMANDS, "--tree", "600", NULL};
    const char *const stubborn[] = {PROGRAM_COMMANDS, "--stubborn", NULL};
    mproc_subprocess_start(&started, strcmp(wish->option, "--tree") == 0 ? tree : stubborn, &opts);
}

static int leave_program(mproc_call_t *call)
{
    static wish_t wish;
    char text[100], *line = NULL;
    const char *words = mproc_call_data(call, 3);
    wish.how = words[0] - '0';
    wish.option = words[1] == 't' ? "--tree" : "--stubborn";
    if (wish.how == BY_THREAD) {
        later_t later;
        begin_later(&later, 0, start_program, &wish);
        end_later(&later);
    } else {
        start_program(&wish);
    }
    if (mproc_subprocess_read_line(started, MPROC_OUTPUT, &line, NULL, patience()) != APR_SUCCESS)
        return 1;
    /* Its own pid first, and what it has started. */
    snprintf(text, sizeof text, "%d %s\n", mproc_subprocess_pid(started), words[1] == 't' ? strchr(line, ' ') : "");
    mproc_free(line);
    if (write_and_close(mproc_call_handle(call, 0), text) != 0)
        return 2;
    if (wish.how == EXIT)
        exit(9);
    if (wish.how == SLEEP || wish.how == BY_THREAD)
        apr_sleep(apr_time_from_sec(600));
    return 9;
}

/** Start a child that leaves a program, and tell the pids. */
static mproc_process_t *start_leaving(int how, char option, int *pid, int *child)
{
    char text[100];
    char words[3] = {(char)('0' + how), option, '\0'};
    apr_file_t *reader;
    mproc_process_opts_t opts = method_options();
    opts.data = words;
    opts.size = sizeof words;
    mproc_process_t *process = start_writing(&reader, leave_program, opts);
    /* A line: a forked child holds the pipe once more, and its end does not come. */
    assert_int_equal(apr_file_gets(text, sizeof text, reader), APR_SUCCESS);
    apr_file_close(reader);
    *child = 0;
    if (sscanf(text, "%d %d", pid, child) < 1)
        fail_msg("the child has said '%s'", text);
    assert_true(*pid > 0);
    return process;
}

static void need_process(void)
{
    skip_under(MPROC_THREAD, "programs of a thread are its process's");
}

/** At the orderly end of a child its programs are stopped, with all that they have started. */
static void test_orderly_end(void **state)
{
    int pid, child;
    (void)state;
    need_process();
    for (int how = RETURN; how <= EXIT; how++) {
        mproc_process_t *process = start_leaving(how, 't', &pid, &child);
        assert_int_equal(finish(process), 9);
        assert_true(is_gone_within(pid, 20));
        assert_true(child > 0 && is_gone_within(child, 20));
        process = start_leaving(how, 's', &pid, &child);
        assert_int_equal(finish(process), 9);
        assert_true(is_gone_within(pid, 20));
    }
}

/** A child that is killed takes its programs with it, where the kernel sees to that. */
static void test_killed(void **state)
{
    int pid, child;
    (void)state;
    need_process();
    for (int how = SLEEP; how <= BY_THREAD; how++) {
        mproc_process_t *process = start_leaving(how, 's', &pid, &child);
        assert_true(lives(pid));
        assert_success(mproc_process_kill(process));
        assert_int_equal(finish(process), -9);
        if (is_gone_within(pid, 20))
            continue;
        /* Only where tests/skips.txt says so. */
        kill_by_pid(pid);
        skip_because("programs live on when their creator is killed here");
    }
}

/** Detached ones live on. */
static void test_detached(void **state)
{
    int pid, child;
    (void)state;
    need_process();
    mproc_process_t *process = start_leaving(DETACHED, 's', &pid, &child);
    assert_int_equal(finish(process), 9);
    assert_true(lives(pid));
    kill_by_pid(pid);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_orderly_end),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_detached),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
