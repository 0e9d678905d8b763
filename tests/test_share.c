/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same for all shared objects: handles, references, memory. Other processes are conformance_share.c's. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

#define EACH_KIND(kind)                                                                                                \
    const object_kind_t *kind = object_kinds;                                                                          \
    kind < object_kinds + OBJECT_KINDS;                                                                                \
    kind++

/* ---- References -------------------------------------------------------------------------------------------------- */

static int is_same_ref(const mproc_ref_t *one, const mproc_ref_t *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

static void test_reference(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        void *other;
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        assert_true(ref.place != 0 && ref.serial != 0 && (ref.family[0] != 0 || ref.family[1] != 0));
        assert_success(kind->open(&other, &ref, NULL));
        assert_ptr_not_equal(other, object);
        const mproc_ref_t again = ref_of(other);
        assert_true(is_same_ref(&ref, &again));
        assert_int_equal(kind->wait(other, 1000), APR_TIMEUP);
        assert_success(kind->close(object));
        /* It stays as long as anybody has it open. */
        assert_int_equal(kind->wait(other, 1000),
                         kind == &object_kinds[OF_BARRIER] ? MPROC_EBROKENBARRIER : APR_TIMEUP);
        assert_success(kind->open(&object, &ref, NULL));
        assert_success(kind->close(other));
        assert_success(kind->close(object));
        assert_failure(kind->open(&object, &ref, NULL), MPROC_EGONE);
        assert_null(object);
    }
    expect_no_objects();
}

static void test_reference_refused(void **state)
{
    mproc_ref_t ref;
    const mproc_ref_t zero = {{0, 0}, 0, 0};
    mproc_conn_t *first, *second;
    int thing = 0;
    (void)state;
    void *object = make_object(&object_kinds[OF_EVENT]);
    assert_failure(mproc_ref(NULL, object), APR_EINVAL);
    void *const none[] = {NULL, &thing, &ref, (void *)1, (void *)(intptr_t)-1, mproc_current_process()};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        memset(&ref, 0xee, sizeof ref);
        assert_failure(mproc_ref(&ref, none[i]), i == 0 ? APR_EINVAL : MPROC_ECLOSED);
        assert_true(is_same_ref(&ref, &zero));
    }
    make_conns(&first, &second);
    assert_failure(mproc_ref(&ref, first), MPROC_ECLOSED);
    close_both(first, second);
    assert_success(mproc_event_close(object));
    memset(&ref, 0xee, sizeof ref);
    assert_failure(mproc_ref(&ref, object), MPROC_ECLOSED);
    assert_true(is_same_ref(&ref, &zero));
}

static void test_wrong_kind(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        for (const object_kind_t *other = object_kinds; other < object_kinds + OBJECT_KINDS; other++) {
            void *opened = &opened;
            if (other->open == kind->open)
                continue;
            assert_failure(other->open(&opened, &ref, NULL), APR_EINVAL);
            assert_null(opened);
            assert_failure(other->wait(object, 0), MPROC_ECLOSED);
            assert_failure(other->close(object), MPROC_ECLOSED);
        }
        assert_failure(mproc_process_close(object), MPROC_ECLOSED);
        assert_failure(kind->close((void *)mproc_current_process()), MPROC_ECLOSED);
        assert_success(kind->close(object));
    }
    expect_no_objects();
}

