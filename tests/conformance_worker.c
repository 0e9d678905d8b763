/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that die, under every start method of processes: exactly what they ran fails, and nothing is left behind. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"
#include "sys.h"

/* ---- Ways to die ------------------------------------------------------------------------------------------------- */

typedef enum death_t { BY_EXIT, BY_KILL, BY_ABORT, BY_NULL, BY_DIVISION, BY_RECURSION, DEATHS } death_t;

static void kill_process(int pid)
{
    sys_process_t *process;
    if (sys_process_open(&process, pid, 0) != APR_SUCCESS)
        return;
    sys_process_signal(process, SYS_KILL);
    sys_process_close(process);
}

/** Deeper and deeper; the sum keeps the compiler from making a loop of it. */
static int recurse(volatile int *depth)
{
    volatile char room[1000];
    room[0] = (char)*depth;
    *depth = *depth + 1;
    return *depth > 0 ? recurse(depth) + room[0] : 0;
}

/** End by exit; where that looks for leaks, without: a forked child has no thread that knows its creator's memory. */
static void leave(int code)
{
    if (slowdown() > 1)
        _Exit(code);
    exit(code);
}

static void die(death_t how)
{
    volatile int zero = 0;
    /* Not NULL, of which a sanitizer has an opinion of its own. */
    volatile int *volatile nowhere = (volatile int *)(uintptr_t)8;
    /* CMocka catches these, and a forked child inherits that. */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
    switch (how) {
    case BY_EXIT:
        leave(3);
        break;
    case BY_KILL:
        kill_process(mproc_getpid());
        apr_sleep(MPROC_SECONDS(60));
        break;
    case BY_ABORT:
        abort();
    case BY_NULL:
        *nowhere = 5;
        break;
    case BY_DIVISION:
        zero = div(5, zero).quot; /* which the library divides, and no sanitizer looks */
        break;
    case BY_RECURSION:
        recurse(&zero);
        break;
    default:
        break;
    }
    exit(99);
}

static const int exitcodes[DEATHS] = {3, -9, -6, -11, -8, -11};

static void expect_exitcode(const mproc_task_error_t *error, death_t how)
{
    /* Wine lets a process whose stack is full end with 0. */
    if (error->exitcode != exitcodes[how] && !(how == BY_RECURSION && !has_fork()))
        fail_msg("way %d to die: %s", (int)how, error->text);
}

/** How many ways there are here: with sanitizers and emulators crashes are something else. */
static int count_deaths(void)
{
    return slowdown() > 1 ? BY_ABORT : DEATHS;
}

/** What all tasks of a map are told, and, in a message, single ones. */
typedef struct plan_t {
    uint32_t victim; /* the item that dies */
    uint32_t tries;  /* so often */
    death_t how;
} plan_t;

static int die_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const plan_t *plan = mproc_task_shared(task, sizeof *plan);
    const uint32_t *numbers = in;
    board_t *own = board_of(task);
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&own->runs[numbers[i]], 1);
        ((uint32_t *)out)[i] += numbers[i] + 1;
        if (numbers[i] == plan->victim && mproc_task_retries(task) < plan->tries)
            die(plan->how);
    }
    return 0;
}

/* ---- Maps -------------------------------------------------------------------------------------------------------- */

enum { COUNT = 300, VICTIM = 137 };

/** A map with one item that dies. */
typedef struct death_map_t {
    uint32_t numbers[COUNT];
    uint32_t results[COUNT];
    apr_status_t statuses[COUNT];
    mproc_task_error_t error;
    apr_status_t status;
} death_map_t;

static death_map_t map;

static void run_map(mproc_pool_t *pool, plan_t plan, mproc_map_opts_t opts)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        map.numbers[i] = i;
        atomic_store(&board->runs[i], 0);
    }
    memset(map.statuses, 1, sizeof map.statuses);
    memset(map.results, 1, sizeof map.results);
    opts.shared = &plan;
    opts.shared_size = sizeof plan;
    opts.statuses = map.statuses;
    opts.error = &map.error;
    map.status = mproc_pool_map(pool, die_in_slice, map.results, 4, map.numbers, 4, COUNT, &opts);
}

/** See that exactly some items failed, and that all others were done, and each but the victim so often. */
static void expect_failed(uint32_t first, uint32_t count, apr_status_t status)
{
    assert_int_equal(map.status, count ? status : APR_SUCCESS);
    for (uint32_t i = 0; i < COUNT; i++) {
        const int has_failed = i >= first && i < first + count;
        assert_int_equal(map.statuses[i], has_failed ? status : APR_SUCCESS);
        if (!has_failed)
            assert_int_equal(map.results[i], i + 1);
    }
    assert_int_equal(map.error.status, count ? status : APR_SUCCESS);
    assert_int_equal(map.error.index, count ? first : 0);
}

