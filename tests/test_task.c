/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks are told, and may say: refusals, texts and codes, and what initializers and finalizers have of it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

/* Returned by a task in which something is not as it should be. */
#define REQUIRE(task, condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return mproc_task_fail(task, __LINE__, "line %d: %s; %s", __LINE__, #condition, mproc_last_error()->text); \
    } while (0)

/** Whether the last call was refused so, by a text that has two words. */
static int is_refused(apr_status_t status, const char *who, const char *why)
{
    const mproc_error_t *error = mproc_last_error();
    return error->status == status && strstr(error->text, who) && strstr(error->text, why);
}

/** Whether no call was refused since a text was last looked at. */
static int is_fine(void)
{
    return mproc_last_error()->status == APR_SUCCESS;
}

/** Have a task done, whose result is empty; say what was wrong in it. */
static void run_task(mproc_pool_t *pool, mproc_task_fn_t function)
{
    mproc_task_error_t error;
    const mproc_apply_opts_t opts = {.error = &error};
    if (mproc_pool_apply(pool, function, NULL, 0, NULL, NULL, 0, &opts) != APR_SUCCESS)
        fail_msg("%s", error.text);
}

/* ---- No task ----------------------------------------------------------------------------------------------------- */

static void test_no_task(void **state)
{
    static const char why[] = "the task is NULL";
    void *room = &room;
    (void)state;
    const int descriptors = count_descriptors();
    assert_null(mproc_task_shared(NULL, 1));
    assert_true(is_refused(APR_EINVAL, "mproc_task_shared", why));
    assert_null(mproc_task_call(NULL));
    assert_true(is_refused(APR_EINVAL, "mproc_task_call", why));
    mproc_task_set_state(NULL, state);
    assert_true(is_refused(APR_EINVAL, "mproc_task_set_state", why));
    assert_null(mproc_task_state(NULL));
    assert_true(is_refused(APR_EINVAL, "mproc_task_state", why));
    assert_int_equal(mproc_task_worker(NULL), 0);
    assert_true(is_refused(APR_EINVAL, "mproc_task_worker", why));
    assert_int_equal(mproc_task_index(NULL), 0);
    assert_true(is_refused(APR_EINVAL, "mproc_task_index", why));
    assert_int_equal(mproc_task_retries(NULL), 0);
    assert_true(is_refused(APR_EINVAL, "mproc_task_retries", why));
    assert_int_equal(mproc_task_is_cancelled(NULL), 0);
    assert_true(is_refused(APR_EINVAL, "mproc_task_is_cancelled", why));
    assert_failure(mproc_task_set_result(NULL, "x", 1), APR_EINVAL);
    assert_true(is_refused(APR_EINVAL, "mproc_task_set_result", why));
    assert_failure(mproc_task_make_result(NULL, &room, 1), APR_EINVAL);
    assert_true(is_refused(APR_EINVAL, "mproc_task_make_result", why));
    assert_null(room);
    assert_int_equal(mproc_task_fail(NULL, -4, "no %s", "task"), -4);
    assert_true(is_refused(APR_EINVAL, "mproc_task_fail", why));
    assert_int_equal(mproc_task_fail(NULL, 0, "no %s", "task"), 1);
    mproc_task_fail_item(NULL, 0, 5, "no %s", "task");
    assert_true(is_refused(APR_EINVAL, "mproc_task_fail_item", why));
    expect_descriptors(descriptors);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

static int refuse_results(mproc_task_t *task, const void *in, void *out, size_t count)
{
    static const char why[] = "only a task with a message";
    char item[32];
    void *room = task;
    (void)in;
    REQUIRE(task, mproc_task_set_result(task, "x", 1) == MPROC_ESTATE);
    REQUIRE(task, is_refused(MPROC_ESTATE, "mproc_task_set_result", why));
    REQUIRE(task, mproc_task_set_result(task, NULL, 0) == MPROC_ESTATE);
    REQUIRE(task, mproc_task_make_result(task, &room, 1) == MPROC_ESTATE && !room);
    REQUIRE(task, is_refused(MPROC_ESTATE, "mproc_task_make_result", why));
    REQUIRE(task, mproc_task_make_result(task, NULL, 1) == APR_EINVAL);
    mproc_task_fail_item(task, count, 5, "there is no such item");
    snprintf(item, sizeof item, "no item %d", (int)count);
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_fail_item", item));
    mproc_task_fail_item(task, SIZE_MAX, 5, "there is no such item");
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_fail_item", "no item"));
    /* Who asks, and is not refused, is told that. */
    REQUIRE(task, !mproc_task_state(task) && is_fine());
    REQUIRE(task, !mproc_task_is_cancelled(task) && is_fine());
    REQUIRE(task, !mproc_task_retries(task) && is_fine());
    for (size_t i = 0; i < count; i++)
        ((uint32_t *)out)[i] = (uint32_t)(mproc_task_index(task) + i);
    return 0;
}

/** Slices have no results of the other kind; to have tried is no failure. */
static void test_misuse_in_slices(void **state)
{
    enum { COUNT = 20 };
    uint32_t numbers[COUNT];
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(2));
    (void)state;
    if (mproc_pool_map(pool, refuse_results, numbers, sizeof numbers[0], NULL, 0, COUNT,
                       &(mproc_map_opts_t){.chunk = 3, .error = &error}) != APR_SUCCESS)
        fail_msg("%s", error.text);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(numbers[i], i);
    assert_int_equal(info_of(pool).failed, 0);
    end_pool(pool);
}

