/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { WORD_NAME_MAX = 40, DEPTH_MAX = 100000 };

#define NONE UINT32_MAX

uint64_t model_tag;

static const model_t *model;

/* ---- Shared words ------------------------------------------------------------------------------------------------ */

typedef struct word_t {
    const volatile void *at;
    size_t width;
    uint64_t initial;
    char name[WORD_NAME_MAX];
} word_t;

static word_t words[MODEL_WORDS];
static unsigned word_count;

/* Where words were found last: they are looked for all the time. */
enum { CACHE = 1024 };

static unsigned cache[CACHE]; /* + 1 */

/** The number of a word, or how many there are. */
static unsigned find_word(const volatile void *at)
{
    unsigned *last = &cache[((uintptr_t)at >> 2) % CACHE];
    if (*last && words[*last - 1].at == at)
        return *last - 1;
    unsigned i = 0;
    while (i < word_count && words[i].at != at)
        i++;
    if (i < word_count)
        *last = i + 1;
    return i;
}

/** What a word begins with. */
static uint64_t read_word(const word_t *word)
{
    return word->width == 4 ? *(const volatile uint32_t *)word->at : *(const volatile uint64_t *)word->at;
}

unsigned model_word(const volatile void *at, size_t width)
{
    const unsigned i = find_word(at);
    if (i < word_count)
        return i;
    if (i == MODEL_WORDS) {
        fprintf(stderr, "more than %d shared words\n", MODEL_WORDS);
        exit(MODEL_LIMIT);
    }
    words[i].at = at;
    words[i].width = width;
    words[i].initial = read_word(&words[i]);
    snprintf(words[i].name, sizeof words[i].name, "word %u", i);
    word_count++;
    return i;
}

const void *model_address(unsigned word)
{
    return (const void *)(uintptr_t)words[word].at;
}

void model_name(const volatile void *at, size_t width, const char *name)
{
    snprintf(words[model_word(at, width)].name, WORD_NAME_MAX, "%s", name);
}

static unsigned known_word(const volatile void *at)
{
    const unsigned i = find_word(at);
    if (i < word_count)
        return i;
    fprintf(stderr, "a check looks at a word that has no number\n");
    exit(MODEL_LIMIT);
}

uint64_t model_value(const view_t *view, const volatile void *at)
{
    return view->words[known_word(at)];
}

void model_set(view_t *view, const volatile void *at, uint64_t value)
{
    view->words[known_word(at)] = value;
}

/* ---- Local states ------------------------------------------------------------------------------------------------ */

/** A local state of a process: it is about to take a step. */
typedef struct node_t {
    step_t step;
    uint64_t tag;
    uint32_t before; /* where it was found first, */
    uint32_t process;
    uint64_t via; /* and by which result */
} node_t;

static node_t *nodes;
static size_t node_count;
static size_t node_room;

/** What follows a local state, by the result of its step. */
typedef struct follow_t {
    uint64_t node;
    uint64_t result;
} follow_t;

static table_t follows = {.size = sizeof(follow_t)};
static uint32_t *followers;
static size_t follower_room;

/** Local states that are the same, whatever came before. */
typedef struct point_t {
    uint64_t process;
    uint64_t key;
    uint64_t kind;
    uint64_t word;
    uint64_t before;
    uint64_t after;
    uint64_t tag;
} point_t;

static table_t points = {.size = sizeof(point_t)};
static uint32_t *point_nodes;
static size_t point_room;

/* The run that goes on. */
static jmp_buf out;
static uint32_t path[DEPTH_MAX]; /* the nodes on the way, the last one first */
static uint64_t fed[DEPTH_MAX];
static size_t path_length; /* how many results there are to give */
static size_t given;
static step_t pending;
static int is_point;
static uint64_t point_key;

uint64_t model_step(step_t step)
{
    if (given < path_length) {
        is_point = 0;
        given++;
        return fed[path_length - given];
    }
    pending = step;
    longjmp(out, 1);
}

unsigned model_choose(unsigned count)
{
    return (unsigned)model_step((step_t){.kind = STEP_CHOOSE, .after = count});
}

void model_point(uint64_t key)
{
    is_point = 1;
    point_key = key;
}

uint32_t model_last(void)
{
    return path[path_length - given];
}

