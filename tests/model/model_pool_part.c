/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of maps: whoever is killed when, and whenever the map is stopped, each unit is done once or taken; the map is
 * over when no worker can touch its arrays any more, and then all that failed has been told; and nobody looks at memory
 * that was freed.
 */
#include "model/pools.h"

/* ---- What the program does --------------------------------------------------------------------------------------- */

typedef enum operation_kind_t {
    BEGIN, /* a map */
    START, /* the workers */
    LATER, /* go on now, or when something has happened to the map */
    HALT,  /* what is left of the map */
    WAIT,  /* until it is over */
    STOP   /* that is all */
} operation_kind_t;

typedef struct operation_t {
    operation_kind_t kind;
    unsigned retries;
} operation_t;

static const operation_t *program;

/* By map: how far it is; and which units' memory was freed. No process knows of it. */
static shm_u32_t stage_of_map[2];
static shm_u32_t freed[RECORDS];
static shm_u32_t which_map;
enum { MAP_NOT_YET, MAP_GOES_ON, MAP_STOPPED, MAP_OVER };

/* Of what the owner tells; besides that something is left over, whom it knows to be gone. */
enum { IS_OVER = TAG_TELLS, LEAVES_SOME = TAG_TELLS * 2 };

static void free_units(unsigned number)
{
    shm_store(&freed[number], 1);
}

/** As the library's, but what is plain is set elsewhere. */
static void begin_one(const operation_t *operation)
{
    pool_record_t *record;
    map_order_t order = {.opts = {.retries = operation->retries, .chunk = (size_t)is_fixed_map}};
    const unsigned number = own.maps++;
    memset(&own.map, 0, sizeof own.map);
    own.map.pool = &own.pool;
    model_require(pool_get_record(&own.pool, &record) == APR_SUCCESS, "there is no record");
    const unsigned units = units_number(record_number(record), shm_load64(&record->state));
    fill_part(record_number(record), shm_load64(&record->state));
    own.memory = units + 1;
    own.map.memory = arena_offset(ground.units[units]);
    shm_store(&which_map, number);
    shm_store(&stage_of_map[number], MAP_GOES_ON);
    model_require(begin_map(&own.map, record, &order, "") == APR_SUCCESS, "it was not begun");
}

/** As the library waits: whether it is over. */
static int wait_for_end(void)
{
    const uint32_t round = shm_load(&own.pool.head->rounds);
    if (map_is_over(&own.map))
        return 1;
    wait_for_round(round);
    return 0;
}

static void end_one(void)
{
    model_tag = IS_OVER;
    model_choose(1);
    model_tag = 0;
    shm_store(&stage_of_map[own.maps - 1], MAP_OVER);
    end_map(&own.map);
}

static void halt(void)
{
    mproc_task_error_t error;
    pool_make_error(&error, MPROC_ECANCELLED, 0, 0, "stopped");
    shm_store(&stage_of_map[own.maps - 1], MAP_STOPPED);
    map_stop(&own.map, &error);
}

