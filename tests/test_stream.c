/* SPDX-License-Identifier: Apache-2.0 */
/* What of streams of tasks needs no start method: refusals, who may not, inputs that do more than fetch, memory. */
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/pools.h"
#include "support/support.h"

static const char stream_call[] = "mproc_pool_stream";
static const char next_call[] = "mproc_stream_next";
static const char close_call[] = "mproc_stream_close";

/** Numbers up to an end. */
typedef struct source_t {
    uint32_t next;
    uint32_t end;
} source_t;

static apr_status_t fetch(void *context, const void **in, size_t *size)
{
    source_t *source = context;
    if (source->next == source->end)
        return APR_EOF;
    source->next++;
    *in = &source->next;
    *size = sizeof source->next;
    return APR_SUCCESS;
}

static mproc_stream_t *make_stream(mproc_pool_t *pool, mproc_task_fn_t function, mproc_input_fn_t input, void *context,
                                   size_t buffer)
{
    mproc_stream_t *stream = NULL;
    assert_success(
        mproc_pool_stream(pool, &stream, function, input, context, &(mproc_stream_opts_t){.buffer = buffer}));
    assert_non_null(stream);
    return stream;
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void refuse_to_make(mproc_pool_t *pool, mproc_task_fn_t function, mproc_input_fn_t input,
                           mproc_stream_opts_t opts, apr_status_t status, const char *who, const char *why)
{
    source_t source = {0, 1};
    mproc_stream_t *stream = (mproc_stream_t *)&stream;
    assert_refused(mproc_pool_stream(pool, &stream, function, input, &source, &opts), status, who, why);
    assert_null(stream);
    assert_int_equal(source.next, 0);
}

static void test_bad_orders(void **state)
{
    const mproc_stream_opts_t none = {0};
    int other = 0;
    mproc_stream_t *stream;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    refuse_to_make(NULL, echo, fetch, none, APR_EINVAL, stream_call, "the pool is NULL");
    refuse_to_make((mproc_pool_t *)&other, echo, fetch, none, MPROC_ECLOSED, stream_call, "not an open pool");
    refuse_to_make(pool, NULL, fetch, none, APR_EINVAL, stream_call, "the function is NULL");
    refuse_to_make(pool, echo, NULL, none, APR_EINVAL, stream_call, "the function for inputs is NULL");
    assert_refused(mproc_pool_stream(pool, NULL, echo, fetch, NULL, NULL), APR_EINVAL, stream_call,
                   "nowhere to store the stream");
    stream = (mproc_stream_t *)&other;
    assert_refused(mproc_pool_stream_sized(pool, &stream, echo, fetch, NULL, &none, sizeof none + 1), MPROC_EBUILD,
                   stream_call, "later libmproc");
    assert_null(stream);
    expect_unharmed(pool, &before);
    end_pool(pool);
    refuse_to_make(pool, echo, fetch, none, MPROC_ECLOSED, stream_call, "not an open pool");
}

static void test_threads_have_no_timeouts(void **state)
{
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.start_method = MPROC_THREAD;
    mproc_pool_t *pool = make_pool(opts);
    const belongings_t before = belongings_of(pool);
    refuse_to_make(pool, echo, fetch, (mproc_stream_opts_t){.timeout = 1}, APR_ENOTIMPL, stream_call,
                   "a task of a thread cannot be ended");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** Code that no worker can find: it is found out when the stream is made, before an input is lost by it. */
static void test_code_of_no_module(void **state)
{
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    refuse_to_make(pool, code_of_no_module(), fetch, (mproc_stream_opts_t){0}, MPROC_ETARGET, "the target",
                   "no module");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** What no open stream is. */
static void refuse_everywhere(mproc_stream_t *bad, apr_status_t status, const char *why)
{
    mproc_task_error_t error;
    const void *result = &error;
    size_t size = 4;
    memset(&error, 1, sizeof error);
    assert_refused(mproc_stream_next(bad, &result, &size, &error, 0), status, next_call, why);
    assert_null(result);
    assert_int_equal(size, 0);
    assert_int_equal(error.status, 0);
    assert_int_equal(error.index, 0);
    if (bad)
        assert_refused(mproc_stream_close(bad), status, close_call, why);
}

static void test_bad_streams(void **state)
{
    char other[64];
    source_t source = {0, 3};
    const void *result;
    size_t size = 4;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL, "the stream is NULL");
    assert_success(mproc_stream_close(NULL));
    refuse_everywhere((mproc_stream_t *)other, MPROC_ECLOSED, "not an open stream");
    refuse_everywhere((mproc_stream_t *)pool, MPROC_ECLOSED, "not an open stream");
    mproc_stream_t *stream = make_stream(pool, echo, fetch, &source, SIZE_MAX);
    assert_refused(mproc_stream_next(stream, NULL, &size, NULL, 0), APR_EINVAL, next_call, "nowhere to store");
    assert_int_equal(size, 0);
    assert_int_equal(source.next, 0);
    /* It has not suffered from that, nor from a buffer that is larger than all memory. */
    for (uint32_t i = 1; i <= 3; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, NULL, MPROC_FOREVER));
        assert_memory_equal(result, &i, sizeof i);
    }
    assert_failure(mproc_stream_next(stream, &result, NULL, NULL, MPROC_FOREVER), APR_EOF);
    assert_success(mproc_stream_close(stream));
    refuse_everywhere(stream, MPROC_ECLOSED, "not an open stream");
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/** An input that there is no memory for ends the inputs, but not what is under way. */
static apr_status_t fetch_too_much(void *context, const void **in, size_t *size)
{
    source_t *source = context;
    const apr_status_t status = fetch(context, in, size);
    if (source->next == 3)
        *size = SIZE_MAX - 63;
    return status;
}

static void test_absurd_inputs(void **state)
{
    source_t source = {0, 10};
    const void *result;
    mproc_pool_t *pool = make_pool(pool_options(1));
    const belongings_t before = belongings_of(pool);
    (void)state;
    mproc_stream_t *stream = make_stream(pool, echo, fetch_too_much, &source, 0);
    for (uint32_t i = 1; i < 3; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, NULL, MPROC_FOREVER));
        assert_memory_equal(result, &i, sizeof i);
    }
    for (int i = 0; i < 2; i++)
        assert_refused(mproc_stream_next(stream, &result, NULL, NULL, MPROC_FOREVER), APR_ENOMEM, next_call,
                       "no more inputs");
    assert_int_equal(source.next, 3);
    assert_success(mproc_stream_close(stream));
    expect_unharmed(pool, &before);
    end_pool(pool);
}

