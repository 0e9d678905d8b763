/* SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support.h"

/* ---- The kinds --------------------------------------------------------------------------------------------------- */

static apr_status_t create_lock(void **object, const char *name, apr_pool_t *pool)
{
    mproc_lock_t *lock;
    mproc_lock_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_lock_create(&lock, &opts);
    *object = lock;
    return status == APR_SUCCESS ? mproc_lock_acquire(lock, 0) : status;
}

static apr_status_t open_lock(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_lock_t *lock;
    const apr_status_t status = mproc_lock_open(&lock, ref, pool);
    *object = lock;
    return status;
}

static apr_status_t close_lock(void *object)
{
    return mproc_lock_close(object);
}

static apr_status_t wait_for_lock(void *object, apr_interval_time_t timeout)
{
    return mproc_lock_acquire(object, timeout);
}

static void *given_lock(mproc_call_t *call, size_t index)
{
    return mproc_call_lock(call, index);
}

static apr_status_t create_semaphore(void **object, const char *name, apr_pool_t *pool)
{
    mproc_semaphore_t *semaphore;
    mproc_semaphore_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_semaphore_create(&semaphore, 0, &opts);
    *object = semaphore;
    return status;
}

static apr_status_t open_semaphore(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_semaphore_t *semaphore;
    const apr_status_t status = mproc_semaphore_open(&semaphore, ref, pool);
    *object = semaphore;
    return status;
}

static apr_status_t close_semaphore(void *object)
{
    return mproc_semaphore_close(object);
}

static apr_status_t wait_for_semaphore(void *object, apr_interval_time_t timeout)
{
    return mproc_semaphore_acquire(object, timeout);
}

static void *given_semaphore(mproc_call_t *call, size_t index)
{
    return mproc_call_semaphore(call, index);
}

static apr_status_t create_event(void **object, const char *name, apr_pool_t *pool)
{
    mproc_event_t *event;
    mproc_event_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_event_create(&event, &opts);
    *object = event;
    return status;
}

static apr_status_t open_event(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_event_t *event;
    const apr_status_t status = mproc_event_open(&event, ref, pool);
    *object = event;
    return status;
}

static apr_status_t close_event(void *object)
{
    return mproc_event_close(object);
}

static apr_status_t wait_for_event(void *object, apr_interval_time_t timeout)
{
    return mproc_event_wait(object, timeout);
}

static void *given_event(mproc_call_t *call, size_t index)
{
    return mproc_call_event(call, index);
}

static apr_status_t create_condition(void **object, const char *name, apr_pool_t *pool)
{
    mproc_condition_t *condition;
    mproc_condition_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_condition_create(&condition, &opts);
    *object = condition;
    return status;
}

static apr_status_t open_condition(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_condition_t *condition;
    const apr_status_t status = mproc_condition_open(&condition, ref, pool);
    *object = condition;
    return status;
}

static apr_status_t close_condition(void *object)
{
    return mproc_condition_close(object);
}

static apr_status_t wait_for_condition(void *object, apr_interval_time_t timeout)
{
    apr_status_t status = mproc_condition_acquire(object, patience());
    if (status != APR_SUCCESS)
        return status;
    status = mproc_condition_wait(object, timeout);
    if (status != MPROC_ECLOSED)
        mproc_condition_release(object);
    return status;
}

static void *given_condition(mproc_call_t *call, size_t index)
{
    return mproc_call_condition(call, index);
}

static apr_status_t create_barrier(void **object, const char *name, apr_pool_t *pool)
{
    mproc_barrier_t *barrier;
    mproc_barrier_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_barrier_create(&barrier, 1000, &opts);
    *object = barrier;
    return status;
}

static apr_status_t open_barrier(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_barrier_t *barrier;
    const apr_status_t status = mproc_barrier_open(&barrier, ref, pool);
    *object = barrier;
    return status;
}

static apr_status_t close_barrier(void *object)
{
    return mproc_barrier_close(object);
}

static apr_status_t wait_for_barrier(void *object, apr_interval_time_t timeout)
{
    return mproc_barrier_wait(object, NULL, timeout);
}

