/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools where each call that the library makes of the system and for memory fails once, on the thread that uses the
 * pool: the public call succeeds or says why not, nothing is left, and the next try works. Or on the pool's own thread:
 * then nobody is to notice it, unless it takes the last worker that the pool may have.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

enum { SMALL_ARENA = 32 << 20, LARGE = 5000, COUNT = 40, MOST = 4000 };

/** What there is of everything: at the end of each attempt it is the same. */
typedef struct baseline_t {
    mproc_family_info_t info;
    int descriptors;
    long blocks;
} baseline_t;

static baseline_t measure(void)
{
    baseline_t baseline;
    assert_success(mproc_family_info(&baseline.info));
    baseline.descriptors = count_descriptors();
    baseline.blocks = fault_blocks();
    return baseline;
}

static int is_same(const baseline_t *one, const baseline_t *other)
{
    return one->info.objects == other->info.objects && one->info.used == other->info.used &&
           one->descriptors == other->descriptors && one->blocks == other->blocks;
}

/* A pool whose thread is to look now and then: what a worker still looked at when it was over is freed then. */
static mproc_pool_t *watched;

static void have_it_look(mproc_pool_t *pool);

/** Let some time pass. What was listed for the pool's own thread is freed by that, which may have a file open. */
static void pass_time(void)
{
    apr_sleep(1000);
    if (watched)
        have_it_look(watched);
}

/** What there is when it has been the same for a while. */
static baseline_t measure_at_rest(void)
{
    baseline_t last = measure();
    for (int same = 0; same < 10;) {
        pass_time();
        const baseline_t now = measure();
        same = is_same(&now, &last) && now.info.members == last.info.members ? same + 1 : 0;
        last = now;
    }
    return last;
}

/** What there is when it is what there was before, or after some time. */
static baseline_t await_baseline(const baseline_t *before)
{
    const apr_time_t end = apr_time_now() + MPROC_SECONDS(20);
    for (;;) {
        const baseline_t now = measure();
        if (is_same(&now, before) || apr_time_now() > end)
            return now;
        pass_time();
    }
}

static void expect_baseline(const baseline_t *before)
{
    const baseline_t now = await_baseline(before);
    assert_int_equal(now.info.objects, before->info.objects);
    assert_int_equal(now.info.used, before->info.used);
    assert_int_equal(now.descriptors, before->descriptors);
    assert_int_equal(now.blocks, before->blocks);
}

/** Whether a status is one of those that a fault may end in. */
static int is_of_fault(apr_status_t status)
{
    static const apr_status_t all[] = {APR_ENOMEM, APR_EMFILE, APR_ENFILE, APR_ENOSPC,  APR_EINTR,
                                       ENOBUFS,    APR_EAGAIN, APR_TIMEUP, MPROC_EFULL, ETOOMANYREFS};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (status == all[i])
            return 1;
    return 0;
}

/** Go through something with each of its calls failing, in each way, until there are no more. */
static void run(apr_status_t (*attempt)(void *context), void *context)
{
    for (int i = 0; i < 3; i++)
        assert_success(attempt(context)); /* what is made once, and kept, is made */
    const baseline_t before = measure_at_rest();
    for (int choice = 0; choice < FAULT_CHOICES; choice++) {
        const char *failed = "";
        for (int number = 1; failed; number++) {
            assert_true(number < MOST);
            fault_begin(number, choice);
            const apr_status_t status = attempt(context);
            failed = fault_end();
            if (status != APR_SUCCESS) {
                printf("call %d, %s, choice %d: %d, %s\n", number, failed, choice, status, mproc_last_error()->text);
                assert_failure(status, status);
                assert_true(failed && is_of_fault(status));
            }
            expect_baseline(&before);
        }
        assert_success(attempt(context));
        expect_baseline(&before);
    }
}

/* ---- Tasks ------------------------------------------------------------------------------------------------------- */

static int square(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const int *x = in;
    int *y = out;
    (void)task;
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] * x[i];
    return 0;
}

