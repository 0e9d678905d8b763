/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools whose workers are killed at random instants, while several threads have maps, single tasks and streams done,
 * cancel and stop some, and which are shut down or terminated in the middle of that.
 *
 *     pools [SECONDS [SEED [WORKERS [METHOD]]]]
 *
 * Each task counts on a ledger in the family's memory how often it was begun. It ends with 0 if each task that is said
 * to be done was begun once (or, with retries, no more often than is allowed), and its result is right; if each task
 * that failed was begun no more often than that, and says why; if no more tasks were lost than workers were killed; if
 * nobody waited for long; and if at the end the family's memory is as empty as at first, and
 * the same descriptors are open. The same seed makes the same choices, though not the same races. Unix only: it kills
 * by process id. Under the method thread nobody is killed.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
#include "support/support.h"

enum { CLIENTS = 4, MOST_TASKS = 2000, MOST_SIZE = 30000, MOST_WORKERS = 64 };

/** How often each task was begun, below the round of its client: threads may still run what was cancelled before. */
typedef struct ledger_t {
    _Atomic uint64_t runs[CLIENTS][MOST_TASKS];
} ledger_t;

static ledger_t *ledger;
static mproc_shared_t *ledger_handle;
static _Atomic int stop;
static _Atomic int is_ending; /* the pool may have been terminated */
static _Atomic int faults;
static _Atomic long kills;
static _Atomic long deaths; /* that clients know of: tasks that failed, and those that were run again */
static _Atomic long outcomes[3][5];
static _Atomic long terminated;
static mproc_pool_t *pool;
static unsigned worker_count = 4;
static mproc_start_method_t method = MPROC_DEFAULT;

static void fault(const char *what, long number, long value)
{
    if (atomic_fetch_add(&faults, 1) > 20)
        return;
    printf("FAULT: %s, %ld, %ld: %s\n", what, number, value, mproc_last_error()->text);
    fflush(stdout);
}

static int must(apr_status_t status, const char *what)
{
    if (status != APR_SUCCESS)
        fault(what, 0, status);
    return status == APR_SUCCESS;
}

/* ---- Tasks ------------------------------------------------------------------------------------------------------- */

/** What a task is about; a message begins with this. */
typedef struct order_t {
    uint32_t client;
    uint32_t number;
    uint64_t round;
    uint64_t seed;
} order_t;

static uint64_t answer(const order_t *order)
{
    return (order->seed ^ order->number) * 0x9e3779b97f4a7c15u;
}

static ledger_t *ledger_of(mproc_task_t *task)
{
    return mproc_shared_data(mproc_call_shared(mproc_task_call(task), 0));
}

/** Count on the ledger that a task is begun. */
static void count_run(ledger_t *own, const order_t *order)
{
    _Atomic uint64_t *runs = &own->runs[order->client][order->number];
    uint64_t before = atomic_load(runs);
    while (before >> 32 == order->round && !atomic_compare_exchange_weak(runs, &before, before + 1)) {}
}

/** Take a little time, which differs. */
static void linger(uint64_t what)
{
    for (volatile uint64_t i = 0; i < (what >> 20) % 3000; i++) {}
    if (what % 97 == 0)
        usleep((useconds_t)(what >> 12) % 500);
}

static int do_slice(mproc_task_t *task, const void *in, void *out, size_t count)
{
    ledger_t *own = ledger_of(task);
    const order_t *orders = in;
    for (size_t i = 0; i < count; i++) {
        count_run(own, &orders[i]);
        linger(answer(&orders[i]));
        ((uint64_t *)out)[i] += answer(&orders[i]);
    }
    return 0;
}

/** The size of a task's result. */
static size_t size_of(const order_t *order)
{
    const uint64_t what = answer(order) >> 8;
    return what % 5 ? 8 + what % 300 : 8 + what % (MOST_SIZE - 8);
}