/** Run a process from its beginning to the step that follows the results. */
static void run(int process)
{
    given = 0;
    is_point = 0;
    if (setjmp(out) == 0) {
        model->body(process);
        pending = (step_t){.kind = STEP_END};
    }
}

static uint32_t add_node(uint32_t process, uint32_t before, uint64_t via)
{
    if (node_count == node_room) {
        node_room = node_room ? node_room * 2 : 256;
        nodes = table_grow(nodes, node_room * sizeof *nodes);
    }
    nodes[node_count] = (node_t){.step = pending, .tag = model_tag, .before = before, .process = process, .via = via};
    return (uint32_t)node_count++;
}

/** The node that a run has come to. */
static uint32_t node_of_run(uint32_t process, uint32_t before, uint64_t via)
{
    int is_new = 1;
    if (!is_point)
        return add_node(process, before, via);
    const point_t point = {process, point_key, pending.kind, pending.word, pending.before, pending.after, model_tag};
    const uint32_t number = table_add(&points, &point, &is_new);
    if (number >= point_room) {
        point_room = point_room ? point_room * 2 : 256;
        point_nodes = table_grow(point_nodes, point_room * sizeof *point_nodes);
    }
    if (is_new)
        point_nodes[number] = add_node(process, before, via);
    return point_nodes[number];
}

static uint32_t first_node(uint32_t process)
{
    path_length = 0;
    run((int)process);
    return node_of_run(process, NONE, 0);
}

/** The local state that follows a result. */
static uint32_t next_node(uint32_t node, uint64_t result)
{
    int is_new;
    const uint32_t number = table_add(&follows, &(follow_t){node, result}, &is_new);
    if (!is_new)
        return followers[number];
    path_length = 0;
    uint64_t via = result;
    for (uint32_t i = node; i != NONE; i = nodes[i].before) {
        if (path_length == DEPTH_MAX - 1)
            model_fail("a process goes on for ever, and is never where it was");
        path[path_length] = i;
        fed[path_length++] = via;
        via = nodes[i].via;
    }
    /* model_last(): the node whose step was taken last. */
    run((int)nodes[node].process);
    const uint32_t next = node_of_run(nodes[node].process, node, result);
    if (number >= follower_room) {
        follower_room = follower_room ? follower_room * 2 : 256;
        followers = table_grow(followers, follower_room * sizeof *followers);
    }
    followers[number] = next;
    return next;
}

const step_t *model_next(uint32_t node)
{
    return &nodes[node].step;
}

