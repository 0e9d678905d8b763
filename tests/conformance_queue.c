/* SPDX-License-Identifier: Apache-2.0 */
/* Queues between processes, under every start method: who puts and who gets, and what each death means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/support.h"

static const char not_by_thread[] = "a thread cannot be ended from outside";

static mproc_queue_t *make_queue(size_t maxsize, size_t item_size, int joinable)
{
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.maxsize = maxsize, .item_size = item_size, .joinable = joinable};
    assert_success(mproc_queue_create(&queue, &opts));
    return queue;
}

static mproc_queue_t *make_end(mproc_queue_t *queue, int is_putter)
{
    mproc_queue_t *end;
    assert_success(is_putter ? mproc_queue_open_putter(&end, queue, NULL) : mproc_queue_open_getter(&end, queue, NULL));
    return end;
}

/* ---- Many to many ------------------------------------------------------------------------------------------------ */

enum { PUTTERS = 3, GETTERS = 3, MOST_SIZE = 9000 };

/** What each child does. */
typedef struct share_t {
    uint32_t number;
    uint32_t count;
    size_t size; /* of an item; 0: all sizes */
    int joinable;
} share_t;

/** What a getter tells its creator. */
typedef struct tally_t {
    uint64_t count;
    uint64_t sum;
    int64_t wrong;
} tally_t;

static size_t size_of(const share_t *share, uint32_t number)
{
    return share->size ? share->size : sizeof(stamp_t) + number * 7919u % (MOST_SIZE - sizeof(stamp_t));
}

static int put_share(mproc_call_t *call)
{
    static _Thread_local unsigned char item[MOST_SIZE];
    const share_t *share = mproc_call_data(call, sizeof *share);
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    for (uint32_t i = 0; i < share->count; i++) {
        const size_t size = size_of(share, i);
        make_message(item, size, share->number, i);
        if (mproc_queue_put(queue, item, size, MPROC_FOREVER) != APR_SUCCESS)
            return 2;
    }
    return 5;
}

static int get_share(mproc_call_t *call)
{
    static _Thread_local unsigned char item[MOST_SIZE];
    const share_t *share = mproc_call_data(call, sizeof *share);
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    int64_t last[PUTTERS] = {-1, -1, -1};
    tally_t tally = {0, 0, 0};
    apr_status_t status;
    stamp_t stamp;
    size_t size;
    while ((status = mproc_queue_get(queue, item, sizeof item, &size, MPROC_FOREVER)) == APR_SUCCESS) {
        if (!is_whole(&stamp, item, size) || stamp.sender >= PUTTERS || (int64_t)stamp.number <= last[stamp.sender] ||
            size != size_of(share, stamp.number)) {
            tally.wrong = 1;
            break;
        }
        last[stamp.sender] = stamp.number;
        tally.count++;
        tally.sum += (uint64_t)stamp.sender << 32 | stamp.number;
        if (share->joinable && mproc_queue_task_done(queue) != APR_SUCCESS)
            tally.wrong = 2;
    }
    if (status != APR_EOF)
        tally.wrong = 3;
    return mproc_conn_send(mproc_call_conn(call, 0), &tally, sizeof tally, MPROC_FOREVER) == APR_SUCCESS ? 5 : 1;
}

