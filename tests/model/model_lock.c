/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of src/robust.c: processes that acquire and release it for ever, or finish, or are killed.
 */
#include "model/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "model/table.h"

static sys_time_t no_time(void)
{
    return 0;
}

static shm_u32_t noticed[MODEL_PROCESSES]; /* whether somebody has noticed the death of each */

static uint64_t look(step_kind_t kind, uint32_t ticket)
{
    return model_step((step_t){kind, model_word(&noticed[ticket - 1], 4), ticket - 1, 1});
}

static int ask_death(uint32_t ticket)
{
    return look(STEP_ASK, ticket) != 0;
}

static int know_death(uint32_t ticket)
{
    return look(STEP_NOTICE, ticket) != 0;
}

#define sys_now no_time
#define member_patience no_time
#define member_is_crowd() 1
#define member_look_at(look, ticket) ask_death(ticket)
#define member_look_away(look) ((void)(look))
#define member_has_ended know_death
#include "robust.c"

static robust_t lock;
static shm_u32_t inside;               /* who is in the critical section */
static uint32_t leaving;               /* who was the watcher and has not woken another yet; no process knows of it */
static uint32_t seen[MODEL_PROCESSES]; /* what each has seen of the dead that are known, as SEEN_...; nor of this */

/* The owner, or the watcher, is known to be dead, and nothing was done about it yet. */
enum { SEEN_OWNER = 1, SEEN_WATCHER = 2 };

/* Bits of model_tag beyond those of the steps. */
enum { TAG_INSIDE = 1 << TAG_BITS };

/* What the processes do beyond that. */
static int is_impatient; /* they may give up */
static int rounds;       /* 0: any number */

/* ---- Processes --------------------------------------------------------------------------------------------------- */

static int may_give_up(const void *context)
{
    (void)context;
    return (int)model_choose(2);
}

static uint32_t ticket_of(int process)
{
    return (uint32_t)process + 1;
}

