/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

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

/** How much private memory this process has; a test is skipped where nobody knows. */
static uint64_t private_bytes(void)
{
    uint64_t bytes;
    const apr_status_t status = sys_private_bytes(&bytes);
    if (status == APR_ENOTIMPL)
        skip_because("the system does not tell how much memory a process has");
    assert_int_equal(status, APR_SUCCESS);
    return bytes;
}

static void test_private_bytes(void **state)
{
    const size_t size = (size_t)64 << 20;
    const size_t slack = (size_t)16 << 20;
    (void)state;
    const uint64_t before = private_bytes();
    assert_true(before > 0);
    /* Through a volatile pointer: memory that nobody reads need not be had at all. */
    unsigned char *volatile memory = malloc(size);
    assert_non_null(memory);
    for (size_t i = 0; i < size; i += 1024)
        memory[i] = 1;
    const uint64_t with = private_bytes();
    assert_true(with >= before + size - slack);
    free(memory);
    /* Sanitizers have memory for each piece of the program's, and keep what it frees. */
    if (slowdown() > 1)
        return;
    assert_true(with <= before + size + slack);
    assert_true(private_bytes() <= before + slack);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),   cmocka_unit_test(test_cpu_count),     cmocka_unit_test(test_clock),
        cmocka_unit_test(test_birth), cmocka_unit_test(test_private_bytes),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
