/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that close all descriptors that they do not know, the library's among them, while they have a pool. Nobody
 * hangs, each call ends with a status, and nothing is left.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

enum { WORKERS = 2, COUNT = 500 };

/** As daemons do, and careless libraries. */
static void close_all(void)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
}

/** Whether a status is one that a task or call may end with now: the fork server's children go with their server. */
static int is_expected(apr_status_t status)
{
    return status == APR_SUCCESS ||
           (method_under_test() == MPROC_FORKSERVER && (status == MPROC_EWORKERDIED || status == MPROC_EBROKENPOOL));
}

static void expect_status(apr_status_t status, const char *what)
{
    if (!is_expected(status))
        fail_msg("%s: %d, %s", what, status, mproc_last_error()->text);
}

/** A pool whose workers have all done something. */
static mproc_pool_t *make_ready_pool(int *pids)
{
    mproc_pool_t *pool = make_pool(pool_options(WORKERS));
    await_ready(pool, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = mproc_pool_worker_pid(pool, i);
    return pool;
}

/** Whether a process is gone, by its number alone: to look closer takes descriptors. */
static void expect_gone(const int *pids)
{
    for (int i = 0; i < WORKERS; i++)
        if (pids[i] && !is_gone_within(pids[i], 10))
            fail_msg("pid %d is left", pids[i]);
}

static int count_runs(mproc_task_t *task, const void *in, void *out, size_t count)
{
    board_t *own = board_of(task);
    (void)in;
    (void)out;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&own->runs[mproc_task_index(task) + i], 1);
    apr_sleep(200);
    return 0;
}

static void note_call(void *context, mproc_future_t *future)
{
    (void)future;
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
}

/** Use a pool in all ways. */
static void use_pool(mproc_pool_t *pool)
{
    mproc_future_t *futures[3];
    mproc_task_error_t error;
    _Atomic uint32_t calls = 0;
    uint32_t taken = 0;
    char out[4] = "";
    const mproc_submit_opts_t opts = {.callback = note_call, .context = (void *)&calls};
    expect_status(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL), "apply");
    expect_status(mproc_pool_map(pool, count_runs, NULL, 0, NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = 1}), "map");
    for (int i = 0; i < 3; i++) {
        const apr_status_t status = mproc_pool_submit(pool, &futures[i], echo, "abc", 4, &opts);
        expect_status(status, "submit");
        if (status != APR_SUCCESS)
            continue;
        taken++;
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        expect_status(error.status, "wait");
        (void)mproc_future_close(futures[i]);
    }
    await_note(&calls, taken);
}

/** All is closed while the pool has nothing to do. */
static void test_closed_while_idle(void **state)
{
    int pids[WORKERS];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    apr_sleep(20000);
    close_all();
    use_pool(pool);
    expect_status(mproc_pool_finish(pool), "finish");
    expect_gone(pids);
    close_board();
}

static void close_all_later(void *context)
{
    (void)context;
    close_all();
}

/** Or while it maps. */
static void test_closed_during_a_map(void **state)
{
    int pids[WORKERS];
    later_t later;
    apr_status_t statuses[COUNT];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    begin_later(&later, 10, close_all_later, NULL);
    expect_status(mproc_pool_map(pool, count_runs, NULL, 0, NULL, 0, COUNT,
                                 &(mproc_map_opts_t){.chunk = 1, .statuses = statuses}),
                  "map");
    end_later(&later);
    for (int k = 0; k < COUNT; k++) {
        assert_true(is_expected(statuses[k]));
        if (statuses[k] == APR_SUCCESS)
            assert_int_equal(atomic_load(&board->runs[k]), 1);
    }
    expect_status(mproc_pool_finish(pool), "finish");
    expect_gone(pids);
    close_board();
}

/** What a thread waits in. */
typedef struct waiting_t {
    mproc_pool_t *pool;
    mproc_future_t *future;
    int what;
    apr_status_t status;
    mproc_task_error_t error;
    _Atomic uint32_t has_begun;
    later_t later;
} waiting_t;

enum { WAITS, WAITS_FOR_SEVERAL, TAKES_NEXT, JOINS, WAYS };

static void wait_so(void *context)
{
    waiting_t *waiting = context;
    mproc_future_t *future = waiting->future, *next;
    atomic_store(&waiting->has_begun, 1);
    switch (waiting->what) {
    case WAITS:
        waiting->status = mproc_future_wait(future, &waiting->error, MPROC_FOREVER);
        break;
    case WAITS_FOR_SEVERAL:
        waiting->status = mproc_futures_wait(&future, 1, MPROC_UNTIL_ALL, MPROC_FOREVER);
        break;
    case TAKES_NEXT:
        waiting->status = mproc_futures_next(&future, 1, &next, NULL, MPROC_FOREVER);
        break;
    default:
        while ((waiting->status = mproc_pool_join(waiting->pool, MPROC_FOREVER)) == MPROC_ESTATE)
            apr_sleep(1000);
    }
}