/** A pool that keeps as many futures, closed ones, as can be at once: more are not made, however slow its thread is. */
static mproc_pool_t *make_pool_of_two(mproc_start_method_t method)
{
    enum { KEPT = 10 };
    mproc_future_t *futures[KEPT];
    mproc_pool_opts_t opts = pool_options(2);
    opts.start_method = method;
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < KEPT; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo, "abc", 4, NULL));
    for (int i = 0; i < KEPT; i++) {
        assert_success(mproc_future_wait(futures[i], NULL, MPROC_FOREVER));
        assert_success(mproc_future_close(futures[i]));
    }
    return pool;
}

static void note_call(void *context, mproc_future_t *future)
{
    (void)future;
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
}

/** Have the pool's own thread look at all: what workers still looked at when it was over is freed then. */
static void have_it_look(mproc_pool_t *pool)
{
    _Atomic uint32_t calls = 0;
    const int left = fault_pause();
    assert_success(mproc_pool_submit(pool, NULL, echo, "abc", 4,
                                     &(mproc_submit_opts_t){.callback = note_call, .context = (void *)&calls}));
    await_note(&calls, 1);
    fault_resume(left);
}

/* ---- Attempts ---------------------------------------------------------------------------------------------------- */

/** What a pool is made with. */
typedef struct making_t {
    mproc_start_method_t method;
    mproc_lock_t *lock;
} making_t;

static apr_status_t create(void *context)
{
    mproc_pool_opts_t opts = {0};
    mproc_pool_t *pool;
    const making_t *making = context;
    opts.workers = 2;
    opts.start_method = making->method;
    opts.data = "data";
    opts.size = 5;
    opts.share[0] = making->lock;
    apr_status_t status = mproc_pool_create(&pool, &opts);
    /* A worker that could not be started is started later; the end must work in any case. */
    if (status == APR_SUCCESS && mproc_pool_shutdown(pool) == APR_SUCCESS) {
        while (mproc_pool_join(pool, MPROC_FOREVER) != APR_SUCCESS) {}
        while (mproc_pool_close(pool) == MPROC_ESTATE) {}
    }
    return status;
}

static void create_by(mproc_start_method_t method)
{
    making_t making = {method, NULL};
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    assert_success(mproc_lock_create(&making.lock, NULL));
    run(create, &making);
    assert_success(mproc_lock_close(making.lock));
    expect_no_objects();
}

static void test_create_of_threads(void **state)
{
    (void)state;
    create_by(MPROC_THREAD);
}

static void test_create_of_processes(void **state)
{
    (void)state;
    create_by(MPROC_FORKSERVER);
}

static apr_status_t submit(void *context)
{
    static unsigned char message[LARGE];
    mproc_future_t *futures[2] = {NULL, NULL};
    const void *result;
    size_t size;
    memset(message, 7, sizeof message);
    apr_status_t status = mproc_pool_submit(context, &futures[0], echo, message, 10, NULL);
    if (status == APR_SUCCESS)
        status = mproc_pool_submit(context, &futures[1], echo, message, sizeof message, NULL);
    if (status == APR_SUCCESS)
        status = mproc_futures_wait(futures, 2, MPROC_UNTIL_ALL, MPROC_FOREVER);
    if (status == APR_SUCCESS)
        status = mproc_future_wait(futures[1], NULL, MPROC_FOREVER);
    if (status == APR_SUCCESS)
        status = mproc_future_result(futures[1], &result, &size);
    if (status == APR_SUCCESS)
        assert_true(size == LARGE && memcmp(result, message, LARGE) == 0);
    fault_end(); /* it is asked for once more */
    for (int i = 0; i < 2; i++) {
        if (futures[i])
            assert_success(mproc_future_wait(futures[i], NULL, MPROC_FOREVER));
        assert_success(mproc_future_close(futures[i]));
    }
    return status;
}