/** What is refused leaves the result before it. */
static int refuse_bad_results(mproc_task_t *task, const void *in, size_t size)
{
    (void)in;
    (void)size;
    REQUIRE(task, mproc_task_set_result(task, "abc", 4) == APR_SUCCESS);
    REQUIRE(task, mproc_task_set_result(task, NULL, 5) == APR_EINVAL);
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_set_result", "data is NULL"));
    REQUIRE(task, mproc_task_make_result(task, NULL, 5) == APR_EINVAL);
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_make_result", "data is NULL"));
    mproc_task_fail_item(task, 0, 1, "this is no slice");
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_fail_item", "no item 0"));
    REQUIRE(task, !mproc_task_shared(task, 24));
    REQUIRE(task, is_refused(MPROC_ESIZE, "mproc_task_shared", "24 bytes"));
    return 0;
}

/** There is never so much memory, and the sizes must not wrap around. */
static int ask_absurdly_much(mproc_task_t *task, const void *in, size_t size)
{
    static const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 1, SIZE_MAX - 63,
                                   SIZE_MAX - 64, SIZE_MAX / 2, SIZE_MAX / 2 + 1};
    (void)in;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *room = task;
        REQUIRE(task, mproc_task_make_result(task, &room, sizes[i]) == APR_ENOMEM && !room);
        REQUIRE(task, is_refused(APR_ENOMEM, "mproc_task_make_result", "no room"));
    }
    return size ? mproc_task_set_result(task, NULL, 0) != APR_SUCCESS : 0;
}

static void test_bad_results(void **state)
{
    char out[4] = "";
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const mproc_apply_opts_t opts = {.error = &error};
    (void)state;
    if (mproc_pool_apply(pool, refuse_bad_results, out, 4, NULL, NULL, 0, &opts) != APR_SUCCESS)
        fail_msg("%s", error.text);
    assert_string_equal(out, "abc");
    assert_failure(mproc_pool_apply(pool, ask_absurdly_much, NULL, 0, NULL, NULL, 0, &opts), APR_ENOMEM);
    assert_int_equal(error.status, APR_ENOMEM);
    assert_int_equal(error.code, 0);
    assert_non_null(strstr(error.text, "no memory for the result"));
    if (mproc_pool_apply(pool, ask_absurdly_much, NULL, 0, NULL, "x", 1, &opts) != APR_SUCCESS)
        fail_msg("%s", error.text);
    assert_int_equal(info_of(pool).restarts, 0);
    end_pool(pool);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/** What a task says, and what it returns. */
typedef struct saying_t {
    int says;
    int returns;
    int length; /* of its text; < 0: none is said */
    int code;   /* that it has failed with; 0: it has not */
} saying_t;

/** A result that becomes shorter and longer, out of the room that it has. */
static int change_result(mproc_task_t *task, const void *in, size_t size)
{
    static const size_t sizes[] = {5000, 1000, 257, 256, 17, 16, 15, 1};
    unsigned char *room;
    void *made;
    (void)in;
    (void)size;
    if (mproc_task_make_result(task, &made, 10000) != APR_SUCCESS)
        return 1;
    room = made;
    fill_bytes(room, 10000, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (mproc_task_set_result(task, room, sizes[i]) != APR_SUCCESS)
            return 2;
        if (!are_bytes(room, sizes[i], 3))
            return 3;
    }
    /* A short one in the record, then another room. */
    if (mproc_task_set_result(task, "abc", 4) != APR_SUCCESS)
        return 4;
    if (mproc_task_make_result(task, &made, 300) != APR_SUCCESS)
        return 5;
    fill_bytes(made, 300, 4);
    return mproc_task_set_result(task, made, 100) == APR_SUCCESS ? 0 : 6;
}

static void test_results_that_change(void **state)
{
    unsigned char out[100];
    mproc_pool_t *pool = make_pool(pool_options(1));
    (void)state;
    assert_success(mproc_pool_apply(pool, change_result, out, sizeof out, NULL, NULL, 0, NULL));
    assert_true(are_bytes(out, sizeof out, 4));
    end_pool(pool);
}

static int say(mproc_task_t *task, const void *in, size_t size)
{
    const saying_t *saying = in;
    char text[2 * MPROC_TASK_TEXT_MAX] = "";
    if (size != sizeof *saying)
        return 99;
    if (saying->length >= 0) {
        memset(text, 'x', (size_t)saying->length);
        REQUIRE(task, mproc_task_fail(task, saying->says, "%s", "first") == (saying->says ? saying->says : 1));
        REQUIRE(task, mproc_task_fail(task, saying->says, "%s", text) == (saying->says ? saying->says : 1));
    }
    return saying->returns;
}

static int say_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    (void)out;
    return count ? say(task, in, sizeof(saying_t)) : 98;
}