static void test_death_in_map(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (int how = 0; how < count_deaths(); how++) {
        const uint64_t deaths = info_of(pool).deaths;
        run_map(pool, (plan_t){VICTIM, 1, (death_t)how}, (mproc_map_opts_t){.chunk = 1});
        expect_failed(VICTIM, 1, MPROC_EWORKERDIED);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), 1);
        expect_exitcode(&map.error, (death_t)how);
        assert_int_equal(map.error.tries, 1);
        assert_int_not_equal(map.error.pid, 0);
        assert_int_equal(map.error.code, 0);
        assert_non_null(strstr(map.error.text, "ended"));
        assert_int_equal(info_of(pool).deaths, deaths + 1);
        /* A chunk dies together. */
        run_map(pool, (plan_t){VICTIM, 1, (death_t)how}, (mproc_map_opts_t){.chunk = 10});
        expect_failed(VICTIM / 10 * 10, 10, MPROC_EWORKERDIED);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), i / 10 != VICTIM / 10 || i <= VICTIM ? 1 : 0);
    }
    end_pool(pool);
}

static void test_death_in_measured_chunks(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (int round = 0; round < 10; round++) {
        run_map(pool, (plan_t){VICTIM, 1, BY_KILL}, (mproc_map_opts_t){0});
        uint32_t first = VICTIM, count = 0;
        while (first > 0 && map.statuses[first - 1] != APR_SUCCESS)
            first--;
        while (first + count < COUNT && map.statuses[first + count] != APR_SUCCESS)
            count++;
        expect_failed(first, count, MPROC_EWORKERDIED);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), i <= VICTIM || i >= first + count ? 1 : 0);
    }
    end_pool(pool);
}

static void test_retries_in_map(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (uint32_t retries = 1; retries < 4; retries++) {
        /* It dies as often as that is forgiven, and then it is done. */
        run_map(pool, (plan_t){VICTIM, retries, BY_KILL}, (mproc_map_opts_t){.chunk = 1, .retries = retries});
        expect_failed(0, 0, 0);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), i == VICTIM ? retries + 1 : 1);
        /* It dies once too often. */
        run_map(pool, (plan_t){VICTIM, 100, BY_KILL}, (mproc_map_opts_t){.chunk = 1, .retries = retries});
        expect_failed(VICTIM, 1, MPROC_EWORKERDIED);
        assert_int_equal(map.error.tries, retries + 1);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), i == VICTIM ? retries + 1 : 1);
        /* Chunks are run again as they were. */
        run_map(pool, (plan_t){VICTIM, 100, BY_KILL}, (mproc_map_opts_t){.chunk = 7, .retries = retries});
        expect_failed(VICTIM / 7 * 7, 7, MPROC_EWORKERDIED);
        /* Without a chunk just the one to blame fails. */
        run_map(pool, (plan_t){VICTIM, 100, BY_KILL}, (mproc_map_opts_t){.retries = retries});
        expect_failed(VICTIM, 1, MPROC_EWORKERDIED);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_in_range(atomic_load(&board->runs[i]), 1, i == VICTIM ? retries + 1 : 2);
        run_map(pool, (plan_t){VICTIM, retries, BY_KILL}, (mproc_map_opts_t){.retries = retries});
        expect_failed(0, 0, 0);
    }
    end_pool(pool);
}

/** All items die, each worker after the other. */
static int die_always(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)task;
    (void)in;
    (void)out;
    (void)count;
    die(BY_EXIT);
    return 0;
}

static void test_all_die(void **state)
{
    enum { MANY = 60 };
    apr_status_t statuses[MANY];
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(3));
    (void)state;
    const mproc_map_opts_t opts = {.chunk = 1, .statuses = statuses, .error = &error};
    assert_failure(mproc_pool_map(pool, die_always, NULL, 0, NULL, 0, MANY, &opts), MPROC_EWORKERDIED);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(statuses[i], MPROC_EWORKERDIED);
    assert_int_equal(error.index, 0);
    assert_int_equal(info_of(pool).deaths, MANY);
    assert_int_equal(info_of(pool).done, MANY);
    assert_int_equal(info_of(pool).failed, MANY);
    /* The pool is as good as new. */
    char out[4];
    assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
    end_pool(pool);
}

/* ---- Single tasks, and streams ----------------------------------------------------------------------------------- */

typedef struct message_t {
    plan_t plan;
    uint32_t number;
} message_t;

static int die_in_task(mproc_task_t *task, const void *in, size_t size)
{
    const message_t *message = in;
    board_t *own = board_of(task);
    static _Thread_local unsigned char large[100000];
    if (size != sizeof *message)
        return 1;
    atomic_fetch_add(&own->runs[message->number], 1);
    /* What it has taken for its result is not lost with it. */
    memset(large, (int)message->number, sizeof large);
    if (mproc_task_set_result(task, large, sizeof large) != APR_SUCCESS)
        return 2;
    if (message->number == message->plan.victim && mproc_task_retries(task) < message->plan.tries)
        die(message->plan.how);
    return 0;
}