/** Several put, several get, each by ends of their own; all ends when the last putter has ended. */
static void pass_many(size_t maxsize, size_t size, uint32_t count, int joinable)
{
    mproc_process_t *processes[PUTTERS + GETTERS];
    mproc_conn_t *conns[GETTERS];
    tally_t all = {0, 0, 0};
    uint64_t sum = 0;
    size_t lost = 9;
    mproc_queue_t *queue = make_queue(maxsize, size, joinable);
    mproc_queue_t *putter = make_end(queue, 1);
    mproc_queue_t *getter = make_end(queue, 0);
    for (int i = 0; i < PUTTERS + GETTERS; i++) {
        mproc_process_opts_t opts = method_options();
        const share_t share = {(uint32_t)i, count, size, joinable};
        opts.data = &share;
        opts.size = sizeof share;
        opts.share[0] = i < PUTTERS ? putter : getter;
        if (i >= PUTTERS)
            make_conns(&conns[i - PUTTERS], &opts.give[0]);
        processes[i] = start(i < PUTTERS ? put_share : get_share, opts);
    }
    assert_success(mproc_queue_close(putter));
    assert_success(mproc_queue_close(getter));
    for (int i = 0; i < GETTERS; i++) {
        tally_t tally;
        assert_success(mproc_conn_recv_exactly(conns[i], &tally, sizeof tally, 3 * patience()));
        assert_int_equal(tally.wrong, 0);
        all.count += tally.count;
        all.sum += tally.sum;
        assert_success(mproc_conn_close(conns[i]));
    }
    for (int i = 0; i < PUTTERS + GETTERS; i++)
        assert_int_equal(finish(processes[i]), 5);
    for (uint32_t sender = 0; sender < PUTTERS; sender++)
        for (uint32_t i = 0; i < count; i++)
            sum += (uint64_t)sender << 32 | i;
    assert_int_equal(all.count, (uint64_t)PUTTERS * count);
    assert_int_equal(all.sum, sum);
    if (joinable) {
        assert_success(mproc_queue_join(queue, &lost, 0));
        assert_int_equal(lost, 0);
    }
    uint64_t none;
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, 0), APR_EOF);
    assert_failure(mproc_queue_open_putter(&putter, queue, NULL), APR_EPIPE);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

static void test_many_to_many(void **state)
{
    const uint32_t many = 6000 / (uint32_t)slowdown();
    (void)state;
    pass_many(100, 64, many, 0);
    pass_many(1, 32, many / 4, 0);
    pass_many(0, 64, many, 0);
    pass_many(0, 0, many / 4, 1);
    pass_many(5, 0, many / 4, 0);
    pass_many(7, 5000, many / 6, 1);
}

/* ---- One that does as it is told --------------------------------------------------------------------------------- */

/** What a child can be told to do, with an object of a number: those of its `.share`, and such as it opens. */
typedef enum order_t { LEAVE, LEAVE_BY_EXIT, OPEN, CLOSE, TAKE, GIVE, DONE, RESERVE, TAKE_BLOCK, USE } order_t;

typedef struct message_t {
    order_t order;
    int number;
    uint64_t value;
    apr_interval_time_t timeout;
    mproc_ref_t ref;
} message_t;

typedef struct answer_t {
    int64_t status; /* as wide as the value: all bytes are sent */
    uint64_t value;
} answer_t;

enum { OBJECTS = 4, BLOCK = 100000 };

/** Use an object that came as an item, of a kind: what is done to it is seen by its maker. */
static apr_status_t use(const mproc_ref_t *ref, int kind)
{
    void *object;
    apr_status_t status = object_kinds[kind].open(&object, ref, NULL);
    if (status != APR_SUCCESS)
        return status;
    status = object_kinds[kind].wait(object, 0);
    object_kinds[kind].close(object);
    return status;
}

static apr_status_t execute(mproc_queue_t **queue, const message_t *message, answer_t *answer)
{
    mproc_ref_t ref;
    void *block;
    apr_status_t status;
    switch (message->order) {
    case OPEN:
        return mproc_queue_open(queue, &message->ref, NULL);
    case CLOSE:
        return mproc_queue_close(*queue);
    case TAKE:
        return mproc_queue_get(*queue, &answer->value, sizeof answer->value, NULL, message->timeout);
    case GIVE:
        return mproc_queue_put(*queue, &message->value, sizeof message->value, message->timeout);
    case DONE:
        return mproc_queue_task_done(*queue);
    case RESERVE:
        status = mproc_queue_reserve(*queue, &block, (size_t)message->value);
        if (status == APR_SUCCESS)
            memset(block, 1, (size_t)message->value);
        return status;
    case TAKE_BLOCK:
        return mproc_queue_get_block(*queue, &block, NULL, message->timeout);
    case USE:
        status = mproc_queue_get(*queue, &ref, sizeof ref, NULL, message->timeout);
        return status == APR_SUCCESS ? use(&ref, (int)message->value) : status;
    default:
        return APR_EINVAL;
    }
}

