/* SPDX-License-Identifier: Apache-2.0 */
/* Shared objects between processes, under every start method: how they are passed, and what each death means. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/agents.h"
#include "support/harness.h"
#include "support/random.h"
#include "support/support.h"

static const char not_by_thread[] = "a thread cannot be ended from outside";

#define OBJECTS(...) ((void *const[]){__VA_ARGS__, NULL})

static mproc_lock_t *make_lock(int recursive)
{
    mproc_lock_t *lock;
    const mproc_lock_opts_t opts = {.recursive = recursive};
    assert_success(mproc_lock_create(&lock, &opts));
    return lock;
}

static mproc_semaphore_t *make_semaphore(unsigned value, int owned)
{
    mproc_semaphore_t *semaphore;
    const mproc_semaphore_opts_t opts = {.owned = owned};
    assert_success(mproc_semaphore_create(&semaphore, value, &opts));
    return semaphore;
}

static mproc_event_t *make_event(void)
{
    mproc_event_t *event;
    assert_success(mproc_event_create(&event, NULL));
    return event;
}

static mproc_condition_t *make_condition(mproc_lock_t *lock)
{
    mproc_condition_t *condition;
    const mproc_condition_opts_t opts = {.lock = lock};
    assert_success(mproc_condition_create(&condition, &opts));
    return condition;
}

static mproc_barrier_t *make_barrier(unsigned parties, int ignore_deaths)
{
    mproc_barrier_t *barrier;
    const mproc_barrier_opts_t opts = {.ignore_deaths = ignore_deaths};
    assert_success(mproc_barrier_create(&barrier, parties, &opts));
    return barrier;
}

static mproc_shared_t *make_shared(size_t size, int lock)
{
    mproc_shared_t *shared;
    const mproc_shared_opts_t opts = {.lock = lock};
    assert_success(mproc_shared_create(&shared, size, &opts));
    return shared;
}

/** See that something has not taken longer than it may, on a machine under load. */
static void expect_within(apr_time_t begin, int milliseconds)
{
    const apr_interval_time_t taken = apr_time_now() - begin;
    if (taken > MPROC_MILLISECONDS(milliseconds) * slowdown())
        fail_msg("that took %d ms, where %d would do", (int)apr_time_as_msec(taken), milliseconds);
}

/* What is noticed at once, by who sleeps for 100 ms, or by who sleeps for a second; with what a loaded machine adds. */
enum { AT_ONCE = 2000, SOON = 2100, AFTER_A_WHILE = 4000 };

/* ---- How they are passed ----------------------------------------------------------------------------------------- */

static void test_all_kinds(void **state)
{
    void *objects[OBJECT_KINDS + 1] = {NULL};
    (void)state;
    objects[OF_LOCK] = make_lock(0);
    objects[OF_SEMAPHORE] = make_semaphore(1, 0);
    objects[OF_EVENT] = make_event();
    objects[OF_CONDITION] = make_condition(NULL);
    objects[OF_BARRIER] = make_barrier(2, 0);
    objects[OF_SHARED] = make_shared(64, 1);
    for (int kind = OF_QUEUE; kind < OBJECT_KINDS; kind++)
        objects[kind] = make_object(&object_kinds[kind]);
    agent_t agent = start_agent(objects);
    for (int i = 0; i < OBJECT_KINDS; i++) {
        const mproc_ref_t ours = ref_of(objects[i]);
        tell(&agent, DO_REF, i, 0);
        const mproc_ref_t theirs = answer_of(&agent).ref;
        assert_memory_equal(&ours, &theirs, sizeof ours);
    }
    /* The child has the lock: nobody else can. */
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_LOCK, 0), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(objects[OF_LOCK], 0), APR_TIMEUP);
    assert_int_equal(mproc_lock_owner_pid(objects[OF_LOCK]), mproc_process_pid(agent.process));
    assert_int_equal(ask(&agent, DO_RELEASE, OF_LOCK, 0), APR_SUCCESS);
    assert_success(mproc_lock_acquire(objects[OF_LOCK], 0));
    tell(&agent, DO_ACQUIRE, OF_LOCK, MPROC_FOREVER);
    assert_false(has_answered(&agent, 50000));
    assert_success(mproc_lock_release(objects[OF_LOCK]));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    assert_success(mproc_lock_release(objects[OF_LOCK])); /* whoever has a handle may */
    /* The semaphore's one. */
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_SEMAPHORE, 0), APR_SUCCESS);
    assert_int_equal(mproc_semaphore_value(objects[OF_SEMAPHORE]), 0);
    assert_failure(mproc_semaphore_acquire(objects[OF_SEMAPHORE], 1000), APR_TIMEUP);
    tell(&agent, DO_ACQUIRE, OF_SEMAPHORE, MPROC_FOREVER);
    assert_success(mproc_semaphore_release(objects[OF_SEMAPHORE]));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    /* The event. */
    tell(&agent, DO_WAIT, OF_EVENT, MPROC_FOREVER);
    assert_false(has_answered(&agent, 50000));
    assert_success(mproc_event_set(objects[OF_EVENT]));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    assert_success(mproc_event_clear(objects[OF_EVENT]));
    assert_int_equal(ask(&agent, DO_SET, OF_EVENT, 0), APR_SUCCESS);
    assert_success(mproc_event_wait(objects[OF_EVENT], 0));
    /* The condition. */
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_CONDITION, 0), APR_SUCCESS);
    assert_failure(mproc_condition_acquire(objects[OF_CONDITION], 0), APR_TIMEUP);
    tell(&agent, DO_WAIT, OF_CONDITION, MPROC_FOREVER);
    assert_success(mproc_condition_acquire(objects[OF_CONDITION], patience()));
    assert_success(mproc_condition_notify(objects[OF_CONDITION], 1));
    assert_false(has_answered(&agent, 50000));
    assert_success(mproc_condition_release(objects[OF_CONDITION]));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_RELEASE, OF_CONDITION, 0), APR_SUCCESS);
    /* A queue, from both sides, and one of which the child has the one end, and its creator too. */
    tell(&agent, DO_WAIT, OF_QUEUE, MPROC_FOREVER);
    assert_success(mproc_queue_put(objects[OF_QUEUE], "item", 4, 0));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    for (int kind = OF_PUTTER; kind <= OF_GETTER; kind++)
        assert_int_equal(ask(&agent, DO_WAIT, kind, 1000), APR_TIMEUP);
    /* The barrier. */
    for (int i = 0; i < 20; i++) {
        tell(&agent, DO_WAIT, OF_BARRIER, MPROC_FOREVER);
        assert_success(mproc_barrier_wait(objects[OF_BARRIER], NULL, patience()));
        assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    }
    /* The shared data, and their lock. */
    _Atomic int64_t *data = mproc_shared_data(objects[OF_SHARED]);
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_SHARED, 0), APR_SUCCESS);
    assert_failure(mproc_shared_acquire(objects[OF_SHARED], 0), APR_TIMEUP);
    assert_failure(mproc_shared_release(objects[OF_SHARED]), APR_EACCES);
    assert_int_equal(ask(&agent, DO_WRITE, OF_SHARED, 77), APR_SUCCESS);
    assert_int_equal(*data, 77);
    assert_int_equal(ask(&agent, DO_RELEASE, OF_SHARED, 0), APR_SUCCESS);
    assert_success(mproc_shared_acquire(objects[OF_SHARED], 0));
    tell(&agent, DO_ACQUIRE, OF_SHARED, MPROC_FOREVER);
    *data = 78;
    assert_false(has_answered(&agent, 50000));
    assert_success(mproc_shared_release(objects[OF_SHARED]));
    assert_int_equal(answer_of(&agent).status, APR_SUCCESS);
    tell(&agent, DO_READ, OF_SHARED, 0);
    assert_int_equal(answer_of(&agent).value, 78);
    dismiss(&agent);
    assert_int_equal(mproc_barrier_is_broken(objects[OF_BARRIER]), 0); /* it has ended in order */
    for (int i = 0; i < OBJECT_KINDS; i++)
        assert_success(object_kinds[i].close(objects[i]));
    expect_no_objects();
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    test_all_kinds(NULL);
    const int before = count_descriptors();
    if (before < 0)
        skip_because("open descriptors cannot be counted here");
    for (int i = 0; i < 5; i++)
        test_all_kinds(NULL);
    expect_descriptors(before);
    assert_int_equal(count_lines("member "), 1);
}

/** Small data and large ones, both ways, and from one child to another; what was there is there. */
static void test_data(void **state)
{
    static const size_t sizes[] = {8, 8128, 8129, 70000, 3000000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mproc_shared_t *shared = make_shared(sizes[i], 0);
        _Atomic int64_t *data = mproc_shared_data(shared);
        *data = 11;
        agent_t first = start_agent(OBJECTS(shared));
        agent_t second = start_agent(NULL);
        tell(&first, DO_READ, 0, 0);
        const answer_t answer = answer_of(&first);
        assert_int_equal(answer.value, 11);
        assert_int_equal(answer.size, sizes[i]);
        assert_int_equal(ask(&first, DO_ACQUIRE, 0, 0), MPROC_ESTATE); /* it has no lock */
        const mproc_ref_t ref = ref_of(shared);
        assert_int_equal(ask_to_open(&second, 0, OF_SHARED, &ref), APR_SUCCESS);
        assert_int_equal(ask(&second, DO_WRITE, 0, 12), APR_SUCCESS);
        assert_int_equal(*data, 12);
        assert_success(mproc_shared_close(shared));
        tell(&first, DO_READ, 0, 0);
        assert_int_equal(answer_of(&first).value, 12);
        dismiss(&first);
        tell(&second, DO_READ, 0, 0);
        assert_int_equal(answer_of(&second).value, 12);
        assert_int_equal(ask(&second, DO_CLOSE, 0, 0), APR_SUCCESS);
        expect_no_objects();
        dismiss(&second);
    }
}