/* ---- Who may not ------------------------------------------------------------------------------------------------- */

static mproc_pool_t *inherited_pool;
static mproc_stream_t *inherited_stream;

/** Try all calls with what the creator has: how many were not refused. */
static int use_inherited(mproc_call_t *call)
{
    source_t source = {0, 1};
    mproc_stream_t *stream;
    const void *result;
    int wrong = 0;
    (void)call;
    wrong += mproc_pool_stream(inherited_pool, &stream, echo, fetch, &source, NULL) != MPROC_EFOREIGN;
    wrong += mproc_stream_next(inherited_stream, &result, NULL, NULL, 0) != MPROC_EFOREIGN;
    wrong += !strstr(mproc_last_error()->text, "mproc_stream_next: the stream belongs to the process that this one");
    wrong += mproc_stream_close(inherited_stream) != MPROC_EFOREIGN;
    return wrong;
}

static void test_inherited_by_fork(void **state)
{
    source_t source = {0, 1};
    const void *result;
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    inherited_pool = make_pool(pool_options(2));
    inherited_stream = make_stream(inherited_pool, echo, fetch, &source, 0);
    assert_int_equal(finish(start(use_inherited, (mproc_process_opts_t){.start_method = MPROC_FORK})), 0);
    assert_success(mproc_stream_next(inherited_stream, &result, NULL, NULL, patience()));
    assert_success(mproc_stream_close(inherited_stream));
    end_pool(inherited_pool);
}

typedef struct calls_t {
    mproc_stream_t *stream;
    mproc_stream_t *other;
    _Atomic uint32_t wrong;
    _Atomic uint32_t count;
} calls_t;

static void use_in_callback(void *context, mproc_future_t *future)
{
    calls_t *calls = context;
    const void *result;
    (void)future;
    uint32_t wrong = mproc_stream_next(calls->stream, &result, NULL, NULL, MPROC_FOREVER) != MPROC_EDEADLOCK;
    wrong += !strstr(mproc_last_error()->text, "mproc_stream_next: called in a callback of ");
    wrong += mproc_stream_next(calls->stream, &result, NULL, NULL, 0) != MPROC_EDEADLOCK;
    /* To let go of one takes no waiting. */
    wrong += mproc_stream_close(calls->other) != APR_SUCCESS;
    atomic_store(&calls->wrong, wrong);
    atomic_fetch_add(&calls->count, 1);
}