static void test_nothing(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        void *opened = &opened;
        assert_success(kind->close(NULL));
        assert_failure(kind->wait(NULL, 0), APR_EINVAL);
        assert_failure(kind->open(&opened, NULL, NULL), APR_EINVAL);
        assert_null(opened);
    }
    const mproc_ref_t ref = {{1, 2}, 3, 4};
    assert_failure(mproc_lock_create(NULL, NULL), APR_EINVAL);
    assert_failure(mproc_semaphore_create(NULL, 1, NULL), APR_EINVAL);
    assert_failure(mproc_event_create(NULL, NULL), APR_EINVAL);
    assert_failure(mproc_condition_create(NULL, NULL), APR_EINVAL);
    assert_failure(mproc_barrier_create(NULL, 1, NULL), APR_EINVAL);
    assert_failure(mproc_shared_create(NULL, 1, NULL), APR_EINVAL);
    assert_failure(mproc_lock_open(NULL, &ref, NULL), APR_EINVAL);
    assert_failure(mproc_semaphore_open(NULL, &ref, NULL), APR_EINVAL);
    assert_failure(mproc_event_open(NULL, &ref, NULL), APR_EINVAL);
    assert_failure(mproc_condition_open(NULL, &ref, NULL), APR_EINVAL);
    assert_failure(mproc_barrier_open(NULL, &ref, NULL), APR_EINVAL);
    assert_failure(mproc_shared_open(NULL, &ref, NULL), APR_EINVAL);
    assert_null(mproc_call_lock(NULL, 0));
    assert_int_equal(mproc_last_error()->status, APR_EINVAL);
    assert_null(mproc_call_barrier(NULL, 0));
    assert_null(mproc_call_shared(NULL, 0));
}

static void test_closed(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        void *object = make_object(kind);
        assert_success(kind->close(object));
        assert_failure(kind->close(object), MPROC_ECLOSED);
        assert_failure(kind->wait(object, 0), MPROC_ECLOSED);
        assert_failure(kind->wait(object, MPROC_FOREVER), MPROC_ECLOSED);
        /* The next one has another handle. */
        void *next = make_object(kind);
        assert_ptr_not_equal(next, object);
        assert_failure(kind->close(object), MPROC_ECLOSED);
        assert_success(kind->close(next));
    }
    expect_no_objects();
}

static void test_stale_reference(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        int was_at_its_place = 0;
        assert_success(kind->close(object));
        assert_failure(kind->open(&object, &ref, NULL), MPROC_EGONE);
        assert_error_names(kind->noun);
        /* Another one takes its place: that is not what was referred to. */
        for (const object_kind_t *next = object_kinds; next < object_kinds + OBJECT_KINDS; next++) {
            void *opened;
            object = make_object(next);
            was_at_its_place |= ref_of(object).place == ref.place;
            assert_failure(kind->open(&opened, &ref, NULL), MPROC_EGONE);
            assert_success(next->close(object));
        }
        assert_true(was_at_its_place);
    }
}

/** See that a reference which is not the right one opens nothing. */
static void expect_no_object(const mproc_ref_t *right, mproc_ref_t forged)
{
    if (is_same_ref(right, &forged))
        return;
    for (EACH_KIND(kind)) {
        void *opened = &opened;
        const apr_status_t status = kind->open(&opened, &forged, NULL);
        if ((status == MPROC_EGONE || status == APR_EINVAL || status == MPROC_EFOREIGN) && !opened)
            continue;
        fail_msg("place %#llx, serial %llu was opened as a %s: %d", (unsigned long long)forged.place,
                 (unsigned long long)forged.serial, kind->noun, status);
    }
}

static void test_forged_reference(void **state)
{
    mproc_family_info_t info;
    (void)state;
    unsigned long long random = choose_seed();
    void *semaphore = make_object(&object_kinds[OF_SEMAPHORE]);
    void *condition = make_object(&object_kinds[OF_CONDITION]);
    const mproc_ref_t right = ref_of(semaphore);
    const mproc_ref_t zero = {{0, 0}, 0, 0};
    mproc_ref_t forged = right;
    void *opened;
    assert_success(mproc_family_info(&info));
    expect_no_object(&right, zero);
    forged.family[1]++;
    assert_failure(object_kinds[OF_SEMAPHORE].open(&opened, &forged, NULL), MPROC_EFOREIGN);
    /* The right place, other serials: zero is what free blocks have. */
    const uint64_t serials[] = {0, right.serial - 1, right.serial + 1, right.serial + 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
        forged = right;
        forged.serial = serials[i];
        expect_no_object(&right, forged);
    }
    /* The right serial, and zero, at every place around: the middle of blocks, tables, blocks that are no objects. */
    for (uint64_t place = 0; place<right.place + 300000; place += place + 4096> right.place ? 8 : 4096) {
        forged = right;
        forged.place = place;
        expect_no_object(&right, forged);
        forged.serial = 0;
        expect_no_object(&right, forged);
    }
    const uint64_t places[] = {right.place + 1,   right.place - 1,   info.size - 64, info.size,
                               info.size + 65536, (uint64_t)1 << 63, UINT64_MAX,     UINT64_MAX - 63};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        forged = right;
        forged.place = places[i];
        expect_no_object(&right, forged);
    }
    for (int i = 0; i < 20000; i++) {
        forged.place = next_random(&random) >> (next_random(&random) % 64);
        forged.serial = next_random(&random) % 4;
        expect_no_object(&right, forged);
    }
    assert_success(object_kinds[OF_SEMAPHORE].close(semaphore));
    assert_success(object_kinds[OF_CONDITION].close(condition));
    expect_no_objects();
}