uint64_t model_tag_of(uint32_t node)
{
    return nodes[node].tag;
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

/* Few values and few sets of them occur, so they are kept once. */
static table_t values = {.size = sizeof(uint64_t)};
static table_t sets = {.size = MODEL_WORDS * sizeof(uint16_t)};

typedef struct state_t {
    uint32_t set;
    uint32_t processes[MODEL_PROCESSES]; /* node and status */
    uint32_t kills;
} state_t;

static table_t states = {.size = sizeof(state_t)};

/** Where a state was found first. */
typedef struct origin_t {
    uint32_t from;
    edge_t edge;
} origin_t;

static origin_t *origins;
static size_t origin_room;

static edge_t *edges;
static size_t edge_count;
static size_t edge_room;
static size_t *first_edges; /* of each state, and one more */

static uint32_t now;    /* the state that is looked at, */
static edge_t now_edge; /* and what happens in it */
static int is_step_taken;

/* What words were packed as last: from one state to the next nearly all of them stay. */
static struct {
    uint64_t value;
    uint16_t number;
} packed[MODEL_WORDS];
static unsigned packed_count;

static state_t pack(const view_t *view)
{
    state_t state = {.kills = view->kills};
    uint16_t set[MODEL_WORDS] = {0};
    for (unsigned i = 0; i < word_count; i++) {
        /* As a difference, so that a word which gets its number later has 0 before. */
        const uint64_t value = view->words[i] ^ words[i].initial;
        if (i >= packed_count || value != packed[i].value) {
            packed[i].value = value;
            packed[i].number = (uint16_t)table_add(&values, &value, NULL);
        }
        set[i] = packed[i].number;
    }
    packed_count = word_count;
    if (values.count > UINT16_MAX)
        model_fail("words have too many values");
    state.set = table_add(&sets, set, NULL);
    for (int i = 0; i < model->processes; i++)
        state.processes[i] = view->node[i] << 2 | (uint32_t)view->status[i];
    return state;
}

void model_view(view_t *view, uint32_t number)
{
    state_t state;
    uint16_t set[MODEL_WORDS];
    memcpy(&state, table_at(&states, number), sizeof state);
    memcpy(set, table_at(&sets, state.set), sizeof set);
    memset(view, 0, sizeof *view);
    for (unsigned i = 0; i < word_count; i++) {
        uint64_t value;
        memcpy(&value, table_at(&values, set[i]), sizeof value);
        view->words[i] = value ^ words[i].initial;
    }
    for (int i = 0; i < model->processes; i++) {
        view->node[i] = state.processes[i] >> 2;
        view->status[i] = (status_t)(state.processes[i] & 3);
    }
    view->kills = state.kills;
    view->word_count = word_count;
}

size_t model_states(void)
{
    return states.count;
}

const edge_t *model_edges(uint32_t state, size_t *count)
{
    *count = first_edges[state + 1] - first_edges[state];
    return edges + first_edges[state];
}

/* ---- Showing schedules ------------------------------------------------------------------------------------------- */

static void show_step(const step_t *step)
{
    const char *name = words[step->word].name;
    switch (step->kind) {
    case STEP_LOAD:
        printf("load %s", name);
        break;
    case STEP_STORE:
        printf("store %s := %#" PRIx64, name, step->after);
        break;
    case STEP_EXCHANGE:
        printf("exchange %s := %#" PRIx64, name, step->after);
        break;
    case STEP_ADD:
        printf("add %#" PRIx64 " to %s", step->after, name);
        break;
    case STEP_SET:
        printf("set %#" PRIx64 " in %s", step->after, name);
        break;
    case STEP_UNSET:
        printf("unset %#" PRIx64 " in %s", step->after, name);
        break;
    case STEP_REPLACE:
        printf("replace %s: %#" PRIx64 " -> %#" PRIx64, name, step->before, step->after);
        break;
    case STEP_PARK:
        printf("park while %s is %#" PRIx64 ", %" PRIu64 " us", name, step->before, step->after);
        break;
    case STEP_UNPARK:
        printf("unpark %" PRIu64 " at %s", step->after, name);
        break;
    case STEP_CHOOSE:
        printf("choose");
        break;
    case STEP_ASK:
        printf("ask whether process %" PRIu64 " is dead", step->before + 1);
        break;
    case STEP_NOTICE:
        printf("look whether process %" PRIu64 " is known to be dead", step->before + 1);
        break;
    case STEP_AWAIT:
        printf("await %s", name);
        break;
    case STEP_LOOK:
        printf("look for %#" PRIx64 ", %#" PRIx64, step->before, step->after);
        break;
    case STEP_END:
        printf("end");
        break;
    }
}

/** Show what happens in a state. */
static void show_edge(uint32_t from, const edge_t *edge)
{
    view_t view;
    model_view(&view, from);
    const node_t *node = &nodes[view.node[edge->process]];
    printf("    process %d ", edge->process + 1);
    const int is_nap = edge->event == EVENT_STEP && view.status[edge->process] == PARKED;
    if (edge->event == EVENT_TIMEOUT || is_nap)
        printf("has slept to the end: %" PRIu64 " us", node->step.after);
    else if (edge->event == EVENT_SPURIOUS)
        printf("wakes up for no reason");
    else if (edge->event == EVENT_KILL)
        printf("IS KILLED%s before: ", view.status[edge->process] == PARKED ? ", asleep, not" : "");
    if (edge->event == EVENT_KILL || (edge->event == EVENT_STEP && !is_nap))
        show_step(&node->step);
    if (edge->event == EVENT_STEP && node->step.kind <= STEP_REPLACE && !is_nap)
        printf(" (it is %#" PRIx64 ")", view.words[node->step.word]);
    if (edge->event == EVENT_STEP && (node->step.kind == STEP_CHOOSE || node->step.kind == STEP_NOTICE))
        printf(" %d", edge->choice);
    if (edge->event == EVENT_STEP && node->step.kind == STEP_UNPARK && edge->choice && edge->choice != UINT8_MAX)
        printf(", which is process %d", edge->choice);
    printf("\n");
}

void model_show(uint32_t state)
{
    size_t length = 0;
    for (uint32_t i = state; i != 0; i = origins[i].from)
        length++;
    uint32_t *way = table_grow(NULL, (length + 1) * sizeof *way);
    size_t left = length;
    for (uint32_t i = state; i != 0; i = origins[i].from)
        way[--left] = i;
    for (size_t i = 0; i < length; i++)
        show_edge(origins[way[i]].from, &origins[way[i]].edge);
    free(way);
}

static _Noreturn void fail(uint32_t state, const edge_t *last, const char *format, va_list arguments)
{
    printf("%s: VIOLATION: ", model->name);
    vprintf(format, arguments);
    printf("\n");
    model_show(state);
    if (last)
        show_edge(state, last);
    fflush(stdout);
    exit(MODEL_VIOLATION);
}

void model_fail_at(uint32_t state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(state, NULL, format, arguments);
}

void model_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(now, is_step_taken ? &now_edge : NULL, format, arguments);
}

