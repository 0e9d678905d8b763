/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"

static void test_every_status_has_name_and_text(void **state)
{
    (void)state;
    for (int status = MPROC_STATUS_START + 1; status < MPROC_STATUS_END; status++) {
        char text[200];
        assert_non_null(mproc_status_name(status));
        assert_memory_equal(mproc_status_name(status), "MPROC_E", 7);
        assert_true(strlen(mproc_strerror(status, text, sizeof text)) > 10);
    }
    assert_string_equal(mproc_status_name(MPROC_ESTATE), "MPROC_ESTATE");
    assert_int_equal(MPROC_EINIT, MPROC_STATUS_BASE + 1); /* the numbers are part of the interface */
}

static void test_other_statuses(void **state)
{
    char text[200];
    (void)state;
    assert_null(mproc_status_name(APR_SUCCESS));
    assert_null(mproc_status_name(MPROC_STATUS_START));
    assert_null(mproc_status_name(MPROC_STATUS_END));
    assert_string_equal(mproc_strerror(APR_SUCCESS, text, sizeof text), "success");
    assert_true(strlen(mproc_strerror(APR_TIMEUP, text, sizeof text)) > 5);
    assert_true(strlen(mproc_strerror(APR_ENOENT, text, sizeof text)) > 5);
}

static void test_small_buffers(void **state)
{
    char text[4] = "xyz";
    (void)state;
    assert_string_equal(mproc_strerror(MPROC_ESTATE, NULL, 10), "");
    assert_string_equal(mproc_strerror(MPROC_ESTATE, text, 0), "");
    assert_string_equal(text, "xyz");
    assert_string_equal(mproc_strerror(MPROC_ESTATE, text, sizeof text), "the");
}

static void *APR_THREAD_FUNC fail_there(apr_thread_t *self, void *data)
{
    (void)self;
    *(apr_status_t *)data = mproc_last_error()->status;
    mproc_process_join(NULL, 0);
    return NULL;
}

static void test_last_error_is_of_the_thread(void **state)
{
    apr_thread_t *thread;
    apr_status_t before = -1, result;
    (void)state;
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_string_equal(mproc_last_error()->text, "");
    assert_failure(mproc_process_close((mproc_process_t *)&before), MPROC_ECLOSED);
    assert_int_equal(apr_thread_create(&thread, NULL, fail_there, &before, test_pool()), APR_SUCCESS);
    apr_thread_join(&result, thread);
    assert_int_equal(before, APR_SUCCESS);
    assert_int_equal(mproc_last_error()->status, MPROC_ECLOSED);
}

static int do_nothing(mproc_call_t *call)
{
    (void)call;
    return 0;
}

static void test_last_error_keeps_the_native_code(void **state)
{
    mproc_process_t *process;
    mproc_process_opts_t opts = {0};
    (void)state;
    opts.directory = "/no/such/folder";
    opts.start_method = MPROC_SPAWN;
    assert_failure(mproc_process_start(&process, do_nothing, &opts), APR_ENOENT);
    assert_int_not_equal(mproc_last_error()->native, 0);
}

static void test_questions_forget_errors(void **state)
{
    (void)state;
    assert_int_equal(mproc_process_pid(NULL), 0);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_int_not_equal(mproc_process_pid(mproc_current_process()), 0);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_name_and_text),
        cmocka_unit_test(test_other_statuses),
        cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_last_error_is_of_the_thread),
        cmocka_unit_test(test_last_error_keeps_the_native_code),
        cmocka_unit_test(test_questions_forget_errors),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