/** By reference, to a child that was started before there was any object. */
static void test_by_reference(void **state)
{
    (void)state;
    agent_t agent = start_agent(NULL);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        void *opened;
        void *object = make_object(&object_kinds[kind]);
        const mproc_ref_t ref = ref_of(object);
        assert_int_equal(ask_to_open(&agent, kind, kind, &ref), APR_SUCCESS);
        tell(&agent, DO_REF, kind, 0);
        const mproc_ref_t theirs = answer_of(&agent).ref;
        assert_memory_equal(&ref, &theirs, sizeof ref);
        /* It stays when its creator closes it. */
        assert_success(object_kinds[kind].close(object));
        assert_success(object_kinds[kind].open(&opened, &ref, NULL));
        assert_success(object_kinds[kind].close(opened));
        assert_int_equal(ask(&agent, DO_CLOSE, kind, 0), APR_SUCCESS);
        assert_int_equal(ask(&agent, DO_CLOSE, kind, 0), MPROC_ECLOSED);
        assert_failure(object_kinds[kind].open(&opened, &ref, NULL), MPROC_EGONE);
        assert_int_equal(ask_to_open(&agent, kind, kind, &ref), MPROC_EGONE);
    }
    expect_no_objects();
    dismiss(&agent);
}

/** What a child has made, also before anybody else had made anything, is there as long as somebody has it open. */
static void test_made_by_child(void **state)
{
    void *opened[OBJECT_KINDS];
    mproc_ref_t refs[OBJECT_KINDS];
    (void)state;
    agent_t agent = start_agent(NULL);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        refs[kind] = ask_to_create(&agent, kind, kind);
        assert_success(object_kinds[kind].open(&opened[kind], &refs[kind], NULL));
        assert_int_equal(object_kinds[kind].wait(opened[kind], 1000), APR_TIMEUP);
    }
    const mproc_ref_t left = ask_to_create(&agent, OBJECT_KINDS, OF_EVENT);
    dismiss(&agent);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        void *again;
        assert_success(object_kinds[kind].open(&again, &refs[kind], NULL));
        assert_success(object_kinds[kind].close(again));
    }
    if (method_under_test() != MPROC_THREAD) {
        /* It had a lock, and has ended. */
        assert_failure(mproc_lock_acquire(opened[OF_LOCK], 0), MPROC_EOWNERDEAD);
        void *none;
        assert_failure(object_kinds[OF_EVENT].open(&none, &left, NULL), MPROC_EGONE);
    }
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].close(opened[kind]));
    if (method_under_test() != MPROC_THREAD) /* a thread's objects are its process's */
        expect_no_objects();
}

static void test_siblings(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    mproc_event_t *event = make_event();
    agent_t first = start_agent(OBJECTS(lock, event));
    agent_t second = start_agent(OBJECTS(lock, event));
    /* They have them; the creator has not any more. */
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_event_close(event));
    assert_int_equal(count_objects(), 2);
    assert_int_equal(ask(&first, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    assert_int_equal(count_objects(), 2);
    assert_int_equal(ask(&second, DO_ACQUIRE, 0, 1000), APR_TIMEUP);
    tell(&second, DO_ACQUIRE, 0, MPROC_FOREVER);
    assert_int_equal(ask(&first, DO_RELEASE, 0, 0), APR_SUCCESS);
    assert_int_equal(answer_of(&second).status, APR_SUCCESS);
    tell(&second, DO_WAIT, 1, MPROC_FOREVER);
    assert_int_equal(ask(&first, DO_SET, 1, 0), APR_SUCCESS);
    assert_int_equal(answer_of(&second).status, APR_SUCCESS);
    /* By a reference, from one to the other. */
    const mproc_ref_t ref = ask_to_create(&first, 2, OF_SEMAPHORE);
    assert_int_equal(ask_to_open(&second, 2, OF_SEMAPHORE, &ref), APR_SUCCESS);
    tell(&second, DO_ACQUIRE, 2, MPROC_FOREVER);
    assert_int_equal(ask(&first, DO_RELEASE, 2, 0), APR_SUCCESS);
    assert_int_equal(answer_of(&second).status, APR_SUCCESS);
    dismiss(&first);
    dismiss(&second);
    if (method_under_test() != MPROC_THREAD)
        expect_no_objects();
}

static void test_grandchildren(void **state)
{
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    mproc_barrier_t *barrier = make_barrier(3, 0);
    agent_t child = start_agent(OBJECTS(lock, barrier));
    agent_t grandchild = ask_to_breed(&child);
    assert_int_equal(ask(&grandchild, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    assert_int_equal(ask(&child, DO_ACQUIRE, 0, 1000), APR_TIMEUP);
    assert_failure(mproc_lock_acquire(lock, 1000), APR_TIMEUP);
    assert_int_equal(ask(&child, DO_RELEASE, 0, 0), APR_SUCCESS);
    tell(&child, DO_WAIT, 1, MPROC_FOREVER);
    tell(&grandchild, DO_WAIT, 1, MPROC_FOREVER);
    assert_success(mproc_barrier_wait(barrier, NULL, patience()));
    assert_int_equal(answer_of(&child).status, APR_SUCCESS);
    assert_int_equal(answer_of(&grandchild).status, APR_SUCCESS);
    /* Its object, by reference to its creator's creator. */
    const mproc_ref_t ref = ask_to_create(&grandchild, 5, OF_EVENT);
    mproc_event_t *event;
    assert_success(mproc_event_open(&event, &ref, NULL));
    assert_int_equal(ask(&grandchild, DO_SET, 5, 0), APR_SUCCESS);
    assert_success(mproc_event_wait(event, patience()));
    assert_success(mproc_event_close(event));
    dismiss(&grandchild);
    assert_success(mproc_conn_close(child.conn)); /* then it joins its own and returns */
    assert_int_equal(finish(child.process), 0);
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_barrier_close(barrier));
}

/** Those who wait in many processes use no processor time to speak of. */
static void test_waiting_costs_nothing(void **state)
{
    enum { WAITERS = 20, OBJECTS_EACH = 4, WAIT = 2000000, PERCENT = WAIT / 100 };
    agent_t agents[WAITERS];
    int before[WAITERS];
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    mproc_semaphore_t *semaphore = make_semaphore(1, 1);
    mproc_event_t *event = make_event();
    mproc_barrier_t *barrier = make_barrier(WAITERS, 0);
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_semaphore_acquire(semaphore, 0));
    for (int i = 0; i < WAITERS; i++)
        agents[i] = start_agent(OBJECTS(lock, semaphore, event, barrier));
    for (int i = 0; i < WAITERS; i++) {
        tell(&agents[i], DO_TELL_TIME, 0, 0);
        before[i] = answer_of(&agents[i]).value;
    }
    for (int i = 0; i < WAITERS; i++)
        tell(&agents[i], i % OBJECTS_EACH < 2 ? DO_ACQUIRE : DO_WAIT, i % OBJECTS_EACH, WAIT);
    int used = 0;
    for (int i = 0; i < WAITERS; i++) {
        const apr_status_t status = answer_of(&agents[i]).status;
        assert_true(status == APR_TIMEUP || (i % OBJECTS_EACH == 3 && status == MPROC_EBROKENBARRIER));
        tell(&agents[i], DO_TELL_TIME, 0, 0);
        const int own = answer_of(&agents[i]).value - before[i];
        /* Threads tell what their process has used, all of them. */
        used = method_under_test() != MPROC_THREAD ? used + own : own > used ? own : used;
    }
    if (used > 10 * PERCENT * slowdown())
        fail_msg("%d that wait use the processor for %d us in 2 s", WAITERS, used);
    for (int i = 0; i < WAITERS; i++)
        dismiss(&agents[i]);
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_semaphore_close(semaphore));
    assert_success(mproc_event_close(event));
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static int do_nothing(mproc_call_t *call)
{
    return call ? 0 : 1;
}

static void test_share_refused(void **state)
{
    mproc_process_t *process = NULL;
    mproc_process_opts_t opts = method_options();
    int thing = 0;
    (void)state;
    mproc_event_t *event = make_event();
    opts.share[1] = event; /* behind a NULL */
    assert_failure(mproc_process_create(&process, do_nothing, &opts), APR_EINVAL);
    assert_null(process);
    opts.share[0] = event;
    opts.share[1] = &thing;
    assert_failure(mproc_process_create(&process, do_nothing, &opts), MPROC_ECLOSED);
    opts.share[1] = mproc_current_process();
    assert_failure(mproc_process_create(&process, do_nothing, &opts), MPROC_ECLOSED);
    mproc_lock_t *lock = make_lock(0);
    assert_success(mproc_lock_close(lock));
    opts.share[1] = lock;
    assert_failure(mproc_process_create(&process, do_nothing, &opts), MPROC_ECLOSED);
    assert_failure(mproc_process_start(&process, do_nothing, &opts), MPROC_ECLOSED);
    assert_null(process);
    /* Refused for something else, when nothing of it is held for the child yet. */
    const mproc_os_handle_t none = MPROC_NO_HANDLE;
    opts.share[1] = NULL;
    opts.handles = &none;
    opts.handle_count = 1;
    for (int i = 0; i < 20; i++) {
        assert_failure(mproc_process_create(&process, do_nothing, &opts), APR_EBADF);
        assert_null(process);
    }
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_event_close(event));
    expect_no_objects(); /* nothing of it was kept */
}

