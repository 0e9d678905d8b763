/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single tasks of pools: whoever is killed when, each of them ends once, and runs once for each worker that it is taken
 * from; no worker sleeps while there is one; and the owner is told in the end.
 */
#include "model/pools.h"

/* ---- What the program does --------------------------------------------------------------------------------------- */

typedef enum operation_kind_t {
    SUBMIT,
    SUBMIT_LISTED, /* nobody keeps it */
    AWAIT,
    CANCEL,
    LET_GO,
    LIST,      /* have the dispatcher be told of its end */
    LATER,     /* go on now, or when something has happened to a task */
    DRAINED,   /* go on when all that was put in has ended, as far as the dispatcher knows */
    START,     /* the workers */
    ASLEEP,    /* go on when they sleep */
    COUNTED,   /* what has ended, like this one, is counted */
    SHUT,      /* and have all end */
    TERMINATE, /* likewise, at once */
    STOP       /* that is all */
} operation_kind_t;

typedef struct operation_t {
    operation_kind_t kind;
    unsigned future;
    unsigned retries;
} operation_t;

static const operation_t *program;

/* By task: how often it was begun, and which is in a record, + 1. No process knows of it. */
static shm_u32_t runs[FUTURES];
static shm_u32_t task_in[RECORDS];

/* Of what the owner tells. */
enum { ENDED_WELL = TAG_TELLS, ENDED_BADLY = TAG_TELLS * 2, TELL_FUTURE_SHIFT = 8 };

static void tell_end(const future_t *future, unsigned number)
{
    model_tag = (future->error.status == APR_SUCCESS ? ENDED_WELL : ENDED_BADLY) | (uint64_t)number
                                                                                       << TELL_FUTURE_SHIFT;
    model_choose(1);
    model_tag = 0;
}

static void submit_one(const operation_t *operation)
{
    const uint32_t record = own.pool.free_entry - 1;
    const int is_kept = operation->kind == SUBMIT;
    const pool_order_t order = {.opts = {.retries = operation->retries}, .is_kept = is_kept};
    future_t *future;
    model_require(own.pool.free_entry != 0, "no record is free");
    shm_store(&task_in[record], operation->future + 1);
    model_require(future_submit(&future, &own.pool, &order, "") == APR_SUCCESS, "it was not put in");
    own.futures[operation->future] = is_kept ? future : NULL;
    own.submitted++;
    pool_wake(own.pool.head, 1);
}

/** As future_await(): whether it has ended. */
static int await(future_t *future)
{
    while (!future_look(future)) {
        const uint32_t round = shm_load(&own.pool.head->rounds);
        if (future_ask(future)) {
            wait_for_round(round);
            return 0;
        }
    }
    return 1;
}

static void cancel(future_t *future)
{
    mproc_task_error_t error;
    pool_make_error(&error, MPROC_ECANCELLED, 0, 0, "cancelled");
    future_take(future, &error);
    pool_alarm(&own.pool);
}

/** Whenever the owner looks, what has ended is counted once. */
static void check_counts(const future_t *future)
{
    const pool_t *pool = &own.pool;
    uint64_t done = pool->lost;
    uint64_t failed = pool->lost;
    for (unsigned i = 0; i < workers; i++) {
        done += pool_read_count(pool, i, &ground.slots[i].done);
        failed += pool_read_count(pool, i, &ground.slots[i].failed);
    }
    model_require(done >= own.ends && done <= own.submitted, "of %u tasks %u have ended, and %u are done",
                  own.submitted, own.ends, (unsigned)done);
    /* What a task says of itself is not modelled. */
    if (fails || future->error.status != APR_SUCCESS)
        model_require(failed >= own.ends && failed <= own.submitted, "of %u tasks %u have ended, and %u have failed",
                      own.submitted, own.ends, (unsigned)failed);
    else
        model_require(failed == 0, "none of the tasks fails, and %u have failed", (unsigned)failed);
}