static void run_singles(mproc_pool_t *pool, plan_t plan, unsigned retries, apr_status_t expected)
{
    enum { MANY = 30 };
    mproc_future_t *futures[MANY];
    message_t message = {.plan = plan};
    for (uint32_t i = 0; i < MANY; i++) {
        message.number = i;
        atomic_store(&board->runs[i], 0);
        assert_success(mproc_pool_submit(pool, &futures[i], die_in_task, &message, sizeof message,
                                         &(mproc_submit_opts_t){.retries = retries}));
    }
    for (uint32_t i = 0; i < MANY; i++) {
        mproc_task_error_t error;
        const void *result;
        size_t size;
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_int_equal(error.status, i == plan.victim ? expected : APR_SUCCESS);
        if (error.status == APR_SUCCESS) {
            assert_success(mproc_future_result(futures[i], &result, &size));
            assert_int_equal(size, 100000);
            for (size_t k = 0; k < size; k += 9999)
                assert_int_equal(((const unsigned char *)result)[k], i);
        } else {
            expect_exitcode(&error, plan.how);
            assert_int_equal(error.tries, retries + 1);
            assert_int_equal(error.index, 0);
            assert_int_not_equal(error.pid, 0);
        }
        assert_int_equal(atomic_load(&board->runs[i]), i != plan.victim           ? 1
                                                       : plan.tries > retries + 1 ? retries + 1
                                                       : plan.tries > retries     ? plan.tries
                                                                                  : plan.tries + 1);
        assert_success(mproc_future_close(futures[i]));
    }
}

static void test_death_in_single_task(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (int how = 0; how < count_deaths(); how++) {
        run_singles(pool, (plan_t){7, 1, (death_t)how}, 0, MPROC_EWORKERDIED);
        run_singles(pool, (plan_t){7, 1, (death_t)how}, 1, APR_SUCCESS);
        run_singles(pool, (plan_t){7, 100, (death_t)how}, 2, MPROC_EWORKERDIED);
    }
    end_pool(pool);
}

static apr_status_t next_message(void *context, const void **in, size_t *size)
{
    message_t *message = context;
    if (message->number == 59)
        return APR_EOF;
    message->number++;
    *in = message;
    *size = sizeof *message;
    return APR_SUCCESS;
}

static void test_death_in_stream(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    for (int how = 0; how < 4; how++) {
        const int unordered = how % 2;
        const unsigned retries = how < 2 ? 0 : 1;
        mproc_stream_t *stream;
        message_t message = {{21, 1, BY_KILL}, UINT32_MAX};
        mproc_task_error_t error;
        const void *result;
        int seen[60] = {0};
        for (int i = 0; i < 60; i++)
            atomic_store(&board->runs[i], 0);
        assert_success(
            mproc_pool_stream(pool, &stream, die_in_task, next_message, &message,
                              &(mproc_stream_opts_t){.unordered = unordered, .buffer = 9, .retries = retries}));
        for (uint32_t i = 0; i < 60; i++) {
            assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
            if (!unordered)
                assert_int_equal(error.index, i);
            assert_true(error.index < 60);
            assert_int_equal(seen[error.index]++, 0);
            assert_int_equal(error.status, error.index == 21 && !retries ? MPROC_EWORKERDIED : APR_SUCCESS);
            assert_int_equal(atomic_load(&board->runs[error.index]), error.index == 21 ? retries + 1 : 1);
        }
        assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()), APR_EOF);
        assert_success(mproc_stream_close(stream));
    }
    end_pool(pool);
}

/* ---- Killed by others -------------------------------------------------------------------------------------------- */

static void test_killed_from_outside(void **state)
{
    apr_interval_time_t best = MPROC_SECONDS(100);
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (uint32_t i = 1; i <= 10; i++) {
        mproc_future_t *future, *other;
        mproc_task_error_t error;
        atomic_store(&board->gate, 0);
        await_ready(pool, 2);
        assert_success(mproc_pool_submit(pool, &future, echo_at_gate, "abc", 4, NULL));
        await_note(&board->begun, 2 * i - 1);
        assert_success(mproc_pool_submit(pool, &other, echo_at_gate, "abc", 4, NULL));
        await_note(&board->begun, 2 * i);
        const int pid = mproc_pool_worker_pid(pool, i % 2);
        const apr_time_t begin = apr_time_now();
        kill_by_pid(pid);
        mproc_future_t *both[2] = {future, other};
        assert_success(mproc_futures_wait(both, 2, MPROC_UNTIL_FIRST, patience()));
        const apr_interval_time_t taken = apr_time_now() - begin;
        best = taken < best ? taken : best;
        const int is_first = mproc_future_wait(future, &error, 0) == APR_SUCCESS;
        assert_success(mproc_future_wait(is_first ? future : other, &error, 0));
        assert_int_equal(error.status, MPROC_EWORKERDIED);
        assert_int_equal(error.pid, pid);
        assert_int_equal(error.exitcode, -9);
        atomic_store(&board->gate, 1);
        assert_success(mproc_future_wait(is_first ? other : future, &error, patience()));
        assert_int_equal(error.status, APR_SUCCESS);
        assert_success(mproc_future_close(future));
        assert_success(mproc_future_close(other));
    }
    /* On a machine under load one of them may be noticed later, but not each. */
    if (best > MPROC_MILLISECONDS(100) * slowdown())
        fail_msg("deaths were noticed after %d ms at the least", (int)apr_time_as_msec(best));
    await_ready(pool, 2);
    assert_int_equal(info_of(pool).deaths, 10);
    assert_int_equal(info_of(pool).restarts, 10);
    end_pool(pool);
}