/** Tell what is wrong with what was given. */
static int check_given(mproc_call_t *call)
{
    for (size_t i = 0; i < MPROC_SHARE_MAX; i++)
        for (size_t kind = 0; kind < OBJECT_KINDS; kind++) {
            const void *object = object_kinds[kind].given(call, i);
            if ((object != NULL) != (object_kinds[kind].given == object_kinds[i % OBJECT_KINDS].given))
                return 1;
            if (!object && mproc_last_error()->status != APR_EINVAL)
                return 2;
            if (object && object != object_kinds[kind].given(call, i))
                return 3;
        }
    if (mproc_call_lock(call, MPROC_SHARE_MAX) || mproc_last_error()->status != APR_EINVAL ||
        mproc_call_event(call, (size_t)-1) || mproc_call_barrier(NULL, 0))
        return 4;
    return 0;
}

static void test_most_objects(void **state)
{
    mproc_process_opts_t opts = method_options();
    (void)state;
    for (int i = 0; i < MPROC_SHARE_MAX; i++)
        opts.share[i] = make_object(&object_kinds[i % OBJECT_KINDS]);
    assert_int_equal(finish(start(check_given, opts)), 0);
    for (int i = 0; i < MPROC_SHARE_MAX; i++)
        assert_success(object_kinds[i % OBJECT_KINDS].close(opts.share[i]));
    expect_no_objects();
}

/** Twice the same object is two handles. */
static void test_shared_twice(void **state)
{
    (void)state;
    mproc_event_t *event = make_event();
    agent_t agent = start_agent(OBJECTS(event, event));
    assert_int_equal(ask(&agent, DO_CLOSE, 0, 0), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_SET, 0, 0), MPROC_ECLOSED);
    assert_int_equal(ask(&agent, DO_SET, 1, 0), APR_SUCCESS);
    assert_true(mproc_event_is_set(event));
    dismiss(&agent);
    assert_success(mproc_event_close(event));
    expect_no_objects();
}

/* ---- Processes that do not come to life -------------------------------------------------------------------------- */

/** A process that was created holds what it is to share; who closes it lets go, and that is no death. */
static void test_never_launched(void **state)
{
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    (void)state;
    if (opts.start_method != MPROC_THREAD && getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    mproc_lock_t *lock = make_lock(0);
    mproc_barrier_t *barrier = make_barrier(2, 0);
    mproc_semaphore_t *semaphore = make_semaphore(3, 1);
    mproc_barrier_t *own;
    opts.share[0] = lock;
    opts.share[1] = barrier;
    opts.share[2] = semaphore;
    const mproc_ref_t ref = ref_of(barrier);
    assert_success(mproc_process_create(&process, do_nothing, &opts));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_barrier_close(barrier));
    assert_int_equal(count_objects(), 3); /* the process has them */
    assert_success(mproc_barrier_open(&own, &ref, NULL));
    assert_success(mproc_process_close(process));
    assert_int_equal(count_objects(), 2);
    assert_int_equal(mproc_barrier_is_broken(own), 0);
    assert_int_equal(mproc_semaphore_value(semaphore), 3);
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_barrier_close(own));
    assert_success(mproc_semaphore_close(semaphore));
    expect_no_objects();
}

static void test_failed_launch(void **state)
{
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    (void)state;
    skip_under(MPROC_THREAD, "a thread shares it with its process");
    mproc_barrier_t *barrier = make_barrier(2, 0);
    opts.share[0] = barrier;
    opts.directory = "no/such/folder";
    assert_failure(mproc_process_start(&process, do_nothing, &opts), APR_ENOENT);
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_process_create(&process, do_nothing, &opts));
    for (int i = 0; i < 3; i++)
        assert_failure(mproc_process_launch(process), APR_ENOENT);
    assert_int_equal(count_lines("is being started by"), 1);
    assert_success(mproc_process_close(process));
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

static int use_lock(mproc_call_t *call)
{
    mproc_lock_t *lock = mproc_call_lock(call, 0);
    if (mproc_lock_acquire(lock, 0) != APR_SUCCESS)
        return 1;
    mproc_semaphore_release(mproc_call_semaphore(call, 1));
    return mproc_lock_release(lock) == APR_SUCCESS ? 7 : 2;
}

static void test_run(void **state)
{
    mproc_process_t *process;
    mproc_process_opts_t opts = method_options();
    int exitcode;
    (void)state;
    mproc_lock_t *lock = make_lock(0);
    mproc_semaphore_t *semaphore = make_semaphore(0, 0);
    opts.share[0] = lock;
    opts.share[1] = semaphore;
    assert_success(mproc_process_create(&process, use_lock, &opts));
    for (unsigned i = 1; i <= 5; i++) {
        assert_success(mproc_process_run(process, &exitcode));
        assert_int_equal(exitcode, 7);
        assert_int_equal(mproc_semaphore_value(semaphore), i);
    }
    if (!getenv("MPROC_TEST_NO_PROCESSES") || opts.start_method == MPROC_THREAD) {
        assert_success(mproc_process_launch(process));
        assert_int_equal(finish(process), 7);
        assert_int_equal(mproc_semaphore_value(semaphore), 6);
    } else {
        assert_success(mproc_process_close(process));
    }
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_semaphore_close(semaphore));
    expect_no_objects();
}

/* ---- Handles that a forked child has from its creator ------------------------------------------------------------ */

static const char just_fork[] = "only a forked child has its creator's handles";

static void need_fork(void)
{
    if (method_under_test() != MPROC_FORK)
        skip_because(just_fork);
}

static void test_inherited(void **state)
{
    void *objects[OBJECT_KINDS];
    (void)state;
    need_fork();
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        objects[kind] = make_object(&object_kinds[kind]);
    agent_t agent = start_agent(NULL);
    assert_success(mproc_lock_release(objects[OF_LOCK]));
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_int_equal(ask_to_adopt(&agent, kind, kind, objects[kind]), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_LOCK, 0), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(objects[OF_LOCK], 0), APR_TIMEUP);
    assert_int_equal(mproc_lock_owner_pid(objects[OF_LOCK]), mproc_process_pid(agent.process));
    assert_int_equal(ask(&agent, DO_SET, OF_EVENT, 0), APR_SUCCESS);
    assert_true(mproc_event_is_set(objects[OF_EVENT]));
    /* What it has used it has open itself. */
    const mproc_ref_t ref = ref_of(objects[OF_EVENT]);
    void *opened;
    assert_success(mproc_event_close(objects[OF_EVENT]));
    assert_success(object_kinds[OF_EVENT].open(&opened, &ref, NULL));
    assert_success(mproc_event_close(opened));
    assert_int_equal(ask(&agent, DO_WAIT, OF_EVENT, 0), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_CLOSE, OF_EVENT, 0), APR_SUCCESS);
    assert_failure(object_kinds[OF_EVENT].open(&opened, &ref, NULL), MPROC_EGONE);
    /* What nobody had open when it came to use it is gone. */
    assert_success(mproc_semaphore_close(objects[OF_SEMAPHORE]));
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_SEMAPHORE, 0), MPROC_EGONE);
    assert_int_equal(ask(&agent, DO_CLOSE, OF_SEMAPHORE, 0), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_CLOSE, OF_SEMAPHORE, 0), MPROC_ECLOSED);
    /* Another one in its place is not it. */
    void *another = make_object(&object_kinds[OF_SEMAPHORE]);
    assert_success(object_kinds[OF_CONDITION].close(objects[OF_CONDITION]));
    assert_int_equal(ask(&agent, DO_ACQUIRE, OF_CONDITION, 0), MPROC_EGONE);
    assert_success(mproc_semaphore_close(another));
    /* Shared data that their creator closes are still the child's. */
    assert_int_equal(ask(&agent, DO_WRITE, OF_SHARED, 5), APR_SUCCESS);
    assert_int_equal(*(int64_t *)mproc_shared_data(objects[OF_SHARED]), 5);
    assert_success(mproc_shared_close(objects[OF_SHARED]));
    tell(&agent, DO_READ, OF_SHARED, 0);
    assert_int_equal(answer_of(&agent).value, 5);
    dismiss(&agent);
    assert_success(mproc_lock_close(objects[OF_LOCK]));
    assert_success(mproc_barrier_close(objects[OF_BARRIER]));
    for (int kind = OF_QUEUE; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].close(objects[kind]));
    expect_no_objects();
}

/** A forked child has what its creator has mapped, where that has it, also without a call. */
static int write_by_pointer(mproc_call_t *call)
{
    unsigned char *const *bytes = mproc_call_data(call, sizeof *bytes);
    memset(*bytes, 0x5a, 100000);
    return 3;
}