static int do_single(mproc_task_t *task, const void *in, size_t size)
{
    static _Thread_local unsigned char result[MOST_SIZE];
    order_t order;
    if (size < sizeof order)
        return 1;
    memcpy(&order, in, sizeof order);
    count_run(ledger_of(task), &order);
    if (!are_bytes((const unsigned char *)in + sizeof order, size - sizeof order, order.seed))
        return 2;
    linger(answer(&order));
    fill_bytes(result, size_of(&order), answer(&order));
    return mproc_task_set_result(task, result, size_of(&order)) == APR_SUCCESS ? 0 : 3;
}

/* ---- Clients ----------------------------------------------------------------------------------------------------- */

typedef struct client_t {
    uint32_t number;
    unsigned long long random;
    _Atomic int64_t since;
    _Atomic int phase;
    later_t later;
    order_t orders[MOST_TASKS];
    uint64_t results[MOST_TASKS];
    apr_status_t statuses[MOST_TASKS];
    mproc_future_t *futures[MOST_TASKS];
    unsigned char message[MOST_SIZE];
    uint32_t next;
    uint32_t count;
    uint64_t round;
} client_t;

static client_t clients[CLIENTS];

static uint32_t choose(client_t *client, uint32_t end)
{
    return (uint32_t)(next_random(&client->random) % end);
}

static void prepare(client_t *client, uint32_t count)
{
    client->count = count;
    client->round = (client->round + 1) & UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        client->orders[i] = (order_t){client->number, i, client->round, next_random(&client->random)};
        atomic_store(&ledger->runs[client->number][i], client->round << 32);
    }
}

/** How a task went: by what the ledger says, and its status; whether it ended early, which was allowed. */
static int judge(const client_t *client, uint32_t number, int sort, apr_status_t status, unsigned retries,
                 apr_status_t allowed)
{
    const uint32_t runs = (uint32_t)atomic_load(&ledger->runs[client->number][number]);
    if (runs > retries + 1)
        fault("a task was begun so often", number, (long)runs);
    if (status == APR_SUCCESS) {
        if (runs < 1)
            fault("a task was never begun, and is done", number, 0);
        atomic_fetch_add(&outcomes[sort][runs > 1], 1);
    } else if (status == MPROC_EWORKERDIED) {
        atomic_fetch_add(&outcomes[sort][2], 1);
    } else if (status == allowed || (status == MPROC_ETASKTIMEUP && allowed == APR_TIMEUP)) {
        atomic_fetch_add(&outcomes[sort][3], 1);
    } else if (status == MPROC_ETERMINATED && atomic_load(&is_ending)) {
        atomic_fetch_add(&outcomes[sort][4], 1);
    } else {
        fault("a task has ended", number, status);
    }
    return status != APR_SUCCESS && status != MPROC_EWORKERDIED;
}

/** Whether a call was refused, or has failed, for no other reason than that the pool was terminated. */
static int is_refused(apr_status_t status, const char *what)
{
    if (status == APR_SUCCESS)
        return 0;
    if (status != MPROC_ETERMINATED || !atomic_load(&is_ending))
        fault(what, 0, status);
    return 1;
}

/** Stop a map after some calls. */
static int stop_sometimes(void *context, const mproc_progress_t *progress)
{
    int *left = context;
    return !progress->is_over && (*left)-- <= 0;
}

static void do_map(client_t *client)
{
    static const size_t chunks[] = {0, 0, 1, 1, 7, 60};
    static const unsigned retries[] = {0, 0, 1, 4};
    mproc_map_opts_t opts = {
        .chunk = chunks[choose(client, 6)], .retries = retries[choose(client, 4)], .statuses = client->statuses};
    apr_status_t allowed = APR_SUCCESS;
    int left = (int)choose(client, 2);
    if (choose(client, 4) == 0) {
        opts.total_timeout = 1 + choose(client, 20000);
        opts.timeout = opts.chunk && method != MPROC_THREAD ? 1 + choose(client, 5000) : 0;
        allowed = APR_TIMEUP;
    } else if (choose(client, 8) == 0) {
        opts.progress = stop_sometimes;
        opts.progress_context = &left;
        allowed = MPROC_ECANCELLED;
    }
    prepare(client, 1 + choose(client, MOST_TASKS));
    memset(client->statuses, 1, sizeof client->statuses);
    memset(client->results, 0, sizeof client->results); /* threads have no copy of it, which would be zeroed */
    const apr_status_t status = mproc_pool_map(pool, do_slice, client->results, sizeof client->results[0],
                                               client->orders, sizeof client->orders[0], client->count, &opts);
    apr_status_t first = APR_SUCCESS;
    for (uint32_t i = 0; i < client->count; i++) {
        const apr_status_t own = client->statuses[i];
        const int is_early = judge(client, i, 0, own, opts.retries, allowed);
        if (own == APR_SUCCESS && client->results[i] != answer(&client->orders[i]))
            fault("a result of a map is wrong", i, (long)opts.chunk);
        first = first ? first : own;
        /* One death takes what was claimed together; what was to be run again may have been stopped before. */
        if (own != APR_SUCCESS && !is_early &&
            (i == 0 || client->statuses[i - 1] != own || (opts.chunk && i % opts.chunk == 0)))
            atomic_fetch_add(&deaths, allowed ? 1 : opts.retries + 1);
    }
    if (status != first)
        fault("a map has another status than its first item", status, first);
}