static void test_killed_while_idle(void **state)
{
    char out[4];
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    await_ready(pool, 2);
    for (unsigned i = 0; i < 6; i++) {
        const int pid = mproc_pool_worker_pid(pool, i % 2);
        kill_by_pid(pid);
        if (i >= 3)
            assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
        const apr_time_t end = apr_time_now() + patience();
        while (mproc_pool_worker_pid(pool, i % 2) == pid || mproc_pool_worker_pid(pool, i % 2) == 0) {
            assert_true(apr_time_now() < end);
            apr_sleep(1000);
        }
        await_ready(pool, 2);
    }
    assert_int_equal(info_of(pool).restarts, 6);
    assert_int_equal(info_of(pool).deaths, 0);
    assert_int_equal(info_of(pool).failed, 0);
    end_pool(pool);
}

/** Kill all workers but this one. */
static int kill_siblings(mproc_task_t *task, const void *in, size_t size)
{
    const int *pids = in;
    board_t *own = board_of(task);
    while (atomic_load(&own->begun) < 2)
        apr_sleep(500);
    for (size_t i = 0; i < size / sizeof *pids; i++)
        if (pids[i] != mproc_getpid())
            kill_process(pids[i]);
    return 0;
}

static void test_kills_its_siblings(void **state)
{
    int pids[3];
    mproc_future_t *futures[6];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    await_ready(pool, 3);
    for (unsigned i = 0; i < 3; i++)
        pids[i] = mproc_pool_worker_pid(pool, i);
    for (int i = 0; i < 2; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, NULL, 0, NULL));
    assert_success(mproc_pool_submit(pool, &futures[2], kill_siblings, pids, sizeof pids, NULL));
    for (int i = 3; i < 6; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo, NULL, 0, NULL));
    for (int i = 0; i < 6; i++) {
        mproc_task_error_t error;
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_int_equal(error.status, i < 2 ? MPROC_EWORKERDIED : APR_SUCCESS);
        assert_success(mproc_future_close(futures[i]));
    }
    end_pool(pool);
}

static int close_everything(mproc_task_t *task, const void *in, size_t size)
{
    return close_descriptors() && mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 1;
}

static void note_call(void *context, mproc_future_t *future)
{
    (void)future;
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
}

static void test_closes_all_descriptors(void **state)
{
    char out[4];
    (void)state;
    if (!has_fork())
        skip_because("closing all handles leaves nothing to go on with here");
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (uint32_t i = 0; i < 10; i++) {
        memset(out, 0, sizeof out);
        const apr_status_t status = mproc_pool_apply(pool, close_everything, out, 4, NULL, "abc", 4, NULL);
        assert_success(status);
        assert_string_equal(out, "abc");
        /* Also if the pool's thread has to hear of it. */
        const mproc_submit_opts_t opts = {.callback = note_call, .context = (void *)&board->notes[3]};
        assert_success(mproc_pool_submit(pool, NULL, close_everything, "abc", 4, &opts));
        await_note(&board->notes[3], i + 1);
    }
    end_pool(pool);
}

/* ---- Times ------------------------------------------------------------------------------------------------------- */

/** So long that tasks which do not hang are done by then, also when the machine stands still for a moment. */
static apr_interval_time_t time_for_a_task(void)
{
    return MPROC_MILLISECONDS(500) + MPROC_MILLISECONDS(100) * slowdown();
}

/** Hang, so often, where the plan says so; the sooner ones stop themselves. */
static int hang_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const plan_t *plan = mproc_task_shared(task, sizeof *plan);
    const uint32_t *numbers = in;
    board_t *own = board_of(task);
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&own->runs[numbers[i]], 1);
        ((uint32_t *)out)[i] = numbers[i] + 1;
        if (numbers[i] != plan->victim || mproc_task_retries(task) >= plan->tries)
            continue;
        if (plan->how == BY_KILL)
            stop_for_good();
        for (;;)
            apr_sleep(1000000);
    }
    return 0;
}

static void run_timed(mproc_pool_t *pool, plan_t plan, unsigned retries, size_t chunk)
{
    mproc_map_opts_t opts = {.chunk = chunk,
                             .retries = retries,
                             .timeout = time_for_a_task(),
                             .statuses = map.statuses,
                             .error = &map.error,
                             .shared = &plan,
                             .shared_size = sizeof plan};
    for (uint32_t i = 0; i < COUNT; i++) {
        map.numbers[i] = i;
        atomic_store(&board->runs[i], 0);
    }
    map.status = mproc_pool_map(pool, hang_in_slice, map.results, 4, map.numbers, 4, COUNT, &opts);
}