/** What the program's thread does next: whether it can go on. */
static int go_on(void)
{
    const operation_t *operation = &program[own.at];
    switch (operation->kind) {
    case BEGIN:
        begin_one(operation);
        break;
    case START:
        shm_store(&gate, 1);
        break;
    case LATER:
        if (!own.has_waited && model_choose(2) == 1) {
            own.has_waited = 1;
            if (!wait_for_end())
                return 0;
        }
        break;
    case HALT:
        if (!map_is_over(&own.map))
            halt();
        break;
    case WAIT:
        if (!wait_for_end())
            return 0;
        end_one();
        break;
    case STOP:
        stop();
    }
    own.at++;
    own.has_waited = 0;
    return 1;
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

/* How often units were run, four bits for each; no process knows of it. */
static shm_u32_t ran[RECORDS];

static model_t model;
static int has_two_maps;

static int is_noted(const volatile void *at)
{
    return (at >= (const void *)stage_of_map && at < (const void *)(stage_of_map + 2)) || at == &which_map;
}

static unsigned map_of(unsigned units)
{
    return has_two_maps && units > 0;
}

static unsigned count_of(unsigned units)
{
    return units == 0 ? units_of_map : 1;
}

static void check(const view_t *view)
{
    check_sleep(view);
}

/** Which units a word is of; RECORDS: none. */
static unsigned units_around(const void *at)
{
    for (unsigned i = 0; i < RECORDS; i++)
        if (at >= (const void *)ground.units[i] && at < (const void *)(ground.units[i] + UNITS))
            return i;
    return RECORDS;
}

/** Look at a task that begins. */
static void see_run(const view_t *before, view_t *after, int process)
{
    const uint64_t tag = model_tag_of(before->node[process]);
    const unsigned record = tag_record(before, process);
    const unsigned units = units_number(record, model_value(before, &ground.records[record].state));
    const unsigned first = (unsigned)(tag >> TAG_UNIT_SHIFT) & 15;
    const unsigned count = (unsigned)(tag >> TAG_COUNT_SHIFT) & 15;
    uint64_t runs = model_value(before, &ran[units]);
    model_require(model_value(before, &stage_of_map[map_of(units)]) < MAP_OVER, "a task runs of a map that is over");
    for (unsigned i = first; i < first + count; i++) {
        model_require((runs >> (4 * i) & 15) == 0, "unit %u was run twice", i);
        runs += (uint64_t)1 << (4 * i);
    }
    model_set(after, &ran[units], runs);
}

/** Look at what a worker reads and writes. */
static void see_use(const view_t *before, const view_t *after, const step_t *step)
{
    const void *at = model_address(step->word);
    const unsigned units = units_around(at);
    model_require(units == RECORDS || !model_value(before, &freed[units]), "a worker looks at units that were freed");
    if (at == &ground.errors[0].lock.word || at == &ground.errors[0].which)
        model_require(!model_value(before, &freed[0]), "a worker looks at errors that were freed");
    for (unsigned i = 0; i < RECORDS && step->kind == STEP_ADD; i++)
        if (at == &ground.records[i].part_state.left)
            model_require(after->words[step->word] <= before->words[step->word], "more is counted than there is");
}

/** What a part has come to, when its map is over. */
typedef struct outcome_t {
    unsigned done;
    unsigned taken;
    uint64_t first_failed;
} outcome_t;

static void see_part(const view_t *view, unsigned units, outcome_t *outcome)
{
    unsigned at = 0;
    while (at < count_of(units)) {
        const uint32_t word = (uint32_t)model_value(view, &ground.units[units][at]);
        const uint32_t kind = unit_kind(word);
        const unsigned count = unit_count(word);
        uint32_t failing = 0;
        model_require((kind == UNIT_DONE || kind == UNIT_TAKEN) && count > 0, "it is over, and unit %u is not", at);
        for (unsigned i = at; i < at + count; i++)
            failing |= (uint32_t)fails >> i & 1;
        if ((kind == UNIT_TAKEN || failing) && at < outcome->first_failed)
            outcome->first_failed = at;
        *(kind == UNIT_DONE ? &outcome->done : &outcome->taken) += count;
        at += count;
    }
    model_require(at == count_of(units), "units are claimed that there are not");
}

/** The owner takes a map for over. */
static void see_end(const view_t *view)
{
    const unsigned map = (unsigned)model_value(view, &which_map);
    outcome_t outcome = {.first_failed = OTHER};
    outcome_t others = {.first_failed = OTHER};
    for (int i = 1; i < processes; i++)
        model_require(!is_running(view, i) ||
                          map_of(units_number(tag_record(view, i),
                                              model_value(view, &ground.records[tag_record(view, i)].state))) != map,
                      "a map is over, and process %d runs a task of it", i + 1);
    see_part(view, map, &outcome);
    for (unsigned i = 1; i < RECORDS && !has_two_maps; i++)
        if (record_kind(model_value(view, &ground.records[i].state)) == RECORD_OPEN)
            see_part(view, i, &others);
    const int is_again = program[0].retries > 0;
    const int is_stopped = model_value(view, &stage_of_map[map]) == MAP_STOPPED;
    model_require(!is_again || is_stopped || outcome.done + others.done == units_of_map, "a task was not run again");
    model_require(is_again || view->kills > 0 || is_stopped || outcome.taken == 0, "nobody has died of it");
    if (is_again || map > 0)
        return;
    const uint64_t which = model_value(view, &ground.errors[0].which);
    const uint64_t told = which ? model_value(view, &error_index[which - 1]) : OTHER;
    model_require((which == 0) == (outcome.first_failed == OTHER) && told == (which ? outcome.first_failed : OTHER),
                  "item %u failed first, and %u is told", (unsigned)outcome.first_failed, (unsigned)told);
}

/** No record is lost. */
static void check_end(void)
{
    unsigned count = 0;
    for (uint32_t i = own.pool.free_entry; i; i = own.entries[i - 1].next)
        count++;
    for (const pool_limbo_t *limbo = own.pool.limbo; limbo; limbo = limbo->next)
        count++;
    model_require(count == RECORDS, "of %d records %u are known", RECORDS, count);
    if (own.pool.limbo) {
        model_tag = LEAVES_SOME | own.gone;
        model_choose(1);
        model_tag = 0;
    }
}

/** Only one that the owner has not missed yet can look at what is over, when all sleep. */
static void see_rest(const view_t *view, unsigned gone)
{
    for (int i = 1; i < processes; i++)
        if (view->status[i] == DEAD && !(gone >> i & 1))
            return;
    model_fail("what is over is never freed");
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    const uint64_t tag = model_tag_of(before->node[process]);
    (void)result;
    take_note(after, process, step);
    if (process != OWNER && step->kind <= STEP_REPLACE)
        see_use(before, after, step);
    if (process != OWNER && (tag & TAG_RUNS))
        see_run(before, after, process);
    if (process == OWNER && (tag & IS_OVER))
        see_end(before);
    if (process == OWNER && (tag & LEAVES_SOME))
        see_rest(before, (unsigned)tag & 15);
}

static void body_of_model(int process)
{
    body(process);
    if (process == OWNER)
        check_end();
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

typedef struct run_t {
    const char *name;
    const operation_t *program;
    unsigned workers;
    unsigned kept; /* for who is killed */
    unsigned kills;
    unsigned units;
    int is_fixed;
    int fails; /* units, as bits */
} run_t;

static void explore(const run_t *run)
{
    program = run->program;
    workers = run->workers;
    processes = (int)(1 + run->workers + run->kept);
    units_of_map = run->units;
    is_fixed_map = run->is_fixed;
    fails = run->fails;
    has_again = 0;
    has_two_maps = 0;
    for (const operation_t *operation = program; operation->kind != STOP; operation++) {
        has_again |= operation->retries > 0;
        has_two_maps |= operation->kind == BEGIN && operation != program;
    }
    ground.head.worker_count = 1;
    lingers = 1;
    for (unsigned i = 0; i < 2; i++)
        atomic_store(&error_index[i], OTHER);
    reset_plain();
    model = (model_t){.name = run->name,
                      .processes = processes,
                      .kills = run->kills,
                      .immortal = 1 << OWNER,
                      .is_for_good = 1,
                      .limit = 20000000,
                      .body = body_of_model,
                      .is_ready = is_ready,
                      .is_private = is_of_one,
                      .look = look,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
    model_require_finish(NULL, EVENT_STEP, "it never ends");
}

static const operation_t once[] = {{BEGIN, 0}, {START, 0}, {WAIT, 0}, {STOP, 0}};
static const operation_t again[] = {{BEGIN, 1}, {START, 0}, {WAIT, 0}, {STOP, 0}};
static const operation_t again_twice[] = {{BEGIN, 2}, {START, 0}, {WAIT, 0}, {STOP, 0}};
static const operation_t halted[] = {{BEGIN, 0}, {START, 0}, {HALT, 0}, {WAIT, 0}, {STOP, 0}};
static const operation_t halted_later[] = {{BEGIN, 0}, {START, 0}, {LATER, 0}, {HALT, 0}, {WAIT, 0}, {STOP, 0}};

static const run_t short_runs[] = {
    {.name = "run again", .program = again, .workers = 1, .kept = 1, .kills = 1, .units = 2, .is_fixed = 1},
    {.name = "stopped", .program = halted, .workers = 1, .units = 2},
    {.name = "stopped, a death", .program = halted_later, .workers = 1, .kills = 1, .units = 2, .is_fixed = 1},
    {.name = "one unit each", .program = once, .workers = 2, .units = 2, .is_fixed = 1},
    {.name = "several units", .program = once, .workers = 1, .kept = 1, .kills = 1, .units = 7},
    {.name = "both fail, a death", .program = once, .workers = 2, .kills = 1, .units = 2, .is_fixed = 1, .fails = 3},
};

static const run_t deep_runs[] = {
    {.name = "four units", .program = once, .workers = 2, .units = 4},
    {.name = "four units, failing, a death", .program = once, .workers = 2, .kills = 1, .units = 4, .fails = 5},
    {.name = "run again twice", .program = again_twice, .workers = 1, .kept = 2, .kills = 2, .units = 2, .is_fixed = 1},
    {.name = "run again by any", .program = again, .workers = 2, .kills = 1, .units = 2, .is_fixed = 1},
};

static void explore_all(const run_t *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        explore(&all[i]);
}

int main(void)
{
    lay_ground();
    for (unsigned i = 0; i < RECORDS; i++) {
        for (unsigned k = 0; k < UNITS; k++)
            name(&ground.units[i][k], 4, "unit", 10 * i + k);
        name(&freed[i], 4, "freed", i);
        name(&ran[i], 4, "ran", i);
    }
    for (unsigned i = 0; i < 2; i++)
        name(&stage_of_map[i], 4, "stage of map", i);
    model_name(&which_map, 4, "which map");
    go_on_with_program = go_on;
    explore_all(short_runs, sizeof short_runs / sizeof *short_runs);
    if (model_is_deep())
        explore_all(deep_runs, sizeof deep_runs / sizeof *deep_runs);
    return 0;
}