static void check_result(const client_t *client, uint32_t number, const void *result, size_t size)
{
    const order_t *order = &client->orders[number];
    if (size != size_of(order) || !are_bytes(result, size, answer(order)))
        fault("a result is wrong", number, (long)size);
}

static void note_error(const mproc_task_error_t *error, unsigned retries)
{
    if (error->status != MPROC_EWORKERDIED)
        return;
    if (error->exitcode != -SIGKILL || error->pid == 0 || error->tries != retries + 1)
        fault("an error tells", error->exitcode, (long)error->tries);
    atomic_fetch_add(&deaths, retries + 1);
}

static size_t make_order(client_t *client, uint32_t number)
{
    const order_t *order = &client->orders[number];
    const size_t size = choose(client, 6) ? choose(client, 200) : choose(client, MOST_SIZE - sizeof *order);
    memcpy(client->message, order, sizeof *order);
    fill_bytes(client->message + sizeof *order, size, order->seed);
    return sizeof *order + size;
}

static void do_singles(client_t *client)
{
    const unsigned retries = choose(client, 3);
    const uint32_t cancels = choose(client, 4) ? 0 : 5;
    prepare(client, 1 + choose(client, choose(client, 10) ? 40 : MOST_TASKS));
    for (uint32_t i = 0; i < client->count; i++) {
        const mproc_submit_opts_t opts = {.retries = retries};
        const size_t size = make_order(client, i);
        client->statuses[i] = 0;
        is_refused(mproc_pool_submit(pool, &client->futures[i], do_single, client->message, size, &opts), "submit");
    }
    for (uint32_t i = 0; i < client->count && cancels; i++)
        if (client->futures[i] && choose(client, cancels) == 0)
            client->statuses[i] = mproc_future_cancel(client->futures[i]) == APR_SUCCESS;
    for (uint32_t i = 0; i < client->count; i++) {
        mproc_task_error_t error;
        const void *result;
        size_t size;
        if (!client->futures[i] || !must(mproc_future_wait(client->futures[i], &error, MPROC_FOREVER), "wait"))
            continue;
        if (client->statuses[i] && error.status != MPROC_ECANCELLED)
            fault("a task that was cancelled has ended", i, error.status);
        judge(client, i, 1, error.status, retries, client->statuses[i] ? MPROC_ECANCELLED : APR_SUCCESS);
        note_error(&error, retries);
        if (error.status == APR_SUCCESS && must(mproc_future_result(client->futures[i], &result, &size), "result"))
            check_result(client, i, result, size);
        must(mproc_future_close(client->futures[i]), "close");
    }
}

static apr_status_t next_order(void *context, const void **in, size_t *size)
{
    client_t *client = context;
    if (client->next == client->count)
        return APR_EOF;
    *size = make_order(client, client->next++);
    *in = client->message;
    return APR_SUCCESS;
}