/** A name that looks like the beginning of an object, in the middle of one. */
static void test_object_in_name(void **state)
{
    mproc_ref_t none;
    (void)state;
    memset(&none, 0, sizeof none);
    for (int kind = 0; kind < 32; kind++) {
        const char name[] = {'A', 'A', 'A', 'A', 'A', 'A', 'A', 'A', 1, 1, 1, 1, (char)kind, '\0'};
        void *object;
        assert_success(object_kinds[OF_EVENT].create(&object, name, NULL));
        mproc_ref_t forged = ref_of(object);
        memset(&forged.serial, 'A', sizeof forged.serial);
        for (int i = 0; i < 64; i++) {
            forged.place++;
            expect_no_object(&none, forged);
        }
        assert_success(mproc_event_close(object));
    }
    expect_no_objects();
}

static void test_reference_in_message(void **state)
{
    mproc_conn_t *first, *second;
    (void)state;
    make_conns(&first, &second);
    for (EACH_KIND(kind)) {
        mproc_ref_t received;
        void *opened;
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        assert_success(mproc_conn_send(first, &ref, sizeof ref, patience()));
        assert_success(mproc_conn_recv_exactly(second, &received, sizeof received, patience()));
        assert_success(kind->open(&opened, &received, NULL));
        assert_success(kind->close(opened));
        assert_success(kind->close(object));
    }
    close_both(first, second);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static void test_pools(void **state)
{
    apr_pool_t *pool;
    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (EACH_KIND(kind)) {
        void *object, *early, *opened;
        assert_success(kind->create(&object, NULL, pool));
        assert_success(kind->create(&early, NULL, pool));
        const mproc_ref_t ref = ref_of(object);
        assert_success(kind->close(early)); /* the pool will not mind */
        assert_success(kind->open(&opened, &ref, pool));
        void *other = make_object(kind);
        apr_pool_clear(pool);
        assert_failure(kind->close(object), MPROC_ECLOSED);
        assert_failure(kind->close(opened), MPROC_ECLOSED);
        assert_failure(kind->open(&opened, &ref, pool), MPROC_EGONE);
        assert_success(kind->close(other));
    }
    expect_no_objects();
    apr_pool_destroy(pool);
}

static void test_names(void **state)
{
    static const char longest[] = "abcdefghijklmnopqrstuvw";
    static const char longer[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (void)state;
    assert_int_equal(strlen(longest), MPROC_OBJECT_NAME_MAX);
    for (EACH_KIND(kind)) {
        static const char *const names[] = {longest, longer, "", "same", "same"};
        enum { NAMES = sizeof names / sizeof names[0] };
        void *objects[NAMES];
        char line[100];
        if (kind->is_end)
            continue;
        for (int i = 0; i < NAMES; i++)
            assert_success(kind->create(&objects[i], names[i], NULL));
        snprintf(line, sizeof line, "%s %llu %s: ", kind->noun, (unsigned long long)ref_of(objects[0]).serial, longest);
        assert_int_equal(count_lines(line), 1);
        snprintf(line, sizeof line, "%s %llu ABCDEFGHIJKLMNOPQRSTUVW: ", kind->noun,
                 (unsigned long long)ref_of(objects[1]).serial);
        assert_int_equal(count_lines(line), 1);
        snprintf(line, sizeof line, "%s %llu: ", kind->noun, (unsigned long long)ref_of(objects[2]).serial);
        assert_int_equal(count_lines(line), 1);
        for (int i = 0; i < NAMES; i++)
            assert_success(kind->close(objects[i]));
    }
    expect_no_objects();
}

/** Options as a later library may have them. */
typedef union later_opts_t {
    mproc_lock_opts_t lock;
    mproc_semaphore_opts_t semaphore;
    mproc_event_opts_t event;
    mproc_condition_opts_t condition;
    mproc_barrier_opts_t barrier;
    mproc_shared_opts_t shared;
    char room[256];
} later_opts_t;

static void test_options_of_another_program(void **state)
{
    later_opts_t opts;
    void *none = NULL;
    mproc_lock_t *lock;
    mproc_semaphore_t *semaphore;
    mproc_event_t *event;
    mproc_condition_t *condition;
    mproc_barrier_t *barrier;
    mproc_shared_t *shared;
    (void)state;
    memset(&opts, 0, sizeof opts);
    lock = none;
    assert_failure(mproc_lock_create_sized(&lock, &opts.lock, sizeof opts.lock + 8), MPROC_EBUILD);
    assert_null(lock);
    assert_failure(mproc_semaphore_create_sized(&semaphore, 1, &opts.semaphore, sizeof opts.semaphore + 8),
                   MPROC_EBUILD);
    assert_null(semaphore);
    assert_failure(mproc_event_create_sized(&event, &opts.event, sizeof opts.event + 8), MPROC_EBUILD);
    assert_null(event);
    assert_failure(mproc_condition_create_sized(&condition, &opts.condition, sizeof opts.condition + 8), MPROC_EBUILD);
    assert_null(condition);
    assert_failure(mproc_barrier_create_sized(&barrier, 1, &opts.barrier, sizeof opts.barrier + 8), MPROC_EBUILD);
    assert_null(barrier);
    assert_failure(mproc_shared_create_sized(&shared, 1, &opts.shared, sizeof opts.shared + 8), MPROC_EBUILD);
    assert_null(shared);
    /* An earlier one does not know the last of them: what stands behind is not read. */
    memset(&opts, 0xff, sizeof opts);
    opts.lock.recursive = 1;
    assert_success(mproc_lock_create_sized(&lock, &opts.lock, offsetof(mproc_lock_opts_t, name)));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_close(lock));
    memset(&opts, 0xff, sizeof opts);
    assert_success(mproc_shared_create_sized(&shared, 1, &opts.shared, offsetof(mproc_shared_opts_t, name)));
    assert_success(mproc_shared_acquire(shared, 0));
    assert_success(mproc_shared_close(shared));
    assert_success(mproc_barrier_create_sized(&barrier, 1, &opts.barrier, 0));
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

static void test_before_initialize(void **state)
{
    mproc_family_info_t info;
    mproc_ref_t ref;
    (void)state;
    void *old = make_object(&object_kinds[OF_LOCK]);
    ref = ref_of(old);
    assert_success(mproc_terminate());
    for (EACH_KIND(kind)) {
        void *object = &object;
        assert_failure(kind->create(&object, NULL, NULL), kind == object_kinds ? MPROC_EINIT : MPROC_EINIT);
        assert_null(object);
        assert_failure(kind->open(&object, &ref, NULL), MPROC_EINIT);
        assert_null(object);
        assert_failure(kind->wait(old, 0), MPROC_ECLOSED);
        assert_failure(kind->close(old), MPROC_ECLOSED);
    }
    memset(&info, 0xee, sizeof info);
    assert_failure(mproc_family_info(&info), MPROC_EINIT);
    assert_true(info.size == 0 && info.members == 0);
    assert_failure(mproc_ref(&ref, old), MPROC_ECLOSED);
    /* And once more. */
    assert_success(mproc_initialize(0, NULL));
    assert_int_equal(count_objects(), 0);
    for (EACH_KIND(kind))
        assert_success(kind->close(make_object(kind)));
    expect_no_objects();
}

/* ---- Closing while others wait ----------------------------------------------------------------------------------- */

static void test_closed_while_waiting(void **state)
{
    enum { WAITERS = 5 };
    (void)state;
    for (EACH_KIND(kind)) {
        waiting_thread_t threads[WAITERS], other;
        void *own, *second;
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        assert_success(kind->open(&own, &ref, NULL));
        assert_success(kind->open(&second, &ref, NULL));
        for (int i = 0; i < WAITERS; i++)
            begin_waiting(&threads[i], kind, own, i % 2 ? MPROC_FOREVER : patience());
        begin_waiting(&other, kind, second, MPROC_FOREVER);
        await_waiting(WAITERS + 1);
        const apr_time_t begin = apr_time_now();
        assert_success(kind->close(own));
        for (int i = 0; i < WAITERS; i++)
            assert_int_equal(end_waiting(&threads[i]), MPROC_ECLOSED);
        expect_soon(begin);
        assert_failure(kind->wait(own, 0), MPROC_ECLOSED);
        assert_success(kind->close(second));
        const apr_status_t status = end_waiting(&other);
        assert_true(status == MPROC_ECLOSED || (status == MPROC_EBROKENBARRIER && kind == &object_kinds[OF_BARRIER]));
        assert_success(kind->close(object));
        expect_no_objects();
    }
}

/** Those who wait with another handle go on waiting, for all kinds but a barrier, which who does not come breaks. */
static void test_others_wait_on(void **state)
{
    (void)state;
    for (EACH_KIND(kind)) {
        waiting_thread_t ended, goes_on;
        void *own, *second;
        void *object = make_object(kind);
        const mproc_ref_t ref = ref_of(object);
        if (kind == &object_kinds[OF_BARRIER]) {
            assert_success(kind->close(object));
            continue;
        }
        assert_success(kind->open(&own, &ref, NULL));
        assert_success(kind->open(&second, &ref, NULL));
        begin_waiting(&ended, kind, own, MPROC_FOREVER);
        begin_waiting(&goes_on, kind, second, MPROC_FOREVER);
        await_waiting(2);
        assert_success(kind->close(own));
        assert_int_equal(end_waiting(&ended), MPROC_ECLOSED);
        apr_sleep(MPROC_MILLISECONDS(30));
        assert_int_equal(count_lines("has waited for"), 1);
        assert_int_equal(goes_on.status, -1);
        assert_success(kind->close(second));
        assert_int_equal(end_waiting(&goes_on), MPROC_ECLOSED);
        assert_success(kind->close(object));
    }
}

/** The library is ended while threads wait: what they had open is released once, not again when they come to know. */
static void test_terminated_while_waiting(void **state)
{
    waiting_thread_t threads[OBJECT_KINDS];
    mproc_ref_t refs[OBJECT_KINDS];
    (void)state;
    assert_int_equal(apr_initialize(), APR_SUCCESS); /* so that the threads' pools stay */
    for (int turn = 0; turn < 3; turn++) {
        for (int kind = 0; kind < OBJECT_KINDS; kind++) {
            void *object = make_object(&object_kinds[kind]);
            refs[kind] = ref_of(object);
            begin_waiting(&threads[kind], &object_kinds[kind], object, MPROC_FOREVER);
        }
        await_waiting(OBJECT_KINDS);
        assert_success(mproc_terminate());
        assert_success(mproc_initialize(0, NULL));
        /* Others have come in their place when they come to know. */
        void *next[OBJECT_KINDS];
        for (int kind = 0; kind < OBJECT_KINDS; kind++)
            next[kind] = make_object(&object_kinds[kind]);
        for (int kind = 0; kind < OBJECT_KINDS; kind++) {
            void *opened;
            assert_int_equal(end_waiting(&threads[kind]), MPROC_ECLOSED);
            assert_failure(object_kinds[kind].open(&opened, &refs[kind], NULL), MPROC_EGONE);
        }
        assert_int_equal(count_objects(), OBJECTS_OF_ALL_KINDS);
        for (int kind = 0; kind < OBJECT_KINDS; kind++)
            assert_success(object_kinds[kind].close(next[kind]));
        expect_no_objects();
    }
}

/* ---- Much -------------------------------------------------------------------------------------------------------- */

static void test_hundred_thousand_locks(void **state)
{
    enum { MANY = 100000 };
    mproc_lock_t **locks = calloc(MANY, sizeof(mproc_lock_t *));
    (void)state;
    assert_success(mproc_lock_create(&locks[0], NULL));
    assert_success(mproc_lock_close(locks[0]));
    const int before = count_descriptors();
    /* A process of 32 bits has room for 16384 handles. */
    const int many = (sizeof(void *) < 8 ? MANY / 10 : MANY) / slowdown();
    for (int i = 0; i < many; i++)
        assert_success(mproc_lock_create(&locks[i], NULL));
    expect_descriptors(before);
    assert_int_equal(count_objects(), many);
    for (int i = 0; i < many; i++)
        assert_success(mproc_lock_acquire(locks[i], 0));
    for (int i = 0; i < many; i += 2)
        assert_success(mproc_lock_release(locks[i]));
    for (int i = 0; i < many; i += 3)
        assert_success(mproc_lock_close(locks[i]));
    for (int i = many - 1; i >= 0; i--)
        if (i % 3 != 0)
            assert_success(mproc_lock_close(locks[i]));
    expect_no_objects();
    free(locks);
}

/** Those who wait do not look around all the time. */
static void test_waiting_costs_nothing(void **state)
{
    enum { EACH = 6, WAIT = 2000000, PERCENT = WAIT / 100 };
    static waiting_thread_t threads[OBJECT_KINDS][EACH];
    void *objects[OBJECT_KINDS];
    (void)state;
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        objects[kind] = make_object(&object_kinds[kind]);
        for (int i = 0; i < EACH; i++)
            begin_waiting(&threads[kind][i], &object_kinds[kind], objects[kind], i % 2 ? MPROC_FOREVER : patience());
    }
    await_waiting(OBJECT_KINDS * EACH);
    const apr_interval_time_t before = cpu_time();
    apr_sleep(WAIT);
    const apr_interval_time_t used = cpu_time() - before;
    if (used > 5 * PERCENT * slowdown())
        fail_msg("%d threads that wait use the processor for %d us in 2 s", OBJECT_KINDS * EACH, (int)used);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        assert_success(object_kinds[kind].close(objects[kind]));
        for (int i = 0; i < EACH; i++)
            assert_int_equal(end_waiting(&threads[kind][i]), MPROC_ECLOSED);
    }
    expect_no_objects();
}

