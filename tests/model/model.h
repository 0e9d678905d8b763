/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file model.h
 * @brief All orders in which processes can take their steps, and all deaths between any two, over the real code.
 *
 * A simulated process is a body: a function that calls the code under test, whose steps in shared memory (steps.h)
 * come to model_step(). Between two steps it does nothing but compute, so what it does next is a function of what its
 * steps have returned. So it need not run along with others: to find its next step it is run from its beginning, alone,
 * and given those results; where they end, longjmp() leaves it. What was found is kept, as a node of its local states.
 *
 * A state of the whole is then a few numbers: the values of the shared words, the node of each process, and who is
 * parked or dead. All states that can be reached are visited, breadth first, so that what is shown of a violation is a
 * shortest schedule. Where a body calls model_point() it promises that its future depends on the key alone; so bodies
 * may go on for ever, and there are still finitely many states.
 */
#ifndef MPROC_TESTS_MODEL_H
#define MPROC_TESTS_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum { MODEL_PROCESSES = 4, MODEL_WORDS = 120 };

/** What the program exits with if something is wrong, so that it is not taken for a crash; and if it is too much. */
enum { MODEL_VIOLATION = 3, MODEL_LIMIT = 4 };

typedef enum step_kind_t {
    STEP_LOAD,
    STEP_STORE,
    STEP_EXCHANGE,
    STEP_ADD,
    STEP_SET, /* bits */
    STEP_UNSET,
    STEP_REPLACE,
    STEP_PARK,   /* while the word is `before`; `after`: how long */
    STEP_UNPARK, /* `after`: how many */
    STEP_CHOOSE, /* one of `after` numbers: all are tried */
    STEP_ASK,    /* whether process `before` is dead or has finished; if so it is noticed: the word becomes 1 */
    STEP_NOTICE, /* whether that is known: if somebody has noticed it; if not, others may have, so both are tried */
    STEP_AWAIT,  /* a word whose value is one that the test says; it has no part in what is tested */
    STEP_LOOK,   /* at all at once: the test says what there is to be seen */
    STEP_END
} step_kind_t;

typedef struct step_t {
    step_kind_t kind;
    unsigned word;
    uint64_t before;
    uint64_t after;
} step_t;

typedef enum status_t { RUNNING, PARKED, DEAD, FINISHED } status_t;

/** A state of the whole. */
typedef struct view_t {
    uint64_t words[MODEL_WORDS];
    unsigned word_count; /* that are known */
    status_t status[MODEL_PROCESSES];
    uint32_t node[MODEL_PROCESSES]; /* of the dead: where they were killed, if that is kept */
    unsigned kills;
} view_t;

/** What can happen in a state, as bits. */
typedef enum occasion_t { EVENT_STEP = 1, EVENT_TIMEOUT = 2, EVENT_SPURIOUS = 4, EVENT_KILL = 8 } occasion_t;

typedef struct edge_t {
    uint32_t to;
    uint8_t event;
    uint8_t process;
    uint8_t choice; /* who is woken +1; what was chosen */
} edge_t;

typedef struct model_t {
    const char *name;
    int processes;
    unsigned kills;
    int is_spurious;        /* whoever is parked may wake up for no reason */
    int is_for_good;        /* nobody sleeps to the end: deadlines are far away */
    int is_kill_point_kept; /* tell states apart by where the dead were killed */
    unsigned immortal;      /* processes that are not killed, as bits */
    uint64_t nap;           /* the end of a sleep for so long, or less, comes for certain: it is a step */
    size_t limit;           /* of states */
    void (*body)(int process);
    /** Whether a process that awaits a word can go on. */
    int (*is_ready)(const view_t *view, const step_t *step);
    /**
     * Whether no other process can see or hinder a step, as it touches only what a lock protects which this one has.
     * Then nothing is lost if the others wait: what they do can as well be done later.
     */
    int (*is_private)(const view_t *view, int process, const step_t *step);
    /** Whether a process is not killed where it is: what it does there stands for one step. NULL: no. */
    int (*is_safe)(const view_t *view, int process);
    /** What a process sees by STEP_LOOK. */
    uint64_t (*look)(const view_t *view, int process, const step_t *step);
    /** Look at a new state. */
    void (*check)(const view_t *view);
    /** Look at a step that a process takes; it may change words that only the test knows. */
    void (*on_step)(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result);
} model_t;

/* ---- For bodies -------------------------------------------------------------------------------------------------- */

/** Take a step; its result. */
uint64_t model_step(step_t step);

/** Which of `count` things to do: all are tried. */
unsigned model_choose(unsigned count);

/** From here on the future of this process depends on the key and its next step alone. */
void model_point(uint64_t key);

/** The node of the step that was taken last. */
uint32_t model_last(void);

/** What a process shows of its local state, to checks and to whoever reads a schedule. */
extern uint64_t model_tag;

/** The number of a shared word, which is 32 or 64 bits wide; it begins with what is there. */
unsigned model_word(const volatile void *at, size_t width);

/** Where it is. */
const void *model_address(unsigned word);

/** Give a word a name. */
void model_name(const volatile void *at, size_t width, const char *name);

#define model_require(condition, ...) ((condition) ? (void)0 : model_fail(__VA_ARGS__))

/** Report a violation: the schedule is shown, and the program ends. */
_Noreturn void model_fail(const char *format, ...);

/* ---- For checks -------------------------------------------------------------------------------------------------- */

const step_t *model_next(uint32_t node);
uint64_t model_tag_of(uint32_t node);

/** The value of a word. */
uint64_t model_value(const view_t *view, const volatile void *at);
void model_set(view_t *view, const volatile void *at, uint64_t value);

/* ---- Exploring --------------------------------------------------------------------------------------------------- */

/** Visit all states. */
void model_explore(const model_t *model);

size_t model_states(void);
void model_view(view_t *view, uint32_t state);
const edge_t *model_edges(uint32_t state, size_t *count);

/** From all states that are wanted (NULL: all) one in which all the living have finished can be reached by events. */
void model_require_finish(int (*is_wanted)(const view_t *view), unsigned events, const char *what);

/** No schedule goes on for ever by these events. */
void model_require_end(unsigned events, const char *what);

/** Report a violation in a state. */
_Noreturn void model_fail_at(uint32_t state, const char *format, ...);

/** Show how a state is reached. */
void model_show(uint32_t state);

/** Whether the long run is wanted. */
int model_is_deep(void);

#endif