static void test_inherited_pointer(void **state)
{
    mproc_process_opts_t opts = method_options();
    (void)state;
    need_fork();
    mproc_shared_t *shared = make_shared(100000, 0);
    unsigned char *bytes = mproc_shared_data(shared);
    opts.data = &bytes;
    opts.size = sizeof bytes;
    assert_int_equal(finish(start(write_by_pointer, opts)), 3);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(bytes[i], 0x5a);
    assert_success(mproc_shared_close(shared));
    expect_no_objects();
}

/** A thread of the creator waited with the handle when the child was forked: that is none of the child's. */
static void test_inherited_while_waiting(void **state)
{
    (void)state;
    need_fork();
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        waiting_thread_t thread;
        void *object = make_object(&object_kinds[kind]);
        begin_waiting(&thread, &object_kinds[kind], object, MPROC_FOREVER);
        await_waiting(1);
        agent_t unused = start_agent(NULL);
        agent_t used = start_agent(NULL);
        assert_int_equal(ask_to_adopt(&unused, 0, kind, object), APR_SUCCESS);
        assert_int_equal(ask_to_adopt(&used, 0, kind, object), APR_SUCCESS);
        assert_int_equal(ask(&used, DO_REF, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&unused, DO_CLOSE, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&used, DO_CLOSE, 0, 0), APR_SUCCESS);
        assert_int_equal(thread.status, -1); /* and its own waits on */
        assert_success(object_kinds[kind].close(object));
        assert_int_equal(end_waiting(&thread), MPROC_ECLOSED);
        expect_no_objects(); /* though the children live */
        dismiss(&unused);
        dismiss(&used);
    }
}

/** A thread of the creator was putting when the child was forked, which has closed its putter: there is none left. */
static void test_inherited_putter(void **state)
{
    waiting_thread_t thread;
    mproc_queue_t *queue, *putter;
    const mproc_queue_opts_t opts = {.maxsize = 1};
    char item[8];
    (void)state;
    need_fork();
    assert_success(mproc_queue_create(&queue, &opts));
    assert_success(mproc_queue_open_putter(&putter, queue, NULL));
    assert_success(mproc_queue_put(putter, "", 1, 0));
    begin_waiting(&thread, &object_kinds[OF_PUTTER], putter, MPROC_FOREVER);
    await_waiting(1);
    agent_t agent = start_agent(NULL);
    assert_int_equal(ask_to_adopt(&agent, 0, OF_PUTTER, putter), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_REF, 0, 0), APR_SUCCESS);
    for (int i = 0; i < 2; i++)
        assert_success(mproc_queue_get(queue, item, sizeof item, NULL, patience()));
    assert_int_equal(end_waiting(&thread), APR_SUCCESS);
    assert_success(mproc_queue_close(putter));
    assert_failure(mproc_queue_get(queue, item, sizeof item, NULL, 1000), APR_TIMEUP);
    assert_int_equal(ask(&agent, DO_CLOSE, 0, 0), APR_SUCCESS);
    assert_failure(mproc_queue_get(queue, item, sizeof item, NULL, 0), APR_EOF);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
    dismiss(&agent);
}

/** A lock that its creator has is not the forked child's; nor is a recursive one. */
static void test_inherited_lock(void **state)
{
    (void)state;
    need_fork();
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        assert_success(mproc_lock_acquire(lock, 0));
        agent_t agent = start_agent(NULL);
        assert_int_equal(ask_to_adopt(&agent, 0, OF_LOCK, lock), APR_SUCCESS);
        assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 1000), APR_TIMEUP);
        assert_int_equal(ask(&agent, DO_RELEASE, 0, 0), recursive ? APR_EACCES : APR_SUCCESS);
        dismiss(&agent);
        assert_success(mproc_lock_close(lock));
    }
}

/* ---- Deaths ------------------------------------------------------------------------------------------------------ */

static void begin_death(void)
{
    skip_under(MPROC_THREAD, not_by_thread);
}

/** Row: the owner of a lock is killed, and joined. The next one is told at once, the one after it is not. */
static void test_owner_killed(void **state)
{
    (void)state;
    begin_death();
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        agent_t agent = start_agent(OBJECTS(lock));
        for (int i = 0; i <= recursive * 3; i++)
            assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        kill_and_join(&agent);
        assert_int_equal(mproc_lock_owner_pid(lock), 0);
        assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
        assert_int_equal(mproc_lock_owner_pid(lock), mproc_getpid());
        assert_success(mproc_lock_release(lock));
        assert_success(mproc_lock_acquire(lock, 0));
        assert_success(mproc_lock_release(lock));
        assert_success(mproc_lock_close(lock));
        expect_no_objects();
    }
}

/** Row: it is killed while others wait, and nobody joins it. */
static void test_owner_killed_while_others_wait(void **state)
{
    (void)state;
    begin_death();
    for (int recursive = 0; recursive < 2; recursive++) {
        mproc_lock_t *lock = make_lock(recursive);
        agent_t owner = start_agent(OBJECTS(lock));
        agent_t waiters[3];
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        for (int i = 0; i < 3; i++) {
            waiters[i] = start_agent(OBJECTS(lock));
            tell(&waiters[i], DO_ACQUIRE, 0, MPROC_FOREVER);
        }
        await_waiting(3);
        kill_agent(&owner);
        const apr_time_t begin = apr_time_now();
        /* One is told, the others get it without. Whose time is up looks for deaths, too: so it may be this one. */
        int told = mproc_lock_acquire(lock, MPROC_MILLISECONDS(1)) == MPROC_EOWNERDEAD;
        if (told)
            assert_success(mproc_lock_release(lock));
        for (int left = 3; left > 0;) {
            for (int i = 0; i < 3; i++) {
                if (!waiters[i].conn || !has_answered(&waiters[i], 1000))
                    continue;
                const apr_status_t status = answer_of(&waiters[i]).status;
                if (left == 3)
                    expect_within(begin, SOON);
                assert_int_equal(status, told ? APR_SUCCESS : MPROC_EOWNERDEAD);
                told = 1;
                assert_int_equal(ask(&waiters[i], DO_RELEASE, 0, 0), APR_SUCCESS);
                dismiss(&waiters[i]);
                waiters[i].conn = NULL;
                left--;
            }
            assert_true(apr_time_now() - begin < patience());
        }
        join_killed(&owner);
        assert_success(mproc_lock_acquire(lock, 0));
        assert_success(mproc_lock_close(lock));
        expect_no_objects();
    }
}

/** The one that waits is told within a tenth of a second, though nobody joins the dead one. */
static void test_owner_killed_is_noticed_soon(void **state)
{
    enum { ROUNDS = 5 };
    apr_interval_time_t best = MPROC_SECONDS(100);
    (void)state;
    begin_death();
    for (int i = 0; i < ROUNDS; i++) {
        waiting_thread_t thread;
        mproc_lock_t *lock = make_lock(i % 2);
        agent_t owner = start_agent(OBJECTS(lock));
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        begin_waiting(&thread, &object_kinds[OF_LOCK], lock, MPROC_FOREVER);
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        kill_agent(&owner);
        assert_int_equal(end_waiting(&thread), MPROC_EOWNERDEAD);
        const apr_interval_time_t taken = apr_time_now() - begin;
        best = taken < best ? taken : best;
        join_killed(&owner);
        assert_success(mproc_lock_close(lock));
    }
    /* On a machine under load one of them may take longer, but not each. */
    if (best > MPROC_MILLISECONDS(100) * slowdown())
        fail_msg("it took %d ms at the least", (int)apr_time_as_msec(best));
}

/** Row: it is killed together with the one of those who wait that looks after it. */
static void test_owner_and_watcher_killed(void **state)
{
    (void)state;
    begin_death();
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        mproc_lock_t *lock = make_lock(0);
        agent_t owner = start_agent(OBJECTS(lock));
        agent_t watcher = start_agent(OBJECTS(lock));
        agent_t waiter = start_agent(OBJECTS(lock));
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        tell(&watcher, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        tell(&waiter, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(2);
        const apr_time_t begin = apr_time_now();
        kill_agent(&owner);
        kill_agent(&watcher);
        if (is_joined) {
            join_killed(&owner);
            join_killed(&watcher);
        }
        assert_int_equal(answer_of(&waiter).status, MPROC_EOWNERDEAD);
        expect_within(begin, AT_ONCE);
        if (!is_joined) {
            join_killed(&owner);
            join_killed(&watcher);
        }
        dismiss(&waiter);
        assert_success(mproc_lock_close(lock));
        expect_no_objects();
    }
}

/** Row: the owner ends in order, by return or exit(): that is an end as well. */
static void test_owner_ended(void **state)
{
    (void)state;
    begin_death();
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        mproc_lock_t *lock = make_lock(by_exit);
        agent_t agent = start_agent(OBJECTS(lock));
        assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        tell(&agent, by_exit ? DO_EXIT : DO_RETURN, 4, 0);
        assert_int_equal(finish(agent.process), 4);
        assert_success(mproc_conn_close(agent.conn));
        assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
        assert_success(mproc_lock_release(lock));
        assert_success(mproc_lock_acquire(lock, 0));
        assert_success(mproc_lock_close(lock));
        expect_no_objects();
    }
}

