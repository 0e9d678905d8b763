/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of synchronisation: mproc's beside POSIX's, futexes by hand and other libraries (rows P6 and P7).
 *
 * There are three teams of processes (sync_team.h): a family with mproc's objects, one with all references and peers in
 * C and C++, and Python's. Each is led by a helper, and all stay for all rounds. Where nothing else is said each
 * process is bound to a CPU of its own, as far as there are CPUs, so that four on two CPUs are two on each.
 */
#include <stdio.h>
#include <string.h>

#include "helper.h"
#include "measure.h"
#include "sync_objects.h"

/** The first argument that makes this program a helper; the second is its team. */
#define TEAM_ARGUMENT "--team"

/* ---- The helpers ------------------------------------------------------------------------------------------------- */

static const sync_object_t *const of_mproc[] = {
    &sync_mproc_lock,
    &sync_mproc_recursive,
    &sync_mproc_semaphore,
    &sync_mproc_barrier,
    &sync_mproc_event,
    &sync_mproc_condition,
    NULL,
};

static const sync_object_t *const of_others[] = {
    &sync_mutex, &sync_robust,      &sync_robust_recursive, &sync_futex_lock,  &sync_sem, &sync_barrier,
    &sync_cond,  &sync_robust_cond, &sync_cond_event,       &sync_futex_event, &sync_apr,
#if defined(MPROC_BENCH_BOOST)
    &sync_boost,
#endif
    NULL,
};

static int be_helper(const char *team)
{
    const int is_mproc = strcmp(team, "mproc") == 0;
    if (is_mproc && sync_mproc_begin() != 0)
        return 1;
    if (sync_team_open(is_mproc ? of_mproc : of_others, is_mproc ? sync_mproc_start : sync_team_fork) != 0) {
        fprintf(stderr, "%s: the team does not start\n", team);
        return 1;
    }
    helper_serve(sync_team_measure);
    sync_team_close();
    return 0;
}

/* ---- All the comparisons ----------------------------------------------------------------------------------------- */

enum { MPROC, OTHERS, PYTHON, TEAMS };

/** Who takes part in one kind of work, in the order in which they take turns; ours is the first. */
typedef struct player_t {
    const char *name; /* NULL: there are no more */
    int team;
    const char *object;
    measure_role_t role;
    double target;
    int divisor;
} player_t;

enum { PLAYERS_MAX = 8 };

typedef enum kind_t { LOCK, RECURSIVE, SEMAPHORE, BARRIER, EVENT, CONDITION } kind_t;

static const player_t players[][PLAYERS_MAX] = {
    [LOCK] = {{"mproc lock", MPROC, "lock", MEASURE_REFERENCE, 0, 1},
              {"pthread mutex, robust", OTHERS, "robust", MEASURE_REFERENCE, 1, 1},
              {"pthread mutex", OTHERS, "mutex", MEASURE_REFERENCE, 0, 1},
              {"futex, three states", OTHERS, "futex", MEASURE_REFERENCE, 0, 1},
              {"Boost interprocess_mutex", OTHERS, "boost", MEASURE_PEER, 0, 1},
              {"APR apr_proc_mutex", OTHERS, "apr", MEASURE_PEER, 0, 10},
              {"Python Lock", PYTHON, "lock", MEASURE_PEER, 1.0 / 5, 10}},
    [RECURSIVE] = {{"mproc lock, recursive", MPROC, "recursive", MEASURE_REFERENCE, 0, 1},
                   {"pthread mutex, robust and recursive", OTHERS, "robust-recursive", MEASURE_REFERENCE, 1, 1},
                   {"Python RLock", PYTHON, "recursive", MEASURE_PEER, 1.0 / 5, 10}},
    [SEMAPHORE] = {{"mproc semaphore", MPROC, "semaphore", MEASURE_REFERENCE, 0, 1},
                   {"sem_t", OTHERS, "sem", MEASURE_REFERENCE, 0, 1},
                   {"Python Semaphore", PYTHON, "semaphore", MEASURE_PEER, 1.0 / 5, 10}},
    [BARRIER] = {{"mproc barrier", MPROC, "barrier", MEASURE_REFERENCE, 0, 1},
                 {"pthread barrier", OTHERS, "barrier", MEASURE_REFERENCE, 1, 1},
                 {"Python Barrier", PYTHON, "barrier", MEASURE_PEER, 1.0 / 10, 10}},
    [EVENT] = {{"mproc event", MPROC, "event", MEASURE_REFERENCE, 0, 1},
               {"pthread mutex and cond", OTHERS, "cond-event", MEASURE_REFERENCE, 1, 1},
               {"futex, three states", OTHERS, "futex-event", MEASURE_REFERENCE, 0, 1},
               {"Python Event", PYTHON, "event", MEASURE_PEER, 1.0 / 10, 10}},
    [CONDITION] = {{"mproc condition", MPROC, "condition", MEASURE_REFERENCE, 0, 1},
                   {"pthread mutex and cond", OTHERS, "cond", MEASURE_REFERENCE, 1, 1},
                   {"pthread robust mutex and cond", OTHERS, "robust-cond", MEASURE_REFERENCE, 0, 1},
                   {"Python Condition", PYTHON, "condition", MEASURE_PEER, 1.0 / 10, 10}},
};

