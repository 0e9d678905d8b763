/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that put and get at queues of all sorts, and are killed at random instants.
 *
 *     queues [SECONDS [SEED [WORKERS [METHOD]]]]
 *
 * Each item has a number and a sum, and a ledger of all of them lies in a file that all map. It ends with 0 if each
 * item was whole when it was got; if none was got twice, or without having been put; if no more are missing than those
 * may have had in their hands who were killed; if joinable queues have counted as lost what was lost; if nobody waited
 * for long; and if at the end the family's memory is as empty as at first. The same seed makes the same choices, though
 * not the same races. Unix only: it maps a file.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"

enum { MOST_WORKERS = 64, MOST_ITEMS = 3000000, MOST_SIZE = 5000, MANY = 8, HANDS = MANY };

/** The queues. */
static const struct {
    const char *name;
    size_t maxsize;
    size_t item_size; /* 0: free */
    int joinable;
} sorts[] = {
    {"of 16", 16, 64, 0},
    {"of 1", 1, 64, 0},
    {"of 8, all sizes", 8, 0, 0},
    {"without limit", 0, 64, 0},
    {"without limit, all sizes", 0, 0, 0},
    {"of 5, joinable", 5, 40, 1},
    {"without limit, joinable, all sizes", 0, 0, 1},
    {"of 7, large", 7, 5000, 0},
};
enum { QUEUES = sizeof sorts / sizeof sorts[0] };

/* ---- What lies in the file --------------------------------------------------------------------------------------- */

/** What a worker is at. */
typedef enum phase_t { IDLE, PUTTING, GETTING, HOLDING } phase_t;

typedef struct worker_t {
    _Atomic int phase;
    _Atomic int queue;
    _Atomic int count; /* items that it may have in its hands */
    _Atomic int64_t since;
    _Atomic uint64_t steps;
} worker_t;

/* Of an item: somebody began to put it; somebody has put it; it was got. */
enum { BEGUN = 1, PUT = 2, GOT = 4 };

typedef struct board_t {
    _Atomic int stop;
    _Atomic int faults;
    _Atomic int64_t worst[QUEUES][2]; /* the longest wait to put, and to get, that had success: microseconds */
    _Atomic uint32_t next[QUEUES];
    worker_t workers[MOST_WORKERS];
    _Atomic unsigned char items[QUEUES][MOST_ITEMS];
} board_t;

static board_t *board;

static int64_t now(void)
{
    return (int64_t)apr_time_now();
}

static void fault(const char *what, int number, long long value)
{
    if (atomic_fetch_add(&board->faults, 1) > 20)
        return;
    printf("FAULT: process %d: %s, queue %d, %lld: %s\n", (int)getpid(), what, number, value, mproc_last_error()->text);
    fflush(stdout);
}

/** Map the file at a path. */
static int map_board(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *board) != 0)
        return 0;
    void *at = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    board = at;
    return at != MAP_FAILED;
}

static void note_wait(int queue, int side, int64_t begin)
{
    const int64_t taken = now() - begin;
    int64_t worst = atomic_load(&board->worst[queue][side]);
    while (taken > worst && !atomic_compare_exchange_weak(&board->worst[queue][side], &worst, taken)) {}
}

/* ---- A worker ---------------------------------------------------------------------------------------------------- */

typedef struct life_t {
    worker_t *own;
    unsigned long long random;
    mproc_queue_t *queues[QUEUES];
    int role; /* 0: puts; 1: gets; 2: both */
} life_t;

typedef struct plan_t {
    int number;
    int role;
    unsigned long long seed;
    char path[256];
} plan_t;

static uint32_t choose(life_t *life, uint32_t end)
{
    return (uint32_t)(next_random(&life->random) % end);
}

static apr_interval_time_t choose_timeout(life_t *life)
{
    static const apr_interval_time_t most[] = {1, 3000, 50000, 1000000};
    return choose(life, (uint32_t)most[choose(life, 4)]);
}

static size_t size_of_item(int queue, uint32_t number)
{
    if (sorts[queue].item_size)
        return sorts[queue].item_size;
    return number % 5 == 0 ? sizeof(stamp_t) + number * 7919u % (MOST_SIZE - sizeof(stamp_t))
                           : sizeof(stamp_t) + number % 64;
}

