/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux makes of workers: a thousand of them, what idle ones cost, signals, and descriptors that run out. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

static int count_items(mproc_task_t *task, const void *in, void *out, size_t count)
{
    board_t *own = board_of(task);
    (void)in;
    (void)out;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&own->runs[mproc_task_index(task) + i], 1);
    return 0;
}

/** What the processes of a pool have used of the processors, in microseconds; < 0 where that is not told. */
static int64_t cpu_time_of(mproc_pool_t *pool, unsigned count)
{
    int64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        char path[64];
        long long nanoseconds = -1;
        snprintf(path, sizeof path, "/proc/%d/schedstat", mproc_pool_worker_pid(pool, i));
        FILE *file = fopen(path, "r");
        if (!file || fscanf(file, "%lld", &nanoseconds) != 1)
            nanoseconds = -1;
        if (file)
            fclose(file);
        if (nanoseconds < 0)
            return -1;
        total += nanoseconds / 1000;
    }
    return total;
}

/** R8 and R15: a thousand workers, of which each can die, and which cost nothing while they wait. */
static void test_a_thousand(void **state)
{
    enum { THOUSAND = 1000, COUNT = 20000, SECONDS = 3 };
    struct rlimit limit;
    (void)state;
    if (slowdown() > 1)
        skip_because("a thousand processes are too many under this tool");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < 4 * THOUSAND || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        skip_because("not enough descriptors can be open here");
    make_board();
    const int descriptors = count_descriptors();
    mproc_pool_t *pool = make_pool(pool_options(THOUSAND));
    await_ready(pool, THOUSAND);
    /* One each, and few for all. */
    assert_in_range(count_descriptors() - descriptors, 0, 2 * THOUSAND + 20);
    for (int round = 1; round <= 3; round++) {
        assert_success(mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = 1}));
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), round);
        kill_by_pid(mproc_pool_worker_pid(pool, (unsigned)(round * 333)));
        await_ready(pool, THOUSAND);
    }
    apr_sleep(MPROC_SECONDS(1));
    const int64_t before = cpu_time_of(pool, THOUSAND);
    const int64_t own = cpu_time();
    apr_sleep(MPROC_SECONDS(SECONDS));
    const int64_t used = cpu_time_of(pool, THOUSAND) - before + (cpu_time() - own);
    /* A tenth of this is what it takes; machines under load count more. */
    if (before >= 0 && used > SECONDS * 50000)
        fail_msg("%d idle workers used %d us in %d s", THOUSAND, (int)used, SECONDS);
    end_pool(pool);
}

static int say_hello(mproc_task_t *task, const void *in, size_t size)
{
    char byte;
    (void)in;
    (void)size;
    /* Standard input is the null device. */
    return wait_at_gate(task) && read(0, &byte, 1) == 0 ? 0 : 1;
}

/** R12: what a terminal sends to all processes does not end workers, and they ignore it from their first moment. */
static void test_interrupts(void **state)
{
    mproc_future_t *futures[4];
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    mproc_pool_t *pool = make_pool(opts);
    for (int i = 0; i < 4; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], say_hello, NULL, 0, NULL));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(kill(mproc_pool_worker_pid(pool, i), SIGINT), 0);
    await_note(&board->begun, 2);
    for (unsigned i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++)
            assert_int_equal(kill(mproc_pool_worker_pid(pool, i), SIGINT), 0);
    atomic_store(&board->gate, 1);
    for (int i = 0; i < 4; i++) {
        mproc_task_error_t error;
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_string_equal(error.text, "");
        assert_success(mproc_future_close(futures[i]));
    }
    assert_int_equal(info_of(pool).deaths, 0);
    assert_int_equal(info_of(pool).restarts, 0);
    end_pool(pool);
}

static _Atomic int handler_ran_on_main;
static _Thread_local int is_main;

static void note_thread(int number)
{
    (void)number;
    atomic_store(&handler_ran_on_main, is_main ? 1 : -1);
}

/** The pool's thread has all signals blocked: handlers of the program's run on the program's threads. */
static void test_signals_of_the_program(void **state)
{
    (void)state;
    is_main = 1;
    struct sigaction action = {.sa_handler = note_thread};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    mproc_pool_t *pool = make_pool(pool_options(1));
    await_ready(pool, 1);
    for (int i = 0; i < 50; i++) {
        atomic_store(&handler_ran_on_main, 0);
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        assert_int_equal(atomic_load(&handler_ran_on_main), 1);
    }
    end_pool(pool);
}

/** How many signals this worker holds. */
static int count_held(mproc_task_t *task, const void *in, size_t size)
{
    sigset_t held;
    uint32_t count = 0;
    (void)in;
    (void)size;
    pthread_sigmask(SIG_BLOCK, NULL, &held);
    for (int signal = 1; signal < 32; signal++)
        count += sigismember(&held, signal) == 1;
    return mproc_task_set_result(task, &count, sizeof count) == APR_SUCCESS ? 0 : 1;
}