static void body(int process)
{
    const robust_wait_t wait = {
        .self = ticket_of(process), .deadline = SYS_NEVER, .is_over = is_impatient ? may_give_up : NULL};
    steps_reset();
    for (int round = 0; rounds == 0 || round < rounds; round++) {
        model_point((uint64_t)(rounds ? round : 0) << 32);
        if (rounds == 0 && model_choose(2) == 0)
            return;
        steps_acquire_begin();
        const apr_status_t status = robust_acquire(&lock, &wait);
        const int is_acquired = status == APR_SUCCESS || status == MPROC_EOWNERDEAD;
        steps_acquire_end(is_acquired, status == MPROC_EOWNERDEAD);
        if (!is_acquired)
            continue;
        model_tag |= TAG_INSIDE;
        const uint32_t before = shm_exchange(&inside, wait.self);
        model_require(before == 0 || status == MPROC_EOWNERDEAD, "two are inside");
        shm_store(&inside, 0);
        model_tag &= ~(uint64_t)TAG_INSIDE;
        /* At once if nobody waits, as most do, or the long way in any case. */
        if (model_choose(2) == 0 || !robust_try_release(&lock, ticket_of(process)))
            model_require(robust_release(&lock) == APR_SUCCESS, "the lock was free when its owner released it");
    }
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static model_t model;

static int is_living(const view_t *view, int process)
{
    return view->status[process] <= PARKED;
}

static uint32_t owner_in(const view_t *view)
{
    return (uint32_t)model_value(view, &lock.word) & ~ROBUST_WAITERS;
}

static int is_tagged(const view_t *view, int process, uint64_t tag)
{
    return is_living(view, process) && (model_tag_of(view->node[process]) & tag) != 0;
}

/** Whether all who live and have not finished sleep. */
static int is_quiet(const view_t *view)
{
    int parked = 0;
    for (int i = 0; i < model.processes; i++) {
        if (view->status[i] == RUNNING)
            return 0;
        parked += view->status[i] == PARKED;
    }
    return parked > 0;
}

static void check(const view_t *view)
{
    const uint32_t owner = owner_in(view);
    const uint32_t watcher = (uint32_t)model_value(view, &lock.watcher);
    model_require(owner <= (uint32_t)model.processes, "the word has a ticket that nobody has: %u", owner);
    model_require(owner == 0 || view->status[owner - 1] != FINISHED, "the owner has finished");
    for (int i = 0; i < model.processes; i++) {
        model_require(!is_living(view, i) || is_tagged(view, i, TAG_OWNS) == (owner == ticket_of(i)),
                      owner == ticket_of(i) ? "the word has process %d, which does not know of it"
                                            : "process %d has the lock, and the word does not say so",
                      i + 1);
        model_require(!is_tagged(view, i, TAG_INSIDE) || is_tagged(view, i, TAG_OWNS), "who is inside has no lock");
        model_require(!is_living(view, i) || is_tagged(view, i, TAG_WATCHES) == (watcher == ticket_of(i)),
                      "process %d and the word do not agree on who is the watcher", i + 1);
    }
    const uint32_t left = (uint32_t)model_value(view, &leaving);
    model_require(left == 0 || !is_tagged(view, (int)left - 1, TAG_INSIDE), "the watcher has left, and woke nobody");
    model_require(view->kills > 0 || !is_quiet(view), "nobody has died, and all sleep");
}

/** Nobody sleeps, or gives up, who has seen that a known death is in its way, and has not tried to replace the dead. */
static void look_at_known(const view_t *before, view_t *after, int process, const step_t *step)
{
    const unsigned word = model_word(&lock.word, 4);
    const unsigned watcher = model_word(&lock.watcher, 4);
    uint32_t has_seen = (uint32_t)model_value(before, &seen[process]);
    if (step->kind == STEP_CHOOSE || step->kind == STEP_PARK) {
        model_require(!(has_seen & SEEN_OWNER), "the owner was known to be dead, and the lock was not taken");
        model_require(step->kind != STEP_PARK || !(has_seen & SEEN_WATCHER),
                      "the watcher was known to be dead, and was not replaced");
    }
    if (step->kind == STEP_ASK || step->kind == STEP_NOTICE || (step->word != word && step->word != watcher))
        return;
    const uint32_t ticket = (uint32_t)before->words[step->word] & ~ROBUST_WAITERS;
    has_seen &= step->word == word && step->kind == STEP_LOAD ? 0 : ~(step->word == word ? SEEN_OWNER : SEEN_WATCHER);
    if (step->kind == STEP_LOAD && ticket && model_value(before, &noticed[ticket - 1]))
        has_seen |= step->word == word ? SEEN_OWNER : SEEN_WATCHER;
    model_set(after, &seen[process], has_seen);
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    look_at_known(before, after, process, step);
    const uint32_t owner = owner_in(before);
    const uint32_t next = owner_in(after);
    (void)result;
    if (step->kind == STEP_UNPARK)
        model_set(after, &leaving, 0);
    if (step->kind == STEP_STORE && step->word == model_word(&lock.watcher, 4))
        for (int i = 0; i < model.processes; i++)
            if (before->status[i] == PARKED)
                model_set(after, &leaving, ticket_of(process));
    if (owner == next)
        return;
    model_require(next == 0 || next == ticket_of(process), "a process made another the owner");
    model_require(owner == 0 || (next == 0 ? owner == ticket_of(process) : before->status[owner - 1] == DEAD),
                  "the lock was taken from a living owner");
    model_require(owner == 0 || next == 0 || (model_value(after, &lock.word) & ROBUST_WAITERS),
                  "who takes the lock from the dead forgets that others may wait");
}

static int has_no_deaths(const view_t *view)
{
    return view->kills == 0;
}

/* ---- How long it takes after deaths ------------------------------------------------------------------------------ */

/* From robust.c: how long the watcher sleeps; whoever sleeps longer does not watch. */
static int is_watched(const view_t *view)
{
    for (int i = 0; i < model.processes; i++)
        if (view->status[i] == PARKED && model_next(view->node[i])->after == WATCH)
            return 1;
    return 0;
}

/** Whether a living process has the lock. */
static int is_owned(const view_t *view)
{
    const uint32_t owner = owner_in(view);
    return owner && is_living(view, (int)owner - 1);
}

/** Where a search has come to, and the long sleeps of each process on the way. */
typedef struct slept_t {
    uint32_t state;
    uint8_t sleeps[MODEL_PROCESSES];
} slept_t;

enum { SLEEPS_MAX = 5 };

static unsigned most(const slept_t *slept)
{
    unsigned found = 0;
    for (int i = 0; i < model.processes; i++)
        if (slept->sleeps[i] > found)
            found = slept->sleeps[i];
    return found;
}

/** Take the steps that are possible; where all sleep, let time pass. A watcher comes first: its sleep is short. */
static void search_on(table_t *found, const slept_t *slept, const view_t *view)
{
    size_t count;
    const edge_t *edge = model_edges(slept->state, &count);
    const int quiet = is_quiet(view);
    const int watched = is_watched(view);
    for (size_t i = 0; i < count; i++) {
        slept_t next = *slept;
        next.state = edge[i].to;
        if (edge[i].event != (quiet ? EVENT_TIMEOUT : EVENT_STEP))
            continue;
        if (quiet && watched && model_next(view->node[edge[i].process])->after != WATCH)
            continue;
        if (quiet && !watched)
            next.sleeps[edge[i].process]++;
        table_add(found, &next, NULL);
    }
}

/** All deaths have happened: the most long sleeps that one process makes until somebody has the lock. */
static unsigned longest(uint32_t from, uint32_t *worst)
{
    table_t found = {.size = sizeof(slept_t)};
    unsigned sleeps = 0;
    view_t view;
    table_add(&found, &(slept_t){.state = from}, NULL);
    for (uint32_t i = 0; i < found.count && sleeps < SLEEPS_MAX; i++) {
        slept_t slept;
        memcpy(&slept, table_at(&found, i), sizeof slept);
        model_view(&view, slept.state);
        if (most(&slept) > sleeps) {
            sleeps = most(&slept);
            *worst = slept.state;
        }
        if (!is_owned(&view))
            search_on(&found, &slept, &view);
    }
    table_free(&found);
    return sleeps;
}

/** What somebody was about to do when it was killed. */
static void describe(char *text, size_t size, const view_t *view, int process)
{
    const uint32_t node = view->node[process];
    const step_t *step = model_next(node);
    const uint64_t tag = model_tag_of(node);
    const int is_word = step->word == model_word(&lock.word, 4);
    static const char *const doing[] = {
        [STEP_LOAD] = "loading",         [STEP_STORE] = "storing",    [STEP_EXCHANGE] = "exchanging",
        [STEP_REPLACE] = "replacing",    [STEP_PARK] = "sleeping at", [STEP_UNPARK] = "waking at",
        [STEP_CHOOSE] = "choosing with", [STEP_ASK] = "asking about", [STEP_NOTICE] = "looking at"};
    snprintf(text, size, "[%s%s%s, before %s %s%s]", tag & TAG_OWNS ? "owner" : "no owner",
             tag & TAG_WATCHES ? ", watcher" : "",
             tag & TAG_INSIDE     ? ", inside"
             : tag & TAG_ACQUIRES ? ""
                                  : ", outside",
             doing[step->kind],
             is_word                                      ? "the word"
             : step->word == model_word(&lock.watcher, 4) ? "the watcher"
                                                          : "something else",
             step->kind == STEP_REPLACE && is_word && step->after == (step->before | ROBUST_WAITERS) ? " for waiters"
                                                                                                     : "");
}

/** Whether somebody has died while it was the watcher, or before it had woken another after that. */
static int has_watcher_died(const view_t *view)
{
    for (int i = 0; i < model.processes; i++) {
        const uint64_t tag = model_tag_of(view->node[i]);
        if (view->status[i] == DEAD && ((tag & TAG_WATCHES) || ((tag & TAG_ACQUIRES) && (tag & TAG_OWNS))))
            return 1;
    }
    return 0;
}

/** Deaths after which those who wait have no watcher. */
typedef struct pattern_t {
    char text[400];
    size_t states;
    unsigned sleeps; /* until somebody has the lock, at most */
    uint32_t first;
    uint32_t worst;
} pattern_t;

enum { PATTERNS_MAX = 4000 };

static pattern_t patterns[PATTERNS_MAX];
static size_t pattern_count;

static pattern_t *pattern_of(const view_t *view)
{
    char parts[MODEL_PROCESSES][120];
    char text[400] = "";
    int count = 0;
    for (int i = 0; i < model.processes; i++)
        if (view->status[i] == DEAD)
            describe(parts[count++], sizeof parts[0], view, i);
    /* The same deaths in another order of processes are the same. */
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++)
            if (strcmp(parts[i], parts[k]) > 0) {
                char other[sizeof parts[0]];
                memcpy(other, parts[i], sizeof other);
                memcpy(parts[i], parts[k], sizeof other);
                memcpy(parts[k], other, sizeof other);
            }
    for (int i = 0; i < count; i++)
        strncat(text, parts[i], sizeof text - strlen(text) - 1);
    strncat(text, owner_in(view) ? " lock of the dead" : " lock free", sizeof text - strlen(text) - 1);
    size_t i = 0;
    while (i < pattern_count && strcmp(patterns[i].text, text) != 0)
        i++;
    if (i == PATTERNS_MAX)
        exit(MODEL_LIMIT);
    if (i == pattern_count) {
        pattern_count++;
        memcpy(patterns[i].text, text, sizeof text);
    }
    return &patterns[i];
}

