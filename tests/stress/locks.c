/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that use shared objects of all kinds, and are killed at random instants.
 *
 *     locks [SECONDS [SEED [WORKERS [METHOD]]]]
 *
 * What the objects guard lies in a file that all map. It ends with 0 if no two living processes ever had the same lock,
 * or more than were allowed a semaphore; if each that followed a dead owner was told so, and nobody else; if nobody
 * waited for good; and if at the end the family's memory is as empty as at first. The longest waits are printed. The
 * same seed makes the same choices, though not the same races. Unix only: it maps a file.
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
#include "support/random.h"

enum { LOCKS = 4, MOST_WORKERS = 64, SEATS = 3, ROOM = 5, KEPT = 12, PARTIES = 3 };

/* The places in `.share`. Lock 0 is that of the condition; the last one is recursive. */
enum { SHARED_OWNED = LOCKS, SHARED_PLAIN, SHARED_CONDITION, SHARED_BARRIER, SHARED_EVENT, SHARED_COUNT };

/* ---- What lies in the file --------------------------------------------------------------------------------------- */

/** How far a worker is with a lock or a semaphore. */
typedef enum phase_t { OUTSIDE, TRYING, INSIDE, LEAVING } phase_t;

typedef struct worker_t {
    _Atomic int pid;
    _Atomic int is_dying; /* the parent is about to kill it */
    _Atomic int phases[LOCKS + 2];
    _Atomic int64_t waits_since; /* 0: it does not wait for what must come */
    _Atomic int doing;
    _Atomic uint64_t steps;
} worker_t;