/** What the system has for those who wait is given back, but for a little that is used again. */
static void test_waiters_leave_nothing(void **state)
{
    enum { WAITERS = 100 };
    static waiting_thread_t threads[WAITERS];
    int before = 0;
    (void)state;
    for (int round = 0; round < 3; round++) {
        void *event = make_object(&object_kinds[OF_EVENT]);
        const int count = round == 0 ? 1 : WAITERS;
        for (int i = 0; i < count; i++)
            begin_waiting(&threads[i], &object_kinds[OF_EVENT], event, MPROC_FOREVER);
        await_waiting(count);
        assert_success(mproc_event_set(event));
        for (int i = 0; i < count; i++)
            assert_int_equal(end_waiting(&threads[i]), APR_SUCCESS);
        assert_success(mproc_event_close(event));
        if (round == 0)
            before = count_descriptors();
        expect_descriptors(before);
    }
    expect_no_objects();
}

/** Create until the memory is full: how many. */
static int fill(const object_kind_t *kind, void **objects, int most)
{
    int count = 0;
    while (count < most && kind->create(&objects[count], NULL, NULL) == APR_SUCCESS)
        count++;
    if (count == most)
        fail_msg("%d objects did not fill it", most);
    assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
    assert_null(objects[count]);
    return count;
}