static void test_timeout_in_map(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    await_ready(pool, 3);
    for (int how = BY_EXIT; how <= BY_KILL; how++) {
        run_timed(pool, (plan_t){VICTIM, 1, (death_t)how}, 0, 1);
        expect_failed(VICTIM, 1, MPROC_ETASKTIMEUP);
        assert_int_equal(map.error.tries, 1);
        assert_int_equal(map.error.exitcode, 0);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&board->runs[i]), 1);
        run_timed(pool, (plan_t){VICTIM, 1, (death_t)how}, 1, 1);
        expect_failed(0, 0, 0);
        assert_int_equal(atomic_load(&board->runs[VICTIM]), 2);
        run_timed(pool, (plan_t){VICTIM, 100, (death_t)how}, 2, 1);
        expect_failed(VICTIM, 1, MPROC_ETASKTIMEUP);
        assert_int_equal(map.error.tries, 3);
        run_timed(pool, (plan_t){VICTIM, 1, (death_t)how}, 0, 50);
        expect_failed(100, 50, MPROC_ETASKTIMEUP);
    }
    end_pool(pool);
}

static int hang(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    const uint32_t *number = in;
    (void)size;
    atomic_fetch_add(&own->runs[*number], 1);
    while (*number % 5 == 2)
        apr_sleep(1000000);
    return mproc_task_set_result(task, in, sizeof *number) == APR_SUCCESS ? 0 : 1;
}

static void test_timeout_of_single_tasks(void **state)
{
    enum { MANY = 40 };
    mproc_future_t *futures[MANY];
    mproc_task_error_t error;
    uint32_t number = 2;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    await_ready(pool, 3);
    const apr_interval_time_t timeout = time_for_a_task();
    const mproc_submit_opts_t opts = {.timeout = timeout};
    for (uint32_t i = 0; i < MANY; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], hang, &i, sizeof i, &opts));
    for (uint32_t i = 0; i < MANY; i++) {
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_int_equal(error.status, i % 5 == 2 ? MPROC_ETASKTIMEUP : APR_SUCCESS);
        assert_int_equal(atomic_load(&board->runs[i]), 1);
        assert_success(mproc_future_close(futures[i]));
    }
    const mproc_apply_opts_t apply_opts = {.timeout = timeout, .retries = 2, .error = &error};
    const apr_time_t begin = apr_time_now();
    assert_failure(mproc_pool_apply(pool, hang, &number, 4, NULL, &number, 4, &apply_opts), MPROC_ETASKTIMEUP);
    assert_true(apr_time_now() - begin >= 3 * timeout - 3000);
    assert_int_equal(error.tries, 3);
    assert_int_equal(atomic_load(&board->runs[2]), 4);
    end_pool(pool);
}

static apr_status_t next_number(void *context, const void **in, size_t *size)
{
    uint32_t *number = context;
    if (*number == 19)
        return APR_EOF;
    ++*number;
    *in = number;
    *size = sizeof *number;
    return APR_SUCCESS;
}

static void test_timeout_in_stream(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(3));
    await_ready(pool, 3);
    for (unsigned retries = 0; retries < 2; retries++) {
        mproc_stream_t *stream;
        mproc_task_error_t error;
        const void *result;
        uint32_t number = UINT32_MAX;
        const mproc_stream_opts_t opts = {.timeout = time_for_a_task(), .retries = retries};
        assert_success(mproc_pool_stream(pool, &stream, hang, next_number, &number, &opts));
        for (uint32_t i = 0; i < 20; i++) {
            const uint32_t before = retries; /* each was run once in the first round */
            assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
            assert_int_equal(error.index, i);
            assert_int_equal(error.status, i % 5 == 2 ? MPROC_ETASKTIMEUP : APR_SUCCESS);
            assert_int_equal(error.tries, i % 5 == 2 ? retries + 1 : 1);
            assert_int_equal(atomic_load(&board->runs[i]), before + (i % 5 == 2 ? retries + 1 : 1));
        }
        assert_failure(mproc_stream_next(stream, &result, NULL, &error, patience()), APR_EOF);
        assert_success(mproc_stream_close(stream));
    }
    end_pool(pool);
}

/** Sleep for about as long as may be: a task that ends just when its time is up must not take the next one along. */
static int end_at_the_last_moment(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    const uint32_t *number = in;
    (void)size;
    atomic_fetch_add(&own->runs[*number], 1);
    if (*number % 2 == 0)
        apr_sleep(20000 + (apr_interval_time_t)(*number % 11) * 100 - 700);
    return 0;
}