/** One that takes the place of another is started by the pool's thread, but is like those before. */
static void test_signals_of_workers(void **state)
{
    static const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_FORKSERVER, MPROC_SPAWN};
    (void)state;
    for (int i = 0; i < 3; i++) {
        mproc_pool_opts_t opts = pool_options(1);
        opts.start_method = methods[i];
        opts.max_tasks = 1;
        mproc_pool_t *pool = make_pool(opts);
        for (int k = 0; k < 3; k++) {
            uint32_t count = 99;
            assert_success(mproc_pool_apply(pool, count_held, &count, sizeof count, NULL, NULL, 0, NULL));
            assert_int_equal(count, 0);
        }
        assert_true(info_of(pool).restarts >= 2);
        end_pool(pool);
    }
}

/** A task that forks, and whose copy returns as well. */
static int fork_and_return(mproc_task_t *task, const void *in, size_t size)
{
    (void)in;
    (void)size;
    const pid_t pid = fork();
    if (pid > 0 && waitpid(pid, NULL, 0) != pid)
        return 7;
    return mproc_task_set_result(task, &pid, sizeof pid) == APR_SUCCESS ? 0 : 8;
}

static int fork_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    board_t *own = board_of(task);
    int status = 1;
    (void)in;
    (void)out;
    (void)count;
    const pid_t pid = fork();
    if (pid == 0)
        return 9;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 7;
    atomic_fetch_add(&own->runs[mproc_task_index(task)], 1);
    return 0;
}

/** The copy ends, without having done anything to the pool but what the task did. */
static void test_copies_of_workers(void **state)
{
    static const mproc_start_method_t methods[] = {MPROC_FORK, MPROC_FORKSERVER, MPROC_SPAWN, MPROC_THREAD};
    enum { COUNT = 20 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        if (slowdown() > 1 && methods[i] == MPROC_THREAD)
            continue;
        make_board();
        mproc_pool_opts_t opts = pool_options(2);
        opts.start_method = methods[i];
        mproc_pool_t *pool = make_pool(opts);
        for (int k = 0; k < COUNT; k++) {
            pid_t pid = 0;
            assert_success(mproc_pool_apply(pool, fork_and_return, &pid, sizeof pid, NULL, NULL, 0, NULL));
            assert_true(pid > 0);
        }
        assert_success(mproc_pool_map(pool, fork_in_slice, NULL, 0, NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = 1}));
        for (int k = 0; k < COUNT; k++)
            assert_int_equal(atomic_load(&board->runs[k]), 1);
        assert_int_equal(info_of(pool).done, 2 * COUNT);
        assert_int_equal(info_of(pool).restarts, 0);
        end_pool(pool);
    }
}

/** Forks, and returns twice. */
static void fork_in_callback(void *context, mproc_future_t *future)
{
    int status = -1;
    (void)future;
    const pid_t pid = fork();
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
        atomic_fetch_add((_Atomic uint32_t *)context, 1);
}

/** The copy that returns is not another thread of the pool's. */
static void test_copies_of_callbacks(void **state)
{
    enum { COUNT = 20 };
    _Atomic uint32_t calls = 0;
    char out[4];
    (void)state;
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int i = 0; i < COUNT; i++)
        assert_success(
            mproc_pool_submit(pool, NULL, echo, "abc", 4,
                              &(mproc_submit_opts_t){.callback = fork_in_callback, .context = (void *)&calls}));
    await_note(&calls, COUNT);
    assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
    end_pool(pool);
}

/** R13: descriptors run out while workers are started: those that could be started do the work. */
static void test_descriptors_run_out(void **state)
{
    enum { WORKERS = 40, COUNT = 1000 };
    struct rlimit limit, before;
    (void)state;
    make_board();
    /* What is made for so many children, and kept, is there already. */
    mproc_pool_t *first = make_pool(pool_options(WORKERS));
    await_ready(first, WORKERS);
    assert_success(mproc_pool_finish(first));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    const int descriptors = count_descriptors();
    for (int room = 0; room < 40; room += 8) {
        mproc_pool_t *pool;
        mproc_pool_opts_t opts = pool_options(WORKERS);
        for (int i = 0; i < COUNT; i++)
            atomic_store(&board->runs[i], 0);
        limit.rlim_cur = (rlim_t)(descriptors + room);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        const apr_status_t status = mproc_pool_create(&pool, &opts);
        if (status != APR_SUCCESS) {
            assert_null(pool);
            assert_int_equal(mproc_last_error()->status, status);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
            continue;
        }
        const apr_status_t map_status =
            mproc_pool_map(pool, count_items, NULL, 0, NULL, 0, COUNT, &(mproc_map_opts_t){.chunk = 1});
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(map_status, APR_SUCCESS);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), 1);
        /* And the others come when it is possible. */
        await_ready(pool, WORKERS);
        assert_success(mproc_pool_finish(pool));
        assert_int_equal(count_descriptors(), descriptors);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count_descriptors(), descriptors);
    close_board();
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_signals_of_the_program),
        cmocka_unit_test(test_signals_of_workers),
        cmocka_unit_test(test_copies_of_workers),
        cmocka_unit_test(test_copies_of_callbacks),
        cmocka_unit_test(test_descriptors_run_out),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
