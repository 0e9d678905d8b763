/* SPDX-License-Identifier: Apache-2.0 */
/* White box: environments with changes. */
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "support/harness.h"
#include "support/support.h"

static const char *const base[] = {"A=1", "B=2", "C=three=3", NULL};

static void expect(const char *const *changes, const char *expected)
{
    char **list;
    char joined[256] = "";
    assert_success(environment_build(&list, base, changes));
    for (size_t i = 0; list[i]; i++)
        strcat(strcat(joined, list[i]), ";");
    free(list);
    assert_string_equal(joined, expected);
}

static void test_changes(void **state)
{
    (void)state;
    expect(NULL, "A=1;B=2;C=three=3;");
    expect((const char *const[]){NULL}, "A=1;B=2;C=three=3;");
    expect((const char *const[]){"B", NULL}, "A=1;C=three=3;");
    expect((const char *const[]){"B=", NULL}, "A=1;C=three=3;B=;");
    expect((const char *const[]){"D=4", "A=x", NULL}, "B=2;C=three=3;D=4;A=x;");
    expect((const char *const[]){"D=4", "D=5", "D", "D=6", NULL}, "A=1;B=2;C=three=3;D=6;");
    expect((const char *const[]){"D=4", "D", "Z", NULL}, "A=1;B=2;C=three=3;");
}

static void test_malformed(void **state)
{
    char **list;
    (void)state;
    assert_failure(environment_build(&list, (const char *const[]){"NOVALUE", NULL}, NULL), APR_EINVAL);
    assert_error_names("NOVALUE");
    assert_failure(environment_build(&list, (const char *const[]){"", NULL}, NULL), APR_EINVAL);
    assert_failure(environment_build(&list, base, (const char *const[]){"", NULL}), APR_EINVAL);
    assert_null(list);
}

static void test_own(void **state)
{
    char **list;
    int found = 0;
    (void)state;
    assert_success(environment_build(&list, NULL, (const char *const[]){"MPROC_TEST_NEW=1", NULL}));
    for (size_t i = 0; list[i]; i++)
        found += strcmp(list[i], "MPROC_TEST_NEW=1") == 0;
    assert_int_equal(found, 1);
    free(list);
}

static void test_list(void **state)
{
    char strings[] = "A=1\0B=2\0";
    char nothing[] = "";
    (void)state;
    char **list = environment_list(strings, sizeof strings);
    assert_string_equal(list[0], "A=1");
    assert_string_equal(list[1], "B=2");
    assert_null(list[2]);
    free(list);
    list = environment_list(nothing, 1);
    assert_null(list[0]);
    free(list);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_list),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