static void test_just_in_time(void **state)
{
    enum { MANY = 300 };
    static mproc_future_t *futures[MANY];
    mproc_task_error_t error;
    int late = 0;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    await_ready(pool, 2);
    for (uint32_t i = 0; i < MANY; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], end_at_the_last_moment, &i, sizeof i,
                                         &(mproc_submit_opts_t){.timeout = i % 2 ? 0 : 20000}));
    for (uint32_t i = 0; i < MANY; i++) {
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_true(error.status == APR_SUCCESS || (i % 2 == 0 && error.status == MPROC_ETASKTIMEUP));
        /* It may have been taken, and its time have been up before it began. */
        assert_in_range(atomic_load(&board->runs[i]), error.status == APR_SUCCESS, 1);
        late += error.status != APR_SUCCESS;
        assert_success(mproc_future_close(futures[i]));
    }
    assert_int_equal(info_of(pool).failed, late);
    end_pool(pool);
}

/** Return as soon as it is known that nobody wants the result. */
static int return_when_cancelled(mproc_task_t *task, const void *in, size_t size)
{
    board_t *own = board_of(task);
    (void)in;
    (void)size;
    atomic_fetch_add(&own->begun, 1);
    while (!mproc_task_is_cancelled(task)) {}
    return 0;
}

/** A worker that is to be killed takes no other task along, although it is done with its own just before. */
static void test_takes_no_other_along(void **state)
{
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    for (uint32_t i = 1; i <= 100; i++) {
        mproc_future_t *futures[3];
        mproc_task_error_t error;
        assert_success(mproc_pool_submit(pool, &futures[0], return_when_cancelled, NULL, 0, NULL));
        for (int k = 1; k < 3; k++) {
            const uint32_t number = 5; /* which does not hang */
            assert_success(mproc_pool_submit(pool, &futures[k], hang, &number, sizeof number, NULL));
        }
        await_note(&board->begun, i);
        assert_success(mproc_future_cancel(futures[0]));
        for (int k = 0; k < 3; k++) {
            assert_success(mproc_future_wait(futures[k], &error, patience()));
            assert_int_equal(error.status, k == 0 ? MPROC_ECANCELLED : APR_SUCCESS);
            assert_success(mproc_future_close(futures[k]));
        }
        assert_int_equal(atomic_load(&board->runs[5]), 2 * i);
    }
    end_pool(pool);
}

/* ---- Workers that cannot begin ----------------------------------------------------------------------------------- */

/** What initializers do; the board has how many have begun. */
typedef enum start_t { FAILS, FAILS_IN_WORDS, EXITS, IS_KILLED, HANGS, ONE_FAILS, FAILS_LATER, FAILS_SLOWLY } start_t;

static int begin_badly(mproc_task_t *task)
{
    const start_t *how = mproc_call_data(mproc_task_call(task), sizeof *how);
    board_t *own = board_of(task);
    atomic_fetch_add(&own->notes[0], 1);
    switch (*how) {
    case FAILS:
        return 41;
    case FAILS_IN_WORDS:
        return mproc_task_fail(task, 42, "no licence for %s", "this");
    case EXITS:
        leave(43);
        return 0;
    case IS_KILLED:
        die(BY_KILL);
        return 0;
    case HANGS:
        for (;;)
            apr_sleep(1000000);
    case FAILS_SLOWLY:
        apr_sleep(MPROC_MILLISECONDS(150) * (1 + (apr_interval_time_t)mproc_task_worker(task)));
        return 44;
    case ONE_FAILS:
        return mproc_task_worker(task) == 1;
    default:
        return (int)atomic_load(&own->notes[1]);
    }
}

static mproc_pool_t *make_bad_pool(unsigned workers, const start_t *how)
{
    mproc_pool_opts_t opts = pool_options(workers);
    opts.initializer = begin_badly;
    opts.data = how;
    opts.size = sizeof *how;
    opts.start_timeout = *how == HANGS ? MPROC_MILLISECONDS(100) * slowdown() : 0;
    return make_pool(opts);
}

typedef struct caller_t {
    mproc_pool_t *pool;
    apr_status_t status;
    later_t later;
} caller_t;

static void call_map(void *context)
{
    caller_t *caller = context;
    caller->status = mproc_pool_map(caller->pool, die_always, NULL, 0, NULL, 0, 100, NULL);
}

static void call_apply(void *context)
{
    caller_t *caller = context;
    caller->status = mproc_pool_apply(caller->pool, echo, NULL, 0, NULL, NULL, 0, NULL);
}

static void call_stream(void *context)
{
    caller_t *caller = context;
    message_t message = {{0, 0, BY_EXIT}, UINT32_MAX};
    mproc_stream_t *stream;
    mproc_task_error_t error;
    const void *result;
    caller->status = mproc_pool_stream(caller->pool, &stream, echo, next_message, &message, NULL);
    if (caller->status != APR_SUCCESS)
        return;
    caller->status = mproc_stream_next(stream, &result, NULL, &error, MPROC_FOREVER);
    if (caller->status == APR_SUCCESS)
        caller->status = error.status;
    mproc_stream_close(stream);
}