static void test_in_callbacks(void **state)
{
    source_t source = {0, 5};
    const void *result;
    calls_t calls = {.wrong = 99};
    (void)state;
    make_board();
    mproc_pool_t *pool = make_pool(pool_options(2));
    calls.stream = make_stream(pool, echo, fetch, &source, 2);
    calls.other = make_stream(pool, echo_at_gate, fetch, &source, 2);
    assert_failure(mproc_stream_next(calls.other, &result, NULL, NULL, 0), APR_TIMEUP);
    assert_int_equal(source.next, 2);
    assert_success(mproc_pool_submit(pool, NULL, echo, NULL, 0,
                                     &(mproc_submit_opts_t){.callback = use_in_callback, .context = &calls}));
    /* Both workers may be at the gate; one is needed for the callback's task. */
    atomic_store(&board->gate, 1);
    await_note(&calls.count, 1);
    assert_int_equal(calls.wrong, 0);
    assert_int_equal(source.next, 2);
    for (uint32_t i = 3; i <= 5; i++) {
        assert_success(mproc_stream_next(calls.stream, &result, NULL, NULL, MPROC_FOREVER));
        assert_memory_equal(result, &i, sizeof i);
    }
    assert_success(mproc_stream_close(calls.stream));
    end_pool(pool);
}

/** Under MPROC_THREAD a task has its pool's streams at hand. */
static int use_in_task(mproc_task_t *task, const void *in, size_t size)
{
    calls_t *calls = *(calls_t *const *)in;
    const void *result;
    (void)size;
    if (mproc_stream_next(calls->stream, &result, NULL, NULL, MPROC_FOREVER) != MPROC_EDEADLOCK)
        return mproc_task_fail(task, 1, "%s", mproc_last_error()->text);
    return strstr(mproc_last_error()->text, "mproc_stream_next: called in a task of ") ? 0 : 2;
}

static void test_in_own_task(void **state)
{
    source_t source = {0, 5};
    calls_t calls = {.wrong = 0}, *at = &calls;
    mproc_pool_opts_t opts = pool_options(1);
    (void)state;
    opts.start_method = MPROC_THREAD;
    mproc_pool_t *pool = make_pool(opts);
    calls.stream = make_stream(pool, echo, fetch, &source, 2);
    assert_success(mproc_pool_apply(pool, use_in_task, NULL, 0, NULL, &at, sizeof at, NULL));
    assert_int_equal(source.next, 0);
    assert_success(mproc_stream_close(calls.stream));
    end_pool(pool);
}

/* ---- Inputs that do more than fetch ------------------------------------------------------------------------------ */

/** What an input function does with its own stream, and pool, when its third input is asked for. */
typedef struct meddler_t {
    source_t source;
    mproc_pool_t *pool;
    mproc_stream_t *stream;
    int what;
    int wrong;
} meddler_t;

enum { USES_STREAM, APPLIES, SHUTS, TERMINATES, MEDDLINGS };

static apr_status_t meddle(void *context, const void **in, size_t *size)
{
    meddler_t *meddler = context;
    const void *result;
    char out[4] = "";
    if (meddler->source.next == 2 && meddler->what == USES_STREAM) {
        meddler->wrong += mproc_stream_next(meddler->stream, &result, NULL, NULL, 0) != MPROC_ESTATE;
        meddler->wrong += mproc_stream_close(meddler->stream) != MPROC_ESTATE;
    } else if (meddler->source.next == 2 && meddler->what == APPLIES) {
        meddler->wrong += mproc_pool_apply(meddler->pool, echo, out, 4, NULL, "abc", 4, NULL) != APR_SUCCESS;
        meddler->wrong += strcmp(out, "abc") != 0;
    } else if (meddler->source.next == 2 && meddler->what == SHUTS) {
        meddler->wrong += mproc_pool_shutdown(meddler->pool) != APR_SUCCESS;
    } else if (meddler->source.next == 2) {
        meddler->wrong += mproc_pool_terminate(meddler->pool, 0) != APR_SUCCESS;
    }
    return fetch(&meddler->source, in, size);
}