static void expect_said(const mproc_task_error_t *error, const saying_t *saying)
{
    char number[16];
    assert_int_equal(error->status, saying->code ? MPROC_ETASK : APR_SUCCESS);
    assert_int_equal(error->code, saying->code);
    assert_int_equal(error->exitcode, 0);
    assert_int_equal(error->reserved, 0);
    assert_int_equal(error->index, 0);
    snprintf(number, sizeof number, "%d", saying->code);
    if (saying->code == 0)
        assert_string_equal(error->text, "");
    else if (saying->length < 0)
        assert_non_null(strstr(error->text, number));
    else
        assert_int_equal(strlen(error->text),
                         saying->length < MPROC_TASK_TEXT_MAX ? saying->length : MPROC_TASK_TEXT_MAX - 1);
}

/** The code is what the function returns; the text is what was said last, cut where there is no more room. */
static void test_texts_and_codes(void **state)
{
    static const saying_t sayings[] = {{0, 1, 5, 1},
                                       {5, 5, MPROC_TASK_TEXT_MAX - 2, 5},
                                       {5, 5, MPROC_TASK_TEXT_MAX - 1, 5},
                                       {5, 5, MPROC_TASK_TEXT_MAX, 5},
                                       {5, 5, 2 * MPROC_TASK_TEXT_MAX - 1, 5},
                                       {5, 6, 5, 6},
                                       {5, 5, 0, 5},
                                       {5, 0, 5, 0},
                                       {0, 0, -1, 0},
                                       {0, -1, -1, -1},
                                       {INT_MIN, INT_MIN, 5, INT_MIN},
                                       {0, INT_MAX, -1, INT_MAX}};
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(2));
    const mproc_apply_opts_t opts = {.error = &error};
    const mproc_map_opts_t map_opts = {.error = &error};
    (void)state;
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++) {
        const saying_t *saying = &sayings[i];
        const apr_status_t expected = saying->code ? MPROC_ETASK : APR_SUCCESS;
        assert_status_at(mproc_pool_apply(pool, say, NULL, 0, NULL, saying, sizeof *saying, &opts), expected, "apply",
                         __FILE__, __LINE__);
        expect_said(&error, saying);
        assert_status_at(mproc_pool_map(pool, say_in_slice, NULL, 0, saying, sizeof *saying, 1, &map_opts), expected,
                         "map", __FILE__, __LINE__);
        expect_said(&error, saying);
    }
    assert_int_equal(info_of(pool).restarts, 0);
    end_pool(pool);
}

static int fail_items(mproc_task_t *task, const void *in, void *out, size_t count)
{
    const int *codes = in;
    (void)out;
    for (size_t i = 0; i < count; i++)
        if (codes[i] != 1)
            mproc_task_fail_item(task, i, codes[i], "%s", "");
    return 0;
}