/* ---- Exploring --------------------------------------------------------------------------------------------------- */

/** Add what comes of an event. */
static void add_state(view_t *view)
{
    int is_new;
    for (; view->word_count < word_count; view->word_count++)
        view->words[view->word_count] = words[view->word_count].initial;
    const state_t state = pack(view);
    now_edge.to = table_add(&states, &state, &is_new);
    if (edge_count == edge_room) {
        edge_room = edge_room ? edge_room * 2 : 4096;
        edges = table_grow(edges, edge_room * sizeof *edges);
    }
    edges[edge_count++] = now_edge;
    if (!is_new)
        return;
    if (now_edge.to >= origin_room) {
        origin_room = origin_room ? origin_room * 2 : 4096;
        origins = table_grow(origins, origin_room * sizeof *origins);
    }
    origins[now_edge.to] = (origin_t){now, now_edge};
    if (model->check)
        model->check(view);
    if (states.count > model->limit) {
        printf("%s: more than %zu states, %zu local states\n", model->name, model->limit, node_count);
        exit(MODEL_LIMIT);
    }
}

/** Go on with a process after its step has returned. */
static void go_on(view_t *view, int process, uint64_t result)
{
    view->node[process] = next_node(view->node[process], result);
    view->status[process] = RUNNING;
}

static void begin_event(occasion_t event, int process, unsigned choice)
{
    now_edge = (edge_t){.event = (uint8_t)event, .process = (uint8_t)process, .choice = (uint8_t)choice};
    is_step_taken = 1;
}

/** In place of the number of who is woken. */
enum { ALL = UINT8_MAX };

static int is_parked_at(const view_t *view, int process, unsigned word)
{
    return view->status[process] == PARKED && nodes[view->node[process]].step.word == word;
}

/** A step that has one outcome. */
static void take_step(const view_t *before, int process, step_t step, uint64_t result, unsigned choice)
{
    view_t view = *before;
    begin_event(EVENT_STEP, process, choice);
    if (step.kind == STEP_STORE || step.kind == STEP_EXCHANGE || (step.kind == STEP_REPLACE && result))
        view.words[step.word] = step.after;
    if (step.kind == STEP_ADD)
        view.words[step.word] = (uint32_t)(view.words[step.word] + step.after);
    if (step.kind == STEP_SET)
        view.words[step.word] |= step.after;
    if (step.kind == STEP_UNSET)
        view.words[step.word] &= ~step.after;
    if ((step.kind == STEP_ASK || step.kind == STEP_NOTICE) && step.after && result)
        view.words[step.word] = 1;
    for (int i = 0; i < model->processes && step.kind == STEP_UNPARK; i++)
        if (choice == (unsigned)i + 1 || (choice == ALL && is_parked_at(before, i, step.word)))
            go_on(&view, i, 0);
    if (model->on_step)
        model->on_step(before, &view, process, &step, result);
    if (step.kind == STEP_END) {
        view.status[process] = FINISHED;
        view.node[process] = 0;
    } else if (step.kind == STEP_PARK && before->words[step.word] == step.before) {
        view.status[process] = PARKED;
    } else {
        go_on(&view, process, result);
    }
    add_state(&view);
}