static int obey(mproc_call_t *call)
{
    mproc_queue_t *queues[OBJECTS] = {NULL};
    mproc_conn_t *conn = mproc_call_conn(call, 0);
    message_t message;
    for (size_t i = 0; i < OBJECTS; i++)
        queues[i] = mproc_call_queue(call, i);
    while (mproc_conn_recv_exactly(conn, &message, sizeof message, MPROC_FOREVER) == APR_SUCCESS) {
        answer_t answer = {0, 0};
        if (message.order == LEAVE)
            return 3;
        if (message.order == LEAVE_BY_EXIT)
            exit(3);
        answer.status = execute(&queues[message.number], &message, &answer);
        if (mproc_conn_send(conn, &answer, sizeof answer, MPROC_FOREVER) != APR_SUCCESS)
            break;
    }
    return 4;
}

typedef struct servant_t {
    mproc_process_t *process;
    mproc_conn_t *conn;
} servant_t;

static servant_t hire(mproc_queue_t *first, mproc_queue_t *second)
{
    servant_t servant;
    mproc_process_opts_t opts = method_options();
    make_conns(&servant.conn, &opts.give[0]);
    opts.share[0] = first;
    opts.share[1] = second;
    servant.process = start(obey, opts);
    return servant;
}

static void tell(const servant_t *servant, message_t message)
{
    assert_success(mproc_conn_send(servant->conn, &message, sizeof message, patience()));
}

static answer_t answer_of(const servant_t *servant)
{
    answer_t answer;
    const apr_status_t status = mproc_conn_recv_exactly(servant->conn, &answer, sizeof answer, patience());
    if (status != APR_SUCCESS)
        print_error("%s", dump_family());
    assert_success(status);
    return answer;
}

static apr_status_t ask(const servant_t *servant, message_t message)
{
    tell(servant, message);
    return answer_of(servant).status;
}

static void expect_taken(const servant_t *servant, int number, uint64_t value)
{
    tell(servant, (message_t){.order = TAKE, .number = number, .timeout = patience()});
    const answer_t answer = answer_of(servant);
    assert_int_equal(answer.status, APR_SUCCESS);
    assert_int_equal(answer.value, value);
}

static void dismiss(servant_t *servant)
{
    tell(servant, (message_t){.order = LEAVE});
    assert_int_equal(finish(servant->process), 3);
    assert_success(mproc_conn_close(servant->conn));
}

static void kill_servant(servant_t *servant)
{
    assert_success(mproc_process_kill(servant->process));
    /* A fork server may be slow to send the signal: until then it goes on. */
    assert_success(mproc_conn_poll(servant->conn, patience()));
}

static void bury(servant_t *servant)
{
    assert_int_equal(finish(servant->process), -9);
    assert_success(mproc_conn_close(servant->conn));
}

static void begin_death(void)
{
    skip_under(MPROC_THREAD, not_by_thread);
}

static void put_number(mproc_queue_t *queue, uint64_t number)
{
    assert_success(mproc_queue_put(queue, &number, sizeof number, patience()));
}

static uint64_t get_number(mproc_queue_t *queue)
{
    uint64_t number = 0;
    assert_success(mproc_queue_get(queue, &number, sizeof number, NULL, patience()));
    return number;
}

/* ---- How they are passed ----------------------------------------------------------------------------------------- */

/** A queue and its ends, as `.share` and by reference; their creator closes them, and they go on. */
static void test_passed(void **state)
{
    (void)state;
    for (int by_reference = 0; by_reference < 2; by_reference++) {
        mproc_queue_t *queue = make_queue(10, sizeof(uint64_t), 0);
        mproc_queue_t *putter = make_end(queue, 1);
        mproc_queue_t *getter = make_end(queue, 0);
        servant_t puts = hire(by_reference ? NULL : putter, NULL);
        servant_t gets = hire(by_reference ? NULL : getter, by_reference ? NULL : queue);
        if (by_reference) {
            assert_int_equal(ask(&puts, (message_t){.order = OPEN, .ref = ref_of(putter)}), APR_SUCCESS);
            assert_int_equal(ask(&gets, (message_t){.order = OPEN, .ref = ref_of(getter)}), APR_SUCCESS);
            assert_int_equal(ask(&gets, (message_t){.order = OPEN, .number = 1, .ref = ref_of(queue)}), APR_SUCCESS);
        }
        put_number(putter, 1);
        expect_taken(&gets, 0, 1);
        assert_success(mproc_queue_close(queue));
        assert_success(mproc_queue_close(putter));
        assert_success(mproc_queue_close(getter));
        assert_int_equal(ask(&puts, (message_t){.order = TAKE}), MPROC_EDIRECTION);
        assert_int_equal(ask(&gets, (message_t){.order = GIVE}), MPROC_EDIRECTION);
        for (uint64_t i = 5; i < 12; i++)
            assert_int_equal(ask(&puts, (message_t){.order = GIVE, .value = i}), APR_SUCCESS);
        for (uint64_t i = 5; i < 11; i++)
            expect_taken(&gets, 0, i);
        dismiss(&puts);
        expect_taken(&gets, 1, 11);
        if (method_under_test() != MPROC_THREAD || !by_reference)
            assert_int_equal(ask(&gets, (message_t){.order = TAKE, .timeout = MPROC_FOREVER}), APR_EOF);
        dismiss(&gets);
        if (method_under_test() != MPROC_THREAD) /* a thread's objects are its process's */
            expect_no_objects();
    }
}