/** Row: the owner has closed the lock, and is killed. */
static void test_owner_killed_that_has_closed(void **state)
{
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    agent_t agent = start_agent(OBJECTS(lock));
    assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    assert_int_equal(ask(&agent, DO_CLOSE, 0, 0), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(lock, 100000), APR_TIMEUP);
    kill_and_join(&agent);
    assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_close(lock));
}

/** Row: whoever is told abandons it: the next one is told, too. */
static void test_abandoned_again(void **state)
{
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    agent_t owner = start_agent(OBJECTS(lock));
    agent_t next = start_agent(OBJECTS(lock));
    assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    tell(&next, DO_ACQUIRE, 0, MPROC_FOREVER);
    kill_and_join(&owner);
    assert_int_equal(answer_of(&next).status, MPROC_EOWNERDEAD);
    assert_int_equal(ask(&next, DO_ABANDON, 0, 0), APR_SUCCESS);
    assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_abandon(lock));
    assert_int_equal(ask(&next, DO_ACQUIRE, 0, 0), MPROC_EOWNERDEAD);
    kill_and_join(&next); /* and it dies with it */
    assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_lock_release(lock));
    assert_success(mproc_lock_acquire(lock, 0));
    assert_success(mproc_lock_close(lock));
}

/** Row: one that waits for a lock is killed: the others come to have it, and nobody is told of a dead owner. */
static void test_lock_waiter_killed(void **state)
{
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    agent_t first = start_agent(OBJECTS(lock));
    agent_t second = start_agent(OBJECTS(lock));
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        agent_t victim = start_agent(OBJECTS(lock));
        assert_int_equal(ask(&first, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        tell(&victim, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        tell(&second, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(2);
        const int pid = mproc_process_pid(victim.process);
        kill_agent(&victim);
        if (is_joined)
            join_killed(&victim);
        assert_true(is_gone_within(pid, 20)); /* or it may have the lock first */
        const apr_time_t begin = apr_time_now();
        assert_int_equal(ask(&first, DO_RELEASE, 0, 0), APR_SUCCESS);
        assert_int_equal(answer_of(&second).status, APR_SUCCESS);
        expect_within(begin, is_joined ? AT_ONCE : AFTER_A_WHILE);
        assert_int_equal(ask(&second, DO_RELEASE, 0, 0), APR_SUCCESS);
        if (!is_joined)
            join_killed(&victim);
        assert_int_equal(count_lines("has waited for"), 0);
    }
    dismiss(&first);
    dismiss(&second);
    assert_success(mproc_lock_close(lock));
}

/** Have some wait at a condition, one after the other. */
static void start_waiters(agent_t *agents, int count, void *condition)
{
    for (int i = 0; i < count; i++) {
        agents[i] = start_agent(OBJECTS(condition));
        assert_int_equal(ask(&agents[i], DO_ACQUIRE, 0, patience()), APR_SUCCESS);
        tell(&agents[i], DO_WAIT, 0, MPROC_FOREVER);
        await_waiting(i + 1);
    }
}

/** Row: one that waits at a condition is killed: it is not counted any more. */
static void test_condition_waiter_killed(void **state)
{
    agent_t agents[3];
    (void)state;
    begin_death();
    mproc_condition_t *condition = make_condition(NULL);
    start_waiters(agents, 3, condition);
    kill_and_join(&agents[0]);
    assert_int_equal(count_lines("has waited for"), 2);
    assert_success(mproc_condition_acquire(condition, patience()));
    assert_success(mproc_condition_notify(condition, 1));
    assert_success(mproc_condition_release(condition));
    assert_int_equal(answer_of(&agents[1]).status, APR_SUCCESS);
    assert_int_equal(ask(&agents[1], DO_RELEASE, 0, 0), APR_SUCCESS);
    assert_false(has_answered(&agents[2], 100000));
    kill_and_join(&agents[2]);
    dismiss(&agents[1]);
    assert_success(mproc_condition_close(condition));
    expect_no_objects();
}

/** Row: one that was notified is killed before it went on: its notification goes to another one. */
static void test_notified_waiter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        agent_t agents[3];
        mproc_condition_t *condition = make_condition(NULL);
        start_waiters(agents, 3, condition);
        assert_success(mproc_condition_acquire(condition, patience()));
        assert_success(mproc_condition_notify(condition, 1));
        apr_sleep(50000); /* it is awake, and waits for the lock */
        const int pid = mproc_process_pid(agents[0].process);
        kill_agent(&agents[0]);
        if (is_joined)
            join_killed(&agents[0]);
        assert_true(is_gone_within(pid, 20)); /* or it may go on yet */
        const apr_time_t begin = apr_time_now();
        assert_success(mproc_condition_release(condition));
        assert_int_equal(answer_of(&agents[1]).status, APR_SUCCESS);
        expect_within(begin, is_joined ? AT_ONCE : AFTER_A_WHILE);
        assert_int_equal(ask(&agents[1], DO_RELEASE, 0, 0), APR_SUCCESS);
        assert_false(has_answered(&agents[2], 100000)); /* one notification is one */
        if (!is_joined)
            join_killed(&agents[0]);
        assert_false(has_answered(&agents[2], 100000));
        dismiss(&agents[1]);
        kill_and_join(&agents[2]);
        assert_success(mproc_condition_close(condition));
        expect_no_objects();
    }
}

/** Row: one is notified when it was dead already, and nobody had noticed. */
static void test_dead_waiter_notified(void **state)
{
    agent_t agents[2];
    (void)state;
    begin_death();
    mproc_condition_t *condition = make_condition(NULL);
    start_waiters(agents, 2, condition);
    assert_success(mproc_condition_acquire(condition, patience()));
    kill_agent(&agents[0]);
    assert_true(is_gone_within(mproc_process_pid(agents[0].process), 20));
    assert_success(mproc_condition_notify(condition, 1));
    assert_success(mproc_condition_release(condition));
    join_killed(&agents[0]);
    assert_int_equal(answer_of(&agents[1]).status, APR_SUCCESS);
    dismiss(&agents[1]);
    assert_success(mproc_condition_close(condition));
    expect_no_objects();
}

/** Row: somebody is killed with the lock of a condition: who waited for it, and was notified, is told. */
static void test_killed_with_lock_of_condition(void **state)
{
    agent_t waiter;
    (void)state;
    begin_death();
    mproc_condition_t *condition = make_condition(NULL);
    start_waiters(&waiter, 1, condition);
    agent_t owner = start_agent(OBJECTS(condition));
    assert_int_equal(ask(&owner, DO_ACQUIRE, 0, patience()), APR_SUCCESS);
    assert_int_equal(ask(&owner, DO_NOTIFY, 0, 1), APR_SUCCESS);
    kill_and_join(&owner);
    const apr_time_t begin = apr_time_now();
    assert_int_equal(answer_of(&waiter).status, MPROC_EOWNERDEAD);
    expect_within(begin, AT_ONCE);
    assert_int_equal(ask(&waiter, DO_RELEASE, 0, 0), APR_SUCCESS);
    assert_success(mproc_condition_acquire(condition, 0));
    dismiss(&waiter);
    assert_success(mproc_condition_close(condition));
    expect_no_objects();
}

/** Row: a process is killed that had acquired of a semaphore: that is gone, or given back at once if it is owned. */
static void test_semaphore_owner_killed(void **state)
{
    (void)state;
    begin_death();
    for (int owned = 0; owned < 2; owned++) {
        mproc_semaphore_t *semaphore = make_semaphore(5, owned);
        agent_t agent = start_agent(OBJECTS(semaphore));
        assert_success(mproc_semaphore_acquire(semaphore, 0));
        for (int i = 0; i < 3; i++)
            assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&agent, DO_RELEASE, 0, 0), APR_SUCCESS);
        assert_int_equal(mproc_semaphore_value(semaphore), 2);
        kill_and_join(&agent);
        assert_int_equal(mproc_semaphore_value(semaphore), owned ? 4 : 2);
        for (unsigned left = owned ? 4 : 2; left > 0; left--)
            assert_success(mproc_semaphore_acquire(semaphore, 0));
        assert_failure(mproc_semaphore_acquire(semaphore, 0), APR_TIMEUP);
        assert_success(mproc_semaphore_close(semaphore));
        expect_no_objects();
    }
}

