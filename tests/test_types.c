/* SPDX-License-Identifier: Apache-2.0 */
#include "support/harness.h"

static void test_timeouts(void **state)
{
    const int hour = 3600;
    (void)state;
    assert_true(MPROC_FOREVER < 0);
    assert_true(MPROC_SECONDS(2) == 2000000);
    assert_true(MPROC_SECONDS(0.25) == 250000);
    assert_true(MPROC_MILLISECONDS(1.5) == 1500);
    assert_true(MPROC_SECONDS(hour) == (apr_interval_time_t)hour * 1000000); /* more than an int holds */
    assert_true(MPROC_MILLISECONDS(hour * 1000) == MPROC_SECONDS(hour));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_timeouts)};
    return harness_main(argc, argv, tests, 1);
}