/** With the smallest arena there is. */
static void set_small_arena(void)
{
    uint64_t size = (uint64_t)1 << 20;
    while (mproc_set_arena_size(size) != APR_SUCCESS)
        size += 65536;
}

static void test_full(void **state)
{
    enum { MOST = 30000 };
    const mproc_semaphore_opts_t owned = {.owned = 1};
    void **objects = calloc(MOST, sizeof(void *));
    mproc_semaphore_t *large;
    int counts[2];
    (void)state;
    set_small_arena();
    /* Room for one size stays that size's. */
    assert_success(mproc_semaphore_create(&large, MPROC_SEMAPHORE_OWNED_MAX, &owned));
    assert_success(mproc_semaphore_close(large));
    for (int turn = 0; turn < 2; turn++) {
        void *first = make_object(&object_kinds[OF_SEMAPHORE]);
        int count = counts[turn] = fill(&object_kinds[OF_LOCK], objects, MOST);
        const int locks = count;
        while (mproc_semaphore_create(&large, MPROC_SEMAPHORE_OWNED_MAX, &owned) == APR_SUCCESS)
            objects[count++] = large;
        assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
        assert_null(large);
        assert_in_range(count - locks, 1, 8);
        /* What is there goes on. */
        assert_success(mproc_semaphore_release(first));
        assert_success(mproc_semaphore_acquire(first, 0));
        for (int i = 0; i < locks; i++)
            assert_success(mproc_lock_release(objects[i]));
        /* One less leaves room for one more, of the same size. */
        assert_success(mproc_lock_close(objects[0]));
        objects[0] = make_object(&object_kinds[OF_SEMAPHORE]);
        assert_success(mproc_semaphore_close(objects[0]));
        for (int i = 1; i < locks; i++)
            assert_success(mproc_lock_close(objects[i]));
        for (int i = locks; i < count; i++)
            assert_success(mproc_semaphore_close(objects[i]));
        assert_success(mproc_semaphore_close(first));
        expect_no_objects();
    }
    /* Nothing was lost: as many fit again. */
    assert_true(counts[0] > 1000);
    assert_int_equal(counts[0], counts[1]);
    free(objects);
}