static void call_join(void *context)
{
    caller_t *caller = context;
    while ((caller->status = mproc_pool_join(caller->pool, MPROC_FOREVER)) == MPROC_ESTATE)
        apr_sleep(500);
}

static void test_broken(void **state)
{
    static const char *const causes[] = {"41", "no licence for this", "43", "SIGKILL", "in time"};
    (void)state;
    for (start_t how = FAILS; how <= HANGS; how++) {
        void (*const calls[])(void *) = {call_map, call_apply, call_stream, call_join};
        caller_t callers[4];
        mproc_future_t *future;
        mproc_task_error_t error;
        _Atomic uint32_t called = 0;
        const mproc_submit_opts_t opts = {.callback = note_call, .context = (void *)&called};
        make_board();
        mproc_pool_t *pool = make_bad_pool(2, &how);
        for (int i = 0; i < 4; i++) {
            callers[i] = (caller_t){.pool = pool};
            begin_later(&callers[i].later, 0, calls[i], &callers[i]);
        }
        const apr_status_t status = mproc_pool_submit(pool, &future, echo, NULL, 0, &opts);
        if (status == APR_SUCCESS) {
            assert_success(mproc_future_wait(future, &error, patience()));
            assert_int_equal(error.status, MPROC_EBROKENPOOL);
            if (!strstr(error.text, causes[how]))
                fail_msg("'%s' does not tell the cause: %s", error.text, causes[how]);
            assert_success(mproc_future_close(future));
        } else {
            assert_int_equal(status, MPROC_EBROKENPOOL);
        }
        for (int i = 0; i < 4; i++) {
            end_later(&callers[i].later);
            assert_int_equal(callers[i].status, i == 3 ? APR_SUCCESS : MPROC_EBROKENPOOL);
        }
        /* Three starts may fail, and the other worker may be at it. */
        assert_in_range(atomic_load(&board->notes[0]), how == HANGS ? 0 : 2, 4);
        assert_failure(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL), MPROC_EBROKENPOOL);
        assert_failure(mproc_pool_finish(pool), MPROC_EBROKENPOOL);
        assert_error_names(causes[how]);
        assert_int_equal(called, status == APR_SUCCESS);
        close_board();
        expect_no_objects();
    }
}

/** Starts that take long overlap, so that there is always one of which nobody knows yet what becomes of it. */
static void test_broken_slowly(void **state)
{
    start_t how = FAILS_SLOWLY;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_bad_pool(3, &how);
    assert_failure(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL), MPROC_EBROKENPOOL);
    assert_in_range(atomic_load(&board->notes[0]), 3, 8);
    assert_failure(mproc_pool_finish(pool), MPROC_EBROKENPOOL);
    close_board();
    expect_no_objects();
}

static void test_max_start_failures(void **state)
{
    start_t how = FAILS;
    (void)state;
    for (unsigned most = 1; most < 6; most += 2) {
        make_board();
        mproc_pool_opts_t opts = pool_options(1);
        opts.initializer = begin_badly;
        opts.data = &how;
        opts.size = sizeof how;
        opts.max_start_failures = most;
        mproc_pool_t *pool = make_pool(opts);
        assert_failure(mproc_pool_apply(pool, echo, NULL, 0, NULL, NULL, 0, NULL), MPROC_EBROKENPOOL);
        assert_int_equal(atomic_load(&board->notes[0]), most);
        assert_failure(mproc_pool_finish(pool), MPROC_EBROKENPOOL);
        close_board();
        expect_no_objects();
    }
}

static void test_one_cannot_begin(void **state)
{
    start_t how = ONE_FAILS;
    uint32_t sum = 0;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_bad_pool(3, &how);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t number = 5 * i; /* none hangs */
        assert_success(mproc_pool_apply(pool, hang, &number, 4, NULL, &number, 4, NULL));
        apr_sleep(1000);
        sum += number / 5;
    }
    assert_int_equal(sum, 300 * 299 / 2);
    await_ready(pool, 2);
    /* It is tried again, but each time later. */
    assert_in_range(atomic_load(&board->notes[0]), 3, 40);
    end_pool(pool);
}

static void test_cannot_begin_any_more(void **state)
{
    start_t how = FAILS_LATER;
    mproc_future_t *futures[5];
    mproc_task_error_t error;
    (void)state;
    make_board();
    mproc_pool_t *pool = make_bad_pool(2, &how);
    await_ready(pool, 2);
    atomic_store(&board->notes[1], 1);
    for (int i = 0; i < 5; i++)
        assert_success(mproc_pool_submit(pool, &futures[i], echo_at_gate, NULL, 0, NULL));
    await_note(&board->begun, 2);
    for (unsigned i = 0; i < 2; i++)
        kill_by_pid(mproc_pool_worker_pid(pool, i));
    for (int i = 0; i < 5; i++) {
        assert_success(mproc_future_wait(futures[i], &error, patience()));
        assert_int_equal(error.status, i < 2 ? MPROC_EWORKERDIED : MPROC_EBROKENPOOL);
        assert_success(mproc_future_close(futures[i]));
    }
    assert_failure(mproc_pool_finish(pool), MPROC_EBROKENPOOL);
    close_board();
    expect_no_objects();
}