/** A child is never launched, or its launch fails: its end is not open any more. */
static void test_end_of_a_child_that_never_was(void **state)
{
    mproc_process_t *process;
    uint64_t none;
    (void)state;
    mproc_queue_t *queue = make_queue(10, sizeof none, 0);
    mproc_queue_t *putter = make_end(queue, 1);
    mproc_process_opts_t opts = method_options();
    opts.share[0] = putter;
    assert_success(mproc_process_create(&process, obey, &opts));
    put_number(putter, 1);
    assert_success(mproc_queue_close(putter));
    assert_int_equal(get_number(queue), 1);
    assert_success(mproc_process_close(process));
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, patience()), APR_EOF);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** Every object as an item. */
static void test_references_as_items(void **state)
{
    (void)state;
    mproc_queue_t *queue = make_queue(10, sizeof(mproc_ref_t), 0);
    servant_t servant = hire(queue, NULL);
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        void *object = make_object(&object_kinds[kind]);
        const mproc_ref_t ref = ref_of(object);
        assert_success(mproc_queue_put(queue, &ref, sizeof ref, 0));
        const message_t message = {.order = USE, .value = (uint64_t)kind, .timeout = MPROC_FOREVER};
        assert_int_equal(ask(&servant, message), APR_TIMEUP); /* as it says to who tries it */
        assert_success(object_kinds[kind].close(object));
        assert_success(mproc_queue_put(queue, &ref, sizeof ref, 0));
        assert_int_equal(ask(&servant, message), MPROC_EGONE);
    }
    /* A queue to answer by. */
    mproc_queue_t *answers = make_queue(1, sizeof(uint64_t), 0);
    const mproc_ref_t ref = ref_of(answers);
    assert_int_equal(ask(&servant, (message_t){.order = OPEN, .number = 1, .ref = ref}), APR_SUCCESS);
    tell(&servant, (message_t){.order = GIVE, .number = 1, .value = 42, .timeout = MPROC_FOREVER});
    assert_int_equal(get_number(answers), 42);
    assert_int_equal(answer_of(&servant).status, APR_SUCCESS);
    dismiss(&servant);
    assert_success(mproc_queue_close(answers));
    assert_success(mproc_queue_close(queue));
    if (method_under_test() != MPROC_THREAD)
        expect_no_objects();
}

/* ---- What a death means ------------------------------------------------------------------------------------------ */