/** Or while threads wait: those that are waited for by a descriptor learn that it is gone. */
static void test_closed_while_waited_for(void **state)
{
    int pids[WORKERS];
    waiting_t waiting[WAYS];
    mproc_future_t *future;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    assert_success(mproc_pool_submit(pool, &future, echo_at_gate, "abc", 4, NULL));
    await_note(&board->begun, 1);
    for (int k = 0; k < WAYS; k++) {
        waiting[k] = (waiting_t){.pool = pool, .future = future, .what = k};
        begin_later(&waiting[k].later, 0, wait_so, &waiting[k]);
    }
    for (int k = 0; k < WAYS; k++)
        await_note(&waiting[k].has_begun, 1);
    apr_sleep(20000);
    close_all();
    atomic_store(&board->gate, 1);
    assert_success(mproc_pool_shutdown(pool));
    for (int k = 0; k < WAYS; k++)
        end_later(&waiting[k].later);
    assert_int_equal(waiting[WAITS].status, APR_SUCCESS);
    expect_status(waiting[WAITS].error.status, "the task");
    assert_true(waiting[WAITS_FOR_SEVERAL].status == APR_SUCCESS || waiting[WAITS_FOR_SEVERAL].status == APR_EBADF);
    assert_true(waiting[TAKES_NEXT].status == APR_SUCCESS || waiting[TAKES_NEXT].status == APR_EBADF);
    assert_int_equal(waiting[JOINS].status, APR_SUCCESS);
    assert_success(mproc_future_close(future));
    expect_status(mproc_pool_finish(pool), "finish");
    expect_gone(pids);
    close_board();
}

/** A task that nobody can persuade to end, if it is not a thread's. */
static int wait_stubbornly(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    (void)in;
    (void)size;
    atomic_fetch_add(&own->begun, 1);
    while (!atomic_load(&own->gate) && !(method_under_test() == MPROC_THREAD && mproc_task_is_cancelled(task)))
        apr_sleep(500);
    return 0;
}

/** Or before it is terminated while tasks run: no worker is alive then. */
static void terminate_after_closing(apr_interval_time_t grace)
{
    int pids[WORKERS];
    mproc_future_t *futures[3];
    mproc_task_error_t error;
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    for (int k = 0; k < 3; k++)
        assert_success(mproc_pool_submit(pool, &futures[k], wait_stubbornly, NULL, 0, NULL));
    await_note(&board->begun, WORKERS);
    close_all();
    const apr_time_t begin = apr_time_now();
    assert_success(mproc_pool_terminate(pool, grace));
    /* Who waits for something that was closed looks again after five seconds. */
    assert_true(apr_time_now() - begin < patience());
    for (int k = 0; k < WORKERS; k++)
        assert_true(pids[k] == 0 || !lives(pids[k]));
    for (int k = 0; k < 3; k++) {
        assert_success(mproc_future_wait(futures[k], &error, 0));
        assert_true(error.status == MPROC_ETERMINATED || (error.status != APR_SUCCESS && is_expected(error.status)));
        assert_success(mproc_future_close(futures[k]));
    }
    const apr_status_t status = mproc_pool_finish(pool);
    assert_true(status == MPROC_ETERMINATED || (status != APR_SUCCESS && is_expected(status)));
    close_board();
}

static void test_closed_before_terminate(void **state)
{
    (void)state;
    terminate_after_closing(method_under_test() == MPROC_THREAD ? patience() : 0);
}

static void test_closed_before_a_grace(void **state)
{
    (void)state;
    terminate_after_closing(method_under_test() == MPROC_THREAD ? patience() : MPROC_MILLISECONDS(50));
}

/** A worker dies that cannot be replaced any more; another one does all. When that is gone, too, the pool is broken. */
static void test_closed_before_a_death(void **state)
{
    int pids[WORKERS];
    apr_status_t status;
    (void)state;
    skip_under(MPROC_THREAD, "a thread cannot be ended from outside");
    mproc_pool_t *pool = make_ready_pool(pids);
    const apr_time_t end = apr_time_now() + patience();
    close_all();
    if (method_under_test() != MPROC_FORKSERVER) {
        kill_by_pid(pids[0]);
        for (int i = 0; i < 20; i++)
            assert_success(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL));
        kill_by_pid(pids[1]);
    }
    do {
        status = mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL);
    } while (is_expected(status) && status != MPROC_EBROKENPOOL && apr_time_now() < end);
    assert_int_equal(status, MPROC_EBROKENPOOL);
    assert_error_names("this program has closed the pool's alarm");
    assert_refused(mproc_pool_finish(pool), MPROC_EBROKENPOOL, "mproc_pool_finish", "closed the pool's alarm");
    expect_no_objects();
}