/*
 * An exact run is one where the watch is lost only with a watcher. (In longer ones it is also lost if one who waits is
 * held up just before it sleeps, while the lock goes from hand to hand until its word is the same again.)
 */
static void report_watch(int is_exact, int is_verbose)
{
    size_t quiet = 0;
    size_t lost = 0;
    unsigned sleeps = 0;
    view_t view;
    pattern_count = 0;
    memset(patterns, 0, sizeof patterns);
    for (uint32_t i = 0; i < model_states(); i++) {
        model_view(&view, i);
        if (!is_quiet(&view))
            continue;
        quiet++;
        uint32_t worst = i;
        const unsigned found = longest(i, &worst);
        if (found >= SLEEPS_MAX)
            model_fail_at(worst, "however long they sleep, nobody has the lock");
        if (is_watched(&view) && found > 0)
            model_fail_at(worst, "there was a watcher, and it was no use");
        if (found > 1)
            model_fail_at(worst, "after deaths, one long sleep was not enough");
        if (is_watched(&view))
            continue;
        if (is_exact && !has_watcher_died(&view))
            model_fail_at(i, "no watcher has died, and there is none");
        lost++;
        pattern_t *pattern = pattern_of(&view);
        if (pattern->states++ == 0)
            pattern->first = i;
        if (found > pattern->sleeps) {
            pattern->sleeps = found;
            pattern->worst = i;
        }
        if (found > sleeps)
            sleeps = found;
    }
    printf("%s: all sleep in %zu states; in %zu of them without a watcher, for at most %u long sleeps, "
           "by %zu patterns of deaths\n",
           model.name, quiet, lost, sleeps, pattern_count);
    for (size_t i = 0; i < pattern_count && is_verbose; i++) {
        printf("  %zu states, %u sleeps: %s\n", patterns[i].states, patterns[i].sleeps, patterns[i].text);
        model_show(patterns[i].sleeps > 1 ? patterns[i].worst : patterns[i].first);
    }
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

/** Any number of acquisitions by each. */
static void explore(const char *name, int processes, unsigned kills, int impatient, int spurious)
{
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .is_spurious = spurious,
                      .limit = 20000000,
                      .body = body,
                      .check = check,
                      .on_step = on_step};
    is_impatient = impatient;
    rounds = 0;
    model_explore(&model);
    model_require_finish(has_no_deaths, EVENT_STEP, "nobody has died, and somebody depends on a timeout");
    model_require_finish(NULL, EVENT_STEP | EVENT_TIMEOUT, "whatever the living do, not all of them get the lock");
}

