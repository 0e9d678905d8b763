/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues, one instruction at a time: a process that puts, gets or does something else at a queue is killed after each
 * of its instructions, or stopped there while others go on, and let go after that. Whatever it was at, others go on
 * within bounds, each item is got once and whole, what is lost is counted, and no memory is lost.
 *
 * What takes long is done at some of the instructions only, other ones in each run: MPROC_TEST_STEPS says at how many
 * at most; 0: at all of them.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <apr_time.h>

#include "steps.h"
#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

enum { MOST = 1000, MOST_SIZE = 6000, VICTIMS = 900 };

/** What the victim does. */
typedef enum deed_t { PUT, GET, PUT_BLOCK, GET_BLOCK, RESERVE, FREE_BLOCK, DONE, CLEAR, FINISH, CLOSE } deed_t;

/** What is done to whom. */
typedef struct scene_t {
    const char *name;
    deed_t deed;
    size_t maxsize;
    size_t item_size; /* 0: free; then items have 40 bytes */
    int filled;       /* items that are there */
    int is_joinable;
    int has_sleeper; /* somebody sleeps at the other side */
    int by_end;      /* by a putter or a getter, of which there is no other */
    int before;      /* so many items go through the queue before it is filled */
    int taken;       /* so many are got after that */
} scene_t;

static const scene_t scenes[] = {
    {"put", PUT, 3, 40, 1, 0, 0, 0, 0, 0},
    {"put, the last free place", PUT, 3, 40, 2, 0, 0, 0, 0, 0},
    {"put, joinable", PUT, 1, 40, 0, 1, 0, 0, 0, 0},
    {"put, to a sleeper", PUT, 3, 40, 0, 0, 1, 0, 0, 0},
    {"put a large one", PUT, 2, 6000, 1, 0, 0, 0, 0, 0},
    {"put, and grow", PUT, 0, 40, 64, 0, 0, 0, 5, 0},
    {"put by the last putter", PUT, 3, 40, 1, 0, 1, 1, 0, 0},
    {"get", GET, 3, 40, 2, 0, 0, 0, 7, 0},
    {"get from a full one", GET, 2, 40, 2, 0, 0, 0, 0, 0},
    {"get, with a sleeper", GET, 1, 40, 1, 0, 1, 0, 0, 0},
    {"get, joinable", GET, 2, 40, 2, 1, 0, 0, 3, 0},
    {"get a large one", GET, 2, 6000, 2, 0, 0, 0, 0, 0},
    {"get from the next ring", GET, 0, 40, 70, 0, 0, 0, 0, 64},
    {"get by the last getter", GET, 1, 40, 1, 0, 1, 1, 0, 0},
    {"put a block", PUT_BLOCK, 2, 0, 1, 0, 0, 0, 0, 0},
    {"put a large block", PUT_BLOCK, 2, 6000, 1, 0, 0, 0, 0, 0},
    {"get a block", GET_BLOCK, 2, 0, 2, 0, 0, 0, 0, 0},
    {"get a large block, joinable", GET_BLOCK, 2, 6000, 2, 1, 0, 0, 0, 0},
    {"reserve", RESERVE, 2, 6000, 1, 0, 0, 0, 0, 0},
    {"free a block", FREE_BLOCK, 2, 6000, 1, 0, 0, 0, 0, 0},
    {"task done", DONE, 2, 40, 2, 1, 0, 0, 0, 0},
    {"clear", CLEAR, 3, 40, 3, 1, 0, 0, 0, 0},
    {"finish", FINISH, 3, 40, 1, 0, 1, 0, 0, 0},
    {"close the last putter", CLOSE, 3, 40, 1, 0, 1, 1, 0, 0},
};
enum { SCENES = sizeof scenes / sizeof scenes[0] };

static size_t size_of(const scene_t *scene)
{
    return scene->item_size ? scene->item_size : 40;
}

static int gets(const scene_t *scene)
{
    return scene->deed == GET || scene->deed == GET_BLOCK || scene->deed == DONE;
}

static int puts_something(const scene_t *scene)
{
    return scene->deed == PUT || scene->deed == PUT_BLOCK;
}

/* ---- The victim -------------------------------------------------------------------------------------------------- */

/** Its exit codes. */
enum { HAS_GOT_NOTHING, HAS_DONE_IT, HAS_FAILED, WAS_BROKEN, NOT_TRACED };

/** In memory that it shares with the test: the number of the item that it got, and one more. */
static volatile uint32_t *told;

typedef struct plan_t {
    int scene;
} plan_t;

