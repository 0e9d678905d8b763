/* SPDX-License-Identifier: Apache-2.0 */
/* The first call and the last: what happens without them, twice, in the wrong place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_general.h>
#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"

static int return_four(mproc_call_t *call)
{
    return call ? 4 : 0;
}

static void test_before_and_after(void **state)
{
    mproc_process_t *process;
    size_t count;
    mproc_process_opts_t opts = {0};
    (void)state;
    assert_success(mproc_initialize(0, NULL)); /* once more is harmless */
    mproc_process_t *old = start(return_four, opts);
    assert_success(mproc_process_join(old, MPROC_SECONDS(30)));
    assert_success(mproc_terminate());
    assert_success(mproc_terminate());
    assert_failure(mproc_process_start(&process, return_four, &opts), MPROC_EINIT);
    assert_null(process);
    assert_error_names("mproc_initialize");
    assert_failure(mproc_active_children(NULL, 0, &count), MPROC_EINIT);
    assert_null(mproc_current_process());
    assert_int_equal(mproc_last_error()->status, MPROC_EINIT);
    assert_null(mproc_parent_process());
    assert_int_equal(mproc_last_error()->status, MPROC_EINIT);
    assert_failure(mproc_process_join(old, 0), MPROC_ECLOSED);
    assert_success(mproc_initialize(0, NULL));
    assert_failure(mproc_process_join(old, 0), MPROC_ECLOSED);
    assert_int_equal(finish(start(return_four, opts)), 4);
}

static void test_freeze_support_alone(void **state)
{
    (void)state;
    assert_success(mproc_freeze_support(0, NULL));
}

static int try_to_terminate(mproc_call_t *call)
{
    (void)call;
    return mproc_terminate() == MPROC_ESTATE ? 0 : 1;
}

static void test_terminate_in_a_thread(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    opts.start_method = MPROC_THREAD;
    assert_int_equal(finish(start(try_to_terminate, opts)), 0);
}

/* ---- R11: a program that does not get there ---------------------------------------------------------------------- */

/** How often the program's main has run: never again and again. */
static int count_mains(const char *output)
{
    int count = strncmp(output, "main", 4) == 0;
    for (const char *at = output; (at = strstr(at, "\nmain")) != NULL; at++)
        count++;
    return count;
}

static void check_mistake(const char *mistake, int mains)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    apr_env_set("MISTAKE", mistake, test_pool());
    /* Twice: the second time what is started is a pool, whose first worker tells enough. */
    for (size_t k = 0; k < 2 * count; k++) {
        run_t run;
        const size_t i = k / 2;
        const char *arguments[] = {PROGRAM_LATE, mproc_start_method_name(methods[i]), mistake, k % 2 ? "pool" : NULL,
                                   NULL};
        /* fork and thread need no second main, and so no mproc_initialize() in it. */
        if (strcmp(mistake, "never") != 0 && (methods[i] == MPROC_FORK || methods[i] == MPROC_THREAD))
            continue;
        run_program(&run, arguments[0], arguments, 30);
        if (run.exitcode != 0 || run.timed_out || !strstr(run.output, "start: MPROC_EINIT") ||
            !strstr(run.output, "mproc_initialize") || count_mains(run.output) != mains)
            fail_msg("%s by %s: exit code %d\n%s", mistake, arguments[1], run.exitcode, run.output);
    }
}

static void test_never_initialized(void **state)
{
    (void)state;
    check_mistake("never", 1);
}

static void test_initialized_after_arguments(void **state)
{
    (void)state;
    check_mistake("arguments", 2);
}

static void test_child_does_something_else(void **state)
{
    (void)state;
    check_mistake("hang", 2);
}

/* ---- The orderly end --------------------------------------------------------------------------------------------- */

static void check_orderly(const char *method, const char *how)
{
    run_t run;
    const char *arguments[] = {PROGRAM_ORDERLY, method, how, NULL};
    run_program(&run, arguments[0], arguments, 30);
    if (run.exitcode != 9 || run.by_signal || run.timed_out || !strstr(run.output, "done"))
        fail_msg("%s by %s: exit code %d%s\n%s", how, method, run.exitcode, run.timed_out ? ", timed out" : "",
                 run.output);
    if (strcmp(how, "terminate") == 0)
        assert_true(strstr(run.output, "terminated") > strstr(run.output, "done"));
    for (const char *at = run.output; (at = strstr(at, "pid ")) != NULL; at += 4)
        assert_false(lives(atoi(at + 4)));
}

static void test_orderly_end(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        check_orderly(mproc_start_method_name(methods[i]), "return");
        check_orderly(mproc_start_method_name(methods[i]), "exit");
        check_orderly(mproc_start_method_name(methods[i]), "terminate");
        check_orderly(mproc_start_method_name(methods[i]), "child");
    }
}

/* ---- Command lines that nobody's parent wrote -------------------------------------------------------------------- */

static void test_forged_command_lines(void **state)
{
    static const char *const forged[] = {"--mproc=spawn:",      "--mproc=spawn:1,-1",  "--mproc=spawn:99999,5",
                                         "--mproc=spawn:x",     "--mproc=spawn:-1,-1", "--mproc=forkserver:0,1,2",
                                         "--mproc=forkserver:", "--mproc=spawn:0,0"};
    (void)state;
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        run_t run;
        const char *arguments[] = {PROGRAM_ORDERLY, forged[i], NULL};
        run_program(&run, arguments[0], arguments, 30);
        if (run.exitcode != 2 || run.timed_out || run.by_signal)
            fail_msg("%s: exit code %d\n%s", forged[i], run.exitcode, run.output);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_and_after),
        cmocka_unit_test(test_freeze_support_alone),
        cmocka_unit_test(test_terminate_in_a_thread),
        cmocka_unit_test(test_never_initialized),
        cmocka_unit_test(test_initialized_after_arguments),
        cmocka_unit_test(test_child_does_something_else),
        cmocka_unit_test(test_orderly_end),
        cmocka_unit_test(test_forged_command_lines),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
