/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions as targets under every start method: of the program, of modules that were loaded later, or that went away.
 */
#include <stdio.h>
#include <string.h>

#include <apr_dso.h>

#include "support/harness.h"
#include "support/support.h"

static int answer(mproc_call_t *call)
{
    return call ? 21 : 0;
}

int visible_answer(mproc_call_t *call);

int visible_answer(mproc_call_t *call)
{
    return call ? 22 : 0;
}

static void test_static_and_visible_functions(void **state)
{
    (void)state;
    assert_int_equal(finish(start(answer, method_options())), 21);
    assert_int_equal(finish(start(visible_answer, method_options())), 22);
}

/** Load a module and get its target. */
static mproc_target_t load(apr_dso_handle_t **module, const char *path)
{
    apr_dso_handle_sym_t symbol;
    mproc_target_t (*get)(void);
    char why[256];
    if (apr_dso_load(module, path, test_pool()) != APR_SUCCESS)
        fail_msg("%s: %s", path, apr_dso_error(*module, why, sizeof why));
    assert_int_equal(apr_dso_sym(&symbol, *module, "plugin_target"), APR_SUCCESS);
    memcpy(&get, &symbol, sizeof get);
    return get();
}

static void test_module_that_was_loaded_later(void **state)
{
    apr_dso_handle_t *module;
    (void)state;
    /* So that a fork server is there before the module is. */
    assert_int_equal(finish(start(answer, method_options())), 21);
    mproc_target_t target = load(&module, PLUGIN_PATH);
    for (int i = 0; i < 3; i++)
        assert_int_equal(finish(start(target, method_options())), 1);
}

static void test_module_that_was_unloaded(void **state)
{
    apr_dso_handle_t *module;
    mproc_process_t *process;
    (void)state;
    skip_under(MPROC_FORK, "the address is not looked up");
    skip_under(MPROC_THREAD, "the address is not looked up");
    mproc_target_t target = load(&module, PLUGIN_PATH);
    assert_int_equal(apr_dso_unload(module), APR_SUCCESS);
    mproc_process_opts_t opts = method_options();
    assert_failure(mproc_process_start(&process, target, &opts), MPROC_ETARGET);
}

/** A copy of the module under another name, and its target. */
static mproc_target_t load_copy(char *path, size_t size)
{
    apr_dso_handle_t *module;
    apr_file_close(make_file(path, size));
    /* A name with an ending: some systems add one to a name that has none. */
    apr_file_remove(path, test_pool());
    strcat(path, ".module");
    assert_int_equal(apr_file_copy(PLUGIN_PATH, path, APR_FILE_SOURCE_PERMS, test_pool()), APR_SUCCESS);
    return load(&module, path);
}

/** Start a target that cannot be called in the child, and see what join says. */
static void check_failure_in_child(mproc_target_t target, apr_status_t expected, const char *path)
{
    int exitcode = -1;
    mproc_process_t *process = start(target, method_options());
    assert_failure(mproc_process_join(process, MPROC_SECONDS(30)), expected);
    assert_error_names(strrchr(path, '-')); /* the module's name */
    assert_failure(mproc_process_join(process, 0), expected);
    assert_success(mproc_process_exitcode(process, &exitcode));
    assert_int_equal(exitcode, 1);
    assert_failure(mproc_process_finish(process, &exitcode), expected);
    assert_failure(mproc_process_close(process), MPROC_ECLOSED);
    assert_int_equal(finish(start(answer, method_options())), 21);
}

static void test_module_that_was_deleted(void **state)
{
    char path[512];
    (void)state;
    skip_under(MPROC_FORK, "the module is not loaded again");
    skip_under(MPROC_THREAD, "the module is not loaded again");
    mproc_target_t target = load_copy(path, sizeof path);
    if (apr_file_remove(path, test_pool()) != APR_SUCCESS)
        skip_because("a module in use cannot be deleted here");
    check_failure_in_child(target, MPROC_ETARGET, path);
}

static void test_module_that_was_replaced(void **state)
{
    char path[512], other[512];
    (void)state;
    skip_under(MPROC_FORK, "the module is not loaded again");
    skip_under(MPROC_THREAD, "the module is not loaded again");
    mproc_target_t target = load_copy(path, sizeof path);
    apr_file_close(make_file(other, sizeof other));
    assert_int_equal(apr_file_copy(OTHER_PLUGIN_PATH, other, APR_FILE_SOURCE_PERMS, test_pool()), APR_SUCCESS);
    if (apr_file_rename(other, path, test_pool()) != APR_SUCCESS)
        skip_because("a module in use cannot be replaced here");
    check_failure_in_child(target, MPROC_EBUILD, path);
    apr_file_remove(path, test_pool());
}

/** Run a program that starts a child by the method under test. */
static void check_probe(const char *program)
{
    run_t run;
    const char *arguments[] = {program, mproc_start_method_name(method_under_test()), NULL};
    run_program(&run, arguments[0], arguments, 30);
    if (!strstr(run.output, "exit code 6"))
        fail_msg("%s %s: exit code %d\n%s", program, arguments[1], run.exitcode, run.output);
}

static void test_shared_library(void **state)
{
    (void)state;
    check_probe(PROBE_SHARED);
}

static void test_static_program(void **state)
{
    (void)state;
    if (PROBE_STATIC[0] == '\0' || slowdown() > 1)
        skip_because("the toolchain makes no static programs here");
    check_probe(PROBE_STATIC);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_and_visible_functions),
        cmocka_unit_test(test_module_that_was_loaded_later),
        cmocka_unit_test(test_module_that_was_unloaded),
        cmocka_unit_test(test_module_that_was_deleted),
        cmocka_unit_test(test_module_that_was_replaced),
        cmocka_unit_test(test_shared_library),
        cmocka_unit_test(test_static_program),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