/** Tell what it has got. */
static int tell_got(const void *item, size_t size)
{
    stamp_t stamp;
    if (!is_whole(&stamp, item, size))
        return WAS_BROKEN;
    *told = stamp.number + 1;
    return HAS_DONE_IT;
}

static int act(mproc_call_t *call)
{
    static unsigned char item[MOST_SIZE];
    const plan_t *plan = mproc_call_data(call, sizeof *plan);
    const scene_t *scene = &scenes[plan->scene];
    mproc_queue_t *queue = mproc_call_queue(call, 0);
    mproc_queue_t *other = mproc_call_queue(call, 1);
    const size_t size = size_of(scene);
    apr_status_t status = APR_SUCCESS;
    void *block = NULL;
    size_t length = 0;
    /* So that the quick way is open. */
    mproc_queue_put(other, item, 40, 0);
    mproc_queue_get(other, item, 40, NULL, 0);
    if (scene->deed == PUT_BLOCK || scene->deed == FREE_BLOCK)
        mproc_queue_reserve(queue, &block, size);
    if (scene->deed == DONE)
        mproc_queue_get(queue, item, size, &length, 0);
    if (puts_something(scene))
        make_message(block ? block : item, size, 0, VICTIMS);
    if (steps_begin() != 0)
        return NOT_TRACED;
    switch (scene->deed) {
    case PUT:
        status = mproc_queue_put(queue, item, size, 0);
        break;
    case GET:
        status = mproc_queue_get(queue, item, size, &length, 0);
        break;
    case PUT_BLOCK:
        status = mproc_queue_put_block(queue, block, size, 0);
        break;
    case GET_BLOCK:
        status = mproc_queue_get_block(queue, &block, &length, 0);
        break;
    case RESERVE:
        status = mproc_queue_reserve(queue, &block, size);
        break;
    case FREE_BLOCK:
        status = mproc_queue_free_block(queue, block);
        break;
    case DONE:
        status = mproc_queue_task_done(queue);
        break;
    case CLEAR:
        status = mproc_queue_clear(queue, NULL);
        break;
    case FINISH:
        status = mproc_queue_finish(queue);
        break;
    case CLOSE:
        status = mproc_queue_close(queue);
        break;
    }
    steps_end();
    if (status != APR_SUCCESS)
        return status == APR_TIMEUP ? HAS_GOT_NOTHING : HAS_FAILED;
    if (scene->is_joinable && (scene->deed == GET || scene->deed == GET_BLOCK) &&
        mproc_queue_task_done(queue) != APR_SUCCESS)
        return HAS_FAILED;
    return gets(scene) ? tell_got(scene->deed == GET_BLOCK ? block : item, length) : HAS_DONE_IT;
}

/* ---- The others -------------------------------------------------------------------------------------------------- */

/** One that sleeps at the other side: what it has got, or that it has put. */
typedef struct sleeper_t {
    mproc_queue_t *queue;
    int puts;
    size_t size;
    uint32_t number; /* that it puts or got */
    int is_broken;
    apr_status_t status;
    later_t later;
} sleeper_t;

static void sleep_there(void *context)
{
    sleeper_t *own = context;
    unsigned char item[MOST_SIZE];
    stamp_t stamp;
    size_t size;
    if (own->puts) {
        make_message(item, own->size, 0, own->number);
        own->status = mproc_queue_put(own->queue, item, own->size, MPROC_FOREVER);
        return;
    }
    own->status = mproc_queue_get(own->queue, item, sizeof item, &size, MPROC_FOREVER);
    own->is_broken = own->status == APR_SUCCESS && !is_whole(&stamp, item, size);
    own->number = own->status == APR_SUCCESS ? stamp.number : 0;
}

/** One run. */
typedef struct stage_t {
    const scene_t *scene;
    mproc_queue_t *queue;
    mproc_queue_t *other; /* nothing happens there */
    mproc_queue_t *end;   /* that the victim has */
    mproc_process_t *victim;
    sleeper_t sleeper;
    uint32_t next;             /* the number of the next item */
    unsigned char times[MOST]; /* how often each was got */
    unsigned char was_put[MOST];
    int left_to_do;
    int is_quiet; /* nothing more is put */
    int is_busy;  /* others do much while it is stopped */
    _Atomic int has_gone_on;
} stage_t;

static apr_status_t put_next(stage_t *stage, apr_interval_time_t timeout)
{
    unsigned char item[MOST_SIZE];
    assert_true(stage->next < VICTIMS);
    make_message(item, size_of(stage->scene), 0, stage->next);
    const apr_status_t status = mproc_queue_put(stage->queue, item, size_of(stage->scene), timeout);
    if (status == APR_SUCCESS)
        stage->was_put[stage->next++] = 1;
    return status;
}