static void test_codes_of_items(void **state)
{
    static const int codes[] = {1, 1, 0, INT_MIN, 1, -1};
    apr_status_t statuses[6];
    mproc_task_error_t error;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const mproc_map_opts_t opts = {.chunk = 6, .statuses = statuses, .error = &error};
    (void)state;
    assert_failure(mproc_pool_map(pool, fail_items, NULL, 0, codes, sizeof codes[0], 6, &opts), MPROC_ETASK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(statuses[i], codes[i] == 1 ? APR_SUCCESS : MPROC_ETASK);
    assert_int_equal(error.index, 2);
    assert_int_equal(error.code, 1); /* for 0 */
    assert_failure(mproc_pool_map(pool, fail_items, NULL, 0, codes + 3, sizeof codes[0], 3, &opts), MPROC_ETASK);
    assert_int_equal(error.index, 0);
    assert_int_equal(error.code, INT_MIN);
    end_pool(pool);
}

/* ---- Initializers and finalizers --------------------------------------------------------------------------------- */

typedef struct config_t {
    int number;
} config_t;

/** What a worker knows of itself. */
typedef struct known_t {
    mproc_call_t *call;
    unsigned worker;
} known_t;

/** On the board: how often each was called for a worker, and its process. */
enum { BEGUN, ENDED = 10, PIDS = 20, WRONG = 30 };

/** What holds for a task that is none. */
static int look_at_no_task(mproc_task_t *task)
{
    static const char why[] = "only a task with a message";
    void *room = task;
    const config_t *config = mproc_call_data(mproc_task_call(task), sizeof *config);
    REQUIRE(task, config && config->number == 7);
    REQUIRE(task, !mproc_call_data(mproc_task_call(task), sizeof *config + 1));
    REQUIRE(task, !mproc_task_shared(task, 4) && is_refused(MPROC_ESIZE, "mproc_task_shared", "4 bytes"));
    REQUIRE(task, mproc_task_index(task) == 0 && is_fine());
    REQUIRE(task, mproc_task_retries(task) == 0 && is_fine());
    REQUIRE(task, mproc_task_set_result(task, "x", 1) == MPROC_ESTATE);
    REQUIRE(task, is_refused(MPROC_ESTATE, "mproc_task_set_result", why));
    REQUIRE(task, mproc_task_make_result(task, &room, 1) == MPROC_ESTATE && !room);
    REQUIRE(task, is_refused(MPROC_ESTATE, "mproc_task_make_result", why));
    mproc_task_fail_item(task, 0, 1, "there is no item");
    REQUIRE(task, is_refused(APR_EINVAL, "mproc_task_fail_item", "no item 0"));
    return 0;
}

static int begin_worker(mproc_task_t *task)
{
    board_t *own = board_of(task);
    const unsigned worker = mproc_task_worker(task);
    REQUIRE(task, worker < 3 && is_fine());
    REQUIRE(task, !mproc_task_state(task) && is_fine());
    REQUIRE(task, !mproc_task_is_cancelled(task));
    const int line = look_at_no_task(task);
    if (line != 0)
        return line;
    known_t *known = calloc(1, sizeof *known);
    REQUIRE(task, known);
    *known = (known_t){mproc_task_call(task), worker};
    mproc_task_set_state(task, known);
    atomic_store(&own->notes[PIDS + worker], (uint32_t)mproc_getpid());
    atomic_fetch_add(&own->notes[BEGUN + worker], 1);
    return 0;
}

static int use_worker(mproc_task_t *task, const void *in, size_t size)
{
    const known_t *known = mproc_task_state(task);
    (void)in;
    (void)size;
    REQUIRE(task, known && known->call == mproc_task_call(task) && known->worker == mproc_task_worker(task));
    return 0;
}

static void end_worker(mproc_task_t *task)
{
    board_t *own = board_of(task);
    known_t *known = mproc_task_state(task);
    int wrong = look_at_no_task(task);
    if (!known || known->call != mproc_task_call(task) || known->worker != mproc_task_worker(task))
        wrong = __LINE__;
    if (wrong)
        atomic_store(&own->notes[WRONG], (uint32_t)wrong);
    atomic_fetch_add(&own->notes[ENDED + mproc_task_worker(task)], 1);
    free(known);
}

static mproc_pool_t *make_furnished_pool(unsigned workers)
{
    config_t config = {7};
    make_board();
    mproc_pool_opts_t opts = pool_options(workers);
    opts.initializer = begin_worker;
    opts.finalizer = end_worker;
    opts.data = &config;
    opts.size = sizeof config;
    return make_pool(opts);
}

static void test_begin_and_end_of_workers(void **state)
{
    enum { WORKERS = 3 };
    mproc_pool_t *pool = make_furnished_pool(WORKERS);
    (void)state;
    for (int i = 0; i < 20; i++)
        run_task(pool, use_worker);
    await_ready(pool, WORKERS);
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(atomic_load(&board->notes[WRONG]), 0);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(atomic_load(&board->notes[BEGUN + i]), 1);
        assert_int_equal(atomic_load(&board->notes[ENDED + i]), 1);
    }
    close_board();
    expect_no_objects();
}