/** Handles of one object, until there is no room for what says that they are open. */
static void test_full_of_handles(void **state)
{
    enum { MOST = 300000 };
    void **handles = calloc(MOST, sizeof(void *));
    int count = 0;
    (void)state;
    set_small_arena();
    void *event = make_object(&object_kinds[OF_EVENT]);
    const mproc_ref_t ref = ref_of(event);
    while (count < MOST && object_kinds[OF_EVENT].open(&handles[count], &ref, NULL) == APR_SUCCESS)
        count++;
    assert_true(count > 10000 && count < MOST);
    assert_int_equal(mproc_last_error()->status, APR_ENOMEM);
    assert_int_equal(count_objects(), 1);
    assert_success(mproc_event_set(handles[count - 1]));
    assert_true(mproc_event_is_set(event));
    for (int i = 0; i < count; i++)
        assert_success(mproc_event_close(handles[i]));
    assert_success(object_kinds[OF_EVENT].open(&handles[0], &ref, NULL));
    assert_success(mproc_event_close(handles[0]));
    assert_success(mproc_event_close(event));
    expect_no_objects();
    free(handles);
}

/** Objects of all sizes, made and closed in random order. */
static void test_random_order(void **state)
{
    enum { SLOTS = 500 };
    void *objects[SLOTS] = {NULL};
    const object_kind_t *kinds[SLOTS];
    (void)state;
    unsigned long long random = choose_seed();
    for (int i = 0; i < 100000 / slowdown(); i++) {
        const size_t slot = (size_t)(next_random(&random) % SLOTS);
        if (objects[slot]) {
            assert_success(kinds[slot]->close(objects[slot]));
            objects[slot] = NULL;
            continue;
        }
        kinds[slot] = &object_kinds[next_random(&random) % OBJECT_KINDS];
        if (kinds[slot] == &object_kinds[OF_SEMAPHORE]) {
            const mproc_semaphore_opts_t owned = {.owned = 1};
            mproc_semaphore_t *semaphore;
            assert_success(
                mproc_semaphore_create(&semaphore, 1 + (unsigned)(next_random(&random) >> 32) % 1024, &owned));
            objects[slot] = semaphore;
        } else {
            objects[slot] = make_object(kinds[slot]);
        }
    }
    for (int i = 0; i < SLOTS; i++)
        if (objects[i])
            assert_success(kinds[i]->close(objects[i]));
    expect_no_objects();
}