static void note_got(stage_t *stage, uint32_t number)
{
    assert_true(number < MOST);
    stage->times[number]++;
    stage->left_to_do++;
}

static apr_status_t get_one(stage_t *stage, apr_interval_time_t timeout)
{
    unsigned char item[MOST_SIZE];
    stamp_t stamp;
    size_t size;
    const apr_status_t status = mproc_queue_get(stage->queue, item, sizeof item, &size, timeout);
    if (status != APR_SUCCESS)
        return status;
    assert_int_equal(size, size_of(stage->scene));
    assert_true(is_whole(&stamp, item, size));
    note_got(stage, stamp.number);
    return status;
}

static void do_all(stage_t *stage)
{
    for (; stage->scene->is_joinable && stage->left_to_do > 0; stage->left_to_do--)
        assert_success(mproc_queue_task_done(stage->queue));
}

static void set_up(stage_t *stage, int scene)
{
    memset(stage, 0, sizeof *stage);
    *told = 0;
    stage->scene = &scenes[scene];
    const mproc_queue_opts_t opts = {
        .maxsize = stage->scene->maxsize, .item_size = stage->scene->item_size, .joinable = stage->scene->is_joinable};
    assert_success(mproc_queue_create(&stage->queue, &opts));
    assert_success(mproc_queue_create(&stage->other, &(mproc_queue_opts_t){.maxsize = 2}));
    for (int i = 0; i < stage->scene->before; i++) {
        assert_success(put_next(stage, 0));
        assert_success(get_one(stage, 0));
        do_all(stage);
    }
    memset(stage->was_put, 0, sizeof stage->was_put);
    memset(stage->times, 0, sizeof stage->times);
    stage->next = 0;
    for (int i = 0; i < stage->scene->filled; i++)
        assert_success(put_next(stage, 0));
    for (int i = 0; i < stage->scene->taken; i++)
        assert_success(get_one(stage, 0));
    stage->end = stage->queue;
    if (stage->scene->by_end && gets(stage->scene))
        assert_success(mproc_queue_open_getter(&stage->end, stage->queue, NULL));
    else if (stage->scene->by_end)
        assert_success(mproc_queue_open_putter(&stage->end, stage->queue, NULL));
    const plan_t plan = {scene};
    const mproc_process_opts_t process = {
        .start_method = MPROC_FORK, .share = {stage->end, stage->other}, .data = &plan, .size = sizeof plan};
    stage->victim = start(act, process);
    steps_meet(stage->victim);
    if (stage->end != stage->queue)
        assert_success(mproc_queue_close(stage->end));
    if (!stage->scene->has_sleeper)
        return;
    /* Who gets sleeps at what is empty: so what is there it gets before. */
    stage->sleeper = (sleeper_t){.queue = stage->queue, .size = size_of(stage->scene)};
    if (gets(stage->scene)) {
        stage->sleeper.puts = 1;
        stage->sleeper.number = VICTIMS - 1;
    } else {
        while (get_one(stage, 0) == APR_SUCCESS) {}
        do_all(stage);
    }
    begin_later(&stage->sleeper.later, 0, sleep_there, &stage->sleeper);
    await_lines("has waited for", 1);
}