static void test_submit(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = make_pool_of_two(MPROC_THREAD);
    mproc_wait(NULL, 0, 1); /* what it is done with is kept: tasks may have ended before they are waited for */
    run(submit, pool);
    end_pool(pool);
}

static apr_status_t map(void *context)
{
    static int x[COUNT], y[COUNT];
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    mproc_map_opts_t opts = {0};
    for (int i = 0; i < COUNT; i++)
        x[i] = i;
    opts.chunk = 3;
    opts.statuses = statuses;
    opts.error = &error;
    const apr_status_t status = mproc_pool_map(context, square, y, sizeof y[0], x, sizeof x[0], COUNT, &opts);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(statuses[i], status);
        if (status == APR_SUCCESS)
            assert_int_equal(y[i], i * i);
    }
    assert_int_equal(error.status, status);
    have_it_look(context);
    return status;
}

static void test_map(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = watched = make_pool_of_two(MPROC_DEFAULT);
    run(map, pool);
    watched = NULL;
    end_pool(pool);
}

static apr_status_t apply(void *context)
{
    static unsigned char message[LARGE], result[LARGE];
    memset(message, 9, sizeof message);
    const apr_status_t status =
        mproc_pool_apply(context, echo, result, sizeof result, NULL, message, sizeof message, NULL);
    if (status == APR_SUCCESS)
        assert_memory_equal(message, result, sizeof result);
    return status;
}

static void test_apply(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = make_pool_of_two(MPROC_DEFAULT);
    run(apply, pool);
    end_pool(pool);
}

static apr_status_t next_input(void *context, const void **in, size_t *size)
{
    int *left = context;
    if (*left == 0)
        return APR_EOF;
    --*left;
    *in = left;
    *size = sizeof *left;
    return APR_SUCCESS;
}

static apr_status_t stream(void *context)
{
    mproc_stream_t *made;
    mproc_task_error_t error;
    const void *result;
    int left = COUNT;
    int taken = 0;
    apr_status_t status = mproc_pool_stream(context, &made, echo, next_input, &left, NULL);
    if (status != APR_SUCCESS)
        return status;
    while ((status = mproc_stream_next(made, &result, NULL, &error, MPROC_FOREVER)) == APR_SUCCESS) {
        assert_int_equal(error.status, APR_SUCCESS);
        taken++;
    }
    if (status == APR_EOF)
        assert_int_equal(taken, COUNT);
    assert_success(mproc_stream_close(made));
    return status == APR_EOF ? APR_SUCCESS : status;
}

static void test_stream(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = make_pool_of_two(MPROC_DEFAULT);
    run(stream, pool);
    end_pool(pool);
}

/* ---- Tasks that are ended ---------------------------------------------------------------------------------------- */

/** Hang until this worker is killed. */
static int hang(mproc_task_t *task, const void *in, size_t size)
{
    (void)in;
    (void)size;
    atomic_fetch_add(&board_of(task)->begun, 1);
    while (task)
        apr_sleep(1000000);
    return 0;
}

/** See that a worker that was to be killed is gone, and that another one has taken its place. */
static void await_replaced(mproc_pool_t *pool, int pid)
{
    const apr_time_t end = apr_time_now() + patience();
    if (!is_gone_within(pid, 20))
        fail_msg("pid %d was to be killed", pid);
    for (unsigned i = 0; i < 2; i++) {
        while (mproc_pool_worker_pid(pool, i) == pid || mproc_pool_worker_pid(pool, i) == 0) {
            assert_true(apr_time_now() < end);
            apr_sleep(500);
        }
    }
    await_ready(pool, 2);
}

/** Cancel a task that runs: that its worker cannot be killed just now is nobody's concern. */
static apr_status_t cancel(void *context)
{
    mproc_future_t *future = NULL;
    mproc_task_error_t error = {0};
    const uint32_t begun = atomic_load(&board->begun);
    apr_status_t status = mproc_pool_submit(context, &future, hang, NULL, 0, NULL);
    if (status != APR_SUCCESS)
        return status;
    await_note(&board->begun, begun + 1);
    assert_success(mproc_future_cancel(future));
    fault_end(); /* it is asked for once more */
    assert_success(mproc_future_wait(future, &error, 0));
    assert_int_equal(error.status, MPROC_ECANCELLED);
    await_replaced(context, error.pid);
    assert_success(mproc_future_close(future));
    return status;
}