static void *given_barrier(mproc_call_t *call, size_t index)
{
    return mproc_call_barrier(call, index);
}

static void acquire_shared(void *context)
{
    waiting_thread_t *thread = context;
    thread->status = mproc_shared_acquire(thread->object, 0);
}

/** With memory besides the object, and a lock, which a thread has that has ended: so all others wait. */
static apr_status_t create_shared(void **object, const char *name, apr_pool_t *pool)
{
    mproc_shared_t *shared;
    waiting_thread_t thread;
    mproc_shared_opts_t opts = {.lock = 1, .name = name, .pool = pool};
    const apr_status_t status = mproc_shared_create(&shared, 10000, &opts);
    *object = shared;
    if (status != APR_SUCCESS)
        return status;
    thread.object = shared;
    begin_later(&thread.later, 0, acquire_shared, &thread);
    end_later(&thread.later);
    return thread.status;
}

static apr_status_t open_shared(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_shared_t *shared;
    const apr_status_t status = mproc_shared_open(&shared, ref, pool);
    *object = shared;
    return status;
}

static apr_status_t close_shared(void *object)
{
    return mproc_shared_close(object);
}

static apr_status_t wait_for_shared(void *object, apr_interval_time_t timeout)
{
    return mproc_shared_acquire(object, timeout);
}

static void *given_shared(mproc_call_t *call, size_t index)
{
    return mproc_call_shared(call, index);
}

static apr_status_t create_queue(void **object, const char *name, apr_pool_t *pool)
{
    mproc_queue_t *queue;
    mproc_queue_opts_t opts = {.name = name, .pool = pool};
    const apr_status_t status = mproc_queue_create(&queue, &opts);
    *object = queue;
    return status;
}

/** Make an end of a queue which nobody has open otherwise; of one that is full, if it is to put by. */
static apr_status_t create_end(void **object, apr_pool_t *pool, int is_putter)
{
    mproc_queue_t *queue, *end = NULL;
    mproc_queue_opts_t opts = {.maxsize = 1};
    *object = NULL;
    apr_status_t status = mproc_queue_create(&queue, &opts);
    if (status != APR_SUCCESS)
        return status;
    if (is_putter)
        status = mproc_queue_put(queue, "", 1, 0);
    if (status == APR_SUCCESS)
        status = is_putter ? mproc_queue_open_putter(&end, queue, pool) : mproc_queue_open_getter(&end, queue, pool);
    /* What is told of a failure stays. */
    const apr_status_t closed = mproc_queue_close(queue);
    *object = end;
    return status == APR_SUCCESS ? closed : status;
}

static apr_status_t create_putter(void **object, const char *name, apr_pool_t *pool)
{
    (void)name;
    return create_end(object, pool, 1);
}

static apr_status_t create_getter(void **object, const char *name, apr_pool_t *pool)
{
    (void)name;
    return create_end(object, pool, 0);
}

static apr_status_t open_queue(void **object, const mproc_ref_t *ref, apr_pool_t *pool)
{
    mproc_queue_t *queue;
    const apr_status_t status = mproc_queue_open(&queue, ref, pool);
    *object = queue;
    return status;
}

static apr_status_t close_queue(void *object)
{
    return mproc_queue_close(object);
}

static apr_status_t wait_for_item(void *object, apr_interval_time_t timeout)
{
    char item[8] = "";
    const apr_status_t status = mproc_queue_get(object, item, sizeof item, NULL, timeout);
    return status == MPROC_EDIRECTION ? mproc_queue_put(object, item, sizeof item, timeout) : status;
}

static void *given_queue(mproc_call_t *call, size_t index)
{
    return mproc_call_queue(call, index);
}