/** The victim has ended: others go on, and all is there once. */
static void check_rest(stage_t *stage, int is_killed)
{
    const scene_t *scene = stage->scene;
    size_t lost = 99;
    apr_status_t status;
    int missing = 0;
    /* Whoever sleeps is woken by what comes, if not by the victim. */
    for (int i = 0; i < 3 && !stage->is_quiet; i++) {
        const int may_be_over = scene->by_end || scene->deed == FINISH;
        const apr_time_t end = apr_time_now() + patience();
        while ((status = put_next(stage, 0)) == APR_TIMEUP && apr_time_now() < end)
            get_one(stage, 1000);
        assert_true(status == APR_SUCCESS || (status == APR_EPIPE && may_be_over));
    }
    if (scene->has_sleeper) {
        if (stage->sleeper.puts && mproc_queue_size(stage->queue) == scene->maxsize)
            get_one(stage, 0);
        end_later(&stage->sleeper.later);
        assert_false(stage->sleeper.is_broken);
        if (stage->sleeper.status == APR_SUCCESS && stage->sleeper.puts)
            stage->was_put[stage->sleeper.number] = 1;
        else if (stage->sleeper.status == APR_SUCCESS)
            note_got(stage, stage->sleeper.number);
        else
            assert_int_equal(stage->sleeper.status, stage->sleeper.puts ? APR_EPIPE : APR_EOF);
    }
    while (!mproc_queue_is_empty(stage->queue) && (status = get_one(stage, patience())) == APR_SUCCESS) {}
    status = get_one(stage, 0);
    assert_true(status == APR_TIMEUP || status == APR_EOF);
    assert_int_equal(mproc_queue_size(stage->queue), 0);
    if (*told)
        stage->times[*told - 1]++;
    for (uint32_t i = 0; i < MOST; i++) {
        if (stage->times[i] > 1 || (stage->times[i] && !stage->was_put[i] && i != VICTIMS))
            fail_msg("item %u was got %d times", i, stage->times[i]);
        missing += stage->was_put[i] && !stage->times[i];
    }
    /* One at most, and that the next one; of those that were cleared any. */
    if (scene->deed != CLEAR && (missing > (is_killed && gets(scene)) || (missing && stage->times[scene->taken])))
        fail_msg("%d items are missing", missing);
    if (scene->is_joinable) {
        do_all(stage);
        assert_success(mproc_queue_join(stage->queue, &lost, patience()));
        if (scene->deed == DONE)
            assert_in_range(lost, 0, (size_t)is_killed);
        else if (scene->deed == CLEAR)
            assert_in_range(lost, 0, (size_t)is_killed);
        else
            assert_int_equal(lost, missing);
    }
}

static void tear_down(stage_t *stage)
{
    assert_success(mproc_queue_close(stage->queue));
    assert_success(mproc_queue_close(stage->other));
    expect_no_objects();
    assert_int_equal(count_lines("member "), 1);
}

/* ---- Kills ------------------------------------------------------------------------------------------------------- */

/** The number of instructions that a scene takes, if nobody disturbs it. */
static long length_of(int scene)
{
    stage_t stage;
    set_up(&stage, scene);
    const long length = steps_walk(stage.victim, 10000000);
    steps_release(stage.victim);
    const int code = finish(stage.victim);
    assert_in_range(code, HAS_GOT_NOTHING, HAS_DONE_IT);
    check_rest(&stage, 0);
    tear_down(&stage);
    return length;
}

static void kill_after(int scene, long count, int is_joined)
{
    stage_t stage;
    set_up(&stage, scene);
    steps_walk(stage.victim, count);
    stage.is_quiet = is_joined && stage.scene->is_joinable && gets(stage.scene);
    const apr_time_t begin = apr_time_now();
    steps_kill(stage.victim);
    if (is_joined)
        assert_int_equal(finish(stage.victim), -SIGKILL);
    check_rest(&stage, 1);
    if (apr_time_now() - begin > MPROC_SECONDS(5) * slowdown())
        fail_msg("that took %d ms", (int)apr_time_as_msec(apr_time_now() - begin));
    if (!is_joined)
        assert_int_equal(finish(stage.victim), -SIGKILL);
    tear_down(&stage);
}

/** Go through the instructions of each scene, or some of them. */
static void go_through(const char *what, void (*run)(int scene, long count, int variant), int from, int to)
{
    unsigned long long random = choose_seed();
    void *shared = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    told = shared;
    const long most = (long)setting("MPROC_TEST_STEPS", 12 / slowdown() + 4);
    for (int scene = from; scene < to; scene++) {
        const long length = length_of(scene);
        const long stride = most && length > most ? length / most : 1;
        const long first = 1 + (long)(next_random(&random) % (unsigned long long)stride);
        long count = 0;
        printf("%s: '%s' takes %ld instructions, each %ld.", what, scenes[scene].name, length, stride);
        fflush(stdout);
        for (long at = first; at <= length; at += stride, count++)
            run(scene, at, (int)(count % 2));
        printf(" %ld times\n", count);
    }
}

static void test_killed_putting(void **state)
{
    (void)state;
    need_steps();
    go_through("killed", kill_after, 0, 7);
}

static void test_killed_getting(void **state)
{
    (void)state;
    need_steps();
    go_through("killed", kill_after, 7, 14);
}

static void test_killed_with_blocks(void **state)
{
    (void)state;
    need_steps();
    go_through("killed", kill_after, 14, 20);
}

static void test_killed_otherwise(void **state)
{
    (void)state;
    need_steps();
    go_through("killed", kill_after, 20, SCENES);
}

/* ---- Stops ------------------------------------------------------------------------------------------------------- */