static void test_inputs_that_meddle(void **state)
{
    static const apr_status_t ends[MEDDLINGS] = {APR_EOF, APR_EOF, MPROC_ESTATE, MPROC_ETERMINATED};
    (void)state;
    for (int what = 0; what < MEDDLINGS; what++) {
        mproc_task_error_t error;
        const void *result;
        mproc_pool_t *pool = make_pool(pool_options(2));
        meddler_t meddler = {.source = {0, 6}, .pool = pool, .what = what};
        mproc_stream_t *stream = meddler.stream = make_stream(pool, echo, meddle, &meddler, 4);
        apr_status_t status;
        uint32_t count = 0, failed = 0;
        while ((status = mproc_stream_next(stream, &result, NULL, &error, patience())) == APR_SUCCESS) {
            assert_int_equal(error.index, count++);
            /* Those that were under way may have ended before the pool was. */
            if (error.status != APR_SUCCESS)
                assert_int_equal(error.status, what == TERMINATES ? MPROC_ETERMINATED : APR_SUCCESS);
            else
                assert_memory_equal(result, &count, sizeof count);
            failed += error.status != APR_SUCCESS;
        }
        assert_int_equal(status, ends[what]);
        assert_int_equal(meddler.wrong, 0);
        assert_int_equal(count, what < SHUTS ? 6 : 2);
        assert_in_range(failed, 0, what == TERMINATES ? 2 : 0);
        assert_success(mproc_stream_close(stream));
        assert_int_equal(mproc_pool_finish(pool), what == TERMINATES ? MPROC_ETERMINATED : APR_SUCCESS);
        expect_no_objects();
    }
}

/* ---- Results, and memory ----------------------------------------------------------------------------------------- */

/** A result stays until the next call for the stream, whatever else the pool does meanwhile. */
static void test_results_stay(void **state)
{
    enum { LARGE = 5000 };
    static unsigned char message[LARGE], out[LARGE];
    source_t source = {0, 20};
    const void *result;
    mproc_pool_t *pool = make_pool(pool_options(2));
    mproc_stream_t *stream = make_stream(pool, echo, fetch, &source, 4);
    (void)state;
    fill_bytes(message, LARGE, 7);
    for (uint32_t i = 1; i <= 20; i++) {
        assert_success(mproc_stream_next(stream, &result, NULL, NULL, patience()));
        for (int k = 0; k < 10; k++)
            assert_success(mproc_pool_apply(pool, echo, out, LARGE, NULL, message, LARGE, NULL));
        assert_memory_equal(result, &i, sizeof i);
    }
    assert_success(mproc_stream_close(stream));
    end_pool(pool);
}

typedef struct large_source_t {
    uint32_t next;
    uint32_t end;
    uint32_t message[5000];
} large_source_t;

static apr_status_t fetch_large(void *context, const void **in, size_t *size)
{
    large_source_t *source = context;
    if (source->next == source->end)
        return APR_EOF;
    source->message[0] = source->next;
    source->message[4999] = source->next++;
    *in = source->message;
    *size = sizeof source->message;
    return APR_SUCCESS;
}

/** However many inputs there are, memory is needed for those alone that are under way. */
static void test_bounded_memory(void **state)
{
    enum { ARENA = 16 << 20, COUNT = 4000, BUFFER = 8, EACH = 100000 };
    static large_source_t source;
    const uint32_t count = COUNT / (uint32_t)slowdown();
    uint64_t most = 0;
    (void)state;
    assert_success(mproc_set_arena_size(ARENA));
    mproc_pool_t *pool = make_pool(pool_options(2));
    const uint64_t before = belongings_of(pool).used;
    for (int unordered = 0; unordered < 2; unordered++) {
        mproc_stream_t *stream;
        mproc_task_error_t error;
        source = (large_source_t){.end = count};
        assert_success(mproc_pool_stream(pool, &stream, echo, fetch_large, &source,
                                         &(mproc_stream_opts_t){.unordered = unordered, .buffer = BUFFER}));
        for (uint32_t i = 0; i < count; i++) {
            const void *result;
            mproc_family_info_t info;
            assert_success(mproc_stream_next(stream, &result, NULL, &error, patience()));
            assert_int_equal(error.status, APR_SUCCESS);
            assert_int_equal(((const uint32_t *)result)[4999], error.index);
            if (i % 100 == 0) {
                assert_success(mproc_family_info(&info));
                most = info.used > most ? info.used : most;
            }
        }
        assert_success(mproc_stream_close(stream));
    }
    /* An input and a result of each, and the result that was taken last. */
    if (most - before > 2 * (BUFFER + 1) * (uint64_t)EACH)
        fail_msg("%u bytes were in use", (unsigned)(most - before));
    end_pool(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_orders),         cmocka_unit_test(test_threads_have_no_timeouts),
        cmocka_unit_test(test_code_of_no_module),  cmocka_unit_test(test_bad_streams),
        cmocka_unit_test(test_absurd_inputs),      cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_in_callbacks),       cmocka_unit_test(test_in_own_task),
        cmocka_unit_test(test_inputs_that_meddle), cmocka_unit_test(test_results_stay),
        cmocka_unit_test(test_bounded_memory),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