/** Row: the same by an end in order. */
static void test_semaphore_owner_ended(void **state)
{
    (void)state;
    begin_death();
    for (int owned = 0; owned < 2; owned++) {
        mproc_semaphore_t *semaphore = make_semaphore(2, owned);
        agent_t agent = start_agent(OBJECTS(semaphore));
        assert_int_equal(ask(&agent, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        dismiss(&agent);
        assert_int_equal(mproc_semaphore_value(semaphore), owned ? 2 : 1);
        assert_success(mproc_semaphore_acquire(semaphore, 0));
        assert_int_equal(mproc_semaphore_acquire(semaphore, 0), owned ? APR_SUCCESS : APR_TIMEUP);
        assert_success(mproc_semaphore_close(semaphore));
        expect_no_objects();
    }
}

/** Row: the same by one that had closed the semaphore before; another one has waited since. */
static void test_semaphore_owner_killed_that_has_closed(void **state)
{
    (void)state;
    begin_death();
    for (int in_order = 0; in_order < 2; in_order++) {
        mproc_semaphore_t *semaphore = make_semaphore(1, 1);
        agent_t owner = start_agent(OBJECTS(semaphore));
        agent_t waiter = start_agent(OBJECTS(semaphore));
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&owner, DO_CLOSE, 0, 0), APR_SUCCESS);
        assert_int_equal(mproc_semaphore_value(semaphore), 0);
        tell(&waiter, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        if (in_order)
            dismiss(&owner);
        else
            kill_and_join(&owner);
        assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
        expect_within(begin, AFTER_A_WHILE);
        assert_int_equal(ask(&waiter, DO_RELEASE, 0, 0), APR_SUCCESS);
        assert_int_equal(mproc_semaphore_value(semaphore), 1);
        dismiss(&waiter);
        assert_success(mproc_semaphore_close(semaphore));
        expect_no_objects();
    }
}

/** Row: others wait for what a process has that is killed. */
static void test_semaphore_owner_killed_while_others_wait(void **state)
{
    (void)state;
    begin_death();
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        mproc_semaphore_t *semaphore = make_semaphore(2, 1);
        agent_t owner = start_agent(OBJECTS(semaphore));
        agent_t waiters[3];
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        for (int i = 0; i < 3; i++) {
            waiters[i] = start_agent(OBJECTS(semaphore));
            tell(&waiters[i], DO_ACQUIRE, 0, MPROC_FOREVER);
            await_waiting(i + 1);
        }
        const apr_time_t begin = apr_time_now();
        kill_agent(&owner);
        if (is_joined)
            join_killed(&owner);
        await_lines("has waited for", 1); /* two of them have it */
        expect_within(begin, is_joined ? AT_ONCE : AFTER_A_WHILE);
        for (int i = 0; i < 3; i++)
            kill_and_join(&waiters[i]);
        if (!is_joined)
            join_killed(&owner);
        assert_int_equal(mproc_semaphore_value(semaphore), 2);
        assert_success(mproc_semaphore_close(semaphore));
        expect_no_objects();
    }
}