static void do_stream(client_t *client)
{
    const mproc_stream_opts_t opts = {
        .unordered = (int)choose(client, 2), .buffer = choose(client, 20), .retries = choose(client, 3)};
    mproc_stream_t *stream;
    mproc_task_error_t error;
    const void *result;
    size_t size;
    uint32_t taken = 0;
    apr_status_t status = APR_SUCCESS;
    prepare(client, 1 + choose(client, 200));
    const uint32_t end = choose(client, 5) ? UINT32_MAX : choose(client, client->count);
    client->next = 0;
    if (is_refused(mproc_pool_stream(pool, &stream, do_single, next_order, client, &opts), "stream"))
        return;
    while (taken < end && (status = mproc_stream_next(stream, &result, &size, &error, MPROC_FOREVER)) == APR_SUCCESS) {
        if (error.index >= client->count || (!opts.unordered && error.index != taken)) {
            fault("a stream's result is", (long)error.index, (long)taken);
            break;
        }
        judge(client, (uint32_t)error.index, 2, error.status, opts.retries, APR_SUCCESS);
        note_error(&error, opts.retries);
        if (error.status == APR_SUCCESS)
            check_result(client, (uint32_t)error.index, result, size);
        taken++;
    }
    if (end == UINT32_MAX && (status != APR_EOF || taken != client->count) && !is_refused(status, "next"))
        fault("a stream has ended", status, (long)taken);
    must(mproc_stream_close(stream), "close");
}

static void work(void *context)
{
    static void (*const acts[])(client_t *) = {do_map, do_singles, do_stream};
    client_t *client = context;
    while (!atomic_load(&stop) && !atomic_load(&is_ending)) {
        const int act = (int)choose(client, 3);
        atomic_store(&client->since, (int64_t)apr_time_now());
        atomic_store(&client->phase, act + 1);
        acts[act](client);
        atomic_store(&client->phase, 0);
    }
}

/* ---- The killer -------------------------------------------------------------------------------------------------- */

/** See that nobody is late for good. */
static void look_for_stalls(void)
{
    const int64_t limit = (int64_t)30000000 * slowdown();
    for (int i = 0; i < CLIENTS; i++) {
        const int64_t since = atomic_load(&clients[i].since);
        if (atomic_load(&clients[i].phase) == 0 || (int64_t)apr_time_now() - since < limit ||
            atomic_load(&clients[i].since) != since)
            continue;
        fault("a client does not go on", i, atomic_load(&clients[i].phase));
        mproc_dump_to(stdout);
        fflush(stdout);
        _exit(1);
    }
}

static void kill_some(unsigned long long *random)
{
    const int count = next_random(random) % 8 == 0 ? (int)worker_count : 1;
    for (int i = 0; i < count; i++) {
        const int pid = mproc_pool_worker_pid(pool, (unsigned)(next_random(random) % worker_count));
        if (pid > 0 && kill(pid, SIGKILL) == 0)
            atomic_fetch_add(&kills, 1);
    }
}

/** See that what was counted once stays so. */
static void look_at_counts(mproc_pool_info_t *before)
{
    mproc_pool_info_t info;
    must(mproc_pool_info(pool, &info), "info");
    if (info.done < before->done || info.failed < before->failed || info.failed > info.done)
        fault("tasks are not counted any more", (long)info.done, (long)info.failed);
    *before = info;
}

static void make_pool_of_victims(void)
{
    /* Those that are killed before they are ready are no reason to give up. */
    const mproc_pool_opts_t opts = {
        .workers = worker_count, .start_method = method, .share = {ledger_handle}, .max_start_failures = 1000000000};
    if (!must(mproc_pool_create(&pool, &opts), "pool"))
        exit(1);
}