/* ---- Nothing is left --------------------------------------------------------------------------------------------- */

static void test_nothing_is_left(void **state)
{
    belongings_t before = {0};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    for (int round = 0; round < 30 / slowdown() + 3; round++) {
        run_singles(pool, (plan_t){7, 1, BY_KILL}, 0, MPROC_EWORKERDIED);
        run_singles(pool, (plan_t){7, 1, BY_KILL}, 1, APR_SUCCESS);
        run_map(pool, (plan_t){VICTIM, 100, BY_KILL}, (mproc_map_opts_t){.retries = 1});
        expect_failed(VICTIM, 1, MPROC_EWORKERDIED);
        await_ready(pool, 2);
        if (round == 2)
            before = belongings_of(pool);
    }
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** Workers that are killed while their pool ends in order. */
static void test_killed_while_it_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int pids[2];
        make_board();
        mproc_pool_t *pool = make_pool(pool_options(2));
        await_ready(pool, 2);
        for (unsigned k = 0; k < 2; k++)
            pids[k] = mproc_pool_worker_pid(pool, k);
        for (int k = 0; k < 3; k++)
            assert_success(mproc_pool_submit(pool, NULL, echo_at_gate, NULL, 0, NULL));
        await_note(&board->begun, 2);
        assert_success(mproc_pool_shutdown(pool));
        kill_process(pids[0]);
        if (i % 2)
            kill_process(pids[1]);
        atomic_store(&board->gate, 1);
        end_pool(pool);
    }
}

static int leave_running(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)in;
    (void)out;
    (void)count;
    wait_at_gate(task);
    return 0;
}

/** A task with a pool of its own, which is busy when this worker dies. */
static int have_a_pool(mproc_task_t *task, const void *in, size_t size)
{
    static unsigned char numbers[1000000];
    mproc_pool_t *pool;
    mproc_pool_opts_t opts = {.workers = 2};
    (void)in;
    (void)size;
    opts.share[0] = mproc_call_shared(mproc_task_call(task), 0);
    if (mproc_pool_create(&pool, &opts) != APR_SUCCESS)
        return mproc_task_fail(task, 1, "%s", mproc_last_error()->text);
    mproc_pool_map(pool, leave_running, NULL, 0, numbers, 1, sizeof numbers, &(mproc_map_opts_t){.chunk = 500000});
    return 2;
}

/** Nobody waits for the workers of a worker that dies, but what they held is released. */
static void test_death_with_a_pool(void **state)
{
    mproc_future_t *future;
    mproc_task_error_t error;
    enum { KEPT = 1000 }; /* where the task's function is */
    mproc_family_info_t before, now;
    char out[4];
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(1));
    assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
    assert_success(mproc_family_info(&before));
    assert_success(mproc_pool_submit(pool, &future, have_a_pool, NULL, 0, NULL));
    await_note(&board->begun, 2);
    kill_process(mproc_pool_worker_pid(pool, 0));
    assert_success(mproc_future_wait(future, &error, patience()));
    assert_int_equal(error.status, MPROC_EWORKERDIED);
    assert_success(mproc_future_close(future));
    assert_success(mproc_pool_apply(pool, echo, out, 4, NULL, "abc", 4, NULL));
    const apr_time_t end = apr_time_now() + patience();
    do {
        apr_sleep(1000);
        assert_success(mproc_family_info(&now));
    } while ((now.used > before.used + KEPT || now.members > before.members) && apr_time_now() < end);
    assert_in_range(now.used, before.used, before.used + KEPT);
    assert_int_equal(now.members, before.members);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_in_map),         cmocka_unit_test(test_death_in_measured_chunks),
        cmocka_unit_test(test_retries_in_map),       cmocka_unit_test(test_all_die),
        cmocka_unit_test(test_death_in_single_task), cmocka_unit_test(test_death_in_stream),
        cmocka_unit_test(test_killed_from_outside),  cmocka_unit_test(test_killed_while_idle),
        cmocka_unit_test(test_kills_its_siblings),   cmocka_unit_test(test_closes_all_descriptors),
        cmocka_unit_test(test_timeout_in_map),       cmocka_unit_test(test_timeout_of_single_tasks),
        cmocka_unit_test(test_timeout_in_stream),    cmocka_unit_test(test_just_in_time),
        cmocka_unit_test(test_takes_no_other_along), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_broken_slowly),        cmocka_unit_test(test_max_start_failures),
        cmocka_unit_test(test_one_cannot_begin),     cmocka_unit_test(test_cannot_begin_any_more),
        cmocka_unit_test(test_nothing_is_left),      cmocka_unit_test(test_killed_while_it_ends),
        cmocka_unit_test(test_death_with_a_pool),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