static void test_cancel(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    make_board();
    mproc_pool_t *pool = make_pool_of_two(MPROC_DEFAULT);
    await_ready(pool, 2);
    run(cancel, pool);
    end_pool(pool);
}

/** Terminate a pool whose tasks hang. */
static apr_status_t terminate(void *context)
{
    int pids[2];
    const making_t *making = context;
    int left = fault_pause();
    atomic_store(&board->begun, 0);
    mproc_pool_t *pool = make_pool_of_two(making->method);
    for (int i = 0; i < 3; i++)
        assert_success(mproc_pool_submit(pool, NULL, hang, NULL, 0, NULL));
    await_note(&board->begun, 2);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = mproc_pool_worker_pid(pool, i);
    fault_resume(left);
    assert_success(mproc_pool_terminate(pool, 0));
    left = fault_pause();
    for (int i = 0; i < 2; i++)
        assert_false(lives(pids[i]));
    fault_resume(left);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    return APR_SUCCESS;
}

static void test_terminate(void **state)
{
    making_t making = {MPROC_FORKSERVER, NULL};
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    make_board();
    run(terminate, &making);
    making.method = MPROC_FORK;
    run(terminate, &making);
    close_board();
    expect_no_objects();
}

/* ---- The pool's own thread --------------------------------------------------------------------------------------- */

/** Something that is tried with one of the calls beside this thread failing: which has. */
typedef const char *(*try_t)(void *context, int number, int choice);

static void run_beside(try_t attempt, void *context)
{
    for (int i = 0; i < 3; i++)
        attempt(context, 0, 0);
    const baseline_t before = measure_at_rest();
    for (int choice = 0; choice < FAULT_CHOICES; choice++) {
        const char *failed = "";
        for (int number = 1; failed; number++) {
            assert_true(number < MOST);
            failed = attempt(context, number, choice);
            printf("call %d, %s, choice %d\n", number, failed ? failed : "none", choice);
            expect_baseline(&before);
        }
    }
}

/** A worker dies that has nothing to do: all tasks are done by the other one, and another one takes its place. */
static const char *replace(void *context, int number, int choice)
{
    mproc_pool_t *pool = context;
    const int pid = mproc_pool_worker_pid(pool, 0);
    fault_begin_beside(number, choice);
    kill_by_pid(pid);
    assert_success(map(pool));
    await_replaced(pool, pid);
    have_it_look(pool);
    return fault_end();
}

static void replace_by(mproc_start_method_t method)
{
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = watched = make_pool_of_two(method);
    await_ready(pool, 2);
    run_beside(replace, pool);
    watched = NULL;
    end_pool(pool);
}

static void test_replace_by_fork(void **state)
{
    (void)state;
    replace_by(MPROC_FORK);
}

static void test_replace_by_forkserver(void **state)
{
    (void)state;
    replace_by(MPROC_FORKSERVER);
}

static void test_replace_by_spawn(void **state)
{
    (void)state;
    replace_by(MPROC_SPAWN);
}

/** What is tried with pools that may break. */
typedef struct last_t {
    mproc_start_method_t method;
    int broken; /* how many did */
} last_t;

