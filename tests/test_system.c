/* SPDX-License-Identifier: Apache-2.0 */
#include "support/harness.h"
#include "support/support.h"
#include "sys.h"

static void test_ids(void **state)
{
    (void)state;
    assert_true(mproc_getpid() > 0);
    assert_int_equal(mproc_getpid(), mproc_process_pid(mproc_current_process()));
    assert_true(lives(mproc_getpid()));
    assert_int_equal(mproc_getppid(), sys_getppid()); /* the harness started this process, not mproc */
    assert_true(lives(mproc_getppid()));
}

static void test_cpu_count(void **state)
{
    const int count = mproc_cpu_count();
    const int cpu = 0;
    (void)state;
    assert_in_range(count, 1, 8192);
    if (sys_bind_cpus(&cpu, 1) != APR_SUCCESS)
        skip_because("a process cannot be bound to a CPU here");
    assert_int_equal(mproc_cpu_count(), 1);
}

static void test_clock(void **state)
{
    (void)state;
    sys_time_t last = sys_now();
    for (int i = 0; i < 1000; i++) {
        const sys_time_t now = sys_now();
        assert_true(now >= last);
        last = now;
    }
}

static void test_birth(void **state)
{
    uint64_t mine, again, parents;
    (void)state;
    assert_int_equal(sys_birth(&mine, mproc_getpid()), APR_SUCCESS);
    assert_int_equal(sys_birth(&again, mproc_getpid()), APR_SUCCESS);
    assert_int_equal(sys_birth(&parents, sys_getppid()), APR_SUCCESS);
    assert_true(mine == again);
    assert_true(parents <= mine);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_cpu_count),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_birth),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