typedef struct board_t {
    _Atomic int stop;
    _Atomic int faults;
    _Atomic int64_t worst[SHARED_COUNT]; /* the longest wait, microseconds */
    /* Of each lock: who is inside, a pair of numbers that it keeps equal, and how often somebody was told. */
    _Atomic int inside[LOCKS];
    uint64_t pairs[LOCKS][2];
    _Atomic int told[LOCKS];
    int items;               /* of the condition */
    _Atomic uint64_t passed; /* the barrier */
    worker_t workers[MOST_WORKERS];
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
    printf("FAULT: process %d: %s, number %d, %lld: %s\n", (int)getpid(), what, number, value,
           mproc_last_error()->text);
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

static void note_wait(int number, int64_t begin)
{
    const int64_t taken = now() - begin;
    int64_t worst = atomic_load(&board->worst[number]);
    while (taken > worst && !atomic_compare_exchange_weak(&board->worst[number], &worst, taken))
        ;
}

/* ---- A worker ---------------------------------------------------------------------------------------------------- */

typedef struct life_t {
    int number;
    worker_t *own;
    unsigned long long random;
    mproc_call_t *call;
    mproc_lock_t *kept[KEPT];
} life_t;

typedef struct plan_t {
    int number;
    unsigned long long seed;
    char path[256];
} plan_t;

static void linger(life_t *life)
{
    const unsigned long long how = next_random(&life->random) % 64;
    if (how < 16)
        usleep((useconds_t)(next_random(&life->random) % 500));
    for (volatile unsigned i = 0; i < how * 8; i++)
        ;
}

/** This process has a lock: see that nobody else has, change what it guards, and leave it. */
static void change_guarded(life_t *life, int number, apr_status_t status)
{
    const int other = atomic_exchange(&board->inside[number], (int)getpid());
    uint64_t *pair = board->pairs[number];
    if (status == MPROC_EOWNERDEAD) {
        atomic_fetch_add(&board->told[number], 1);
        pair[0] = pair[1] = pair[0] > pair[1] ? pair[0] : pair[1];
        for (int i = 0; i < MOST_WORKERS && other; i++)
            if (atomic_load(&board->workers[i].pid) == other && !atomic_load(&board->workers[i].is_dying))
                fault("who had the lock lives", number, other);
    } else if (other) {
        fault("somebody was inside, and it was not told", number, other);
    } else if (pair[0] != pair[1]) {
        fault("half changed, and it was not told", number, (long long)(pair[0] - pair[1]));
    }
    atomic_store(&life->own->phases[number], INSIDE);
    pair[0]++;
    linger(life);
    pair[1]++;
    if (atomic_load(&board->inside[number]) != (int)getpid())
        fault("somebody came in", number, atomic_load(&board->inside[number]));
}

static void leave_guarded(life_t *life, int number)
{
    atomic_store(&board->inside[number], 0);
    atomic_store(&life->own->phases[number], LEAVING);
}

/** A timeout: none, some, or for good. */
static apr_interval_time_t choose_timeout(life_t *life)
{
    switch (next_random(&life->random) % 4) {
    case 0:
        return 0;
    case 1:
        return (apr_interval_time_t)(next_random(&life->random) % 3000);
    default:
        return MPROC_FOREVER;
    }
}

static void use_lock(life_t *life, int number)
{
    mproc_lock_t *lock = mproc_call_lock(life->call, (size_t)number);
    const apr_interval_time_t timeout = choose_timeout(life);
    const int depth = number == LOCKS - 1 ? 1 + (int)(next_random(&life->random) % 3) : 1;
    const int64_t begin = now();
    atomic_store(&life->own->phases[number], TRYING);
    if (timeout == MPROC_FOREVER)
        atomic_store(&life->own->waits_since, begin);
    const apr_status_t status = mproc_lock_acquire(lock, timeout);
    atomic_store(&life->own->waits_since, 0);
    if (mproc_has_acquired(status)) {
        note_wait(number, begin);
        change_guarded(life, number, status);
        for (int i = 1; i < depth; i++)
            if (mproc_lock_acquire(lock, 0) != APR_SUCCESS)
                fault("acquire again", number, i);
        for (int i = 1; i < depth; i++)
            if (mproc_lock_release(lock) != APR_SUCCESS)
                fault("release again", number, i);
        leave_guarded(life, number);
        if (mproc_lock_release(lock) != APR_SUCCESS)
            fault("release", number, 0);
    } else if (status != APR_TIMEUP || timeout == MPROC_FOREVER) {
        fault("acquire", number, status);
    }
    atomic_store(&life->own->phases[number], OUTSIDE);
}

/** Several at once, in order. */
static void use_two_locks(life_t *life)
{
    const int low = (int)(next_random(&life->random) % (LOCKS - 1));
    mproc_lock_t *lock = mproc_call_lock(life->call, (size_t)low);
    atomic_store(&life->own->phases[low], TRYING);
    atomic_store(&life->own->waits_since, now());
    const apr_status_t status = mproc_lock_acquire(lock, MPROC_FOREVER);
    atomic_store(&life->own->waits_since, 0);
    if (!mproc_has_acquired(status)) {
        fault("acquire the first of two", low, status);
        return;
    }
    change_guarded(life, low, status);
    use_lock(life, low + 1 + (int)(next_random(&life->random) % (unsigned)(LOCKS - 1 - low)));
    leave_guarded(life, low);
    if (mproc_lock_release(lock) != APR_SUCCESS)
        fault("release the first of two", low, 0);
    atomic_store(&life->own->phases[low], OUTSIDE);
}

static void use_semaphore(life_t *life, int number)
{
    mproc_semaphore_t *semaphore = mproc_call_semaphore(life->call, (size_t)number);
    const apr_interval_time_t timeout = choose_timeout(life);
    const int64_t begin = now();
    atomic_store(&life->own->phases[number], TRYING);
    if (timeout == MPROC_FOREVER)
        atomic_store(&life->own->waits_since, begin);
    const apr_status_t status = mproc_semaphore_acquire(semaphore, timeout);
    atomic_store(&life->own->waits_since, 0);
    if (status == APR_SUCCESS) {
        int seated = 0;
        note_wait(number, begin);
        atomic_store(&life->own->phases[number], INSIDE);
        for (int i = 0; i < MOST_WORKERS; i++)
            seated +=
                atomic_load(&board->workers[i].phases[number]) == INSIDE && !atomic_load(&board->workers[i].is_dying);
        if (number == SHARED_OWNED && seated > SEATS)
            fault("more are inside than may be", number, seated);
        linger(life);
        atomic_store(&life->own->phases[number], LEAVING);
        if (mproc_semaphore_release(semaphore) != APR_SUCCESS)
            fault("release", number, 0);
    } else if (status != APR_TIMEUP || timeout == MPROC_FOREVER) {
        fault("acquire", number, status);
    }
    atomic_store(&life->own->phases[number], OUTSIDE);
}

static int has_items(void *context)
{
    (void)context;
    return board->items > 0;
}

static int has_room(void *context)
{
    (void)context;
    return board->items < ROOM;
}

/** Put something in or take something out; what is told of a dead owner here is told of lock 0. */
static void use_condition(life_t *life)
{
    mproc_condition_t *condition = mproc_call_condition(life->call, SHARED_CONDITION);
    const int puts = next_random(&life->random) % 2 == 0;
    atomic_store(&life->own->phases[0], TRYING);
    atomic_store(&life->own->waits_since, now());
    apr_status_t status = mproc_condition_acquire(condition, MPROC_FOREVER);
    atomic_store(&life->own->waits_since, 0);
    if (!mproc_has_acquired(status)) {
        fault("acquire", SHARED_CONDITION, status);
        return;
    }
    change_guarded(life, 0, status);
    leave_guarded(life, 0);
    const int64_t begin = now();
    /* While it waits for being notified it has not got the lock. */
    status = mproc_condition_wait_for(condition, puts ? has_room : has_items, NULL,
                                      (apr_interval_time_t)(next_random(&life->random) % 3000));
    if (status != APR_SUCCESS && status != APR_TIMEUP && status != MPROC_EOWNERDEAD)
        fault("wait", SHARED_CONDITION, status);
    if (status == APR_TIMEUP)
        note_wait(SHARED_CONDITION, begin);
    change_guarded(life, 0, status);
    if (status == APR_SUCCESS)
        board->items += puts ? 1 : -1;
    if (board->items < 0 || board->items > ROOM)
        fault("more or less than can be", SHARED_CONDITION, board->items);
    if (mproc_condition_notify(condition, 1 + (unsigned)(next_random(&life->random) % 3)) != APR_SUCCESS)
        fault("notify", SHARED_CONDITION, 0);
    leave_guarded(life, 0);
    if (mproc_condition_release(condition) != APR_SUCCESS)
        fault("release", SHARED_CONDITION, 0);
    atomic_store(&life->own->phases[0], OUTSIDE);
}

static void use_barrier(life_t *life)
{
    mproc_barrier_t *barrier = mproc_call_barrier(life->call, SHARED_BARRIER);
    unsigned index;
    const int64_t begin = now();
    const apr_status_t status =
        mproc_barrier_wait(barrier, &index, (apr_interval_time_t)(next_random(&life->random) % 3000));
    note_wait(SHARED_BARRIER, begin);
    if (status == APR_SUCCESS)
        atomic_fetch_add(&board->passed, 1);
    else if (status != MPROC_EBROKENBARRIER && status != APR_TIMEUP)
        fault("wait", SHARED_BARRIER, status);
    else
        mproc_barrier_reset(barrier);
    if (status == APR_SUCCESS && index >= PARTIES)
        fault("index", SHARED_BARRIER, index);
}

static void use_event(life_t *life)
{
    mproc_event_t *event = mproc_call_event(life->call, SHARED_EVENT);
    const unsigned long long what = next_random(&life->random) % 3;
    const int64_t begin = now();
    const apr_status_t status = what == 0 ? mproc_event_set(event)
                                : what == 1
                                    ? mproc_event_clear(event)
                                    : mproc_event_wait(event, (apr_interval_time_t)(next_random(&life->random) % 5000));
    note_wait(SHARED_EVENT, begin);
    if (status != APR_SUCCESS && (status != APR_TIMEUP || what != 2))
        fault("use", SHARED_EVENT, status);
}

/** Make objects of several sizes, keep some, open others again: transactions for deaths to come in the middle of. */
static void make_and_close(life_t *life)
{
    mproc_lock_t **kept = &life->kept[next_random(&life->random) % KEPT];
    mproc_semaphore_t *semaphore;
    mproc_condition_t *condition;
    const mproc_semaphore_opts_t owned = {.owned = 1};
    mproc_condition_opts_t opts = {.name = "kept"};
    mproc_ref_t ref;
    if (mproc_lock_close(*kept) != APR_SUCCESS || mproc_lock_create(kept, NULL) != APR_SUCCESS ||
        mproc_ref(&ref, *kept) != APR_SUCCESS)
        fault("make a lock", 0, 0);
    opts.lock = *kept;
    if (mproc_condition_create(&condition, &opts) != APR_SUCCESS || mproc_lock_close(*kept) != APR_SUCCESS ||
        mproc_lock_open(kept, &ref, NULL) != APR_SUCCESS || mproc_condition_close(condition) != APR_SUCCESS)
        fault("make a condition", 0, 0);
    if (mproc_semaphore_create(&semaphore, 1 + (unsigned)(next_random(&life->random) % 1024), &owned) != APR_SUCCESS ||
        mproc_semaphore_close(semaphore) != APR_SUCCESS)
        fault("make a semaphore", 0, 0);
}

static int work(mproc_call_t *call)
{
    const plan_t *plan = mproc_call_data(call, sizeof *plan);
    life_t life = {.number = plan->number, .random = plan->seed, .call = call};
    if (!map_board(plan->path))
        return 9;
    life.own = &board->workers[plan->number];
    atomic_store(&life.own->pid, (int)getpid());
    /* Some do nothing else, so that many deaths come in the middle of a change to the family's memory. */
    const int just_makes = next_random(&life.random) % 3 == 0;
    while (!atomic_load(&board->stop)) {
        const int what = just_makes ? 14 : (int)(next_random(&life.random) % 16);
        atomic_store(&life.own->doing, what);
        if (what < 5)
            use_lock(&life, what % LOCKS);
        else if (what < 7)
            use_two_locks(&life);
        else if (what < 10)
            use_semaphore(&life, what == 9 ? SHARED_PLAIN : SHARED_OWNED);
        else if (what < 12)
            use_condition(&life);
        else if (what == 12)
            use_barrier(&life);
        else if (what == 13)
            use_event(&life);
        else
            make_and_close(&life);
        atomic_fetch_add(&life.own->steps, 1);
    }
    return 7;
}

/* ---- The parent -------------------------------------------------------------------------------------------------- */

typedef struct counts_t {
    int kills;
    int certain[LOCKS + 2];  /* killed while they had it */
    int possible[LOCKS + 2]; /* killed while they were getting or leaving it */
    uint64_t steps;
} counts_t;

static mproc_process_t *processes[MOST_WORKERS];
static void *shared[SHARED_COUNT];
static counts_t counts;
static int worker_count = 8;
static mproc_start_method_t method = MPROC_DEFAULT;
static char path[256];

static int must(apr_status_t status, const char *what)
{
    if (status != APR_SUCCESS)
        fault(what, 0, status);
    return status == APR_SUCCESS;
}

static void make_objects(void)
{
    const mproc_semaphore_opts_t owned = {.owned = 1, .name = "owned"};
    const mproc_lock_opts_t recursive = {.recursive = 1, .name = "recursive"};
    mproc_condition_opts_t condition = {.name = "condition"};
    mproc_lock_t *lock;
    mproc_semaphore_t *semaphore;
    mproc_condition_t *of_lock;
    mproc_barrier_t *barrier;
    mproc_event_t *event;
    for (int i = 0; i < LOCKS; i++) {
        must(mproc_lock_create(&lock, i == LOCKS - 1 ? &recursive : NULL), "lock");
        shared[i] = lock;
    }
    must(mproc_semaphore_create(&semaphore, SEATS, &owned), "semaphore");
    shared[SHARED_OWNED] = semaphore;
    must(mproc_semaphore_create(&semaphore, SEATS, NULL), "semaphore");
    shared[SHARED_PLAIN] = semaphore;
    condition.lock = shared[0];
    must(mproc_condition_create(&of_lock, &condition), "condition");
    shared[SHARED_CONDITION] = of_lock;
    must(mproc_barrier_create(&barrier, PARTIES, NULL), "barrier");
    shared[SHARED_BARRIER] = barrier;
    must(mproc_event_create(&event, NULL), "event");
    shared[SHARED_EVENT] = event;
}

static void start_worker(int number, unsigned long long *random)
{
    plan_t plan;
    mproc_process_opts_t opts;
    memset(&plan, 0, sizeof plan);
    memset(&opts, 0, sizeof opts);
    memset(&board->workers[number], 0, sizeof board->workers[number]);
    plan.number = number;
    plan.seed = next_random(random);
    memcpy(plan.path, path, sizeof plan.path);
    opts.start_method = method;
    opts.data = &plan;
    opts.size = sizeof plan;
    memcpy(opts.share, shared, sizeof shared);
    if (!must(mproc_process_start(&processes[number], work, &opts), "start"))
        exit(1);
}

/** One was killed and joined: count what it had. */
static void bury(int number)
{
    worker_t *worker = &board->workers[number];
    for (int i = 0; i < LOCKS + 2; i++) {
        const int phase = atomic_load(&worker->phases[i]);
        counts.certain[i] += phase == INSIDE;
        counts.possible[i] += phase == TRYING || phase == LEAVING;
        /* What is gone for good would stop the others. */
        if (i == SHARED_PLAIN && phase != OUTSIDE)
            mproc_semaphore_release(shared[SHARED_PLAIN]);
    }
    counts.steps += atomic_load(&worker->steps);
    counts.kills++;
}

/** Kill some at once, join them at once or later, and start others in their place. */
static void kill_some(unsigned long long *random)
{
    int victims[3];
    const int count = next_random(random) % 4 == 0 ? 2 + (int)(next_random(random) % 2) : 1;
    const int first = (int)(next_random(random) % (unsigned)worker_count);
    for (int i = 0; i < count; i++) {
        victims[i] = (first + i * 3) % worker_count;
        atomic_store(&board->workers[victims[i]].is_dying, 1);
    }
    for (int i = 0; i < count; i++)
        must(mproc_process_kill(processes[victims[i]]), "kill");
    if (next_random(random) % 4 == 0)
        usleep((useconds_t)(next_random(random) % 150000));
    for (int i = 0; i < count; i++) {
        int code = 0;
        if (victims[i] < 0 || (i > 0 && victims[i] == victims[0]) || (i > 1 && victims[i] == victims[1]))
            continue;
        const apr_status_t status = mproc_process_finish(processes[victims[i]], &code);
        if ((status != APR_SUCCESS && status != MPROC_ESTARTUP) || code != -9)
            fault("a worker has ended", victims[i], code);
        bury(victims[i]);
        start_worker(victims[i], random);
    }
}

/** See that nobody waits for good. */
static void look_for_stalls(void)
{
    const int64_t limit = (int64_t)20000000 * slowdown();
    for (int i = 0; i < worker_count; i++) {
        const int64_t since = atomic_load(&board->workers[i].waits_since);
        if (since == 0 || now() - since < limit || atomic_load(&board->workers[i].waits_since) != since)
            continue;
        fault("a worker waits for good", i, atomic_load(&board->workers[i].doing));
        mproc_dump_to(stdout);
        fflush(stdout);
        exit(1);
    }
}

static void end_all(void)
{
    atomic_store(&board->stop, 1);
    mproc_event_set(shared[SHARED_EVENT]);
    for (int i = 0; i < worker_count; i++) {
        int code = 0;
        const apr_status_t status = mproc_process_join(processes[i], MPROC_SECONDS(60) * slowdown());
        if (status != APR_SUCCESS) {
            fault("a worker does not end", i, atomic_load(&board->workers[i].doing));
            mproc_dump_to(stdout);
            fflush(stdout);
            exit(1);
        }
        if (mproc_process_finish(processes[i], &code) != APR_SUCCESS || code != 7)
            fault("a worker has ended", i, code);
        counts.steps += atomic_load(&board->workers[i].steps);
    }
}

/** All are gone: see what is left. */
static void check_rest(void)
{
    mproc_family_info_t info;
    for (int i = 0; i < LOCKS; i++) {
        const apr_status_t status = mproc_lock_acquire(shared[i], 0);
        const int told = atomic_load(&board->told[i]) + (status == MPROC_EOWNERDEAD);
        if (!mproc_has_acquired(status))
            fault("a lock is not free", i, status);
        printf("lock %d: %d killed with it, %d perhaps, %d told, longest wait %lld ms\n", i, counts.certain[i],
               counts.possible[i], told, (long long)atomic_load(&board->worst[i]) / 1000);
        if (told < counts.certain[i] - counts.possible[i] || told > counts.certain[i] + counts.possible[i])
            fault("told too often or not often enough", i, told);
    }
    const unsigned owned = mproc_semaphore_value(shared[SHARED_OWNED]);
    const unsigned plain = mproc_semaphore_value(shared[SHARED_PLAIN]);
    if (owned != SEATS)
        fault("the owned semaphore's value", SHARED_OWNED, owned);
    if (plain < SEATS || plain > SEATS + (unsigned)counts.possible[SHARED_PLAIN])
        fault("the plain semaphore's value", SHARED_PLAIN, plain);
    printf("owned semaphore: %d killed with it, %d perhaps; longest waits %lld and %lld ms, barrier %lld ms\n",
           counts.certain[SHARED_OWNED], counts.possible[SHARED_OWNED],
           (long long)atomic_load(&board->worst[SHARED_OWNED]) / 1000,
           (long long)atomic_load(&board->worst[SHARED_PLAIN]) / 1000,
           (long long)atomic_load(&board->worst[SHARED_BARRIER]) / 1000);
    for (int i = 0; i < LOCKS; i++)
        mproc_lock_close(shared[i]);
    mproc_semaphore_close(shared[SHARED_OWNED]);
    mproc_semaphore_close(shared[SHARED_PLAIN]);
    mproc_condition_close(shared[SHARED_CONDITION]);
    mproc_barrier_close(shared[SHARED_BARRIER]);
    mproc_event_close(shared[SHARED_EVENT]);
    must(mproc_family_info(&info), "info");
    if (info.objects != 0 || info.used != 0 || info.members != 1) {
        fault("something is left", (int)info.objects, (long long)info.used);
        mproc_dump_to(stdout);
    }
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "locks: %s\n", mproc_last_error()->text);
        return 2;
    }
    const int seconds = argc > 1 ? atoi(argv[1]) : 60;
    unsigned long long random = argc > 2 ? strtoull(argv[2], NULL, 10) : (unsigned long long)now();
    if (argc > 3)
        worker_count = atoi(argv[3]);
    if (seconds < 1 || worker_count < 4 || worker_count > MOST_WORKERS ||
        (argc > 4 && mproc_start_method_parse(&method, argv[4]) != APR_SUCCESS)) {
        fprintf(stderr, "usage: locks [SECONDS [SEED [WORKERS, 4 to %d [METHOD]]]]\n", MOST_WORKERS);
        return 2;
    }
    snprintf(path, sizeof path, "mproc-locks-%d", (int)getpid());
    if (!map_board(path))
        return 2;
    printf("seed %llu, %d workers, %d s\n", random, worker_count, seconds);
    fflush(stdout);
    make_objects();
    for (int i = 0; i < worker_count; i++)
        start_worker(i, &random);
    for (const int64_t end = now() + seconds * (int64_t)1000000; now() < end && atomic_load(&board->faults) == 0;) {
        usleep((useconds_t)(next_random(&random) % 10000));
        kill_some(&random);
        look_for_stalls();
    }
    end_all();
    check_rest();
    unlink(path);
    printf("%d kills, %llu steps, %llu through the barrier; %d faults\n", counts.kills,
           (unsigned long long)counts.steps, (unsigned long long)atomic_load(&board->passed),
           atomic_load(&board->faults));
    return atomic_load(&board->faults) > 0;
}