/** A number of acquisitions by each: they come to an end whoever is faster. */
static void explore_rounds(const char *name, int processes, unsigned kills, int count, int is_exact)
{
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .is_kill_point_kept = 1,
                      .limit = 20000000,
                      .body = body,
                      .check = check,
                      .on_step = on_step};
    is_impatient = 0;
    rounds = count;
    model_explore(&model);
    model_require_end(EVENT_STEP, "they run for ever");
    report_watch(is_exact, getenv("MPROC_TEST_VERBOSE") != NULL);
}

int main(void)
{
    steps_lock = (steps_lock_t){&lock.word, &lock.watcher};
    model_name(&lock.word, 4, "word");
    model_name(&lock.watcher, 4, "watcher");
    model_name(&inside, 4, "inside");
    model_name(&leaving, 4, "leaving");
    for (int i = 0; i < MODEL_PROCESSES; i++) {
        model_name(&noticed[i], 4, "noticed");
        model_name(&seen[i], 4, "seen");
    }
    explore("any number of rounds", 2, 2, 0, 1);
    explore("any number of rounds, impatient", 2, 2, 1, 1);
    explore("any number of rounds, impatient", 3, 0, 1, 0);
    explore("any number of rounds", 3, 2, 0, 0);
    explore_rounds("two rounds", 2, 2, 2, 1);
    explore_rounds("one round", 3, 2, 1, 1);
    if (model_is_deep()) {
        explore("any number of rounds, impatient", 3, 2, 1, 1);
        explore_rounds("two rounds", 3, 2, 2, 0);
        explore_rounds("one round", 4, 1, 1, 0);
    }
    return 0;
}
