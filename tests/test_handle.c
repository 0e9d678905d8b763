/* SPDX-License-Identifier: Apache-2.0 */
/* White box: the table of handles. */
#include <stdatomic.h>
#include <stdlib.h>

#include <apr_thread_proc.h>

#include "handle.h"
#include "handle_table.h"
#include "support/harness.h"
#include "support/support.h"

static _Atomic int destroyed;

static void destroy(void *object)
{
    (void)object;
    atomic_fetch_add(&destroyed, 1);
}

static void test_open_and_closed(void **state)
{
    int thing = 0;
    void *object;
    (void)state;
    void *handle = handle_open(HANDLE_PROCESS, &thing, destroy);
    assert_non_null(handle);
    assert_int_equal(handle_acquire(&object, handle, HANDLE_PROCESS), APR_SUCCESS);
    assert_ptr_equal(object, &thing);
    assert_int_equal(handle_close(handle, HANDLE_PROCESS), APR_SUCCESS);
    assert_int_equal(destroyed, 0); /* still in use */
    assert_int_equal(handle_acquire(&object, handle, HANDLE_PROCESS), MPROC_ECLOSED);
    assert_int_equal(handle_close(handle, HANDLE_PROCESS), MPROC_ECLOSED);
    handle_release(handle);
    assert_int_equal(destroyed, 1);
    assert_int_equal(handle_acquire(&object, handle, HANDLE_PROCESS), MPROC_ECLOSED);
}

/** In a forked child the slot of a handle that its creator made later may have something else of its own. */
static void test_another_kind_in_the_slot(void **state)
{
    int thing = 0;
    void *object;
    (void)state;
    void *handle = handle_open(HANDLE_PROCESS, &thing, destroy);
    const uintptr_t kinds = (uintptr_t)(HANDLE_PROCESS ^ HANDLE_POOL) << HANDLE_TAG_BITS;
    void *other = (void *)((uintptr_t)handle ^ kinds);
    assert_int_equal(handle_acquire(&object, other, HANDLE_POOL), MPROC_ECLOSED);
    assert_null(object);
    assert_int_equal(handle_close(other, HANDLE_POOL), MPROC_ECLOSED);
    assert_null(handle_peek(other, HANDLE_POOL));
    assert_int_equal(handle_acquire(&object, handle, HANDLE_PROCESS), APR_SUCCESS);
    assert_int_equal(handle_close(handle, HANDLE_PROCESS), APR_SUCCESS);
    handle_release(handle);
}

static void test_no_handles(void **state)
{
    int thing = 0;
    void *object = &thing;
    (void)state;
    assert_int_equal(handle_acquire(&object, NULL, HANDLE_PROCESS), APR_EINVAL);
    assert_null(object);
    assert_int_equal(handle_acquire(&object, &thing, HANDLE_PROCESS), MPROC_ECLOSED);
    void *handle = handle_open(HANDLE_PROCESS, &thing, destroy);
    assert_int_equal(handle_acquire(&object, handle, (handle_kind_t)2), MPROC_ECLOSED);
    /* Whatever bits: a status, never a crash, and never another's object. */
    srand(1);
    for (int i = 0; i < 1000000; i++) {
        uintptr_t bits = 0;
        for (int byte = 0; byte < (int)sizeof bits; byte++)
            bits = bits << 8 | (uintptr_t)(rand() & 0xff);
        if (i % 2)
            bits = (bits & ~(uintptr_t)0xff) | ((uintptr_t)handle & 0xff);
        if (bits == (uintptr_t)handle || handle_acquire(&object, (void *)bits, HANDLE_PROCESS) != APR_SUCCESS)
            continue;
        fail_msg("%p was taken for a handle", (void *)bits);
    }
    assert_int_equal(handle_close(handle, HANDLE_PROCESS), APR_SUCCESS);
}

static void test_stale_handles_stay_stale(void **state)
{
    enum { MANY = 3000 };
    static void *stale[MANY];
    int thing = 0;
    void *object;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        stale[i] = handle_open(HANDLE_PROCESS, &thing, destroy);
        assert_int_equal(handle_close(stale[i], HANDLE_PROCESS), APR_SUCCESS);
    }
    void *fresh = handle_open(HANDLE_PROCESS, &thing, destroy);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(handle_acquire(&object, stale[i], HANDLE_PROCESS), MPROC_ECLOSED);
    assert_int_equal(handle_close(fresh, HANDLE_PROCESS), APR_SUCCESS);
    assert_int_equal(destroyed, MANY + 1);
}

static void test_many_at_once(void **state)
{
    enum { MANY = 100000 };
    void **handles = calloc(MANY, sizeof *handles);
    void *object;
    (void)state;
    for (intptr_t i = 0; i < MANY; i++)
        handles[i] = handle_open(HANDLE_PROCESS, (void *)(i + 1), destroy);
    for (intptr_t i = 0; i < MANY; i++) {
        if (sizeof(void *) < 8 && !handles[i])
            break;
        assert_int_equal(handle_acquire(&object, handles[i], HANDLE_PROCESS), APR_SUCCESS);
        assert_ptr_equal(object, (void *)(i + 1));
        handle_release(handles[i]);
        assert_int_equal(handle_close(handles[i], HANDLE_PROCESS), APR_SUCCESS);
    }
    free(handles);
}

static _Atomic(void *) shared;
static _Atomic int stop;

static void *APR_THREAD_FUNC use_and_close(apr_thread_t *self, void *data)
{
    int *wrong = data;
    (void)self;
    while (!atomic_load(&stop)) {
        void *object;
        void *handle = atomic_load(&shared);
        if (handle_acquire(&object, handle, HANDLE_PROCESS) != APR_SUCCESS) {
            apr_thread_yield();
            continue;
        }
        *wrong += *(int *)object != 42;
        handle_close(handle, HANDLE_PROCESS);
        *wrong += *(int *)object != 42; /* closed, but not destroyed: it is in use */
        handle_release(handle);
    }
    return NULL;
}

static void destroy_number(void *object)
{
    *(int *)object = 0;
    free(object);
    atomic_fetch_add(&destroyed, 1);
}

static void test_close_races_with_use(void **state)
{
    apr_thread_t *threads[3];
    int wrong[3] = {0, 0, 0};
    apr_status_t status;
    int opened = 0;
    (void)state;
    for (int i = 0; i < 3; i++)
        apr_thread_create(&threads[i], NULL, use_and_close, &wrong[i], test_pool());
    for (int i = 0; i < 200000; i++) {
        int *number = malloc(sizeof *number);
        *number = 42;
        void *handle = handle_open(HANDLE_PROCESS, number, destroy_number);
        atomic_store(&shared, handle);
        opened++;
        if (i % 3 == 0)
            handle_close(handle, HANDLE_PROCESS);
        while (atomic_load(&destroyed) < opened)
            if (handle_close(handle, HANDLE_PROCESS) != APR_SUCCESS)
                apr_thread_yield();
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) {
        apr_thread_join(&status, threads[i]);
        assert_int_equal(wrong[i], 0);
    }
    assert_int_equal(destroyed, opened);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_kind_in_the_slot),
        cmocka_unit_test(test_open_and_closed),
        cmocka_unit_test(test_no_handles),
        cmocka_unit_test(test_stale_handles_stay_stale),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_close_races_with_use),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