/** References that threads pass to one another. */
static int open_and_close(int number, void *context)
{
    const mproc_ref_t *refs = context;
    unsigned long long random = (unsigned long long)number;
    for (int i = 0; i < 3000 / slowdown(); i++) {
        const size_t which = (size_t)(next_random(&random) % OBJECT_KINDS);
        void *opened, *made;
        mproc_ref_t ref;
        if (object_kinds[which].open(&opened, &refs[which], NULL) != APR_SUCCESS ||
            object_kinds[which].create(&made, NULL, NULL) != APR_SUCCESS || mproc_ref(&ref, made) != APR_SUCCESS ||
            object_kinds[which].close(made) != APR_SUCCESS ||
            object_kinds[which].open(&made, &ref, NULL) != MPROC_EGONE ||
            object_kinds[which].close(opened) != APR_SUCCESS)
            return 1;
    }
    return 0;
}

static void test_threads(void **state)
{
    void *objects[OBJECT_KINDS];
    mproc_ref_t refs[OBJECT_KINDS];
    (void)state;
    for (int i = 0; i < OBJECT_KINDS; i++) {
        objects[i] = make_object(&object_kinds[i]);
        refs[i] = ref_of(objects[i]);
    }
    assert_int_equal(run_threads(8, open_and_close, refs), 0);
    assert_int_equal(count_objects(), OBJECTS_OF_ALL_KINDS);
    for (int i = 0; i < OBJECT_KINDS; i++)
        assert_success(object_kinds[i].close(objects[i]));
    expect_no_objects();
}