/** Row: one that waits for a semaphore is killed: what is released goes to another. */
static void test_semaphore_waiter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int owned = 0; owned < 2; owned++) {
        mproc_semaphore_t *semaphore = make_semaphore(1, owned);
        agent_t victim = start_agent(OBJECTS(semaphore));
        agent_t waiter = start_agent(OBJECTS(semaphore));
        assert_success(mproc_semaphore_acquire(semaphore, 0));
        tell(&victim, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        tell(&waiter, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(2);
        const apr_time_t begin = apr_time_now();
        kill_and_join(&victim);
        assert_success(mproc_semaphore_release(semaphore));
        assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
        expect_within(begin, AT_ONCE);
        dismiss(&waiter);
        assert_success(mproc_semaphore_close(semaphore));
        expect_no_objects();
    }
}

/** Row: one that waits for an event is killed, and one that has set it. */
static void test_event_parties_killed(void **state)
{
    (void)state;
    begin_death();
    mproc_event_t *event = make_event();
    agent_t victim = start_agent(OBJECTS(event));
    agent_t waiter = start_agent(OBJECTS(event));
    agent_t setter = start_agent(OBJECTS(event));
    tell(&victim, DO_WAIT, 0, MPROC_FOREVER);
    tell(&waiter, DO_WAIT, 0, MPROC_FOREVER);
    await_waiting(2);
    kill_and_join(&victim);
    assert_false(has_answered(&waiter, 100000));
    assert_int_equal(ask(&setter, DO_SET, 0, 0), APR_SUCCESS);
    kill_and_join(&setter);
    assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
    assert_int_equal(mproc_event_is_set(event), 1);
    dismiss(&waiter);
    assert_success(mproc_event_close(event));
    expect_no_objects();
}

/** Row: who was to set an event, or to notify, is killed before: nobody does it instead, and who waits waits on. */
static void test_waker_killed(void **state)
{
    (void)state;
    begin_death();
    for (int row = 0; row < 4; row++) {
        const int is_joined = row / 2;
        void *object = row % 2 ? (void *)make_condition(NULL) : (void *)make_event();
        agent_t waker = start_agent(OBJECTS(object));
        agent_t waiter = start_agent(OBJECTS(object));
        assert_int_equal(ask(&waker, DO_NOTHING, 0, 0), APR_SUCCESS);
        if (row % 2)
            assert_int_equal(ask(&waiter, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        tell(&waiter, DO_WAIT, 0, MPROC_SECONDS(1));
        await_waiting(1);
        kill_agent(&waker);
        if (is_joined)
            join_killed(&waker);
        assert_false(has_answered(&waiter, 100000));
        assert_int_equal(answer_of(&waiter).status, APR_TIMEUP);
        if (row % 2)
            assert_int_equal(ask(&waiter, DO_RELEASE, 0, 0), APR_SUCCESS);
        else
            assert_int_equal(mproc_event_is_set(object), 0);
        /* There may be another who does. */
        tell(&waiter, row % 2 ? DO_ACQUIRE : DO_NOTHING, 0, 0);
        assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
        tell(&waiter, DO_WAIT, 0, MPROC_FOREVER);
        await_waiting(1);
        if (row % 2) {
            assert_success(mproc_condition_acquire(object, patience()));
            assert_success(mproc_condition_notify(object, 1));
            assert_success(mproc_condition_release(object));
        } else {
            assert_success(mproc_event_set(object));
        }
        assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
        if (!is_joined)
            join_killed(&waker);
        dismiss(&waiter);
        assert_success(object_kinds[row % 2 ? OF_CONDITION : OF_EVENT].close(object));
        expect_no_objects();
    }
}

/** Row: a party of a barrier is killed, one that waits or one that is still to come. */
static void test_party_killed(void **state)
{
    (void)state;
    begin_death();
    for (int row = 0; row < 4; row++) {
        const int has_come = row % 2, is_joined = row / 2;
        mproc_barrier_t *barrier = make_barrier(3, 0);
        agent_t victim = start_agent(OBJECTS(barrier));
        agent_t waiter = start_agent(OBJECTS(barrier));
        tell(&waiter, DO_WAIT, 0, MPROC_FOREVER);
        await_waiting(1);
        if (has_come) {
            tell(&victim, DO_WAIT, 0, MPROC_FOREVER);
            await_waiting(2);
        } else {
            assert_int_equal(ask(&victim, DO_NOTHING, 0, 0), APR_SUCCESS);
        }
        const apr_time_t begin = apr_time_now();
        kill_agent(&victim);
        if (is_joined) {
            join_killed(&victim);
            assert_int_equal(mproc_barrier_is_broken(barrier), 1);
        }
        assert_int_equal(answer_of(&waiter).status, MPROC_EBROKENBARRIER);
        expect_within(begin, is_joined ? AT_ONCE : AFTER_A_WHILE);
        assert_failure(mproc_barrier_wait(barrier, NULL, MPROC_FOREVER), MPROC_EBROKENBARRIER);
        if (!is_joined)
            join_killed(&victim);
        assert_success(mproc_barrier_reset(barrier));
        assert_int_equal(mproc_barrier_is_broken(barrier), 0);
        dismiss(&waiter);
        assert_int_equal(mproc_barrier_is_broken(barrier), 0); /* an end in order breaks nothing */
        assert_success(mproc_barrier_close(barrier));
        expect_no_objects();
    }
}

/** Row: the same where deaths are ignored: who came is counted, who did not is waited for. */
static void test_party_killed_and_ignored(void **state)
{
    (void)state;
    begin_death();
    mproc_barrier_t *barrier = make_barrier(3, 1);
    agent_t victim = start_agent(OBJECTS(barrier));
    agent_t other = start_agent(OBJECTS(barrier));
    agent_t waiter = start_agent(OBJECTS(barrier));
    tell(&waiter, DO_WAIT, 0, MPROC_FOREVER);
    tell(&victim, DO_WAIT, 0, MPROC_FOREVER);
    await_waiting(2);
    kill_and_join(&victim);
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_int_equal(mproc_barrier_waiting(barrier), 2);
    kill_and_join(&other);
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_false(has_answered(&waiter, 100000));
    assert_success(mproc_barrier_wait(barrier, NULL, patience()));
    assert_int_equal(answer_of(&waiter).status, APR_SUCCESS);
    dismiss(&waiter);
    assert_success(mproc_barrier_close(barrier));
    expect_no_objects();
}

/** Row: who has closed a barrier is none of its parties: its death does not matter. */
static void test_party_killed_that_has_closed(void **state)
{
    (void)state;
    begin_death();
    mproc_barrier_t *barrier = make_barrier(2, 0);
    agent_t victim = start_agent(OBJECTS(barrier));
    assert_int_equal(ask(&victim, DO_CLOSE, 0, 0), APR_SUCCESS);
    kill_and_join(&victim);
    assert_int_equal(mproc_barrier_is_broken(barrier), 0);
    assert_success(mproc_barrier_close(barrier));
}

/** Row: the creator of an object is killed: those who have it open keep it, and it goes with the last of them. */
static void test_creator_killed(void **state)
{
    (void)state;
    begin_death();
    agent_t creator = start_agent(NULL);
    agent_t other = start_agent(NULL);
    void *opened[OBJECT_KINDS];
    mproc_ref_t refs[OBJECT_KINDS];
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        refs[kind] = ask_to_create(&creator, kind, kind);
        assert_int_equal(ask_to_open(&other, kind, kind, &refs[kind]), APR_SUCCESS);
    }
    const mproc_ref_t alone = ask_to_create(&creator, OBJECT_KINDS, OF_EVENT);
    kill_and_join(&creator);
    void *none;
    assert_failure(object_kinds[OF_EVENT].open(&none, &alone, NULL), MPROC_EGONE);
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].open(&opened[kind], &refs[kind], NULL));
    assert_int_equal(ask(&other, DO_ACQUIRE, OF_LOCK, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_semaphore_release(opened[OF_SEMAPHORE]));
    assert_int_equal(ask(&other, DO_ACQUIRE, OF_SEMAPHORE, patience()), APR_SUCCESS);
    assert_int_equal(ask(&other, DO_SET, OF_EVENT, 0), APR_SUCCESS);
    assert_success(mproc_event_wait(opened[OF_EVENT], 0));
    assert_int_equal(ask(&other, DO_ACQUIRE, OF_CONDITION, 0), APR_SUCCESS);
    assert_int_equal(ask(&other, DO_ACQUIRE, OF_SHARED, 0), MPROC_EOWNERDEAD);
    assert_int_equal(mproc_barrier_is_broken(opened[OF_BARRIER]), 1);
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        assert_success(object_kinds[kind].close(opened[kind]));
    assert_int_equal(count_objects(), OBJECTS_OF_ALL_KINDS);
    dismiss(&other);
    expect_no_objects();
}

/** Row: who has the lock of shared data is killed in the middle of a change. */
static void test_data_owner_killed(void **state)
{
    (void)state;
    begin_death();
    for (size_t size = 16; size < 1000000; size *= 100) {
        mproc_shared_t *shared = make_shared(size, 1);
        agent_t owner = start_agent(OBJECTS(shared));
        agent_t waiter = start_agent(OBJECTS(shared));
        for (int i = 0; i < 3; i++)
            assert_int_equal(ask(&owner, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        assert_int_equal(ask(&owner, DO_WRITE, 0, 5), APR_SUCCESS);
        tell(&waiter, DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        kill_agent(&owner);
        assert_int_equal(answer_of(&waiter).status, MPROC_EOWNERDEAD);
        expect_within(begin, SOON);
        join_killed(&owner);
        assert_int_equal(*(int64_t *)mproc_shared_data(shared), 5); /* what it wrote is there */
        assert_failure(mproc_shared_acquire(shared, 0), APR_TIMEUP);
        assert_int_equal(ask(&waiter, DO_RELEASE, 0, 0), APR_SUCCESS);
        assert_success(mproc_shared_acquire(shared, 0));
        assert_success(mproc_shared_release(shared));
        dismiss(&waiter);
        assert_success(mproc_shared_close(shared));
        expect_no_objects();
    }
}

/** Row: the creator of large data is killed: they stay with the others, and their memory goes with the last. */
static void test_data_creator_killed(void **state)
{
    mproc_family_info_t before, after;
    (void)state;
    begin_death();
    agent_t creator = start_agent(NULL);
    agent_t other = start_agent(NULL);
    mproc_shared_t *opened;
    const mproc_ref_t ref = ask_to_create(&creator, 0, OF_SHARED);
    assert_int_equal(ask(&creator, DO_WRITE, 0, 9), APR_SUCCESS);
    assert_int_equal(ask_to_open(&other, 0, OF_SHARED, &ref), APR_SUCCESS);
    assert_success(mproc_family_info(&before));
    kill_and_join(&creator);
    assert_success(mproc_shared_open(&opened, &ref, NULL));
    assert_int_equal(*(int64_t *)mproc_shared_data(opened), 9);
    assert_success(mproc_family_info(&after));
    assert_int_equal(after.objects, before.objects);
    assert_int_equal(ask(&other, DO_CLOSE, 0, 0), APR_SUCCESS);
    assert_int_equal(*(int64_t *)mproc_shared_data(opened), 9);
    assert_success(mproc_shared_close(opened));
    expect_no_objects();
    assert_int_equal(ask_to_open(&other, 0, OF_SHARED, &ref), MPROC_EGONE);
    dismiss(&other);
}

/** What those who make data tell. */
typedef struct told_t {
    _Atomic int started;
    _Atomic int wrong;
} told_t;

/** Make large data and close them, for ever; each is zeros at first. */
static int make_and_close(mproc_call_t *call)
{
    told_t *told = mproc_shared_data(mproc_call_shared(call, 0));
    atomic_fetch_add(&told->started, 1);
    for (unsigned i = 0;; i++) {
        mproc_shared_t *shared[4] = {NULL};
        for (unsigned k = 0; k < 4; k++) {
            const size_t size = 1000 + (size_t)(i * 4 + k) % 37 * 9000;
            const mproc_shared_opts_t opts = {.lock = (int)(k % 2)};
            if (mproc_shared_create(&shared[k], size, &opts) != APR_SUCCESS) {
                told->wrong = 1;
                return 1;
            }
            unsigned char *bytes = mproc_shared_data(shared[k]);
            for (size_t at = 0; at < size; at++)
                if (bytes[at])
                    told->wrong = 2;
            memset(bytes, 0xb7, size);
        }
        for (unsigned k = 0; k < 4; k++)
            mproc_shared_close(shared[k]);
    }
}

/** Row: it is killed at any moment while it makes and closes large data: their memory is given back. */
static void test_killed_while_making_data(void **state)
{
    enum { ROUNDS = 30 };
    mproc_process_opts_t opts = method_options();
    (void)state;
    begin_death();
    unsigned long long random = choose_seed();
    mproc_shared_t *shared = make_shared(sizeof(told_t), 0);
    told_t *told = mproc_shared_data(shared);
    mproc_family_info_t before, after;
    assert_success(mproc_family_info(&before));
    opts.share[0] = shared;
    for (int i = 0; i < ROUNDS / slowdown() + 1; i++) {
        mproc_process_t *processes[2];
        for (int k = 0; k < 2; k++)
            processes[k] = start(make_and_close, opts);
        for (const apr_time_t end = apr_time_now() + patience(); atomic_load(&told->started) < 2 * (i + 1);) {
            assert_true(apr_time_now() < end);
            apr_sleep(1000);
        }
        apr_sleep((apr_interval_time_t)(next_random(&random) % 20000));
        for (int k = 0; k < 2; k++)
            assert_success(mproc_process_kill(processes[k]));
        for (int k = 0; k < 2; k++)
            assert_int_equal(finish(processes[k]), -9);
        assert_int_equal(atomic_load(&told->wrong), 0);
        assert_success(mproc_family_info(&after));
        if (after.used != before.used || after.objects != 1)
            fail_msg("%llu bytes are in use, %llu at first:\n%s", (unsigned long long)after.used,
                     (unsigned long long)before.used, dump_family());
    }
    assert_success(mproc_shared_close(shared));
    expect_no_objects();
}

/** Row: a process is killed while it starts, at any moment. */
static void test_killed_while_starting(void **state)
{
    (void)state;
    begin_death();
    unsigned long long random = choose_seed();
    for (int i = 0; i < 40; i++) {
        mproc_process_opts_t opts = method_options();
        mproc_lock_t *lock = make_lock(0);
        opts.share[0] = lock;
        opts.share[1] = make_object(&object_kinds[OF_CONDITION]);
        opts.share[2] = make_object(&object_kinds[OF_BARRIER]);
        mproc_process_t *process = start(use_lock, opts);
        apr_sleep((apr_interval_time_t)(next_random(&random) % (i % 2 ? 300 : 6000)));
        assert_success(mproc_process_kill(process));
        assert_success(mproc_process_join(process, patience()));
        assert_success(mproc_process_close(process));
        assert_int_equal(count_lines("member "), 1);
        const apr_status_t status = mproc_lock_acquire(lock, 0);
        assert_true(mproc_has_acquired(status));
        assert_success(mproc_lock_close(lock));
        assert_success(object_kinds[OF_CONDITION].close(opts.share[1]));
        assert_success(object_kinds[OF_BARRIER].close(opts.share[2]));
        expect_no_objects();
    }
}

/** Row: somebody is killed whose children go with it: their objects, too, though nobody here joins them. */
static void test_parent_killed(void **state)
{
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    mproc_semaphore_t *semaphore = make_semaphore(1, 1);
    agent_t child = start_agent(OBJECTS(lock, semaphore));
    agent_t grandchild = ask_to_breed(&child);
    assert_int_equal(ask(&grandchild, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    assert_int_equal(ask(&grandchild, DO_ACQUIRE, 1, 0), APR_SUCCESS);
    const apr_time_t begin = apr_time_now();
    kill_and_join(&child);
    assert_failure(mproc_lock_acquire(lock, patience()), MPROC_EOWNERDEAD);
    assert_success(mproc_semaphore_acquire(semaphore, patience()));
    expect_within(begin, AFTER_A_WHILE);
    assert_success(mproc_semaphore_release(semaphore));
    assert_success(mproc_conn_close(grandchild.conn));
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_semaphore_close(semaphore));
}

/** Row: a process is killed while what it has started waits for something, without a timeout: it goes all the same. */
static void test_parent_of_waiter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        void *object = make_object(&object_kinds[kind]);
        mproc_lock_t *own = make_lock(0);
        if (kind == OF_LOCK)
            mproc_lock_acquire(object, 0);
        agent_t child = start_agent(OBJECTS(object, own));
        agent_t grandchild = ask_to_breed(&child);
        assert_int_equal(ask(&grandchild, DO_ACQUIRE, 1, 0), APR_SUCCESS);
        const int pid = mproc_lock_owner_pid(own);
        if (kind == OF_CONDITION)
            assert_int_equal(ask(&grandchild, DO_ACQUIRE, 0, 0), APR_SUCCESS);
        tell(&grandchild, kind == OF_LOCK || kind == OF_SEMAPHORE ? DO_ACQUIRE : DO_WAIT, 0, MPROC_FOREVER);
        await_waiting(1);
        assert_true(lives(pid));
        kill_and_join(&child);
        assert_true(is_gone_within(pid, 20 * slowdown()));
        assert_failure(mproc_lock_acquire(own, patience()), MPROC_EOWNERDEAD);
        assert_success(mproc_conn_close(grandchild.conn));
        /* What it held is released when another member is joined. */
        agent_t other = start_agent(OBJECTS(own));
        dismiss(&other);
        assert_success(mproc_lock_close(own));
        assert_success(object_kinds[kind].close(object));
        expect_no_objects();
    }
}

/** Row: a grandchild is killed and joined by its own creator: that is known to all. */
static void test_grandchild_killed(void **state)
{
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    mproc_semaphore_t *semaphore = make_semaphore(1, 1);
    agent_t child = start_agent(OBJECTS(lock, semaphore));
    agent_t grandchild = ask_to_breed(&child);
    assert_int_equal(ask(&grandchild, DO_ACQUIRE, 0, 0), APR_SUCCESS);
    assert_int_equal(ask(&grandchild, DO_ACQUIRE, 1, 0), APR_SUCCESS);
    assert_int_equal(ask(&child, DO_KILL_BRED, 0, 0), APR_SUCCESS);
    assert_int_equal(mproc_semaphore_value(semaphore), 1);
    assert_int_equal(mproc_lock_owner_pid(lock), 0);
    assert_failure(mproc_lock_acquire(lock, 0), MPROC_EOWNERDEAD);
    assert_success(mproc_conn_close(grandchild.conn));
    kill_and_join(&child);
    assert_success(mproc_lock_close(lock));
    assert_success(mproc_semaphore_close(semaphore));
    expect_no_objects();
}

/** Row: many locks of one that is killed. */
static void test_killed_with_many(void **state)
{
    enum { MANY = 30 };
    mproc_lock_t *locks[MANY + 1] = {NULL};
    (void)state;
    begin_death();
    for (int i = 0; i < MANY; i++)
        locks[i] = make_lock(i % 2);
    agent_t agent = start_agent((void *const *)locks);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(ask(&agent, DO_ACQUIRE, i, 0), APR_SUCCESS);
    kill_and_join(&agent);
    for (int i = 0; i < MANY; i++) {
        assert_failure(mproc_lock_acquire(locks[i], 0), MPROC_EOWNERDEAD);
        assert_success(mproc_lock_close(locks[i]));
    }
    expect_no_objects();
}

/* ---- What mproc_dump() says -------------------------------------------------------------------------------------- */

static void test_dump_of_members(void **state)
{
    char line[100];
    (void)state;
    begin_death();
    mproc_lock_t *lock = make_lock(0);
    agent_t agents[3];
    for (int i = 0; i < 3; i++)
        agents[i] = start_agent(OBJECTS(lock));
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&agents[i], DO_NOTHING, 0, 0), APR_SUCCESS);
    assert_int_equal(count_lines("family: 4 members, 1 objects"), 1);
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "member %s: process %d\n", mproc_process_name(agents[i].process),
                 mproc_process_pid(agents[i].process));
        assert_non_null(strstr(dump_family(), line));
    }
    assert_int_equal(ask(&agents[1], DO_ACQUIRE, 0, 0), APR_SUCCESS);
    snprintf(line, sizeof line, "process %d has it", mproc_process_pid(agents[1].process));
    assert_int_equal(count_lines(line), 1);
    const int pid = mproc_process_pid(agents[0].process);
    kill_agent(&agents[0]);
    assert_true(is_gone_within(pid, 20));
    snprintf(line, sizeof line, "process %d, dead", pid);
    assert_int_equal(count_lines(line), 1);
    join_killed(&agents[0]);
    assert_int_equal(count_lines("member "), 3);
    dismiss(&agents[1]);
    dismiss(&agents[2]);
    assert_int_equal(count_lines("member "), 1);
    assert_success(mproc_lock_close(lock));
}

