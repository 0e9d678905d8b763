/* SPDX-License-Identifier: Apache-2.0 */
/* White box: events whose setter was given to a child. */
#include "support/harness.h"
#include "support/support.h"
#include "sys.h"

/** Adopt, set and close the setter that was given: 0, or what went wrong. */
static int set_given(mproc_call_t *call)
{
    sys_event_t event;
    if (sys_event_adopt(&event, (sys_handle_t)mproc_call_handle(call, 0)) != APR_SUCCESS)
        return 1;
    if (!sys_event_is_intact(&event) || event.sentinel != SYS_NO_HANDLE)
        return 2;
    sys_event_set(&event);
    sys_event_set(&event);
    if (!sys_event_is_intact(&event))
        return 3;
    sys_event_close(&event);
    sys_event_close(&event);
    return sys_event_is_intact(&event) ? 4 : 0;
}

static void test_set_by_a_child(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        sys_event_t event;
        assert_int_equal(sys_event_create(&event), APR_SUCCESS);
        const mproc_os_handle_t setter = (mproc_os_handle_t)event.setter;
        const mproc_process_opts_t opts = {.start_method = methods[i], .handles = &setter, .handle_count = 1};
        assert_int_equal(sys_wait(event.sentinel, 0), APR_TIMEUP);
        assert_int_equal(finish(start(set_given, opts)), 0);
        assert_int_equal(sys_wait(event.sentinel, 0), APR_SUCCESS);
        sys_event_reset(&event);
        assert_int_equal(sys_wait(event.sentinel, 0), APR_TIMEUP);
        assert_true(sys_event_is_intact(&event));
        sys_event_close(&event);
    }
}

/** A setter as a child has it: a handle of the program's. */
static sys_handle_t copy_setter(const sys_event_t *event)
{
    sys_handle_t copy;
    assert_int_equal(sys_handle_duplicate(&copy, event->setter), APR_SUCCESS);
    sys_handle_give(copy);
    return copy;
}

static void test_closed_by_the_program(void **state)
{
    sys_event_t event, adopted;
    (void)state;
    assert_int_equal(sys_event_create(&event), APR_SUCCESS);
    assert_int_equal(sys_event_adopt(&adopted, copy_setter(&event)), APR_SUCCESS);
    assert_true(sys_event_is_intact(&adopted));
    sys_handle_close(adopted.setter);
    assert_false(sys_event_is_intact(&adopted));
    sys_event_close(&adopted);
    assert_int_equal(sys_wait(event.sentinel, 0), APR_TIMEUP);
    sys_event_close(&event);
}

static void test_nothing_to_adopt(void **state)
{
    sys_event_t event, adopted;
    (void)state;
    assert_int_equal(sys_event_create(&event), APR_SUCCESS);
    const sys_handle_t copy = copy_setter(&event);
    sys_handle_close(copy);
    assert_int_not_equal(sys_event_adopt(&adopted, copy), APR_SUCCESS);
    assert_true(adopted.setter == SYS_NO_HANDLE && adopted.sentinel == SYS_NO_HANDLE);
    assert_false(sys_event_is_intact(&adopted));
    sys_event_close(&adopted);
    assert_int_not_equal(sys_event_adopt(&adopted, SYS_NO_HANDLE), APR_SUCCESS);
    sys_event_close(&event);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_by_a_child),
        cmocka_unit_test(test_closed_by_the_program),
        cmocka_unit_test(test_nothing_to_adopt),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