/** Who takes the place of a worker gets its number; and one that is killed has no finalizer. */
static void test_numbers_of_workers(void **state)
{
    enum { WORKERS = 2, KILLS = 5 };
    mproc_pool_t *pool = make_furnished_pool(WORKERS);
    (void)state;
    for (uint32_t i = 1; i <= KILLS; i++) {
        await_note(&board->notes[BEGUN + 1], i);
        await_ready(pool, WORKERS);
        assert_int_equal(mproc_pool_worker_pid(pool, 0), (int)atomic_load(&board->notes[PIDS]));
        assert_int_equal(mproc_pool_worker_pid(pool, 1), (int)atomic_load(&board->notes[PIDS + 1]));
        kill_by_pid(mproc_pool_worker_pid(pool, 1));
    }
    await_note(&board->notes[BEGUN + 1], KILLS + 1);
    for (int i = 0; i < 20; i++)
        run_task(pool, use_worker);
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(atomic_load(&board->notes[WRONG]), 0);
    assert_int_equal(atomic_load(&board->notes[BEGUN]), 1);
    assert_int_equal(atomic_load(&board->notes[BEGUN + 1]), KILLS + 1);
    assert_int_equal(atomic_load(&board->notes[ENDED]), 1);
    assert_int_equal(atomic_load(&board->notes[ENDED + 1]), 1);
    close_board();
    expect_no_objects();
}

/** One of the workers cannot begin: it has nothing to end. */
static int begin_if_first(mproc_task_t *task)
{
    if (mproc_task_worker(task) != 0)
        return mproc_task_fail(task, 5, "only worker 0 can begin");
    return begin_worker(task);
}

static void test_no_end_without_a_begin(void **state)
{
    config_t config = {7};
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    opts.initializer = begin_if_first;
    opts.finalizer = end_worker;
    opts.data = &config;
    opts.size = sizeof config;
    mproc_pool_t *pool = make_pool(opts);
    await_ready(pool, 1);
    run_task(pool, use_worker);
    assert_success(mproc_pool_finish(pool));
    assert_int_equal(atomic_load(&board->notes[WRONG]), 0);
    assert_int_equal(atomic_load(&board->notes[ENDED]), 1);
    assert_int_equal(atomic_load(&board->notes[ENDED + 1]), 0);
    close_board();
    expect_no_objects();
}

static int begin_until_cancelled(mproc_task_t *task)
{
    board_t *own = board_of(task);
    atomic_fetch_add(&own->begun, 1);
    while (!mproc_task_is_cancelled(task))
        apr_sleep(500);
    atomic_fetch_add(&own->ended, 1);
    return 1;
}

/** An initializer that takes long is told that its pool is being terminated. */
static void test_cancelled_before_its_first_task(void **state)
{
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    opts.initializer = begin_until_cancelled;
    mproc_pool_t *pool = make_pool(opts);
    await_note(&board->begun, 2);
    const apr_time_t begin = apr_time_now();
    assert_success(mproc_pool_terminate(pool, patience()));
    expect_soon(begin);
    assert_int_equal(atomic_load(&board->ended), 2);
    assert_failure(mproc_pool_finish(pool), MPROC_ETERMINATED);
    close_board();
    expect_no_objects();
}

/* ---- Tasks that end their thread --------------------------------------------------------------------------------- */

static int end_thread(mproc_task_t *task, const void *in, size_t size)
{
    const int *tries = in;
    (void)size;
    if (mproc_task_retries(task) < (unsigned)*tries)
        end_this_thread();
    return mproc_task_set_result(task, in, size) == APR_SUCCESS ? 0 : 1;
}

/** Every tenth item ends its thread when it is run first. */
static int end_thread_in_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    board_t *own = board_of(task);
    (void)in;
    (void)out;
    for (size_t i = 0; i < count; i++)
        if (atomic_fetch_add(&own->runs[mproc_task_index(task) + i], 1) == 0 && (mproc_task_index(task) + i) % 10 == 5)
            end_this_thread();
    return 0;
}