/** What the program's thread does next: whether it can go on. */
static int go_on(void)
{
    const operation_t *operation = &program[own.at];
    future_t *future = own.futures[operation->future];
    if (own.pool.state != POOL_OPEN)
        return 0;
    switch (operation->kind) {
    case SUBMIT:
    case SUBMIT_LISTED:
        submit_one(operation);
        break;
    case AWAIT:
        if (!await(future))
            return 0;
        tell_end(future, operation->future);
        break;
    case CANCEL:
        cancel(future);
        break;
    case LET_GO:
        own.futures[operation->future] = NULL;
        future->handle = NULL;
        destroy_future(future);
        break;
    case LIST:
        future_list(future);
        break;
    case DRAINED:
        if (own.ends < own.submitted)
            return 0;
        break;
    case LATER:
        if (!own.has_waited && model_choose(2) == 1) {
            own.has_waited = 1;
            if (!await(future))
                return 0;
        }
        break;
    case START:
        shm_store(&gate, 1);
        break;
    case ASLEEP:
        linger();
        break;
    case COUNTED:
        check_counts(future);
        break;
    case STOP:
        stop();
    case TERMINATE:
        own.pool.state = POOL_TERMINATED;
        shm_store(&own.pool.head->order, POOL_STOPS);
        pool_fail_all(&own.pool, MPROC_ETERMINATED, "");
        pool_wake_all(own.pool.head);
        pool_alarm(&own.pool);
        return 0;
    case SHUT:
        shut();
        return 0;
    }
    own.at++;
    own.has_waited = 0;
    return 1;
}