/** A circle of processes, each of which has a lock and waits for the next one's. */
static void test_deadlocks(void **state)
{
    (void)state;
    begin_death();
    for (int size = 1; size <= 3; size++) {
        void *locks[5] = {NULL};
        agent_t agents[4];
        char line[200];
        /* Those of shared data are locks as well, and were made before them. */
        const int has_lock = size == 2;
        for (int i = 0; i < 4; i++)
            locks[i] = has_lock ? (void *)make_shared(8, 1) : (void *)make_lock(0);
        for (int i = 0; i < 4; i++) {
            agents[i] = start_agent(locks);
            assert_int_equal(ask(&agents[i], DO_ACQUIRE, i, 0), APR_SUCCESS);
        }
        /* One that waits, and is in no circle. */
        tell(&agents[3], DO_ACQUIRE, 0, MPROC_FOREVER);
        await_waiting(1);
        assert_int_equal(count_lines("deadlock"), 0);
        for (int i = 0; i < size; i++) {
            assert_int_equal(count_lines("deadlock"), 0);
            tell(&agents[i], DO_ACQUIRE, (i + 1) % size, MPROC_FOREVER);
            await_waiting(i + 2);
        }
        snprintf(line, sizeof line, "deadlock of %d, unless other threads of theirs go on:", size);
        assert_int_equal(count_lines(line), 1);
        assert_int_equal(count_lines("deadlock"), 1);
        for (int i = 0; i < size; i++) {
            snprintf(line, sizeof line, "  process %d waits for lock %llu, which process %d has\n",
                     mproc_process_pid(agents[i].process),
                     (unsigned long long)ref_of(locks[(i + 1) % size]).serial - (unsigned)has_lock,
                     mproc_process_pid(agents[(i + 1) % size].process));
            if (!strstr(dump_family(), line))
                fail_msg("there is no '%s' in\n%s", line, dump_family());
        }
        for (int i = 0; i < 4; i++)
            kill_and_join(&agents[i]);
        assert_int_equal(count_lines("deadlock"), 0);
        for (int i = 0; i < 4; i++)
            assert_success(object_kinds[has_lock ? OF_SHARED : OF_LOCK].close(locks[i]));
        expect_no_objects();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_by_reference),
        cmocka_unit_test(test_made_by_child),
        cmocka_unit_test(test_siblings),
        cmocka_unit_test(test_grandchildren),
        cmocka_unit_test(test_waiting_costs_nothing),
        cmocka_unit_test(test_share_refused),
        cmocka_unit_test(test_most_objects),
        cmocka_unit_test(test_shared_twice),
        cmocka_unit_test(test_never_launched),
        cmocka_unit_test(test_failed_launch),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_inherited_pointer),
        cmocka_unit_test(test_inherited_while_waiting),
        cmocka_unit_test(test_inherited_putter),
        cmocka_unit_test(test_inherited_lock),
        cmocka_unit_test(test_owner_killed),
        cmocka_unit_test(test_owner_killed_while_others_wait),
        cmocka_unit_test(test_owner_killed_is_noticed_soon),
        cmocka_unit_test(test_owner_and_watcher_killed),
        cmocka_unit_test(test_owner_ended),
        cmocka_unit_test(test_owner_killed_that_has_closed),
        cmocka_unit_test(test_abandoned_again),
        cmocka_unit_test(test_lock_waiter_killed),
        cmocka_unit_test(test_condition_waiter_killed),
        cmocka_unit_test(test_notified_waiter_killed),
        cmocka_unit_test(test_dead_waiter_notified),
        cmocka_unit_test(test_killed_with_lock_of_condition),
        cmocka_unit_test(test_semaphore_owner_killed),
        cmocka_unit_test(test_semaphore_owner_ended),
        cmocka_unit_test(test_semaphore_owner_killed_that_has_closed),
        cmocka_unit_test(test_semaphore_owner_killed_while_others_wait),
        cmocka_unit_test(test_semaphore_waiter_killed),
        cmocka_unit_test(test_event_parties_killed),
        cmocka_unit_test(test_waker_killed),
        cmocka_unit_test(test_party_killed),
        cmocka_unit_test(test_party_killed_and_ignored),
        cmocka_unit_test(test_party_killed_that_has_closed),
        cmocka_unit_test(test_creator_killed),
        cmocka_unit_test(test_data_owner_killed),
        cmocka_unit_test(test_data_creator_killed),
        cmocka_unit_test(test_killed_while_making_data),
        cmocka_unit_test(test_killed_while_starting),
        cmocka_unit_test(test_parent_killed),
        cmocka_unit_test(test_parent_of_waiter_killed),
        cmocka_unit_test(test_grandchild_killed),
        cmocka_unit_test(test_killed_with_many),
        cmocka_unit_test(test_dump_of_members),
        cmocka_unit_test(test_deadlocks),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
