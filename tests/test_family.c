/* SPDX-License-Identifier: Apache-2.0 */
/* The family of one process: its memory, and what mproc_dump() tells. With more processes: conformance_share.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>

#include "arena.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

static const char *own_path;

static void note_line(void *context, const char *text)
{
    (void)text;
    ++*(int *)context;
}

static void test_before_first_use(void **state)
{
    mproc_family_info_t info;
    const mproc_family_info_t zero = {0};
    int lines = 0;
    (void)state;
    memset(&info, 0xee, sizeof info);
    assert_success(mproc_family_info(&info));
    assert_memory_equal(&info, &zero, sizeof info);
    assert_failure(mproc_family_info(NULL), APR_EINVAL);
    assert_failure(mproc_dump(NULL, NULL), APR_EINVAL);
    assert_success(mproc_dump(note_line, &lines));
    assert_int_equal(lines, 1);
    assert_int_equal(count_lines("family: 0 members, 0 objects"), 1);
}

/** The smallest size that is taken. */
static uint64_t smallest(void)
{
    uint64_t size = 0;
    do {
        size += 65536;
    } while (mproc_set_arena_size(size) != APR_SUCCESS);
    return size;
}

static void test_set_size(void **state)
{
    mproc_family_info_t info;
    (void)state;
    assert_failure(mproc_set_arena_size(1), APR_EINVAL);
    assert_failure(mproc_set_arena_size(1 << 20), APR_EINVAL);
    assert_failure(mproc_set_arena_size(UINT64_MAX), APR_EINVAL);
    assert_failure(mproc_set_arena_size((uint64_t)1 << 63), APR_EINVAL);
    const uint64_t least = smallest();
    assert_in_range(least, 4 << 20, 8 << 20);
    assert_failure(mproc_set_arena_size(least - 65536), APR_EINVAL);
    assert_success(mproc_set_arena_size(0));
    assert_success(mproc_set_arena_size((16 << 20) + 1));
    void *event = make_object(&object_kinds[OF_EVENT]);
    assert_success(mproc_family_info(&info));
    assert_true(info.size == (16 << 20) + 65536);
    assert_failure(mproc_set_arena_size(32 << 20), MPROC_ESTATE);
    assert_failure(mproc_set_arena_size(0), MPROC_ESTATE);
    assert_success(mproc_event_close(event));
    assert_failure(mproc_set_arena_size(32 << 20), MPROC_ESTATE);
}

static int do_nothing(mproc_call_t *call)
{
    return call ? 0 : 1;
}

/** A child may come to use it: then it is there. */
static void test_set_size_after_start(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    assert_int_equal(finish(start(do_nothing, opts)), 0);
    assert_failure(mproc_set_arena_size(32 << 20), MPROC_ESTATE);
    expect_no_objects();
}

/** The size that a program has under a value of the environment. */
static unsigned long long size_under(const char *value)
{
    run_t run;
    const char *arguments[] = {own_path, "--size", NULL};
    if (value)
        assert_int_equal(apr_env_set("MPROC_ARENA_SIZE", value, test_pool()), APR_SUCCESS);
    else
        apr_env_delete("MPROC_ARENA_SIZE", test_pool());
    run_program(&run, own_path, arguments, 30);
    assert_int_equal(run.exitcode, 0);
    return strtoull(run.output, NULL, 10);
}