/** The only worker dies, and no start may fail: either another one does the task, or the pool is broken by that. */
static const char *replace_last(void *context, int number, int choice)
{
    last_t *last = context;
    char out[4] = "";
    mproc_pool_opts_t opts = pool_options(1);
    opts.start_method = last->method;
    opts.max_start_failures = 1;
    mproc_pool_t *pool = make_pool(opts);
    await_ready(pool, 1);
    fault_begin_beside(number, choice);
    kill_by_pid(mproc_pool_worker_pid(pool, 0));
    const apr_status_t status = mproc_pool_apply(pool, echo, out, sizeof out, NULL, "abc", 4, NULL);
    const char *failed = fault_end();
    if (status == APR_SUCCESS) {
        assert_string_equal(out, "abc");
        /* It may have done the task before it was known that it cannot be watched. */
        const apr_status_t end = mproc_pool_finish(pool);
        assert_true(end == APR_SUCCESS || (end == MPROC_EBROKENPOOL && failed));
        return failed;
    }
    assert_non_null(failed);
    assert_int_equal(status, MPROC_EBROKENPOOL);
    assert_error_names("worker 0 of Pool-");
    assert_error_names("could not begin: ");
    assert_refused(mproc_pool_finish(pool), MPROC_EBROKENPOOL, "mproc_pool_finish", "could not begin: ");
    last->broken++;
    return failed;
}

static void await_begun(void *context)
{
    (void)context;
    await_note(&board->begun, 2);
}

/** A worker that has begun a task when it turns out that it cannot be watched: that task fails, or is run again. */
static void test_lost_in_its_start(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    for (unsigned retries = 0; retries < 2; retries++) {
        mproc_future_t *first, *lost, *last;
        mproc_task_error_t error;
        make_board();
        mproc_pool_opts_t opts = pool_options(1);
        opts.start_method = MPROC_FORK;
        mproc_pool_t *pool = make_pool(opts);
        const mproc_submit_opts_t submit_opts = {.retries = retries};
        assert_success(mproc_pool_submit(pool, &first, echo_at_gate, "abc", 4, NULL));
        assert_success(mproc_pool_submit(pool, &lost, echo_at_gate, "abc", 4, &submit_opts));
        assert_success(mproc_pool_submit(pool, &last, echo, "abc", 4, NULL));
        await_note(&board->begun, 1);
        fault_refuse_beside("syscall", await_begun, NULL);
        kill_by_pid(mproc_pool_worker_pid(pool, 0));
        /* Not sooner: it is to be killed in it. */
        await_note(&board->begun, 2 + retries);
        atomic_store(&board->gate, retries);
        assert_success(mproc_future_wait(lost, &error, patience()));
        assert_string_equal(fault_end(), "syscall");
        assert_int_equal(error.status, retries ? APR_SUCCESS : MPROC_EWORKERDIED);
        assert_int_equal(error.tries, retries + 1);
        if (!retries)
            assert_non_null(strstr(error.text, "worker 0 of Pool-"));
        assert_success(mproc_future_wait(first, &error, 0));
        assert_int_equal(error.status, MPROC_EWORKERDIED);
        assert_success(mproc_future_wait(last, &error, patience()));
        assert_int_equal(error.status, APR_SUCCESS);
        assert_int_equal(info_of(pool).deaths, 2);
        assert_success(mproc_future_close(first));
        assert_success(mproc_future_close(lost));
        assert_success(mproc_future_close(last));
        end_pool(pool);
    }
}

static void replace_last_by(mproc_start_method_t method)
{
    last_t last = {method, 0};
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    run_beside(replace_last, &last);
    assert_true(last.broken > 5);
    expect_no_objects();
}

static void test_replace_last_by_fork(void **state)
{
    (void)state;
    replace_last_by(MPROC_FORK);
}

static void test_replace_last_by_forkserver(void **state)
{
    (void)state;
    replace_last_by(MPROC_FORKSERVER);
}

