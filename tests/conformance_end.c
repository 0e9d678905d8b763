/* SPDX-License-Identifier: Apache-2.0 */
/* How processes end under every start method: asked, killed, crashed, and what their end does not depend on. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_signal.h>
#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"
#include "sys.h"

static const char not_by_thread[] = "a thread cannot be ended from outside, and its crash is its process's";

/** Say that it runs, then run on. */
static int run_on(mproc_call_t *call)
{
    write_and_close(mproc_call_handle(call, 0), "ready");
    apr_sleep(apr_time_from_sec(600));
    return 0;
}

static int run_on_ignoring(mproc_call_t *call)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    return run_on(call);
}

/** Start a target and wait until it says that it runs. */
static mproc_process_t *start_and_hear(mproc_target_t target, mproc_process_opts_t opts)
{
    char text[] = "-----";
    apr_file_t *reader;
    mproc_process_t *process = start_writing(&reader, target, opts);
    /* Not to its end: a forked child has inherited the other end as well. */
    assert_int_equal(apr_file_read_full(reader, text, 5, NULL), APR_SUCCESS);
    apr_file_close(reader);
    assert_string_equal(text, "ready");
    return process;
}

static void check_ended_by(apr_status_t (*end)(mproc_process_t *), int expected)
{
    int64_t native = 0;
    char text[80];
    mproc_process_t *process = start_and_hear(run_on, method_options());
    const int pid = mproc_process_pid(process);
    assert_true(mproc_process_is_alive(process));
    assert_success(end(process));
    assert_success(mproc_process_join(process, MPROC_SECONDS(30)));
    assert_false(mproc_process_is_alive(process));
    assert_success(end(process)); /* that is what the caller wanted */
    assert_success(mproc_process_native_exitcode(process, &native));
    assert_int_not_equal(native, 0);
    assert_int_equal(finish(process), expected);
    assert_false(lives(pid));
    assert_non_null(strstr(mproc_exitcode_text(expected, text, sizeof text), "SIG"));
}

static void test_terminate(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    check_ended_by(mproc_process_terminate, -15);
}

static void test_kill(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    check_ended_by(mproc_process_kill, -9);
}

static void test_interrupt(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    check_ended_by(mproc_process_interrupt, -2);
}

static void test_stop(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_t *process = start_and_hear(run_on, method_options());
    assert_success(mproc_process_stop(process, MPROC_SECONDS(30)));
    assert_int_equal(finish(process), -15);
    process = start_and_hear(run_on_ignoring, method_options());
    assert_success(mproc_process_stop(process, MPROC_MILLISECONDS(50)));
    assert_int_equal(finish(process),
                     has_fork() ? -9 : -15); /* where signals cannot be ignored, the first one does it */
}

static void test_terminate_with_signals_blocked(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    if (!has_fork())
        skip_because("signals cannot be blocked here");
    skip_under(MPROC_FORK, "a forked child inherits blocked signals");
    apr_signal_block(SIGTERM);
    mproc_process_t *process = start_and_hear(run_on, method_options());
    assert_success(mproc_process_terminate(process));
    assert_int_equal(finish(process), -15);
}

static int abort_now(mproc_call_t *call)
{
    (void)call;
    abort();
}

static int touch_nothing(mproc_call_t *call)
{
    signal(SIGSEGV, SIG_DFL); /* CMocka catches it, and a forked child inherits that */
    volatile int *volatile nowhere = (volatile int *)(uintptr_t)(mproc_call_arg_count(call) + 8);
    return *nowhere;
}

static void test_crashes(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    if (slowdown() > 1)
        skip_because("a sanitizer or an emulator has crashes of its own");
    assert_int_equal(finish(start(abort_now, method_options())), -6);
    assert_int_equal(finish(start(touch_nothing, method_options())), -11);
}

static void test_sentinel(void **state)
{
    mproc_os_handle_t sentinel;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_t *process = start_and_hear(run_on, method_options());
    assert_success(mproc_process_sentinel(process, &sentinel));
    assert_int_not_equal(sentinel, MPROC_NO_HANDLE);
    assert_int_equal(sys_wait(sentinel, 0), APR_TIMEUP);
    assert_success(mproc_process_kill(process));
    assert_int_equal(sys_wait(sentinel, sys_now() + 30000000), APR_SUCCESS);
    assert_success(mproc_process_join(process, 0));
    assert_int_equal(sys_wait(sentinel, 0), APR_SUCCESS);
    assert_int_equal(finish(process), -9);
}

/* ---- R6: what grandchildren inherited does not matter ------------------------------------------------------------ */

static char own_path[1024];

/** Start this program to sleep, with all that it inherits, and leave it behind. */
static int leave_a_sleeper(mproc_call_t *call)
{
    apr_pool_t *pool;
    apr_procattr_t *attributes;
    apr_proc_t sleeper;
    const char *arguments[] = {mproc_call_string(call, 0), "--sleep", NULL};
    apr_pool_create(&pool, NULL);
    if (apr_procattr_create(&attributes, pool) != APR_SUCCESS ||
        apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV) != APR_SUCCESS ||
        apr_proc_create(&sleeper, arguments[0], arguments, NULL, attributes, pool) != APR_SUCCESS)
        return 1;
    return 0;
}

static void test_grandchild_holds_everything(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    const mproc_arg_t path = mproc_arg_string(NULL, own_path);
    mproc_process_opts_t opts = method_options();
    opts.args = &path;
    opts.arg_count = 1;
    mproc_process_t *process = start(leave_a_sleeper, opts);
    const apr_time_t begin = apr_time_now();
    assert_success(mproc_process_join(process, MPROC_SECONDS(15) * slowdown()));
    assert_true(apr_time_now() - begin < apr_time_from_sec(15) * slowdown());
    assert_int_equal(finish(process), 0);
}

/* ---- Others wait for our children -------------------------------------------------------------------------------- */

static int return_seven(mproc_call_t *call)
{
    return call ? 7 : 0;
}

static void test_foreign_wait(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    if (!has_fork())
        skip_because("there is no waiting for any child here");
    for (int i = 0; i < 20; i++) {
        apr_proc_t any;
        int code, exitcode = -1;
        int64_t native = -1;
        apr_exit_why_e why;
        mproc_process_t *process = start(return_seven, method_options());
        while (apr_proc_wait_all_procs(&any, &code, &why, APR_NOWAIT, test_pool()) != APR_CHILD_DONE &&
               mproc_process_join(process, 1000) == APR_TIMEUP) {}
        assert_success(mproc_process_join(process, MPROC_SECONDS(30)));
        assert_success(mproc_process_exitcode(process, &exitcode));
        assert_int_equal(exitcode, 7);
        assert_success(mproc_process_native_exitcode(process, &native));
        assert_int_equal(native, 7 << 8);
        assert_success(mproc_process_close(process));
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_terminate_with_signals_blocked),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_sentinel),
        cmocka_unit_test(test_grandchild_holds_everything),
        cmocka_unit_test(test_foreign_wait),
    };
    if (argc == 2 && strcmp(argv[1], "--sleep") == 0) {
        apr_sleep(apr_time_from_sec(20));
        return 0;
    }
    snprintf(own_path, sizeof own_path, "%s", argv[0]);
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