/** Wake any one of those who are parked at a word; or all of them. */
static void unpark(const view_t *view, int process, step_t step)
{
    int is_somebody = 0;
    if (step.after > 1) {
        take_step(view, process, step, 0, ALL);
        return;
    }
    for (int i = 0; i < model->processes; i++) {
        if (!is_parked_at(view, i, step.word))
            continue;
        is_somebody = 1;
        take_step(view, process, step, 0, (unsigned)i + 1);
    }
    if (!is_somebody)
        take_step(view, process, step, 0, 0);
}

/** Whether a death is known: if not, somebody may notice it at this moment. */
static void notice(const view_t *view, int process, step_t step)
{
    const int is_dead = view->status[step.before] >= DEAD;
    if (is_dead)
        take_step(view, process, step, 1, 1);
    if (!is_dead || !step.after || !view->words[step.word])
        take_step(view, process, step, 0, 0);
}

static void try_step(const view_t *view, int process)
{
    const step_t step = nodes[view->node[process]].step;
    const uint64_t value = view->words[step.word];
    switch (step.kind) {
    case STEP_CHOOSE:
        for (unsigned i = 0; i < step.after; i++)
            take_step(view, process, step, i, i);
        break;
    case STEP_UNPARK:
        unpark(view, process, step);
        break;
    case STEP_ASK:
        take_step(view, process, step, view->status[step.before] >= DEAD, 0);
        break;
    case STEP_NOTICE:
        notice(view, process, step);
        break;
    case STEP_AWAIT:
        if (model->is_ready(view, &step))
            take_step(view, process, step, value, 0);
        break;
    case STEP_LOOK:
        take_step(view, process, step, model->look(view, process, &step), 0);
        break;
    case STEP_LOAD:
    case STEP_EXCHANGE:
    case STEP_ADD:
    case STEP_SET:
    case STEP_UNSET:
        take_step(view, process, step, value, 0);
        break;
    case STEP_REPLACE:
        take_step(view, process, step, value == step.before, 0);
        break;
    case STEP_STORE:
    case STEP_PARK:
    case STEP_END:
        take_step(view, process, step, 0, 0);
        break;
    }
}

static void try_wake(const view_t *before, int process, occasion_t event)
{
    view_t view = *before;
    const int is_nap =
        model->nap > 0 && event == EVENT_TIMEOUT && nodes[before->node[process]].step.after <= model->nap;
    begin_event(is_nap ? EVENT_STEP : event, process, 0);
    go_on(&view, process, event == EVENT_TIMEOUT);
    add_state(&view);
}

static void try_kill(const view_t *before, int process)
{
    view_t view = *before;
    begin_event(EVENT_KILL, process, 0);
    view.status[process] = DEAD;
    view.kills++;
    if (!model->is_kill_point_kept)
        view.node[process] = 0;
    add_state(&view);
}

/** Whether a process can be killed: one that has only its end before it can as well be left alone. */
static int is_mortal(const view_t *view, int process)
{
    return view->status[process] <= PARKED && view->kills < model->kills && !(model->immortal >> process & 1) &&
           nodes[view->node[process]].step.kind != STEP_END && !(model->is_safe && model->is_safe(view, process));
}

static void expand_process(uint32_t state, int process)
{
    view_t view;
    model_view(&view, state);
    if (view.status[process] == RUNNING)
        try_step(&view, process);
    if (view.status[process] == PARKED && !model->is_for_good)
        try_wake(&view, process, EVENT_TIMEOUT);
    if (view.status[process] == PARKED && model->is_spurious)
        try_wake(&view, process, EVENT_SPURIOUS);
    if (is_mortal(&view, process))
        try_kill(&view, process);
}

static void expand(uint32_t state)
{
    view_t view;
    now = state;
    model_view(&view, state);
    int first = 0;
    int end = model->processes;
    for (int i = 0; i < model->processes && model->is_private; i++) {
        if (view.status[i] != RUNNING || !model->is_private(&view, i, &nodes[view.node[i]].step))
            continue;
        first = i;
        end = i + 1;
    }
    for (int i = first; i < end; i++)
        expand_process(state, i);
    is_step_taken = 0;
}