/** What the program opens afterwards gets the same numbers, and is not the pool's to read or write. */
static void test_files_of_the_program(void **state)
{
    enum { FILES = 40, SIZE = 64 };
    int pids[WORKERS], fds[FILES];
    char bytes[SIZE], path[512];
    mproc_future_t *futures[WORKERS + 1];
    mproc_task_error_t error;
    (void)state;
    memset(bytes, 'x', SIZE);
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    for (int i = 0; i <= WORKERS; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, "abc", 4, NULL));
    await_note(&board->begun, WORKERS);
    apr_sleep(20000);
    close_all();
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "mproc-test-XXXXXX");
        fds[i] = mkstemp(path);
        assert_true(fds[i] >= 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(write(fds[i], bytes, SIZE), SIZE);
        assert_int_equal(lseek(fds[i], SIZE / 2, SEEK_SET), SIZE / 2);
    }
    /* This has the pool's thread look at it, which still sleeps by what there was before. */
    assert_success(mproc_future_cancel(futures[WORKERS]));
    atomic_store(&board->gate, 1);
    for (int i = 0; i <= WORKERS; i++) {
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_true(i == WORKERS || is_expected(error.status));
        assert_success(mproc_future_close(futures[i]));
    }
    use_pool(pool);
    assert_success(mproc_pool_shutdown(pool));
    assert_success(mproc_pool_join(pool, patience()));
    for (int i = 0; i < FILES; i++) {
        char found[SIZE + 1];
        /* One that the library has closed in the belief that it was its own is another matter. */
        const off_t at = lseek(fds[i], 0, SEEK_CUR);
        if (at < 0)
            continue;
        assert_int_equal(at, SIZE / 2);
        assert_int_equal(pread(fds[i], found, sizeof found, 0), SIZE);
        assert_memory_equal(found, bytes, SIZE);
        close(fds[i]);
    }
    assert_success(mproc_pool_close(pool));
    expect_gone(pids);
    close_board();
}

/** A program that ends with a pool which it has taken the descriptors from. */
static int leave_pool(mproc_call_t *call)
{
    mproc_pool_t *pool;
    mproc_shared_t *shared = mproc_call_shared(call, 0);
    const int *method = mproc_call_data(call, sizeof *method);
    board_t *own = mproc_shared_data(shared);
    mproc_pool_opts_t opts = {.workers = WORKERS, .start_method = (mproc_start_method_t)*method, .share = {shared}};
    if (mproc_pool_create(&pool, &opts) != APR_SUCCESS)
        return 1;
    for (int i = 0; i < 3; i++)
        if (mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL) != APR_SUCCESS)
            return 2;
    while (atomic_load(&own->begun) < WORKERS)
        apr_sleep(500);
    for (unsigned i = 0; i < WORKERS; i++)
        atomic_store(&own->notes[i], (uint32_t)mproc_pool_worker_pid(pool, i));
    close_all();
    return 6;
}

static void test_closed_before_the_end(void **state)
{
    int method = (int)method_under_test();
    int pids[WORKERS];
    (void)state;
    make_board();
    const mproc_process_opts_t opts = {
        .start_method = MPROC_SPAWN, .share = {pool_options(1).share[0]}, .data = &method, .size = sizeof method};
    mproc_process_t *process = start(leave_pool, opts);
    assert_int_equal(finish(process), 6);
    for (int k = 0; k < WORKERS; k++)
        pids[k] = (int)atomic_load(&board->notes[k]);
    expect_gone(pids);
    close_board();
}

/** Tasks that do so in their worker: all are done, by others if need be. */
static int close_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    close_all();
    return count_runs(task, in, out, count);
}

static void test_closed_by_slices(void **state)
{
    enum { FEW = 50 };
    int pids[WORKERS];
    (void)state;
    skip_under(MPROC_THREAD, "a thread shares it with its process");
    make_board();
    mproc_pool_t *pool = make_ready_pool(pids);
    for (int k = 0; k < 3; k++)
        assert_success(mproc_pool_map(pool, close_in_slice, NULL, 0, NULL, 0, FEW, &(mproc_map_opts_t){.chunk = 1}));
    for (int k = 0; k < FEW; k++)
        assert_int_equal(atomic_load(&board->runs[k]), 3);
    assert_int_equal(info_of(pool).deaths, 0);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_while_idle),       cmocka_unit_test(test_closed_during_a_map),
        cmocka_unit_test(test_closed_while_waited_for), cmocka_unit_test(test_closed_before_terminate),
        cmocka_unit_test(test_closed_before_a_grace),   cmocka_unit_test(test_closed_before_a_death),
        cmocka_unit_test(test_files_of_the_program),    cmocka_unit_test(test_closed_before_the_end),
        cmocka_unit_test(test_closed_by_slices),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
