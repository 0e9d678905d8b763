/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same under every start method: handles, bad input, words. */
#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"

static int do_nothing(mproc_call_t *call)
{
    return call ? 0 : 1;
}

/** Every call that takes a process must refuse a handle with this status. */
static void refuse_everywhere(mproc_process_t *process, apr_status_t expected)
{
    int number = 77;
    int64_t native;
    char buffer[64];
    size_t length;
    mproc_os_handle_t sentinel;
    assert_failure(mproc_process_launch(process), expected);
    assert_failure(mproc_process_run(process, &number), expected);
    assert_failure(mproc_process_join(process, 0), expected);
    assert_failure(mproc_process_finish(process, &number), expected);
    assert_failure(mproc_process_exitcode(process, &number), expected);
    assert_failure(mproc_process_native_exitcode(process, &native), expected);
    assert_failure(mproc_process_terminate(process), expected);
    assert_failure(mproc_process_kill(process), expected);
    assert_failure(mproc_process_interrupt(process), expected);
    assert_failure(mproc_process_stop(process, 0), expected);
    assert_failure(mproc_process_set_name(process, "x"), expected);
    assert_failure(mproc_process_set_daemon(process, 1), expected);
    assert_failure(mproc_process_sentinel(process, &sentinel), expected);
    assert_int_equal(sentinel, MPROC_NO_HANDLE);
    assert_failure(mproc_process_authkey(process, buffer, sizeof buffer, &length), expected);
    assert_failure(mproc_process_set_authkey(process, "k", 1), expected);
    assert_int_equal(number, 77);
    assert_int_equal(mproc_process_pid(process), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_process_is_alive(process), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_process_is_daemon(process), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_null(mproc_process_name(process));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_process_start_method(process), MPROC_DEFAULT);
    assert_int_equal(mproc_last_error()->status, expected);
}

static void test_null(void **state)
{
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_process_close(NULL));
}

static void test_closed(void **state)
{
    mproc_process_t *process;
    (void)state;
    assert_success(mproc_process_create(&process, do_nothing, NULL));
    assert_success(mproc_process_close(process));
    refuse_everywhere(process, MPROC_ECLOSED);
    assert_failure(mproc_process_close(process), MPROC_ECLOSED);
}

static void test_never_one(void **state)
{
    int thing = 0;
    (void)state;
    refuse_everywhere((mproc_process_t *)&thing, MPROC_ECLOSED);
    refuse_everywhere((mproc_process_t *)test_pool(), MPROC_ECLOSED);
    refuse_everywhere((mproc_process_t *)(intptr_t)-1, MPROC_ECLOSED);
    assert_failure(mproc_process_close((mproc_process_t *)&thing), MPROC_ECLOSED);
}