static void test_size_of_environment(void **state)
{
    static const char *const invalid[] = {"",
                                          "x",
                                          "0",
                                          "1000",
                                          "20000000x",
                                          "-1",
                                          "-20000000",
                                          "18446744073709551615",
                                          "99999999999999999999999999",
                                          "20000000 "};
    (void)state;
    if (getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    const unsigned long long usual = size_under(NULL);
    assert_true(usual >= 256u << 20);
    assert_true(size_under("16777216") == 16777216);
    assert_true(size_under("16777217") == 16777216 + 65536);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (size_under(invalid[i]) != usual)
            fail_msg("MPROC_ARENA_SIZE '%s' was taken", invalid[i]);
}

/** What a program does that is to say how large its arena is. */
static int tell_size(void)
{
    mproc_lock_t *lock;
    mproc_family_info_t info;
    if (mproc_lock_create(&lock, NULL) != APR_SUCCESS || mproc_family_info(&info) != APR_SUCCESS)
        return 1;
    printf("%llu\n", (unsigned long long)info.size);
    return 0;
}

static void test_info(void **state)
{
    mproc_family_info_t info;
    void *objects[OBJECT_KINDS];
    (void)state;
    for (int i = 0; i < OBJECT_KINDS; i++)
        objects[i] = make_object(&object_kinds[i]);
    memset(&info, 0xee, sizeof info);
    assert_success(mproc_family_info(&info));
    assert_int_equal(info.objects, OBJECTS_OF_ALL_KINDS);
    assert_int_equal(info.members, 1);
    assert_true(info.used >= 64 * OBJECTS_OF_ALL_KINDS && info.used < 16 * 65536);
    for (int i = 0; i < 4; i++)
        assert_true(info.reserved[i] == 0);
    for (int i = 0; i < OBJECT_KINDS; i++)
        assert_success(object_kinds[i].close(objects[i]));
    expect_no_objects();
}

/** See that one line begins so for an object and ends so. */
static void expect_line(void *object, const char *noun, const char *rest)
{
    char line[200];
    snprintf(line, sizeof line, "%s %llu: %s\n", noun, (unsigned long long)ref_of(object).serial, rest);
    const char *found = strstr(dump_family(), line);
    if (!found || strstr(found + 1, line))
        fail_msg("there is not just one '%s' in\n%s", line, dump_family());
}

static void test_dump(void **state)
{
    char text[200];
    mproc_barrier_t *barrier;
    (void)state;
    mproc_lock_t *lock = make_object(&object_kinds[OF_LOCK]);
    mproc_semaphore_t *semaphore = make_object(&object_kinds[OF_SEMAPHORE]);
    mproc_event_t *event = make_object(&object_kinds[OF_EVENT]);
    assert_success(mproc_barrier_create(&barrier, 3, NULL));
    snprintf(text, sizeof text, "process %d has it", mproc_getpid());
    expect_line(lock, "lock", text);
    assert_success(mproc_lock_release(lock));
    expect_line(lock, "lock", "nobody has it");
    expect_line(semaphore, "semaphore", "0 left");
    assert_success(mproc_semaphore_release(semaphore));
    assert_success(mproc_semaphore_release(semaphore));
    expect_line(semaphore, "semaphore", "2 left");
    expect_line(event, "event", "not set");
    assert_success(mproc_event_set(event));
    expect_line(event, "event", "set");
    expect_line(barrier, "barrier", "0 of 3 have come");
    waiting_thread_t thread;
    begin_waiting(&thread, &object_kinds[OF_BARRIER], barrier, MPROC_FOREVER);
    await_waiting(1);
    expect_line(barrier, "barrier", "1 of 3 have come");
    assert_success(mproc_barrier_abort(barrier));
    assert_int_equal(end_waiting(&thread), MPROC_EBROKENBARRIER);
    expect_line(barrier, "barrier", "broken");
    const mproc_condition_opts_t opts = {.lock = lock};
    mproc_condition_t *condition;
    assert_success(mproc_condition_create(&condition, &opts));
    snprintf(text, sizeof text, "its lock is %llu", (unsigned long long)ref_of(lock).serial);
    expect_line(condition, "condition", text);
    snprintf(text, sizeof text, "family: 1 members, 5 objects, ");
    assert_memory_equal(dump_family(), text, strlen(text));
    snprintf(text, sizeof text, "process %d\n", mproc_getpid());
    assert_non_null(strstr(dump_family(), text));
    assert_int_equal(count_lines("member "), 1);
    assert_int_equal(count_lines("deadlock"), 0);
}

static void test_dump_to_stream(void **state)
{
    char path[512], text[2000];
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    void *event = make_object(&object_kinds[OF_EVENT]);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_success(mproc_dump_to(stream));
    fclose(stream);
    read_file(path, text, sizeof text);
    assert_string_equal(text, dump_family());
    apr_file_remove(path, test_pool());
    assert_success(mproc_event_close(event));
}

/** Who waits stands below what it waits for, and for how long. */
static void test_dump_of_waiting(void **state)
{
    (void)state;
    for (const object_kind_t *kind = object_kinds; kind < object_kinds + OBJECT_KINDS; kind++) {
        enum { WAITERS = 3 };
        waiting_thread_t threads[WAITERS];
        unsigned seconds = 100, thousandths = 0;
        int pid = 0;
        if (kind->is_end)
            continue;
        void *object = make_object(kind);
        void *other = make_object(kind);
        for (int i = 0; i < WAITERS; i++)
            begin_waiting(&threads[i], kind, object, MPROC_FOREVER);
        await_waiting(WAITERS);
        apr_sleep(100000);
        char head[100];
        /* What has a lock is waited for at that, which was made before it. */
        const int has_lock = kind == &object_kinds[OF_SHARED];
        snprintf(head, sizeof head, "\n%s %llu: ", has_lock ? "lock" : kind->noun,
                 (unsigned long long)ref_of(object).serial - (unsigned)has_lock);
        const char *line = strstr(dump_family(), head);
        assert_non_null(line);
        for (int i = 0; i < WAITERS; i++) {
            line = strchr(line + 1, '\n');
            assert_non_null(line);
            assert_int_equal(sscanf(line, "\n  process %d has waited for %u.%u s", &pid, &seconds, &thousandths), 3);
            assert_int_equal(pid, mproc_getpid());
            assert_true(seconds * 1000 + thousandths >= 100 && seconds < 60);
        }
        assert_success(kind->close(object));
        for (int i = 0; i < WAITERS; i++)
            assert_int_equal(end_waiting(&threads[i]), MPROC_ECLOSED);
        assert_int_equal(count_lines("has waited for"), 0);
        assert_success(kind->close(other));
    }
}

static void test_self_deadlock(void **state)
{
    waiting_thread_t thread;
    char line[200];
    (void)state;
    mproc_lock_t *lock = make_object(&object_kinds[OF_LOCK]);
    assert_int_equal(count_lines("deadlock"), 0);
    begin_waiting(&thread, &object_kinds[OF_LOCK], lock, MPROC_FOREVER);
    await_waiting(1);
    assert_int_equal(count_lines("deadlock of 1, unless other threads of theirs go on:"), 1);
    snprintf(line, sizeof line, "  process %d waits for lock %llu, which process %d has\n", mproc_getpid(),
             (unsigned long long)ref_of(lock).serial, mproc_getpid());
    assert_non_null(strstr(dump_family(), line));
    assert_success(mproc_lock_release(lock));
    assert_int_equal(end_waiting(&thread), APR_SUCCESS);
    assert_int_equal(count_lines("deadlock"), 0);
    assert_success(mproc_lock_close(lock));
}

/** Make and close objects, and wait for them, while another thread looks at all of it. */
static int bustle(int number, void *context)
{
    unsigned long long random = (unsigned long long)number;
    (void)context;
    for (int i = 0; i < 1000 / slowdown(); i++) {
        mproc_family_info_t info;
        int lines = 0;
        if (number == 0) {
            if (mproc_dump(note_line, &lines) != APR_SUCCESS || lines < 2 || mproc_family_info(&info) != APR_SUCCESS)
                return 1;
            continue;
        }
        const object_kind_t *kind = &object_kinds[next_random(&random) % OBJECT_KINDS];
        void *objects[20];
        for (size_t k = 0; k < 20; k++)
            if (kind->create(&objects[k], "bustle", NULL) != APR_SUCCESS)
                return 2;
        if (kind->wait(objects[i % 20], 100) != APR_TIMEUP)
            return 3;
        for (size_t k = 0; k < 20; k++)
            if (kind->close(objects[k]) != APR_SUCCESS)
                return 4;
    }
    return 0;
}

static void test_dump_beside_others(void **state)
{
    (void)state;
    void *object = make_object(&object_kinds[OF_EVENT]);
    assert_int_equal(run_threads(4, bustle, NULL), 0);
    assert_int_equal(count_objects(), 1);
    assert_success(mproc_event_close(object));
    expect_no_objects();
}

/** White box: who has counted a span was killed before it wrote what it is for. Looking at it ends all the same. */
static void test_half_written(void **state)
{
    mproc_family_info_t info;
    (void)state;
    void *object = make_object(&object_kinds[OF_EVENT]);
    const uint64_t used = shm_load64(&arena->spans_used);
    shm_store64(&arena->spans_used, used + 1);
    assert_success(mproc_family_info(&info));
    assert_int_equal(info.objects, 1);
    assert_int_equal(count_lines("event "), 1);
    shm_store64(&arena->spans_used, used);
    assert_success(mproc_event_close(object));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_first_use),
        cmocka_unit_test(test_set_size),
        cmocka_unit_test(test_set_size_after_start),
        cmocka_unit_test(test_size_of_environment),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_dump_to_stream),
        cmocka_unit_test(test_dump_of_waiting),
        cmocka_unit_test(test_self_deadlock),
        cmocka_unit_test(test_dump_beside_others),
        cmocka_unit_test(test_half_written),
    };
    own_path = argv[0];
    if (argc == 2 && strcmp(argv[1], "--size") == 0)
        return mproc_initialize(argc, argv) == APR_SUCCESS ? tell_size() : 2;
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