/** What is measured. Where processes are woken there is less to do: it takes longer. */
static const struct work_t {
    const char *id;
    const char *title;
    kind_t kind;
    const char *how; /* players and place */
    int divisor;
} works[] = {
    {"P6", "lock: acquire + release, nobody else", LOCK, "1:apart", 1},
    {"P6", "lock: acquire + release, 2 processes", LOCK, "2:apart", 5},
    {"P6", "lock: acquire + release, 4 processes", LOCK, "4:apart", 10},
    {"P6", "recursive lock: acquire + release, nobody else", RECURSIVE, "1:apart", 1},
    {"P6", "recursive lock: acquire + release, 2 processes", RECURSIVE, "2:apart", 5},
    {"P6", "recursive lock: acquire + release, 4 processes", RECURSIVE, "4:apart", 10},
    {"P6", "semaphore: acquire + release, nobody else", SEMAPHORE, "1:apart", 1},
    {"P6", "semaphore: acquire + release, 2 processes", SEMAPHORE, "2:apart", 5},
    {"P6", "semaphore: acquire + release, 4 processes", SEMAPHORE, "4:apart", 10},
    {"P7", "barrier: wait, 2 parties", BARRIER, "2:apart", 500},
    {"P7", "barrier: wait, 4 parties", BARRIER, "4:apart", 500},
    {"P7", "barrier: wait, 2 parties on one CPU", BARRIER, "2:together", 500},
    {"P7", "barrier: wait, 4 parties on one CPU", BARRIER, "4:together", 500},
    {"P7", "event: there and back", EVENT, "2:apart", 500},
    {"P7", "event: there and back, on one CPU", EVENT, "2:together", 500},
    {"P7", "condition: there and back", CONDITION, "2:apart", 500},
    {"P7", "condition: there and back, on one CPU", CONDITION, "2:together", 500},
};

enum { WORKS = sizeof works / sizeof works[0] };

static const char *open_team(helper_t *helper, int team, char *path)
{
    static char argument[] = TEAM_ARGUMENT, ours[] = "mproc", others[] = "others";
    static char interpreter[] = "python3", script[] = MPROC_BENCH_PYTHON;
    char *const team_argv[] = {path, argument, team == MPROC ? ours : others, NULL};
    char *const python_argv[] = {interpreter, script, NULL};
    if (helper_open(helper, team == PYTHON ? python_argv : team_argv) == 0)
        return NULL;
    return team == PYTHON ? "there is no python3 in PATH" : "it does not start";
}

static const char *find_missing(const player_t *player, const char *of_team)
{
#if !defined(MPROC_BENCH_BOOST)
    if (strcmp(player->object, "boost") == 0)
        return "it was not installed when this was built";
#endif
    (void)player;
    return of_team;
}

static void set_up(measure_subject_t subjects[WORKS][PLAYERS_MAX], helper_t *helpers, char *path)
{
    static char names[WORKS][PLAYERS_MAX][64];
    static helper_task_t tasks[WORKS][PLAYERS_MAX];
    const char *missing[TEAMS];
    for (int team = 0; team < TEAMS; team++)
        missing[team] = open_team(&helpers[team], team, path);
    for (int work = 0; work < WORKS; work++) {
        for (int i = 0; i < PLAYERS_MAX && players[works[work].kind][i].name; i++) {
            const player_t *player = &players[works[work].kind][i];
            snprintf(names[work][i], sizeof names[work][i], "%s:%s", player->object, works[work].how);
            tasks[work][i] = (helper_task_t){&helpers[player->team], names[work][i]};
            subjects[work][i] = (measure_subject_t){.name = player->name,
                                                    .round = helper_measure,
                                                    .context = &tasks[work][i],
                                                    .divisor = works[work].divisor * player->divisor,
                                                    .missing = find_missing(player, missing[player->team])};
        }
    }
}

static int compare(const measure_options_t *options, measure_subject_t subjects[WORKS][PLAYERS_MAX])
{
    measure_comparison_t comparisons[WORKS * PLAYERS_MAX];
    size_t count = 0;
    for (int work = 0; work < WORKS; work++) {
        for (int i = 1; i < PLAYERS_MAX && players[works[work].kind][i].name; i++) {
            const player_t *with = &players[works[work].kind][i];
            comparisons[count++] =
                (measure_comparison_t){works[work].id,     works[work].title,  "ns",        with->role,
                                       &subjects[work][0], &subjects[work][i], with->target};
        }
    }
    return measure(options, &subjects[0][0], (size_t)WORKS * PLAYERS_MAX, comparisons, count);
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 30, .operations = 500000};
    static measure_subject_t subjects[WORKS][PLAYERS_MAX];
    static helper_t helpers[TEAMS];
    if (argc == 3 && strcmp(argv[1], TEAM_ARGUMENT) == 0)
        return be_helper(argv[2]);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    if (!measure_is_wanted(&options, "P6") && !measure_is_wanted(&options, "P7"))
        return 0;
    set_up(subjects, helpers, argv[0]);
    const int result = compare(&options, subjects);
    for (int i = 0; i < TEAMS; i++)
        helper_close(&helpers[i]);
    return result == 0 ? 0 : 1;
}
