/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "support/harness.h"

static void test_version(void **state)
{
    char text[32];
    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", MPROC_VERSION_MAJOR, MPROC_VERSION_MINOR, MPROC_VERSION_PATCH);
    assert_string_equal(mproc_version(), text);
    assert_int_equal(mproc_version_number(), MPROC_VERSION_NUMBER);
}

static void test_program_for_a_newer_library(void **state)
{
    (void)state;
    assert_success(mproc_terminate());
    assert_failure(mproc_initialize_version(0, NULL, MPROC_VERSION_NUMBER + 1, NULL), MPROC_EBUILD);
    assert_error_names(mproc_version());
    assert_success(mproc_initialize_version(0, NULL, MPROC_VERSION_NUMBER, NULL));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_program_for_a_newer_library),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