void model_explore(const model_t *what)
{
    view_t view;
    model = what;
    node_count = 0;
    edge_count = 0;
    table_clear(&follows);
    table_clear(&points);
    table_clear(&values);
    table_clear(&sets);
    table_clear(&states);
    packed_count = 0;
    const uint64_t none = 0;
    table_add(&values, &none, NULL);
    memset(&view, 0, sizeof view);
    now = 0;
    is_step_taken = 0;
    /* The test may have written other values since the last time. */
    for (unsigned i = 0; i < word_count; i++)
        words[i].initial = read_word(&words[i]);
    for (int i = 0; i < model->processes; i++)
        view.node[i] = first_node((uint32_t)i);
    add_state(&view);
    edge_count = 0;
    for (uint32_t i = 0; i < states.count; i++) {
        if ((i & (i - 1)) == 0)
            first_edges = table_grow(first_edges, ((i ? (size_t)i * 2 : 1) + 1) * sizeof *first_edges);
        first_edges[i] = edge_count;
        expand(i);
    }
    first_edges = table_grow(first_edges, (states.count + 1) * sizeof *first_edges);
    first_edges[states.count] = edge_count;
    printf("%s: %d processes, %u kills: %zu states, %zu events, %zu local states\n", model->name, model->processes,
           model->kills, states.count, edge_count, node_count);
    fflush(stdout);
}

int model_is_deep(void)
{
    return getenv("MPROC_TEST_DEEP") != NULL;
}

/* ---- What must be possible --------------------------------------------------------------------------------------- */

static int is_finished(const view_t *view)
{
    for (int i = 0; i < model->processes; i++)
        if (view->status[i] <= PARKED)
            return 0;
    return 1;
}

void model_require_finish(int (*is_wanted)(const view_t *view), unsigned events, const char *what)
{
    view_t view;
    const size_t count = states.count;
    size_t *starts = table_grow(NULL, (count + 2) * sizeof *starts);
    uint32_t *sources = table_grow(NULL, (edge_count + 1) * sizeof *sources);
    uint32_t *queue = table_grow(NULL, count * sizeof *queue);
    unsigned char *is_good = table_grow(NULL, count);
    size_t tail = 0;
    memset(starts, 0, (count + 2) * sizeof *starts);
    /* The events, by where they lead to. */
    for (size_t i = 0; i < edge_count; i++)
        if (edges[i].event & events)
            starts[edges[i].to + 2]++;
    for (size_t i = 2; i < count + 2; i++)
        starts[i] += starts[i - 1];
    for (uint32_t i = 0; i < count; i++)
        for (size_t k = first_edges[i]; k < first_edges[i + 1]; k++)
            if (edges[k].event & events)
                sources[starts[edges[k].to + 1]++] = i;
    for (uint32_t i = 0; i < count; i++) {
        model_view(&view, i);
        is_good[i] = (unsigned char)is_finished(&view);
        if (is_good[i])
            queue[tail++] = i;
    }
    for (size_t head = 0; head < tail; head++)
        for (size_t k = starts[queue[head]]; k < starts[queue[head] + 1]; k++)
            if (!is_good[sources[k]]) {
                is_good[sources[k]] = 1;
                queue[tail++] = sources[k];
            }
    for (uint32_t i = 0; i < count; i++) {
        model_view(&view, i);
        if (!is_good[i] && (!is_wanted || is_wanted(&view)))
            model_fail_at(i, "%s", what);
    }
    free(starts);
    free(sources);
    free(queue);
    free(is_good);
}

void model_require_end(unsigned events, const char *what)
{
    /* States whose events are all seen are done; what is left in the end is a circle, or leads to one. */
    const size_t count = states.count;
    uint32_t *incoming = table_grow(NULL, count * sizeof *incoming);
    uint32_t *queue = table_grow(NULL, count * sizeof *queue);
    size_t tail = 0;
    memset(incoming, 0, count * sizeof *incoming);
    for (size_t i = 0; i < edge_count; i++)
        if (edges[i].event & events)
            incoming[edges[i].to]++;
    for (uint32_t i = 0; i < count; i++)
        if (incoming[i] == 0)
            queue[tail++] = i;
    for (size_t head = 0; head < tail; head++)
        for (size_t k = first_edges[queue[head]]; k < first_edges[queue[head] + 1]; k++)
            if ((edges[k].event & events) && --incoming[edges[k].to] == 0)
                queue[tail++] = edges[k].to;
    for (uint32_t i = 0; i < count; i++)
        if (incoming[i])
            model_fail_at(i, "%s", what);
    free(incoming);
    free(queue);
}