/** The first use founds the family, once, whoever comes first. */
static int make_one(int number, void *context)
{
    mproc_ref_t *refs = context;
    mproc_event_t *event;
    return mproc_event_create(&event, NULL) != APR_SUCCESS || mproc_ref(&refs[number], event) != APR_SUCCESS;
}

static void test_founded_by_many(void **state)
{
    enum { THREADS = 16 };
    mproc_ref_t refs[THREADS];
    (void)state;
    assert_int_equal(run_threads(THREADS, make_one, refs), 0);
    for (int i = 1; i < THREADS; i++)
        assert_true(refs[i].family[0] == refs[0].family[0] && refs[i].family[1] == refs[0].family[1]);
    assert_int_equal(count_objects(), THREADS);
    assert_int_equal(count_lines("member "), 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_reference_refused),
        cmocka_unit_test(test_wrong_kind),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_stale_reference),
        cmocka_unit_test(test_forged_reference),
        cmocka_unit_test(test_object_in_name),
        cmocka_unit_test(test_reference_in_message),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_options_of_another_program),
        cmocka_unit_test(test_before_initialize),
        cmocka_unit_test(test_closed_while_waiting),
        cmocka_unit_test(test_others_wait_on),
        cmocka_unit_test(test_terminated_while_waiting),
        cmocka_unit_test(test_hundred_thousand_locks),
        cmocka_unit_test(test_waiting_costs_nothing),
        cmocka_unit_test(test_waiters_leave_nothing),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_of_handles),
        cmocka_unit_test(test_random_order),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_founded_by_many),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