/** The pool's thread ends a task whose time is up, and calls callbacks. */
static const char *end_in_time(void *context, int number, int choice)
{
    static unsigned char message[LARGE];
    mproc_pool_t *pool = context;
    mproc_future_t *late, *other;
    mproc_task_error_t error;
    _Atomic uint32_t calls = 0;
    const mproc_submit_opts_t opts = {
        .timeout = MPROC_MILLISECONDS(10), .callback = note_call, .context = (void *)&calls};
    const mproc_submit_opts_t other_opts = {.callback = note_call, .context = (void *)&calls};
    fault_begin_beside(number, choice);
    assert_success(mproc_pool_submit(pool, &late, hang, NULL, 0, &opts));
    assert_success(mproc_pool_submit(pool, &other, echo, message, sizeof message, &other_opts));
    assert_success(mproc_future_wait(other, &error, patience()));
    assert_int_equal(error.status, APR_SUCCESS);
    assert_success(mproc_future_wait(late, &error, patience()));
    assert_int_equal(error.status, MPROC_ETASKTIMEUP);
    await_note(&calls, 2);
    await_replaced(pool, error.pid);
    const char *failed = fault_end();
    (void)mproc_future_close(late);
    (void)mproc_future_close(other);
    return failed;
}

static void test_end_in_time(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    make_board();
    mproc_pool_t *pool = make_pool_of_two(MPROC_DEFAULT);
    await_ready(pool, 2);
    run_beside(end_in_time, pool);
    end_pool(pool);
}

enum { VICTIM = 17 };

static int die_once(mproc_task_t *task, const void *in, void *out, size_t count)
{
    if (mproc_task_index(task) == VICTIM && mproc_task_retries(task) == 0)
        raise(SIGKILL);
    return square(task, in, out, count);
}

/** The pool's thread has something run again: if it has no memory for that, just that has failed. */
static const char *run_again(void *context, int number, int choice)
{
    static int x[COUNT], y[COUNT];
    static apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    const mproc_map_opts_t opts = {.chunk = 1, .retries = 1, .statuses = statuses, .error = &error};
    for (int i = 0; i < COUNT; i++)
        x[i] = i;
    fault_begin_beside(number, choice);
    const apr_status_t status = mproc_pool_map(context, die_once, y, sizeof y[0], x, sizeof x[0], COUNT, &opts);
    await_ready(context, 2);
    have_it_look(context);
    const char *failed = fault_end();
    assert_true(status == APR_SUCCESS || (status == APR_ENOMEM && failed));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(statuses[i], i == VICTIM ? status : APR_SUCCESS);
        if (statuses[i] == APR_SUCCESS)
            assert_int_equal(y[i], i * i);
    }
    assert_int_equal(error.index, status == APR_SUCCESS ? 0 : VICTIM);
    return failed;
}

static void test_run_again(void **state)
{
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    mproc_pool_t *pool = watched = make_pool_of_two(MPROC_DEFAULT);
    await_ready(pool, 2);
    run_beside(run_again, pool);
    watched = NULL;
    end_pool(pool);
}

/** The end of a pool is nothing that could fail. */
static const char *finish_pool(void *context, int number, int choice)
{
    const making_t *making = context;
    _Atomic uint32_t calls = 0;
    const mproc_submit_opts_t opts = {.callback = note_call, .context = (void *)&calls};
    mproc_pool_t *pool = make_pool_of_two(making->method);
    fault_begin_beside(number, choice);
    for (int i = 0; i < 5; i++)
        assert_success(mproc_pool_submit(pool, NULL, echo, "abc", 4, &opts));
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(calls, 5);
    return fault_end();
}

static void test_finish(void **state)
{
    making_t making = {MPROC_FORKSERVER, NULL};
    (void)state;
    assert_success(mproc_set_arena_size(SMALL_ARENA));
    run_beside(finish_pool, &making);
    making.method = MPROC_FORK;
    run_beside(finish_pool, &making);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_of_threads),
        cmocka_unit_test(test_create_of_processes),
        cmocka_unit_test(test_submit),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_replace_by_fork),
        cmocka_unit_test(test_replace_by_forkserver),
        cmocka_unit_test(test_replace_by_spawn),
        cmocka_unit_test(test_lost_in_its_start),
        cmocka_unit_test(test_replace_last_by_fork),
        cmocka_unit_test(test_replace_last_by_forkserver),
        cmocka_unit_test(test_end_in_time),
        cmocka_unit_test(test_run_again),
        cmocka_unit_test(test_finish),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