/** Have the clients work, and their workers be killed, for a while; then end the pool. */
static void run_for(int64_t microseconds, unsigned long long *random)
{
    const int64_t end = (int64_t)apr_time_now() + microseconds;
    const long before = atomic_load(&kills);
    const long known = atomic_load(&deaths);
    mproc_pool_info_t info = {0};
    make_pool_of_victims();
    atomic_store(&stop, 0);
    atomic_store(&is_ending, 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        clients[i].random = next_random(random);
        begin_later(&clients[i].later, 0, work, &clients[i]);
    }
    while ((int64_t)apr_time_now() < end && atomic_load(&faults) == 0) {
        usleep((useconds_t)(next_random(random) % 6000));
        kill_some(random);
        look_at_counts(&info);
        look_for_stalls();
    }
    const int is_violent = next_random(random) % 2 == 0;
    if (is_violent) {
        const apr_interval_time_t grace = method == MPROC_THREAD || next_random(random) % 4 == 0 ? MPROC_FOREVER
                                          : next_random(random) % 2                              ? 0
                                                                                                 : 1000;
        atomic_store(&is_ending, 1);
        must(mproc_pool_terminate(pool, grace), "terminate");
        atomic_fetch_add(&terminated, 1);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < CLIENTS; i++)
        while (atomic_load(&clients[i].phase)) {
            look_for_stalls();
            usleep(1000);
        }
    for (int i = 0; i < CLIENTS; i++)
        end_later(&clients[i].later);
    look_at_counts(&info);
    const long killed = atomic_load(&kills) - before;
    const long lost = atomic_load(&deaths) - known;
    if (lost > (long)info.deaths || lost > killed)
        fault("more tasks were lost than workers killed", lost, killed);
    const apr_status_t status = mproc_pool_finish(pool);
    if (status != (is_violent ? MPROC_ETERMINATED : APR_SUCCESS))
        fault("finish", is_violent, status);
}

static void report(void)
{
    static const char *const names[] = {"items of maps", "single tasks", "stream tasks"};
    for (int i = 0; i < 3; i++)
        printf("%s: %ld done at once, %ld done again, %ld lost, %ld stopped, %ld terminated\n", names[i],
               atomic_load(&outcomes[i][0]), atomic_load(&outcomes[i][1]), atomic_load(&outcomes[i][2]),
               atomic_load(&outcomes[i][3]), atomic_load(&outcomes[i][4]));
    printf("%ld kills, %ld of them known to be deaths in tasks; %d faults\n", atomic_load(&kills), atomic_load(&deaths),
           atomic_load(&faults));
}

int main(int argc, char **argv)
{
    enum { LONGEST = 3000000 };
    mproc_family_info_t info;
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "pools: %s\n", mproc_last_error()->text);
        return 2;
    }
    const int seconds = argc > 1 ? atoi(argv[1]) : 60;
    unsigned long long random = argc > 2 ? strtoull(argv[2], NULL, 10) : (unsigned long long)apr_time_now();
    if (argc > 3)
        worker_count = (unsigned)atoi(argv[3]);
    if (seconds < 1 || worker_count < 1 || worker_count > MOST_WORKERS ||
        (argc > 4 && mproc_start_method_parse(&method, argv[4]) != APR_SUCCESS)) {
        fprintf(stderr, "usage: pools [SECONDS [SEED [WORKERS, 1 to %d [METHOD]]]]\n", MOST_WORKERS);
        return 2;
    }
    printf("seed %llu, %u workers, %d s\n", random, worker_count, seconds);
    fflush(stdout);
    must(mproc_shared_create(&ledger_handle, sizeof *ledger, NULL), "ledger");
    ledger = mproc_shared_data(ledger_handle);
    const int64_t end = (int64_t)apr_time_now() + seconds * (int64_t)1000000;
    /* What the library makes for the first pool, and keeps. */
    run_for(100000, &random);
    const int descriptors = count_descriptors();
    int pools = 0;
    while ((int64_t)apr_time_now() < end && atomic_load(&faults) == 0) {
        const int64_t left = end - (int64_t)apr_time_now();
        const int64_t piece = (int64_t)(next_random(&random) % (next_random(&random) % 2 ? LONGEST : LONGEST / 50));
        run_for(left < piece ? left : piece, &random);
        pools++;
    }
    must(mproc_shared_close(ledger_handle), "close");
    must(mproc_family_info(&info), "info");
    if (info.objects != 0 || info.used != 0 || info.members != 1) {
        fault("something is left", (long)info.objects, (long)info.used);
        mproc_dump_to(stdout);
    }
    if (count_descriptors() != descriptors)
        fault("descriptors are left", count_descriptors(), descriptors);
    printf("%d pools, %ld terminated\n", pools, atomic_load(&terminated));
    report();
    return atomic_load(&faults) > 0;
}