/** Note what this worker is about to do, so that it is known what it had in its hands. */
static void begin(const life_t *life, phase_t phase, int queue, int count)
{
    atomic_store(&life->own->queue, queue);
    atomic_store(&life->own->count, count);
    atomic_store(&life->own->since, now());
    atomic_store(&life->own->phase, (int)phase);
}

static void end(const life_t *life)
{
    atomic_store(&life->own->phase, IDLE);
}

/** A call must return when its time is up. */
static void check_time(int queue, int64_t begin, apr_interval_time_t timeout)
{
    if (now() - begin > timeout + (int64_t)5000000 * slowdown())
        fault("a call was late", queue, (now() - begin) / 1000);
}

static void put_some(life_t *life, int queue)
{
    unsigned char items[MOST_SIZE * 2];
    const apr_interval_time_t timeout = choose_timeout(life);
    const uint32_t how = choose(life, 4);
    const uint32_t count =
        how == 0 && sorts[queue].item_size && sorts[queue].item_size < 100 ? 1 + choose(life, MANY) : 1;
    const uint32_t first = atomic_fetch_add(&board->next[queue], count);
    const size_t size = size_of_item(queue, first);
    apr_status_t status;
    size_t done = 0;
    if (first + count > MOST_ITEMS) {
        atomic_store(&board->stop, 1);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        make_message(items + i * size, size, (uint32_t)queue, first + i);
    begin(life, PUTTING, queue, (int)count);
    const int64_t since = now();
    for (uint32_t i = 0; i < count; i++)
        atomic_store(&board->items[queue][first + i], BEGUN);
    if (how == 0 && sorts[queue].item_size) {
        status = mproc_queue_put_many(life->queues[queue], items, count, &done, timeout);
    } else if (how == 1) {
        void *block;
        status = mproc_queue_reserve(life->queues[queue], &block, size);
        if (status != APR_SUCCESS)
            fault("reserve", queue, status);
        else
            memcpy(block, items, size);
        status = status ? status : mproc_queue_put_block(life->queues[queue], block, size, timeout);
        if (status == APR_TIMEUP && choose(life, 8) &&
            mproc_queue_free_block(life->queues[queue], block) != APR_SUCCESS)
            fault("free", queue, 0);
        done = status == APR_SUCCESS;
    } else {
        status = mproc_queue_put(life->queues[queue], items, size, timeout);
        done = status == APR_SUCCESS;
    }
    check_time(queue, since, timeout);
    if (status == APR_SUCCESS)
        note_wait(queue, 0, since);
    else if (status != APR_TIMEUP && !(status == APR_EPIPE && atomic_load(&board->stop)))
        fault("put", queue, status);
    for (uint32_t i = 0; i < count; i++) {
        if (i < done)
            atomic_fetch_or(&board->items[queue][first + i], PUT);
        else if (atomic_exchange(&board->items[queue][first + i], 0) & GOT)
            fault("what was not put was got", queue, (long long)first + i);
    }
    end(life);
}

/** An item was got: it must be whole, and the first of its number. */
static void check_item(int queue, const void *item, size_t size)
{
    stamp_t stamp;
    if (!is_whole(&stamp, item, size) || stamp.sender != (uint32_t)queue || stamp.number >= MOST_ITEMS ||
        size != size_of_item(queue, stamp.number)) {
        fault("an item is torn", queue, (long long)size);
        return;
    }
    const int before = atomic_fetch_or(&board->items[queue][stamp.number], GOT);
    if (before & GOT)
        fault("an item was got twice", queue, stamp.number);
    if (!(before & BEGUN))
        fault("an item was got that was never put", queue, stamp.number);
}

static apr_status_t get_some(life_t *life, int queue, apr_interval_time_t timeout)
{
    unsigned char items[MOST_SIZE * MANY];
    const uint32_t how = choose(life, 4);
    const int has_many = how == 0 && sorts[queue].item_size;
    const size_t most = has_many ? 1 + choose(life, MANY) : 1;
    mproc_queue_t *handle = life->queues[queue];
    void *data = items;
    size_t size = sorts[queue].item_size, got = 1;
    begin(life, GETTING, queue, (int)most);
    const int64_t since = now();
    const apr_status_t status = has_many   ? mproc_queue_get_many(handle, items, most, &got, timeout)
                                : how == 1 ? mproc_queue_get_block(handle, &data, &size, timeout)
                                : how == 2 ? mproc_queue_get_alloc(handle, &data, &size, timeout)
                                           : mproc_queue_get(handle, items, sizeof items, &size, timeout);
    check_time(queue, since, timeout);
    if (status == APR_SUCCESS) {
        note_wait(queue, 1, since);
        for (size_t i = 0; i < got; i++)
            check_item(queue, (unsigned char *)data + i * size, size);
        atomic_store(&life->own->count, (int)got);
        atomic_store(&life->own->phase, HOLDING);
        if (choose(life, 16) == 0)
            usleep((useconds_t)choose(life, 300));
        if (how == 2)
            mproc_free(data);
        if (how == 1 && mproc_queue_free_block(handle, data) != APR_SUCCESS)
            fault("free", queue, 0);
        for (size_t i = 0; i < got && sorts[queue].joinable; i++) {
            /* While it says so, one more may be done or not. */
            atomic_store(&life->own->phase, GETTING);
            if (mproc_queue_task_done(handle) != APR_SUCCESS)
                fault("done", queue, (long long)i);
        }
    } else if (status != APR_TIMEUP && status != APR_EOF) {
        fault("get", queue, status);
    }
    end(life);
    return status;
}

static int work(mproc_call_t *call)
{
    const plan_t *plan = mproc_call_data(call, sizeof *plan);
    life_t life = {.random = plan->seed, .role = plan->role};
    if (!map_board(plan->path))
        return 9;
    life.own = &board->workers[plan->number];
    for (int i = 0; i < QUEUES; i++)
        life.queues[i] = mproc_call_queue(call, (size_t)i);
    const uint32_t favourite = choose(&life, QUEUES);
    while (!atomic_load(&board->stop)) {
        const int queue = (int)(choose(&life, 2) ? favourite : choose(&life, QUEUES));
        if (life.role == 0 || (life.role == 2 && choose(&life, 2)))
            put_some(&life, queue);
        else
            get_some(&life, queue, choose_timeout(&life));
        if (choose(&life, 8) == 0)
            usleep((useconds_t)choose(&life, 200));
        atomic_fetch_add(&life.own->steps, 1);
    }
    return 7;
}

/* ---- The parent -------------------------------------------------------------------------------------------------- */

typedef struct counts_t {
    int kills;
    int phases[4];
    int putting[QUEUES]; /* items in the hands of those who were killed */
    int getting[QUEUES];
    int holding[QUEUES];
    uint64_t steps;
} counts_t;

static mproc_process_t *processes[MOST_WORKERS];
static mproc_queue_t *shared[3][QUEUES]; /* putters, getters, queues */
static counts_t counts;
static int worker_count = 9;
static mproc_start_method_t method = MPROC_DEFAULT;
static char path[256];
static life_t own_life; /* the parent puts and gets, too */

static int must(apr_status_t status, const char *what)
{
    if (status != APR_SUCCESS)
        fault(what, 0, status);
    return status == APR_SUCCESS;
}

static void make_queues(void)
{
    for (int i = 0; i < QUEUES; i++) {
        const mproc_queue_opts_t opts = {.maxsize = sorts[i].maxsize,
                                         .item_size = sorts[i].item_size,
                                         .joinable = sorts[i].joinable,
                                         .name = sorts[i].name};
        must(mproc_queue_create(&shared[2][i], &opts), "queue");
        must(mproc_queue_open_putter(&shared[0][i], shared[2][i], NULL), "putter");
        must(mproc_queue_open_getter(&shared[1][i], shared[2][i], NULL), "getter");
        own_life.queues[i] = shared[2][i];
    }
}

static void start_worker(int number, unsigned long long *random)
{
    plan_t plan;
    mproc_process_opts_t opts;
    memset(&plan, 0, sizeof plan);
    memset(&opts, 0, sizeof opts);
    memset(&board->workers[number], 0, sizeof board->workers[number]);
    plan.number = number;
    plan.role = number % 3;
    plan.seed = next_random(random);
    memcpy(plan.path, path, sizeof plan.path);
    opts.start_method = method;
    opts.data = &plan;
    opts.size = sizeof plan;
    for (int i = 0; i < QUEUES; i++)
        opts.share[i] = shared[plan.role][i];
    if (!must(mproc_process_start(&processes[number], work, &opts), "start"))
        exit(1);
}

/** One was killed and joined: count what it had. */
static void bury(int number)
{
    worker_t *worker = &board->workers[number];
    const int phase = atomic_load(&worker->phase);
    const int queue = atomic_load(&worker->queue);
    const int count = atomic_load(&worker->count);
    counts.putting[queue] += phase == PUTTING ? count : 0;
    counts.getting[queue] += phase == GETTING ? count : 0;
    counts.holding[queue] += phase == HOLDING ? count : 0;
    counts.phases[phase]++;
    counts.steps += atomic_load(&worker->steps);
    counts.kills++;
}

/** Kill some at once, join them at once or later, and start others in their place. */
static void kill_some(unsigned long long *random)
{
    const int count = next_random(random) % 4 == 0 ? 2 + (int)(next_random(random) % 2) : 1;
    const int first = (int)(next_random(random) % (unsigned)worker_count);
    for (int i = 0; i < count; i++)
        must(mproc_process_kill(processes[(first + i) % worker_count]), "kill");
    /* Others go on before anybody has waited for the dead. */
    if (next_random(random) % 2 == 0) {
        const int queue = (int)(next_random(random) % QUEUES);
        if (next_random(random) % 2)
            put_some(&own_life, queue);
        else if (get_some(&own_life, queue, (apr_interval_time_t)1000) == APR_EOF)
            fault("it has ended", queue, 0);
    }
    if (next_random(random) % 8 == 0)
        usleep((useconds_t)(next_random(random) % 150000));
    for (int i = 0; i < count; i++) {
        const int victim = (first + i) % worker_count;
        int code = 0;
        const apr_status_t status = mproc_process_finish(processes[victim], &code);
        if ((status != APR_SUCCESS && status != MPROC_ESTARTUP) || code != -9)
            fault("a worker has ended", victim, code);
        bury(victim);
        start_worker(victim, random);
    }
}

/** See that nobody is late for good. */
static void look_for_stalls(void)
{
    const int64_t limit = (int64_t)20000000 * slowdown();
    for (int i = 0; i < worker_count; i++) {
        worker_t *worker = &board->workers[i];
        const int64_t since = atomic_load(&worker->since);
        if (atomic_load(&worker->phase) == IDLE || now() - since < limit || atomic_load(&worker->since) != since)
            continue;
        fault("a worker does not go on", atomic_load(&worker->queue), atomic_load(&worker->phase));
        mproc_dump_to(stdout);
        fflush(stdout);
        exit(1);
    }
}

static void end_all(void)
{
    atomic_store(&board->stop, 1);
    for (int i = 0; i < worker_count; i++) {
        int code = 0;
        if (mproc_process_join(processes[i], MPROC_SECONDS(60) * slowdown()) != APR_SUCCESS) {
            fault("a worker does not end", atomic_load(&board->workers[i].queue), i);
            mproc_dump_to(stdout);
            fflush(stdout);
            exit(1);
        }
        if (mproc_process_finish(processes[i], &code) != APR_SUCCESS || code != 7)
            fault("a worker has ended", i, code);
        counts.steps += atomic_load(&board->workers[i].steps);
    }
}

/** Get what is left in a queue, and compare with the ledger. */
static void check_queue(int queue)
{
    size_t lost = 0;
    long put = 0, got = 0, missing = 0, doubtful = 0;
    must(mproc_queue_close(shared[0][queue]), "close the last putter");
    while (get_some(&own_life, queue, MPROC_SECONDS(20) * slowdown()) == APR_SUCCESS) {}
    if (mproc_last_error()->status != APR_EOF)
        fault("it does not end", queue, mproc_last_error()->status);
    if (mproc_queue_size(shared[2][queue]) != 0)
        fault("its size", queue, (long long)mproc_queue_size(shared[2][queue]));
    for (uint32_t i = 0; i < MOST_ITEMS && i < atomic_load(&board->next[queue]); i++) {
        const int item = atomic_load(&board->items[queue][i]);
        put += (item & PUT) != 0;
        got += (item & GOT) != 0;
        missing += (item & PUT) && !(item & GOT);
        doubtful += (item & BEGUN) && !(item & PUT);
    }
    if (missing > counts.getting[queue])
        fault("more are missing than were in hands of the killed", queue, missing);
    if (doubtful > counts.putting[queue])
        fault("more were begun than by the killed", queue, doubtful);
    if (sorts[queue].joinable) {
        must(mproc_queue_join(shared[2][queue], &lost, MPROC_SECONDS(20) * slowdown()), "join");
        if ((int)lost < counts.holding[queue] || (int)lost > counts.holding[queue] + counts.getting[queue] ||
            (long)lost < missing)
            fault("others are lost", queue, (long long)lost);
    }
    printf("queue %s: %ld put, %ld got, %ld missing; killed with %d to put, %d to get, %d got; ", sorts[queue].name,
           put, got, missing, counts.putting[queue], counts.getting[queue], counts.holding[queue]);
    if (sorts[queue].joinable)
        printf("%d lost; ", (int)lost);
    printf("longest waits %d and %d ms\n", (int)(atomic_load(&board->worst[queue][0]) / 1000),
           (int)(atomic_load(&board->worst[queue][1]) / 1000));
}

static void check_rest(void)
{
    mproc_family_info_t info;
    for (int i = 0; i < QUEUES; i++) {
        check_queue(i);
        must(mproc_queue_close(shared[1][i]), "close");
        must(mproc_queue_close(shared[2][i]), "close");
    }
    must(mproc_family_info(&info), "info");
    if (info.objects != 0 || info.used != 0 || info.members != 1) {
        fault("something is left", (int)info.objects, (long long)info.used);
        mproc_dump_to(stdout);
    }
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "queues: %s\n", mproc_last_error()->text);
        return 2;
    }
    const int seconds = argc > 1 ? atoi(argv[1]) : 60;
    unsigned long long random = argc > 2 ? strtoull(argv[2], NULL, 10) : (unsigned long long)now();
    if (argc > 3)
        worker_count = atoi(argv[3]);
    if (seconds < 1 || worker_count < 3 || worker_count > MOST_WORKERS - 1 ||
        (argc > 4 && mproc_start_method_parse(&method, argv[4]) != APR_SUCCESS)) {
        fprintf(stderr, "usage: queues [SECONDS [SEED [WORKERS, 3 to %d [METHOD]]]]\n", MOST_WORKERS - 1);
        return 2;
    }
    snprintf(path, sizeof path, "mproc-queues-%d", (int)getpid());
    if (!map_board(path))
        return 2;
    printf("seed %llu, %d workers, %d s\n", random, worker_count, seconds);
    fflush(stdout);
    own_life.own = &board->workers[MOST_WORKERS - 1];
    own_life.random = next_random(&random);
    make_queues();
    for (int i = 0; i < worker_count; i++)
        start_worker(i, &random);
    for (const int64_t until = now() + seconds * (int64_t)1000000;
         now() < until && atomic_load(&board->faults) == 0 && !atomic_load(&board->stop);) {
        usleep((useconds_t)(next_random(&random) % 8000));
        kill_some(&random);
        look_for_stalls();
    }
    end_all();
    check_rest();
    unlink(path);
    printf("%d kills: %d between calls, %d putting, %d getting, %d with items; %llu steps; %d faults\n", counts.kills,
           counts.phases[IDLE], counts.phases[PUTTING], counts.phases[GETTING], counts.phases[HOLDING],
           (unsigned long long)counts.steps, atomic_load(&board->faults));
    return atomic_load(&board->faults) > 0;
}