static int end_thread_at_once(mproc_task_t *task)
{
    (void)task;
    end_this_thread();
    return 0;
}

static void lose_single_tasks(mproc_pool_t *pool)
{
    mproc_task_error_t error;
    int result;
    for (int tries = 1; tries <= 2; tries++) {
        const mproc_apply_opts_t opts = {.retries = 1, .error = &error};
        const apr_status_t expected = tries == 1 ? APR_SUCCESS : MPROC_EWORKERDIED;
        assert_int_equal(mproc_pool_apply(pool, end_thread, &result, sizeof result, NULL, &tries, sizeof tries, &opts),
                         expected);
        assert_int_equal(error.status, expected);
        assert_int_equal(error.tries, 2);
    }
    assert_int_equal(error.exitcode, 1);
    assert_int_equal(error.pid, mproc_getpid());
}

static void lose_items(mproc_pool_t *pool, unsigned retries)
{
    enum { COUNT = 100 };
    static apr_status_t statuses[COUNT];
    const mproc_map_opts_t opts = {.chunk = 1, .retries = retries, .statuses = statuses};
    for (int i = 0; i < COUNT; i++)
        atomic_store(&board->runs[i], 0);
    assert_int_equal(mproc_pool_map(pool, end_thread_in_slice, NULL, 0, NULL, 0, COUNT, &opts),
                     retries ? APR_SUCCESS : MPROC_EWORKERDIED);
    for (int i = 0; i < COUNT; i++) {
        const int is_victim = i % 10 == 5;
        assert_int_equal(statuses[i], is_victim && !retries ? MPROC_EWORKERDIED : APR_SUCCESS);
        assert_int_equal(atomic_load(&board->runs[i]), is_victim && retries ? 2 : 1);
    }
}

/** A worker that is a thread can be lost as well: its task fails or runs again, and another one takes its place. */
static void test_ends_its_thread(void **state)
{
    belongings_t before = {0};
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    opts.start_method = MPROC_THREAD;
    mproc_pool_t *pool = make_pool(opts);
    for (uint64_t round = 1; round <= 3; round++) {
        lose_single_tasks(pool);
        lose_items(pool, 0);
        lose_items(pool, 1);
        await_ready(pool, 2);
        assert_int_equal(info_of(pool).deaths, round * (3 + 10 + 10));
        /* What a pool keeps for the next ones is made by the first ones. */
        if (round == 1)
            before = belongings_of(pool);
    }
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** If they do so before they can work, or as they end, the pool is broken or ends as it should. */
static void test_thread_ended_by_initializer(void **state)
{
    char out[4];
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    opts.start_method = MPROC_THREAD;
    opts.initializer = end_thread_at_once;
    mproc_pool_t *pool = make_pool(opts);
    assert_failure(mproc_pool_apply(pool, echo, out, sizeof out, NULL, "abc", 4, NULL), MPROC_EBROKENPOOL);
    assert_failure(mproc_pool_finish(pool), MPROC_EBROKENPOOL);
    assert_error_names("it ended before its first task");
    close_board();
    expect_no_objects();
}

static void end_thread_at_last(mproc_task_t *task)
{
    (void)task;
    end_this_thread();
}

static void test_thread_ended_by_finalizer(void **state)
{
    (void)state;
    make_board();
    mproc_pool_opts_t opts = pool_options(2);
    opts.start_method = MPROC_THREAD;
    opts.finalizer = end_thread_at_last;
    mproc_pool_t *pool = make_pool(opts);
    await_ready(pool, 2);
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_task),
        cmocka_unit_test(test_misuse_in_slices),
        cmocka_unit_test(test_bad_results),
        cmocka_unit_test(test_results_that_change),
        cmocka_unit_test(test_texts_and_codes),
        cmocka_unit_test(test_codes_of_items),
        cmocka_unit_test(test_begin_and_end_of_workers),
        cmocka_unit_test(test_numbers_of_workers),
        cmocka_unit_test(test_no_end_without_a_begin),
        cmocka_unit_test(test_cancelled_before_its_first_task),
        cmocka_unit_test(test_ends_its_thread),
        cmocka_unit_test(test_thread_ended_by_initializer),
        cmocka_unit_test(test_thread_ended_by_finalizer),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