const object_kind_t object_kinds[OBJECT_KINDS] = {
    {"lock", create_lock, open_lock, close_lock, wait_for_lock, given_lock, 0},
    {"semaphore", create_semaphore, open_semaphore, close_semaphore, wait_for_semaphore, given_semaphore, 0},
    {"event", create_event, open_event, close_event, wait_for_event, given_event, 0},
    {"condition", create_condition, open_condition, close_condition, wait_for_condition, given_condition, 0},
    {"barrier", create_barrier, open_barrier, close_barrier, wait_for_barrier, given_barrier, 0},
    {"shared area", create_shared, open_shared, close_shared, wait_for_shared, given_shared, 0},
    {"queue", create_queue, open_queue, close_queue, wait_for_item, given_queue, 0},
    {"queue", create_putter, open_queue, close_queue, wait_for_item, given_queue, 1},
    {"queue", create_getter, open_queue, close_queue, wait_for_item, given_queue, 1},
};

void *make_object(const object_kind_t *kind)
{
    void *object = NULL;
    assert_success(kind->create(&object, NULL, NULL));
    assert_non_null(object);
    return object;
}

mproc_ref_t ref_of(void *object)
{
    mproc_ref_t ref;
    assert_success(mproc_ref(&ref, object));
    return ref;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

static void wait_at_object(void *context)
{
    waiting_thread_t *thread = context;
    thread->status = thread->kind->wait(thread->object, thread->timeout);
}

void begin_waiting(waiting_thread_t *thread, const object_kind_t *kind, void *object, apr_interval_time_t timeout)
{
    thread->kind = kind;
    thread->object = object;
    thread->timeout = timeout;
    thread->status = -1;
    begin_later(&thread->later, 0, wait_at_object, thread);
}

apr_status_t end_waiting(waiting_thread_t *thread)
{
    end_later(&thread->later);
    return thread->status;
}

/** One of several threads. */
typedef struct runner_t {
    int number;
    int (*run)(int number, void *context);
    void *context;
    int wrong;
    later_t later;
} runner_t;

static void run_one(void *context)
{
    runner_t *runner = context;
    runner->wrong = runner->run(runner->number, runner->context);
}

int run_threads(int count, int (*run)(int number, void *context), void *context)
{
    runner_t *runners = calloc((size_t)count, sizeof *runners);
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        runners[i] = (runner_t){.number = i, .run = run, .context = context};
        begin_later(&runners[i].later, 0, run_one, &runners[i]);
    }
    for (int i = 0; i < count; i++) {
        end_later(&runners[i].later);
        wrong += runners[i].wrong != 0;
    }
    free(runners);
    return wrong;
}

/* ---- A look at the family ---------------------------------------------------------------------------------------- */

enum { DUMP_SIZE = 200000 };

typedef struct text_t {
    size_t length;
    char bytes[DUMP_SIZE];
} text_t;

static void append_line(void *context, const char *line)
{
    text_t *text = context;
    const size_t length = strlen(line);
    assert_true(length > 1 && line[length - 1] == '\n' && !memchr(line, '\n', length - 1));
    if (text->length + length >= DUMP_SIZE)
        return;
    memcpy(text->bytes + text->length, line, length + 1);
    text->length += length;
}

const char *dump_family(void)
{
    static text_t text;
    text.length = 0;
    text.bytes[0] = '\0';
    assert_success(mproc_dump(append_line, &text));
    return text.bytes;
}

int count_lines(const char *word)
{
    int count = 0;
    for (const char *line = dump_family(); *line;) {
        const char *end = strchr(line, '\n');
        const char *found = strstr(line, word);
        count += found && found < end;
        line = end + 1;
    }
    return count;
}

void await_lines(const char *word, int count)
{
    const apr_time_t end = apr_time_now() + patience();
    while (count_lines(word) != count) {
        if (apr_time_now() > end)
            fail_msg("there are not %d lines with '%s':\n%s", count, word, dump_family());
        apr_sleep(1000);
    }
}

void await_waiting(int count)
{
    await_lines("has waited for", count);
    /* They say so just before they do. */
    apr_sleep(MPROC_MILLISECONDS(20) * slowdown());
}

void expect_no_objects(void)
{
    mproc_family_info_t info;
    assert_success(mproc_family_info(&info));
    if (info.objects != 0 || info.used != 0)
        fail_msg("%d objects and %d bytes are left:\n%s", (int)info.objects, (int)info.used, dump_family());
}

int count_objects(void)
{
    mproc_family_info_t info;
    assert_success(mproc_family_info(&info));
    return (int)info.objects;
}
