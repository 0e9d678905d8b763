/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "support/harness.h"
#include "support/support.h"

typedef struct seen_t {
    int count;
    mproc_log_level_t level;
    char line[2000];
} seen_t;

static void see(void *context, mproc_log_level_t level, const char *line)
{
    seen_t *seen = context;
    seen->count++;
    seen->level = level;
    snprintf(seen->line, sizeof seen->line, "%s", line);
}

static void test_silent_at_first(void **state)
{
    (void)state;
    assert_int_equal(mproc_log_level(), MPROC_LOG_OFF);
    mproc_log(MPROC_LOG_ERROR, "nobody hears this");
}

static void test_callback(void **state)
{
    seen_t seen = {0, MPROC_LOG_OFF, ""};
    (void)state;
    assert_success(mproc_log_to(see, &seen, MPROC_LOG_INFO));
    assert_int_equal(mproc_log_level(), MPROC_LOG_INFO);
    mproc_log(MPROC_LOG_DEBUG, "below");
    assert_int_equal(seen.count, 0);
    mproc_log(MPROC_LOG_INFO, "at %s %d", "level", 20);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.level, MPROC_LOG_INFO);
    assert_string_equal(seen.line, "[INFO/MainProcess] at level 20");
    mproc_log(MPROC_LOG_WARNING, "above");
    assert_string_equal(seen.line, "[WARNING/MainProcess] above");
    assert_success(mproc_log_to(NULL, NULL, MPROC_LOG_INFO));
    mproc_log(MPROC_LOG_ERROR, "off");
    assert_int_equal(seen.count, 2);
    assert_int_equal(mproc_log_level(), MPROC_LOG_OFF);
}

static void test_long_lines_are_cut(void **state)
{
    seen_t seen = {0, MPROC_LOG_OFF, ""};
    char text[3000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_success(mproc_log_to(see, &seen, MPROC_LOG_INFO));
    mproc_log(MPROC_LOG_INFO, "%s", text);
    assert_int_equal(strlen(seen.line), 999);
    assert_success(mproc_log_to(NULL, NULL, MPROC_LOG_OFF));
}

static void test_bad_levels(void **state)
{
    (void)state;
    assert_failure(mproc_log_to_stderr((mproc_log_level_t)17), APR_EINVAL);
    assert_failure(mproc_log_to(see, NULL, (mproc_log_level_t)-1), APR_EINVAL);
    assert_int_equal(mproc_log_level(), MPROC_LOG_OFF);
}

static int do_little(mproc_call_t *call)
{
    (void)call;
    mproc_log(MPROC_LOG_INFO, "a line of its own");
    return 3;
}

static void test_children_log_to_stderr(void **state)
{
    char path[512], text[4096];
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (methods[i] == MPROC_THREAD)
            continue;
        apr_file_t *file = make_file(path, sizeof path);
        mproc_process_opts_t opts = {0};
        opts.start_method = methods[i];
        opts.standard_error = mproc_stdio_handle(handle_of(file));
        opts.name = "logger";
        assert_success(mproc_log_to_stderr(MPROC_LOG_INFO));
        mproc_process_t *process = start(do_little, opts);
        assert_success(mproc_log_to_stderr(MPROC_LOG_OFF));
        assert_int_equal(finish(process), 3);
        apr_file_close(file);
        read_file(path, text, sizeof text);
        assert_non_null(strstr(text, "[INFO/logger] child process calling its target"));
        assert_non_null(strstr(text, "[INFO/logger] a line of its own"));
        assert_non_null(strstr(text, "[INFO/logger] process exiting with exitcode 3"));
        apr_file_remove(path, test_pool());
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_at_first),        cmocka_unit_test(test_callback),
        cmocka_unit_test(test_long_lines_are_cut),     cmocka_unit_test(test_bad_levels),
        cmocka_unit_test(test_children_log_to_stderr),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