/** What was put stays when who has put it is killed. */
static void test_putter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int maxsize = 0; maxsize < 100; maxsize += 99) {
        mproc_queue_t *queue = make_queue((size_t)maxsize, sizeof(uint64_t), 0);
        servant_t servant = hire(queue, NULL);
        for (uint64_t i = 0; i < 70; i++)
            assert_int_equal(ask(&servant, (message_t){.order = GIVE, .value = i}), APR_SUCCESS);
        kill_servant(&servant);
        for (uint64_t i = 0; i < 70; i++)
            assert_int_equal(get_number(queue), i);
        assert_int_equal(mproc_queue_size(queue), 0);
        bury(&servant);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** Row: the last putter is killed: who gets has the rest, and then the end, also who waits. */
static void test_last_putter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        uint64_t none;
        mproc_queue_t *queue = make_queue(10, sizeof none, 0);
        mproc_queue_t *putter = make_end(queue, 1);
        servant_t puts = hire(putter, NULL);
        servant_t gets = hire(queue, NULL);
        assert_success(mproc_queue_close(putter));
        assert_int_equal(ask(&puts, (message_t){.order = GIVE, .value = 7}), APR_SUCCESS);
        expect_taken(&gets, 0, 7);
        tell(&gets, (message_t){.order = TAKE, .timeout = MPROC_FOREVER});
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        kill_servant(&puts);
        if (is_joined)
            bury(&puts);
        assert_int_equal(answer_of(&gets).status, APR_EOF);
        assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, patience()), APR_EOF);
        expect_soon(begin);
        if (!is_joined)
            bury(&puts);
        dismiss(&gets);
        assert_failure(mproc_queue_put(queue, &none, sizeof none, 0), APR_EPIPE);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** Row: the last getter is killed: who puts is refused, also who waits for room. */
static void test_last_getter_killed(void **state)
{
    (void)state;
    begin_death();
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        const uint64_t item = 1;
        mproc_queue_t *queue = make_queue(1, sizeof item, 0);
        mproc_queue_t *getter = make_end(queue, 0);
        servant_t gets = hire(getter, NULL);
        servant_t puts = hire(queue, NULL);
        assert_success(mproc_queue_close(getter));
        assert_int_equal(ask(&puts, (message_t){.order = GIVE, .value = 7}), APR_SUCCESS);
        tell(&puts, (message_t){.order = GIVE, .value = 8, .timeout = MPROC_FOREVER});
        await_waiting(1);
        const apr_time_t begin = apr_time_now();
        kill_servant(&gets);
        if (is_joined)
            bury(&gets);
        assert_int_equal(answer_of(&puts).status, APR_EPIPE);
        assert_failure(mproc_queue_put(queue, &item, sizeof item, patience()), APR_EPIPE);
        expect_soon(begin);
        if (!is_joined)
            bury(&gets);
        assert_int_equal(get_number(queue), 7);
        dismiss(&puts);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** One of several ends goes, in order or not: the others go on. */
static void test_one_of_several_killed(void **state)
{
    uint64_t none;
    (void)state;
    begin_death();
    mproc_queue_t *queue = make_queue(10, sizeof none, 0);
    mproc_queue_t *putter = make_end(queue, 1);
    servant_t first = hire(putter, NULL);
    servant_t second = hire(putter, NULL);
    servant_t third = hire(putter, NULL);
    assert_success(mproc_queue_close(putter));
    kill_servant(&first);
    bury(&first);
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, 0), APR_TIMEUP);
    assert_int_equal(ask(&second, (message_t){.order = GIVE, .value = 7}), APR_SUCCESS);
    assert_int_equal(get_number(queue), 7);
    assert_int_equal(ask(&second, (message_t){.order = CLOSE}), APR_SUCCESS);
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, 0), APR_TIMEUP);
    tell(&third, (message_t){.order = LEAVE_BY_EXIT});
    assert_int_equal(finish(third.process), 3);
    assert_failure(mproc_queue_get(queue, &none, sizeof none, NULL, patience()), APR_EOF);
    assert_success(mproc_conn_close(third.conn));
    dismiss(&second);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** Row: those who wait are killed: what was meant for them goes to others. */
