/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <apr_env.h>
#include <apr_general.h>

#include "support/harness.h"
#include "support/support.h"

static void test_list(void **state)
{
    size_t count = 0;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    assert_int_equal(count, has_fork() ? 4 : 2);
    assert_int_equal(methods[0], mproc_get_start_method());
    assert_ptr_equal(mproc_get_all_start_methods(NULL), methods);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(methods[i], methods[j]);
}

static void test_names(void **state)
{
    mproc_start_method_t method = MPROC_SPAWN;
    (void)state;
    assert_string_equal(mproc_start_method_name(MPROC_FORKSERVER), "forkserver");
    assert_string_equal(mproc_start_method_name(MPROC_THREAD), "thread");
    assert_null(mproc_start_method_name((mproc_start_method_t)5));
    assert_null(mproc_start_method_name((mproc_start_method_t)-1));
    assert_success(mproc_start_method_parse(&method, "thread"));
    assert_int_equal(method, MPROC_THREAD);
    assert_failure(mproc_start_method_parse(&method, "spoon"), APR_EINVAL);
    assert_error_names("spoon");
    assert_int_equal(method, MPROC_THREAD);
    assert_failure(mproc_start_method_parse(NULL, "spawn"), APR_EINVAL);
    assert_failure(mproc_start_method_parse(&method, NULL), APR_EINVAL);
}

static void test_default(void **state)
{
    const mproc_start_method_t platforms = mproc_get_all_start_methods(NULL)[0];
    (void)state;
    assert_success(mproc_set_start_method(MPROC_SPAWN));
    assert_int_equal(mproc_get_start_method(), MPROC_SPAWN);
    assert_failure(mproc_set_start_method((mproc_start_method_t)9), APR_EINVAL);
    assert_int_equal(mproc_get_start_method(), MPROC_SPAWN);
    assert_success(mproc_set_start_method(MPROC_DEFAULT));
    assert_int_equal(mproc_get_start_method(), platforms);
}

static int tell_default(mproc_call_t *call)
{
    (void)call;
    return (int)mproc_get_start_method();
}

static void test_children_have_it_too(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    assert_success(mproc_set_start_method(MPROC_THREAD));
    for (size_t i = 0; i < count; i++) {
        mproc_process_opts_t opts = {0};
        opts.start_method = methods[i];
        assert_int_equal(finish(start(tell_default, opts)), MPROC_THREAD);
    }
}

static void test_unsupported(void **state)
{
    mproc_process_t *process;
    mproc_process_opts_t opts = {0};
    mproc_start_method_t method;
    (void)state;
    if (has_fork())
        skip_because("all start methods exist here");
    assert_failure(mproc_set_start_method(MPROC_FORK), APR_ENOTIMPL);
    assert_failure(mproc_set_start_method(MPROC_FORKSERVER), APR_ENOTIMPL);
    assert_failure(mproc_start_method_parse(&method, "fork"), APR_ENOTIMPL);
    assert_int_equal(method, MPROC_FORK);
    opts.start_method = MPROC_FORK;
    assert_failure(mproc_process_start(&process, tell_default, &opts), APR_ENOTIMPL);
}

static void test_environment_variable(void **state)
{
    (void)state;
    assert_success(mproc_terminate());
    apr_initialize();
    apr_env_set("MPROC_START_METHOD", "thread", test_pool());
    assert_success(mproc_initialize(0, NULL));
    assert_int_equal(mproc_get_start_method(), MPROC_THREAD);
    assert_success(mproc_set_start_method(MPROC_SPAWN)); /* the program's word is stronger */
    assert_int_equal(mproc_get_start_method(), MPROC_SPAWN);
    assert_success(mproc_set_start_method(MPROC_DEFAULT));
    assert_success(mproc_terminate());
    apr_env_set("MPROC_START_METHOD", "teleport", test_pool());
    assert_failure(mproc_initialize(0, NULL), APR_EINVAL);
    assert_error_names("teleport");
    apr_env_set("MPROC_START_METHOD", "fork, or if there is no such thing here, then spawn, or else the next best one",
                test_pool());
    assert_failure(mproc_initialize(0, NULL), APR_EINVAL);
    assert_error_names("MPROC_START_METHOD");
    apr_env_set("MPROC_START_METHOD", "", test_pool());
    assert_success(mproc_initialize(0, NULL));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_default),     cmocka_unit_test(test_children_have_it_too),
        cmocka_unit_test(test_unsupported), cmocka_unit_test(test_environment_variable),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