/** In a forked child: try a handle of its creator. */
static int use_creators_handle(mproc_call_t *call)
{
    mproc_process_t *process = *(mproc_process_t **)mproc_call_data(call, sizeof process);
    if (mproc_process_join(process, 0) != MPROC_EFOREIGN || mproc_process_terminate(process) != MPROC_EFOREIGN)
        return 1;
    return mproc_process_close(process) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_inherited_by_fork(void **state)
{
    mproc_process_t *process;
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    assert_success(mproc_process_create(&process, do_nothing, NULL));
    mproc_process_opts_t opts = {0};
    opts.start_method = MPROC_FORK;
    opts.data = &process;
    opts.size = sizeof process;
    assert_int_equal(finish(start(use_creators_handle, opts)), 0);
    assert_success(mproc_process_close(process));
}

static void test_current_process(void **state)
{
    mproc_process_t *self = mproc_current_process();
    int code;
    mproc_os_handle_t sentinel;
    (void)state;
    assert_failure(mproc_process_join(self, 0), MPROC_ESTATE);
    assert_error_names("current process");
    assert_failure(mproc_process_finish(self, &code), MPROC_ESTATE);
    assert_failure(mproc_process_close(self), MPROC_ESTATE);
    assert_failure(mproc_process_terminate(self), MPROC_ESTATE);
    assert_failure(mproc_process_launch(self), MPROC_ESTATE);
    assert_failure(mproc_process_run(self, &code), MPROC_ESTATE);
    assert_failure(mproc_process_exitcode(self, &code), MPROC_ESTATE);
    assert_failure(mproc_process_sentinel(self, &sentinel), MPROC_ESTATE);
    assert_failure(mproc_process_set_daemon(self, 1), MPROC_ESTATE);
    assert_int_equal(mproc_process_start_method(self), MPROC_DEFAULT);
}

static void test_bad_arguments(void **state)
{
    mproc_process_t *process = NULL;
    size_t count;
    char key[MPROC_AUTHKEY_MAX + 1] = {0};
    (void)state;
    assert_failure(mproc_process_create(NULL, do_nothing, NULL), APR_EINVAL);
    assert_failure(mproc_process_start(NULL, do_nothing, NULL), APR_EINVAL);
    assert_failure(mproc_process_create(&process, NULL, NULL), APR_EINVAL);
    assert_failure(mproc_active_children(NULL, 0, NULL), APR_EINVAL);
    assert_failure(mproc_active_children(NULL, 3, &count), APR_EINVAL);
    assert_success(mproc_process_create(&process, do_nothing, NULL));
    assert_failure(mproc_process_exitcode(process, NULL), APR_EINVAL);
    assert_failure(mproc_process_native_exitcode(process, NULL), APR_EINVAL);
    assert_failure(mproc_process_sentinel(process, NULL), APR_EINVAL);
    assert_failure(mproc_process_set_name(process, NULL), APR_EINVAL);
    assert_failure(mproc_process_set_name(process, ""), APR_EINVAL);
    assert_failure(mproc_process_set_authkey(process, NULL, 3), APR_EINVAL);
    assert_failure(mproc_process_set_authkey(process, key, 0), APR_EINVAL);
    assert_failure(mproc_process_set_authkey(process, key, sizeof key), APR_EINVAL);
    assert_failure(mproc_process_join(process, MPROC_FOREVER), MPROC_ESTATE);
    assert_failure(mproc_process_finish(process, NULL), MPROC_ESTATE);
    assert_success(mproc_process_close(process));
}

static void test_options_of_a_newer_program(void **state)
{
    struct {
        mproc_process_opts_t known;
        int newer;
    } opts;
    mproc_process_t *process;
    (void)state;
    memset(&opts, 0, sizeof opts);
    assert_failure(mproc_process_create_sized(&process, do_nothing, &opts.known, sizeof opts), MPROC_EBUILD);
    assert_null(process);
    /* An older program knows fewer of them: the rest are their defaults. */
    opts.known.name = "old";
    opts.known.grace = -5;
    assert_success(mproc_process_create_sized(&process, do_nothing, &opts.known, sizeof opts.known.name));
    assert_string_equal(mproc_process_name(process), "old");
    assert_success(mproc_process_close(process));
}

static void test_code_outside_of_modules(void **state)
{
    static unsigned char not_code[64];
    mproc_process_t *process;
    mproc_target_t target;
    void *address = not_code;
    (void)state;
    memcpy(&target, &address, sizeof target);
    mproc_process_opts_t opts = {0};
    opts.start_method = MPROC_SPAWN;
    assert_failure(mproc_process_start(&process, target, &opts), MPROC_ETARGET);
    assert_null(process);
    address = malloc(64); /* as code that was made at run time would lie */
    memcpy(&target, &address, sizeof target);
    assert_failure(mproc_process_start(&process, target, &opts), MPROC_ETARGET);
    assert_error_names("no module");
    free(address);
}

static void test_exitcode_texts(void **state)
{
    char text[64];
    (void)state;
    assert_string_equal(mproc_exitcode_text(3, text, sizeof text), "exit code 3");
    assert_string_equal(mproc_exitcode_text(-15, text, sizeof text), "killed by signal 15 (SIGTERM)");
    assert_string_equal(mproc_exitcode_text(-64, text, sizeof text), "killed by signal 64");
    assert_string_equal(mproc_exitcode_text(-9, text, 7), "killed");
    assert_string_equal(mproc_exitcode_text(-9, NULL, 7), "");
    assert_string_equal(mproc_exitcode_text(-9, text, 0), "");
}

static void test_arguments_made_by_hand(void **state)
{
    (void)state;
    assert_int_equal(mproc_arg_string("a", "bc").size, 3);
    assert_int_equal(mproc_arg_string("a", NULL).size, 1);
    assert_int_equal(mproc_arg_bytes(NULL, "bc", 2).size, 2);
    assert_int_equal(mproc_stdio_null().kind, MPROC_STDIO_NULL);
    assert_int_equal(mproc_stdio_stdout().kind, MPROC_STDIO_STDOUT);
    assert_int_equal(mproc_stdio_handle(5).handle, 5);
}

/* ---- A thread that is ended by its target ------------------------------------------------------------------------ */

static int end_thread(mproc_call_t *call)
{
    (void)call;
    end_this_thread();
    return 0;
}

/** Whoever waits for it is told, and nothing of what it was given is left. */
static void test_ends_its_thread(void **state)
{
    (void)state;
    const int before = count_descriptors();
    for (int i = 0; i < 20; i++) {
        int exitcode = -1;
        mproc_process_t *process;
        mproc_conn_t *own, *given;
        void *data;
        size_t size;
        assert_success(mproc_pipe(&own, &given, NULL));
        const mproc_process_opts_t opts = {.start_method = MPROC_THREAD, .give = {given}};
        assert_success(mproc_process_start(&process, end_thread, &opts));
        assert_failure(mproc_conn_recv(own, &data, &size, MPROC_SECONDS(20)), APR_EOF);
        assert_success(mproc_conn_close(own));
        assert_success(mproc_process_join(process, MPROC_SECONDS(20)));
        assert_success(mproc_process_exitcode(process, &exitcode));
        assert_int_equal(exitcode, 1);
        assert_success(mproc_process_close(process));
    }
    /* The one to wait by stays. */
    if (before >= 0)
        assert_in_range(count_descriptors(), 0, before + 1 + (has_fork() ? 0 : 32));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_never_one),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_current_process),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_options_of_a_newer_program),
        cmocka_unit_test(test_code_outside_of_modules),
        cmocka_unit_test(test_exitcode_texts),
        cmocka_unit_test(test_arguments_made_by_hand),
        cmocka_unit_test(test_ends_its_thread),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