static void free_units(unsigned number)
{
    model_fail("units %u are given back, and there are none", number);
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static model_t model;

static void check(const view_t *view)
{
    check_sleep(view);
    check_list(view);
    for (int i = 1; i < processes; i++)
        for (int k = i + 1; k < processes; k++)
            model_require(!is_running(view, i) || !is_running(view, k) || tag_record(view, i) != tag_record(view, k),
                          "two workers run the same task");
}

static int is_noted(const volatile void *at)
{
    for (unsigned i = 0; i < RECORDS; i++)
        if (at == &task_in[i])
            return 1;
    return 0;
}

static unsigned deaths(const view_t *view)
{
    unsigned count = 0;
    for (int i = 1; i < processes; i++)
        count += view->status[i] == DEAD;
    return count;
}

/** What workers do to records: they claim what is free, and end what they have. */
static void see_change(const view_t *before, const view_t *after, const step_t *step)
{
    const uint64_t was = before->words[step->word];
    const uint64_t now = after->words[step->word];
    for (unsigned i = 0; i < RECORDS; i++) {
        if (model_address(step->word) != (const void *)&ground.records[i].state || was == now)
            continue;
        const int claims = record_kind(was) == RECORD_QUEUED && record_kind(now) == RECORD_CLAIMED;
        const int ends = record_kind(was) == RECORD_CLAIMED && record_kind(now) == RECORD_ENDED;
        model_require(claims || ends, "a worker changes what it does not have");
    }
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    const uint64_t tag = model_tag_of(before->node[process]);
    (void)result;
    take_note(after, process, step);
    if (process != OWNER)
        see_change(before, after, step);
    if (process != OWNER && (tag & TAG_RUNS)) {
        const unsigned record = tag_record(before, process);
        const uint64_t task = model_value(before, &task_in[record]);
        const uint64_t state = model_value(before, &ground.records[record].state);
        const uint64_t count = model_value(before, &runs[task - 1]) + 1;
        model_require(record_kind(state) == RECORD_CLAIMED || record_kind(state) == RECORD_TAKEN,
                      "a task is run that nobody has claimed");
        model_require(count <= 1 + deaths(before), "a task was run %u times", (unsigned)count);
        model_set(after, &runs[task - 1], count);
    }
    if (process == OWNER && tag >= TAG_TELLS) {
        const unsigned task = (tag >> TELL_FUTURE_SHIFT) & 15;
        model_require(!(tag & ENDED_WELL) || model_value(before, &runs[task]) > 0, "a task has ended, and never ran");
        model_require(!(tag & ENDED_BADLY) || deaths(before) > 0, "a task has failed, and nobody has died");
    }
}

static void check_end(void)
{
    const unsigned room = RECORDS;
    unsigned free_records = 0;
    for (uint32_t i = own.pool.free_entry; i; i = own.entries[i - 1].next)
        free_records++;
    for (unsigned i = 0; i < FUTURES; i++)
        free_records += own.futures[i] && own.futures[i]->record;
    if (program[own.at].kind == STOP)
        return;
    model_require(own.ends == own.submitted && own.pool.unended == 0, "%u tasks were put in, and %u have ended",
                  own.submitted, own.ends);
    model_require(free_records == room, "of %u records %u are free", room, free_records);
    model_require(own.pool.queued == 0, "some wait for room");
    if (has_counts)
        check_counts(own.futures[0]);
}

static void body_of_model(int process)
{
    body(process);
    if (process == OWNER)
        check_end();
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

static int is_constant_here(const volatile void *at)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (at == &ground.slots[i].part)
            return 1;
    return 0;
}

typedef struct run_t {
    const char *name;
    const operation_t *program;
    unsigned workers;
    unsigned kept; /* for who is killed */
    unsigned kills;
    unsigned ring_length;
    int has_looker; /* one may look before it sleeps */
    int fails;      /* all tasks do */
} run_t;

static void explore(const run_t *run)
{
    program = run->program;
    workers = run->workers;
    processes = (int)(1 + run->workers + run->kept);
    fails = run->fails;
    has_again = has_list = has_end = has_counts = 0;
    for (const operation_t *operation = program;; operation++) {
        has_again |= operation->retries > 0;
        has_list |= operation->kind == SUBMIT_LISTED || operation->kind == LIST || operation->kind == LET_GO;
        has_end |= operation->kind == SHUT || operation->kind == TERMINATE;
        has_counts |= operation->kind == COUNTED;
        if (operation->kind >= SHUT)
            break;
    }
    ring_length = run->ring_length ? run->ring_length : RING_MAX;
    has_queue = run->ring_length != 0;
    has_looker = run->has_looker;
    ground.head.worker_count = workers;
    model = (model_t){.name = run->name,
                      .processes = processes,
                      .kills = run->kills,
                      .immortal = 1 << OWNER,
                      .is_for_good = 1,
                      .limit = 2000000,
                      .body = body_of_model,
                      .is_ready = is_ready,
                      .is_private = is_of_one,
                      .look = look,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
    model_require_finish(NULL, EVENT_STEP, "it never ends");
}

static const operation_t one[] = {{START, 0, 0}, {SUBMIT, 0, 0}, {AWAIT, 0, 0}, {STOP, 0, 0}};
static const operation_t asleep[] = {{START, 0, 0}, {ASLEEP, 0, 0}, {SUBMIT, 0, 0}, {AWAIT, 0, 0}, {STOP, 0, 0}};
static const operation_t asleep_twice[] = {{START, 0, 0},  {ASLEEP, 0, 0}, {SUBMIT, 0, 0}, {AWAIT, 0, 0},
                                           {SUBMIT, 1, 0}, {AWAIT, 1, 0},  {STOP, 0, 0}};
static const operation_t one_again[] = {{START, 0, 0}, {SUBMIT, 0, 1}, {AWAIT, 0, 0}, {STOP, 0, 0}};
static const operation_t two[] = {{SUBMIT, 0, 0}, {SUBMIT, 1, 0}, {START, 0, 0},
                                  {AWAIT, 0, 0},  {AWAIT, 1, 0},  {STOP, 0, 0}};
static const operation_t listed[] = {{SUBMIT_LISTED, 0, 1}, {SUBMIT, 1, 0}, {START, 0, 0}, {SHUT, 0, 0}};
static const operation_t cancelled[] = {{SUBMIT, 0, 1}, {START, 0, 0}, {LATER, 0, 0}, {CANCEL, 0, 0}, {SHUT, 0, 0}};
static const operation_t cancelled_once[] = {{SUBMIT, 0, 0}, {START, 0, 0}, {CANCEL, 0, 0},
                                             {SUBMIT, 1, 0}, {AWAIT, 1, 0}, {STOP, 0, 0}};
static const operation_t counted[] = {{SUBMIT, 0, 1}, {START, 0, 0}, {AWAIT, 0, 0}, {COUNTED, 0, 0}, {STOP, 0, 0}};
static const operation_t counted_as_cancelled[] = {{SUBMIT, 0, 0}, {START, 0, 0},   {LATER, 0, 0},
                                                   {CANCEL, 0, 0}, {COUNTED, 0, 0}, {SHUT, 0, 0}};
static const operation_t counted_between[] = {{SUBMIT, 0, 0},  {SUBMIT, 1, 0}, {START, 0, 0},   {AWAIT, 0, 0},
                                              {COUNTED, 0, 0}, {AWAIT, 1, 0},  {COUNTED, 1, 0}, {STOP, 0, 0}};
static const operation_t let_go[] = {{SUBMIT, 0, 0}, {START, 0, 0}, {LET_GO, 0, 0}, {SHUT, 0, 0}};
static const operation_t reused[] = {{SUBMIT_LISTED, 0, 0}, {START, 0, 0},   {DRAINED, 0, 0},
                                     {SUBMIT_LISTED, 1, 0}, {DRAINED, 1, 0}, {STOP, 0, 0}};
static const operation_t both_listed[] = {
    {SUBMIT_LISTED, 0, 0}, {SUBMIT_LISTED, 1, 0}, {START, 0, 0}, {DRAINED, 0, 0}, {STOP, 0, 0}};
static const operation_t terminated[] = {{SUBMIT_LISTED, 0, 1}, {SUBMIT, 1, 1}, {START, 0, 0}, {TERMINATE, 0, 0}};
static const operation_t fed[] = {{SUBMIT, 0, 0}, {SUBMIT, 1, 0}, {SUBMIT, 2, 0}, {SUBMIT, 3, 0},
                                  {START, 0, 0},  {AWAIT, 3, 0},  {STOP, 0, 0}};
static const operation_t fed_after[] = {{SUBMIT, 0, 0}, {SUBMIT, 1, 0}, {SUBMIT, 2, 0}, {START, 0, 0},
                                        {CANCEL, 0, 0}, {CANCEL, 1, 0}, {AWAIT, 2, 0},  {STOP, 0, 0}};

static const run_t short_runs[] = {
    {.name = "run again by another", .program = one_again, .workers = 1, .kept = 1, .kills = 1},
    {.name = "let go of", .program = let_go, .workers = 1, .kept = 1, .kills = 1},
    {.name = "listed", .program = listed, .workers = 1, .kept = 1, .kills = 1},
    {.name = "terminated", .program = terminated, .workers = 1, .kills = 1},
    {.name = "cancelled", .program = cancelled, .workers = 1, .kept = 1, .kills = 1},
    {.name = "counted, a death", .program = counted, .workers = 1, .kept = 1, .kills = 1},
    {.name = "counted as failed, a death", .program = counted, .workers = 1, .kept = 1, .kills = 1, .fails = 1},
    {.name = "counted in between", .program = counted_between, .workers = 1},
    {.name = "counted as cancelled", .program = counted_as_cancelled, .workers = 1, .kept = 1},
    {.name = "counted as cancelled or failed", .program = counted_as_cancelled, .workers = 1, .kept = 1, .fails = 1},
    {.name = "cancelled, and another", .program = cancelled_once, .workers = 1, .kept = 1},
    {.name = "cancelled to make room", .program = fed_after, .workers = 1, .kept = 1, .ring_length = 2},
    {.name = "more than there is room for", .program = fed, .workers = 1, .kept = 1, .kills = 1, .ring_length = 2},
    {.name = "two listed", .program = both_listed, .workers = 2},
    {.name = "asleep", .program = asleep, .workers = 2, .kills = 1},
    {.name = "one task, a looker", .program = one, .workers = 1, .has_looker = 1},
    {.name = "one task", .program = one, .workers = 2},
    {.name = "a record used again", .program = reused, .workers = 2, .kills = 1},
};

static const run_t deep_runs[] = {
    {.name = "one task, a looker, a death", .program = one, .workers = 2, .kills = 1, .has_looker = 1},
    {.name = "asleep, twice", .program = asleep_twice, .workers = 2, .kills = 1, .has_looker = 1},
    {.name = "two tasks", .program = two, .workers = 2, .kills = 1, .has_looker = 1},
    {.name = "run again by any", .program = one_again, .workers = 2, .kept = 1, .kills = 2},
    {.name = "run again by others", .program = one_again, .workers = 1, .kept = 2, .kills = 2},
    {.name = "listed, two workers", .program = listed, .workers = 2, .kills = 1},
    {.name = "terminated, two workers", .program = terminated, .workers = 2, .kills = 1},
    {.name = "cancelled, two workers", .program = cancelled, .workers = 2, .kills = 1},
    {.name = "cancelled to make room, deaths",
     .program = fed_after,
     .workers = 1,
     .kept = 2,
     .kills = 1,
     .ring_length = 2},
    {.name = "two workers, more than there is room for", .program = fed, .workers = 2, .ring_length = 2},
};

static void explore_all(const run_t *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        explore(&all[i]);
}

int main(void)
{
    lay_ground();
    for (unsigned i = 0; i < FUTURES; i++)
        name(&runs[i], 4, "runs of", i);
    for (unsigned i = 0; i < RECORDS; i++)
        name(&task_in[i], 4, "task in", i);
    is_constant_too = is_constant_here;
    go_on_with_program = go_on;
    explore_all(short_runs, sizeof short_runs / sizeof *short_runs);
    if (model_is_deep())
        explore_all(deep_runs, sizeof deep_runs / sizeof *deep_runs);
    return 0;
}