/** Put and get as far as that goes without the victim. */
static void go_on_without(void *context)
{
    stage_t *stage = context;
    const int many = stage->is_busy && stage->scene->maxsize == 0;
    const int rounds = many ? 300 : 12;
    apr_status_t put = APR_SUCCESS, got = APR_SUCCESS;
    for (int i = 0; i < rounds && put == APR_SUCCESS; i++) {
        put = put_next(stage, 0);
        if (!many)
            got = get_one(stage, 0);
        if (got == APR_TIMEUP)
            break;
    }
    for (int i = 0; i < 40 && many && got == APR_SUCCESS; i++)
        got = get_one(stage, 0);
    assert_true(put == APR_SUCCESS || put == APR_TIMEUP || put == APR_EPIPE);
    assert_true(got == APR_SUCCESS || got == APR_TIMEUP || got == APR_EOF);
    atomic_store(&stage->has_gone_on, 1);
}

static void stop_after(int scene, long count, int variant)
{
    stage_t stage;
    later_t later;
    set_up(&stage, scene);
    stage.is_busy = variant;
    const int is_over = steps_walk(stage.victim, count) < count;
    begin_later(&later, 0, go_on_without, &stage);
    /* Where the victim has the lock of the family's memory they wait for it. */
    for (int i = 0; i < 60 && !atomic_load(&stage.has_gone_on); i++)
        apr_sleep(500);
    if (!is_over && steps_walk(stage.victim, 10000000) == 10000000)
        fail_msg("it does not come to an end");
    end_later(&later);
    steps_release(stage.victim);
    const int code = finish(stage.victim);
    assert_in_range(code, HAS_GOT_NOTHING, HAS_DONE_IT);
    if (puts_something(stage.scene) && code == HAS_DONE_IT)
        stage.was_put[VICTIMS] = 1;
    check_rest(&stage, 0);
    if (puts_something(stage.scene))
        assert_int_equal(stage.times[VICTIMS], code == HAS_DONE_IT);
    tear_down(&stage);
}

static void test_stopped_putting(void **state)
{
    (void)state;
    need_steps();
    go_through("stopped", stop_after, 0, 3);
    go_through("stopped", stop_after, 4, 6);
}

static void test_stopped_getting(void **state)
{
    (void)state;
    need_steps();
    go_through("stopped", stop_after, 12, 13);
    go_through("stopped", stop_after, 7, 9);
    go_through("stopped", stop_after, 10, 12);
}

static void test_stopped_with_blocks(void **state)
{
    (void)state;
    need_steps();
    go_through("stopped", stop_after, 14, 20);
}

static void test_stopped_clearing(void **state)
{
    (void)state;
    need_steps();
    go_through("stopped", stop_after, 21, 22);
}

/** Those who watch a queue are woken now and then to look at it, but not by one another, however many they are. */
static void test_idle_watches(void **state)
{
    enum { WATCHES = 12, WHILE = 500000 };
    mproc_queue_t *queues[WATCHES];
    mproc_os_handle_t handle;
    mproc_ref_t ref;
    (void)state;
    assert_success(mproc_queue_create(&queues[0], NULL));
    assert_success(mproc_ref(&ref, queues[0]));
    for (int i = 0; i < WATCHES; i++) {
        if (i > 0)
            assert_success(mproc_queue_open(&queues[i], &ref, NULL));
        assert_success(mproc_queue_fileno(queues[i], &handle));
    }
    const clock_t before = clock();
    apr_sleep(WHILE);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < WHILE / 4e6);
    for (int i = 0; i < WATCHES; i++)
        assert_success(mproc_queue_close(queues[i]));
    expect_no_objects();
}

static volatile sig_atomic_t handled;

static void handle(int signal)
{
    (void)signal;
    handled = 1;
}

/** What a program has blocked in its threads does not reach it by the thread that watches a queue. */
static void test_signal_while_watched(void **state)
{
    const struct sigaction action = {.sa_handler = handle};
    mproc_queue_t *queue;
    mproc_os_handle_t descriptor;
    sigset_t set;
    (void)state;
    assert_success(mproc_queue_create(&queue, NULL));
    assert_success(mproc_queue_fileno(queue, &descriptor));
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    apr_sleep(100000);
    assert_false(handled);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_true(handled);
    assert_success(mproc_queue_close(queue));
    expect_no_objects();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_putting),      cmocka_unit_test(test_killed_getting),
        cmocka_unit_test(test_killed_with_blocks),  cmocka_unit_test(test_killed_otherwise),
        cmocka_unit_test(test_stopped_putting),     cmocka_unit_test(test_stopped_getting),
        cmocka_unit_test(test_stopped_with_blocks), cmocka_unit_test(test_stopped_clearing),
        cmocka_unit_test(test_idle_watches),        cmocka_unit_test(test_signal_while_watched),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