static void test_waiters_killed(void **state)
{
    (void)state;
    begin_death();
    for (int puts = 0; puts < 2; puts++) {
        mproc_queue_t *queue = make_queue(1, sizeof(uint64_t), 0);
        const message_t message = {.order = puts ? GIVE : TAKE, .value = 9, .timeout = MPROC_FOREVER};
        servant_t first = hire(queue, NULL);
        servant_t second = hire(queue, NULL);
        if (puts)
            put_number(queue, 1);
        tell(&first, message);
        await_waiting(1);
        tell(&second, message);
        await_waiting(2);
        const apr_time_t begin = apr_time_now();
        kill_servant(&first);
        if (puts)
            assert_int_equal(get_number(queue), 1);
        else
            put_number(queue, 5);
        const answer_t answer = answer_of(&second);
        assert_int_equal(answer.status, APR_SUCCESS);
        assert_int_equal(answer.value, puts ? 0 : 5);
        expect_soon(begin);
        assert_int_equal(mproc_queue_size(queue), puts);
        bury(&first);
        dismiss(&second);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** Row: who holds blocks, reserved or got, is killed: their memory is used again. */
static void test_holder_of_blocks_killed(void **state)
{
    mproc_family_info_t before, after;
    (void)state;
    begin_death();
    mproc_queue_t *queue = make_queue(4, 0, 0);
    unsigned char *item = calloc(1, BLOCK);
    for (int round = 0; round < 6; round++) {
        servant_t servant = hire(queue, NULL);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(ask(&servant, (message_t){.order = RESERVE, .value = BLOCK}), APR_SUCCESS);
            assert_success(mproc_queue_put(queue, item, BLOCK, 0));
            assert_int_equal(ask(&servant, (message_t){.order = TAKE_BLOCK}), APR_SUCCESS);
        }
        kill_servant(&servant);
        bury(&servant);
        assert_int_equal(mproc_queue_size(queue), 0);
        if (round == 0)
            assert_success(mproc_family_info(&before));
    }
    assert_success(mproc_family_info(&after));
    assert_true(before.used >= 6 * (uint64_t)BLOCK);
    assert_int_equal(after.used, before.used);
    free(item);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

/** Row: who has got of a joinable queue ends without having said that it is done: that is counted as lost. */
static void test_done_by_nobody(void **state)
{
    enum { KILLED, RETURNED, EXITED, WAYS };
    (void)state;
    begin_death();
    for (int way = 0; way < WAYS; way++) {
        size_t lost = 9;
        mproc_queue_t *queue = make_queue(10, sizeof(uint64_t), 1);
        servant_t victim = hire(queue, NULL);
        servant_t other = hire(queue, NULL);
        for (uint64_t i = 0; i < 8; i++)
            put_number(queue, i);
        for (uint64_t i = 0; i < 5; i++)
            expect_taken(&victim, 0, i);
        assert_int_equal(ask(&victim, (message_t){.order = DONE}), APR_SUCCESS);
        for (uint64_t i = 5; i < 8; i++)
            expect_taken(&other, 0, i);
        assert_int_equal(ask(&other, (message_t){.order = DONE}), APR_SUCCESS);
        assert_failure(mproc_queue_join(queue, &lost, 0), APR_TIMEUP);
        assert_int_equal(lost, 0);
        const apr_time_t begin = apr_time_now();
        if (way == KILLED) {
            kill_servant(&victim);
        } else {
            tell(&victim, (message_t){.order = way == EXITED ? LEAVE_BY_EXIT : LEAVE});
            assert_int_equal(finish(victim.process), 3);
            assert_success(mproc_conn_close(victim.conn));
        }
        assert_int_equal(ask(&other, (message_t){.order = DONE}), APR_SUCCESS);
        assert_failure(mproc_queue_join(queue, NULL, 0), APR_TIMEUP);
        assert_int_equal(ask(&other, (message_t){.order = DONE}), APR_SUCCESS);
        assert_int_equal(ask(&other, (message_t){.order = DONE}), MPROC_ESTATE);
        assert_success(mproc_queue_join(queue, &lost, patience()));
        expect_soon(begin);
        assert_int_equal(lost, 4);
        if (way == KILLED)
            bury(&victim);
        /* And on. */
        put_number(queue, 1);
        expect_taken(&other, 0, 1);
        assert_int_equal(ask(&other, (message_t){.order = DONE}), APR_SUCCESS);
        assert_success(mproc_queue_join(queue, &lost, 0));
        assert_int_equal(lost, 4);
        dismiss(&other);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

/** Row: the creator of a queue is killed: nothing changes for those who have it. Here a child makes it. */
static int make_and_put(mproc_call_t *call)
{
    mproc_queue_t *queue;
    mproc_ref_t ref;
    if (mproc_queue_create(&queue, &(mproc_queue_opts_t){.maxsize = 5}) != APR_SUCCESS ||
        mproc_queue_put(queue, "kept", 5, 0) != APR_SUCCESS || mproc_ref(&ref, queue) != APR_SUCCESS ||
        mproc_conn_send(mproc_call_conn(call, 0), &ref, sizeof ref, MPROC_FOREVER) != APR_SUCCESS)
        return 1;
    apr_sleep(apr_time_from_sec(600));
    return 2;
}

static void test_creator_killed(void **state)
{
    mproc_conn_t *conn;
    mproc_queue_t *queue;
    mproc_ref_t ref;
    char text[8];
    (void)state;
    begin_death();
    mproc_process_opts_t opts = method_options();
    make_conns(&conn, &opts.give[0]);
    mproc_process_t *process = start(make_and_put, opts);
    assert_success(mproc_conn_recv_exactly(conn, &ref, sizeof ref, patience()));
    assert_success(mproc_queue_open(&queue, &ref, NULL));
    assert_success(mproc_process_kill(process));
    assert_int_equal(finish(process), -9);
    assert_success(mproc_queue_get(queue, text, sizeof text, NULL, 0));
    assert_string_equal(text, "kept");
    assert_success(mproc_queue_put(queue, "on", 3, 0));
    assert_success(mproc_queue_close(queue));
    assert_success(mproc_conn_close(conn));
    expect_no_objects();
}

/** Those who put, or get, as fast as they can are killed again and again: others go on, and nothing is left. */
static int put_for_good(mproc_call_t *call)
{
    static unsigned char item[3000];
    for (uint32_t i = 0;; i++) {
        const size_t size = i % 3 ? 100 + i % 50 : sizeof item;
        make_message(item, size, 1, i);
        if (mproc_queue_put(mproc_call_queue(call, 0), item, size, MPROC_FOREVER) != APR_SUCCESS)
            return 1;
    }
}

static int get_for_good(mproc_call_t *call)
{
    static unsigned char item[3000];
    stamp_t stamp;
    size_t size;
    for (;;)
        if (mproc_queue_get(mproc_call_queue(call, 0), item, sizeof item, &size, MPROC_FOREVER) != APR_SUCCESS ||
            !is_whole(&stamp, item, size))
            return 1;
}

static void test_killed_while_busy(void **state)
{
    static unsigned char item[3000];
    (void)state;
    begin_death();
    for (int round = 0; round < 24; round++) {
        const int is_getter = round % 2;
        stamp_t stamp;
        size_t size;
        mproc_queue_t *queue = make_queue((size_t)(round % 3 * 3), 0, 0);
        mproc_process_opts_t opts = method_options();
        opts.share[0] = queue;
        mproc_process_t *process = start(is_getter ? get_for_good : put_for_good, opts);
        const uint32_t count = (uint32_t)(200 + round * 7);
        for (uint32_t i = 0; i < count; i++) {
            make_message(item, 200 + i, 2, i);
            if (i == count / 2)
                assert_success(mproc_process_kill(process));
            if (is_getter) {
                if (i >= count / 2 && mproc_queue_is_full(queue))
                    assert_success(mproc_queue_clear(queue, NULL));
                assert_success(mproc_queue_put(queue, item, 200 + i, patience()));
            } else if (i < count / 2 || !mproc_queue_is_empty(queue)) {
                const apr_status_t status =
                    mproc_queue_get(queue, item, sizeof item, &size, i < count / 2 ? patience() : 50000);
                assert_true(status == APR_SUCCESS || i >= count / 2);
                assert_true(status != APR_SUCCESS || is_whole(&stamp, item, size));
            }
        }
        assert_int_equal(finish(process), -9);
        assert_success(mproc_queue_clear(queue, NULL));
        assert_int_equal(mproc_queue_size(queue), 0);
        assert_success(mproc_queue_close(queue));
        expect_no_objects();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_to_many),
        cmocka_unit_test(test_passed),
        cmocka_unit_test(test_end_of_a_child_that_never_was),
        cmocka_unit_test(test_references_as_items),
        cmocka_unit_test(test_putter_killed),
        cmocka_unit_test(test_last_putter_killed),
        cmocka_unit_test(test_last_getter_killed),
        cmocka_unit_test(test_one_of_several_killed),
        cmocka_unit_test(test_waiters_killed),
        cmocka_unit_test(test_holder_of_blocks_killed),
        cmocka_unit_test(test_done_by_nobody),
        cmocka_unit_test(test_creator_killed),
        cmocka_unit_test(test_killed_while_busy),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
