/* SPDX-License-Identifier: Apache-2.0 */
/* Bad input to what a target reads its arguments with; good input is in conformance_process.c. */
#include "support/harness.h"
#include "support/support.h"

static void test_no_call(void **state)
{
    size_t size = 5;
    (void)state;
    assert_null(mproc_call_data(NULL, 1));
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_null(mproc_call_bytes(NULL, &size));
    assert_int_equal(size, 0);
    assert_int_equal(mproc_call_arg_count(NULL), 0);
    assert_null(mproc_call_arg(NULL, 0, &size));
    assert_null(mproc_call_string(NULL, 0));
    assert_null(mproc_call_named(NULL, "x", &size));
    assert_null(mproc_call_named_string(NULL, "x"));
    assert_int_equal(mproc_call_handle_count(NULL), 0);
    assert_int_equal(mproc_call_handle(NULL, 0), MPROC_NO_HANDLE);
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
}

static int ask_for_too_much(mproc_call_t *call)
{
    size_t size;
    if (mproc_call_named(call, NULL, &size) || mproc_last_error()->status != APR_EINVAL)
        return 1;
    if (mproc_call_handle(call, 0) != MPROC_NO_HANDLE || mproc_last_error()->status != APR_EINVAL)
        return 2;
    if (mproc_call_arg(call, (size_t)-1, &size) || mproc_last_error()->status != APR_EINVAL)
        return 3;
    if (mproc_call_bytes(call, &size) || mproc_last_error()->status != APR_SUCCESS)
        return 4; /* nothing was given: an answer, no refusal */
    return mproc_call_data(call, 0) ? 5 : 0;
}

static void test_nothing_given(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    assert_int_equal(finish(start(ask_for_too_much, opts)), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_call),
        cmocka_unit_test(test_nothing_given),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
