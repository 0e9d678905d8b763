/* SPDX-License-Identifier: Apache-2.0 */
/* R4 under every start method: nobody outlives the first process, however it ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"
#include "sys.h"

enum { MEMBERS = 5 }; /* as programs/family.c starts them */

typedef struct family_t {
    apr_proc_t root;
    char path[512];
    int pids[MEMBERS];
} family_t;

static const char not_by_thread[] = "threads end with their process";

/** Start a family and wait until all of it is there. */
static void found(family_t *family, const char *by)
{
    apr_procattr_t *attributes;
    char text[4096];
    const char *arguments[] = {PROGRAM_FAMILY, mproc_start_method_name(method_under_test()), by, NULL};
    apr_file_t *output = make_file(family->path, sizeof family->path);
    assert_int_equal(apr_procattr_create(&attributes, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV), APR_SUCCESS);
    assert_int_equal(apr_procattr_child_out_set(attributes, output, NULL), APR_SUCCESS);
    assert_int_equal(apr_proc_create(&family->root, arguments[0], arguments, NULL, attributes, test_pool()),
                     APR_SUCCESS);
    apr_file_close(output);
    const apr_time_t end = apr_time_now() + apr_time_from_sec(30) * slowdown();
    for (;;) {
        int count = 0;
        read_file(family->path, text, sizeof text);
        for (char *line = strtok(text, "\r\n"); line && count < MEMBERS; line = strtok(NULL, "\r\n"))
            count += sscanf(line, "child %d", &family->pids[count]) == 1 && count < MEMBERS - 1;
        read_file(family->path, text, sizeof text);
        const char *last = strstr(text, "grandchild ");
        if (count == MEMBERS - 1 && last && sscanf(last, "grandchild %d", &family->pids[count]) == 1)
            break;
        if (strstr(text, "failed") || apr_time_now() > end)
            fail_msg("the family did not come together:\n%s", text);
        apr_sleep(5000);
    }
    for (int i = 0; i < MEMBERS; i++)
        assert_true(lives(family->pids[i]));
}

/** See that all are gone; the target is one second, the bound is for a machine under load. */
static void check_gone(family_t *family)
{
    for (int i = 0; i < MEMBERS; i++)
        if (!is_gone_within(family->pids[i], 10))
            fail_msg("member %d of the family, pid %d, outlived it", i, family->pids[i]);
    apr_file_remove(family->path, test_pool());
}

static void kill_root(family_t *family)
{
    int code;
    apr_exit_why_e why;
    apr_proc_kill(&family->root, APR_KILL_ALWAYS);
    apr_proc_wait(&family->root, &code, &why, APR_WAIT);
}

static void test_root_killed(void **state)
{
    family_t family;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    found(&family, NULL);
    kill_root(&family);
    check_gone(&family);
}

static void test_root_killed_that_started_by_another_thread(void **state)
{
    family_t family;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    found(&family, "thread");
    apr_sleep(100000); /* the thread has ended by now */
    for (int i = 0; i < MEMBERS; i++)
        assert_true(lives(family.pids[i]));
    kill_root(&family);
    check_gone(&family);
}

static void test_parent_killed(void **state)
{
    family_t family;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    found(&family, NULL);
    /* The fourth has a child of its own, the fifth. */
    sys_process_t *middle;
    assert_int_equal(sys_process_open(&middle, family.pids[3], 0), APR_SUCCESS);
    sys_process_signal(middle, SYS_KILL);
    assert_true(is_gone_within(family.pids[3], 10));
    assert_true(is_gone_within(family.pids[4], 10));
    assert_true(lives(family.pids[0]));
    sys_process_close(middle);
    kill_root(&family);
    check_gone(&family);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_killed),
        cmocka_unit_test(test_root_killed_that_started_by_another_thread),
        cmocka_unit_test(test_parent_killed),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
