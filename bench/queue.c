/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues: mproc's beside a ring with futexes, a ring with a mutex, Boost's, the system's own and Python's (row P5).
 *
 * There are three teams of processes (sync_team.h), each led by a helper, and all stay for all rounds. Half of the
 * processes of a round put, the others get. The time of an item is that of the whole round, through all processes,
 * divided by all items. Each item begins with a number and with who has put it, which is checked. Where nothing else
 * is said each process is bound to a CPU of its own, as far as there are CPUs; where there are more, some that put and
 * some that get share one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "measure.h"
#include "queue_kinds.h"
#include "sync_objects.h"

/** The first argument that makes this program a helper; the second is its team. */
#define TEAM_ARGUMENT "--team"

/* ---- What is played ---------------------------------------------------------------------------------------------- */

/** The sizes of items, and how many the queues hold. */
static const struct size_class_t {
    const char *name;
    size_t size;
    size_t capacity;
} size_classes[] = {{"64", 64, 1024}, {"4096", 4096, 64}, {"1048576", 1 << 20, 4}, {"back", 64, 1024}};

enum { SIZES = sizeof size_classes / sizeof size_classes[0], BACK = SIZES - 1, SIZE_MAXIMUM = 1 << 20 };

/** A queue, or two for there and back, as a team has it. */
typedef struct game_t {
    sync_object_t object; /* the first member: sync_object points to it */
    const queue_kind_t *kind;
    const struct size_class_t *of;
    char name[32];
    void *queues[2];
} game_t;

static unsigned char *buffer;

static game_t *game(void)
{
    return (game_t *)(void *)(uintptr_t)sync_object;
}

static int open_game(void *memory)
{
    game_t *one = game();
    (void)memory;
    for (int i = 0; i < (one->of == &size_classes[BACK] ? 2 : 1); i++)
        if (!(one->queues[i] = one->kind->make(one->of->size, one->of->capacity)))
            return -1;
    return 0;
}

enum { NUMBER_BITS = 40 };

static int put(void *queue, uint64_t player, uint64_t number)
{
    const uint64_t mark = player << NUMBER_BITS | number;
    memcpy(buffer, &mark, sizeof mark);
    return game()->kind->put(queue, buffer, game()->of->size);
}

/** Get an item: it must be later than the one before of the same putter, whose number is kept. */
static int get(void *queue, uint64_t *last)
{
    uint64_t mark;
    if (game()->kind->get(queue, buffer, game()->of->size) != 0)
        return -1;
    memcpy(&mark, buffer, sizeof mark);
    const uint64_t player = mark >> NUMBER_BITS;
    const uint64_t number = mark & (((uint64_t)1 << NUMBER_BITS) - 1);
    if (player >= SYNC_PLAYERS || number <= last[player]) {
        fprintf(stderr, "%s: %llu of %llu came after %llu\n", game()->name, (unsigned long long)number,
                (unsigned long long)player, player < SYNC_PLAYERS ? (unsigned long long)last[player] : 0);
        return -1;
    }
    last[player] = number;
    return 0;
}

/** Half of the players put all that is counted. */
static int play(unsigned player, unsigned players, uint64_t count)
{
    uint64_t last[SYNC_PLAYERS] = {0};
    const uint64_t share = count / (players / 2);
    void *queue = game()->queues[0];
    for (uint64_t i = 1; i <= share; i++)
        if ((player < players / 2 ? put(queue, player, i) : get(queue, last)) != 0)
            return -1;
    return 0;
}

static int play_there_and_back(unsigned player, unsigned players, uint64_t count)
{
    uint64_t last[SYNC_PLAYERS] = {0};
    void *const *queues = game()->queues;
    (void)players;
    for (uint64_t i = 1; i <= count; i++)
        if (player == 0 ? put(queues[0], 0, i) != 0 || get(queues[1], last) != 0
                        : get(queues[0], last) != 0 || put(queues[1], 1, i) != 0)
            return -1;
    return 0;
}

/* ---- The helpers ------------------------------------------------------------------------------------------------- */

static const queue_kind_t *const of_mproc[] = {&queue_mproc, &queue_mproc_free, &queue_mproc_alloc,
                                               &queue_mproc_in_place, NULL};

static const queue_kind_t *const of_others[] = {&queue_vyukov, &queue_vyukov_spin, &queue_mutex, &queue_mq, &queue_pipe,
#if defined(MPROC_BENCH_BOOST)
                                                &queue_boost,
#endif
                                                NULL};

/** Warm up first: whoever comes after another team would pay for what that one has displaced. */
static double measure_warm(const char *what, int count)
{
    enum { PART = 4 };
    return sync_team_measure(what, count / PART + SYNC_PLAYERS) > 0 ? sync_team_measure(what, count) : 0;
}

static int be_helper(const char *team)
{
    enum { GAMES = 40 };
    static game_t games[GAMES];
    static const sync_object_t *objects[GAMES + 1];
    const int is_mproc = strcmp(team, "mproc") == 0;
    size_t count = 0;
    buffer = calloc(1, SIZE_MAXIMUM);
    if (!buffer || (is_mproc && sync_mproc_begin() != 0))
        return 1;
    for (const queue_kind_t *const *kind = is_mproc ? of_mproc : of_others; *kind; kind++) {
        for (int i = 0; i < SIZES && count < GAMES; i++, count++) {
            game_t *one = &games[count];
            snprintf(one->name, sizeof one->name, "%s/%s", (*kind)->name, size_classes[i].name);
            one->kind = *kind;
            one->of = &size_classes[i];
            one->object = (sync_object_t){one->name, open_game, NULL, i == BACK ? play_there_and_back : play, 0};
            objects[count] = &one->object;
        }
    }
    if (sync_team_open(objects, is_mproc ? sync_mproc_start : sync_team_fork) != 0) {
        fprintf(stderr, "%s: the team does not start\n", team);
        return 1;
    }
    helper_serve(measure_warm);
    sync_team_close();
    return 0;
}

/* ---- All the comparisons ----------------------------------------------------------------------------------------- */

enum { MPROC, OTHERS, PYTHON, TEAMS };

/** The kinds of work, as far as targets differ. */
typedef enum class_t { SMALL, LARGE, THERE_AND_BACK, CLASSES } class_t;

/** Who takes part, in the order in which they take turns; ours is the first. */
static const struct player_t {
    const char *name;
    int team;
    const char *kind;
    measure_role_t role;
    double targets[CLASSES];
    int divisor;
    int only_from; /* the smallest size that it is measured with, */
    int only_to;   /* and the largest */
} players[] = {
    {"mproc queue", MPROC, "mproc", MEASURE_REFERENCE, {0, 0, 0}, 1, 0, SIZE_MAXIMUM},
    {"mproc queue without .item_size", MPROC, "mproc-free", MEASURE_REFERENCE, {0, 0, 0}, 1, 0, SIZE_MAXIMUM},
    {"the same, mproc_queue_get_alloc", MPROC, "mproc-alloc", MEASURE_REFERENCE, {0, 0, 0}, 1, 0, SIZE_MAXIMUM},
    {"mproc queue, items in place", MPROC, "mproc-in-place", MEASURE_REFERENCE, {0, 0, 0}, 1, 4096, SIZE_MAXIMUM},
    {"Vyukov ring, futex", OTHERS, "vyukov", MEASURE_REFERENCE, {1, 0, 0}, 1, 0, SIZE_MAXIMUM},
    {"Vyukov ring, 2 us spin, futex", OTHERS, "vyukov-spin", MEASURE_REFERENCE, {1, 0, 0}, 1, 0, SIZE_MAXIMUM},
    {"mutex and 2 conditions", OTHERS, "mutex", MEASURE_REFERENCE, {0, 0, 0}, 4, 0, SIZE_MAXIMUM},
    {"a pipe as a queue", OTHERS, "pipe", MEASURE_REFERENCE, {0, 0, 0}, 4, 0, SIZE_MAXIMUM},
    {"POSIX mq", OTHERS, "mq", MEASURE_REFERENCE, {0, 0, 0}, 4, 0, SIZE_MAXIMUM},
    {"Boost message_queue", OTHERS, "boost", MEASURE_PEER, {1.0 / 2, 1.0 / 2, 0}, 4, 0, SIZE_MAXIMUM},
    {"Python Queue", PYTHON, "queue", MEASURE_PEER, {1.0 / 60, 0, 0}, 20, 0, SIZE_MAXIMUM},
    {"Python SimpleQueue", PYTHON, "simple", MEASURE_PEER, {1.0 / 60, 0, 0}, 20, 0, SIZE_MAXIMUM},
};

/** What is measured. */
static const struct work_t {
    const char *title;
    class_t of;
    const char *size;
    const char *how; /* players and place */
    int divisor;
    int least; /* what the divisors of players are divided by: large items take as long for all */
} works[] = {
    {"queue: 64 B, 1 puts, 1 gets", SMALL, "64", "2:apart", 1, 1},
    {"queue: 64 B, 2 put, 2 get", SMALL, "64", "4:apart", 1, 1},
    {"queue: 64 B, 4 put, 4 get", SMALL, "64", "8:apart", 1, 1},
    {"queue: 64 B, 1 puts, 1 gets, on one CPU", SMALL, "64", "2:together", 1, 1},
    {"queue: 64 B, 1 puts, 1 gets, bound to no CPU", SMALL, "64", "2:anywhere", 1, 1},
    {"queue: 4 KiB, 1 puts, 1 gets", LARGE, "4096", "2:apart", 5, 4},
    {"queue: 4 KiB, 2 put, 2 get", LARGE, "4096", "4:apart", 5, 4},
    {"queue: 1 MiB, 1 puts, 1 gets", LARGE, "1048576", "2:apart", 1000, 20},
    {"queue: 1 MiB, 2 put, 2 get", LARGE, "1048576", "4:apart", 1000, 20},
    {"queues: 64 B there and back", THERE_AND_BACK, "back", "2:apart", 50, 4},
    {"queues: 64 B there and back, on one CPU", THERE_AND_BACK, "back", "2:together", 50, 4},
    {"queues: 64 B there and back, bound to no CPU", THERE_AND_BACK, "back", "2:anywhere", 50, 4},
};

enum { WORKS = sizeof works / sizeof works[0], PLAYERS = sizeof players / sizeof players[0] };

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

static const char *find_missing(const struct player_t *player, const struct work_t *work, const char *of_team)
{
#if !defined(MPROC_BENCH_BOOST)
    if (strcmp(player->kind, "boost") == 0)
        return "it was not installed when this was built";
#endif
#if !defined(MPROC_BENCH_MQ)
    if (strcmp(player->kind, "mq") == 0)
        return "this system has none";
#endif
    if (strcmp(player->kind, "pipe") == 0 && strcmp(work->size, "1048576") == 0 && work->how[0] != '2')
        return "what is larger than PIPE_BUF does not stay whole";
    return of_team;
}

/** Whether a player is one of a work's: in others it would be the same as another one. */
static int takes_part(const struct player_t *player, const struct work_t *work)
{
    const int size = work->of == THERE_AND_BACK ? 64 : atoi(work->size);
    return size >= player->only_from && size <= player->only_to;
}

static void set_up(measure_subject_t subjects[WORKS][PLAYERS], helper_t *helpers, char *path)
{
    static char names[WORKS][PLAYERS][64];
    static helper_task_t tasks[WORKS][PLAYERS];
    const char *missing[TEAMS];
    for (int team = 0; team < TEAMS; team++)
        missing[team] = open_team(&helpers[team], team, path);
    for (int w = 0; w < WORKS; w++) {
        for (int i = 0; i < PLAYERS; i++) {
            const struct player_t *player = &players[i];
            const int divisor = player->divisor / works[w].least;
            snprintf(names[w][i], sizeof names[w][i], "%s/%s:%s", player->kind, works[w].size, works[w].how);
            tasks[w][i] = (helper_task_t){&helpers[player->team], names[w][i]};
            subjects[w][i] = (measure_subject_t){.name = player->name,
                                                 .round = helper_measure,
                                                 .context = &tasks[w][i],
                                                 .divisor = works[w].divisor * (divisor > 0 ? divisor : 1),
                                                 .missing = find_missing(player, &works[w], missing[player->team])};
        }
    }
}

static int compare(const measure_options_t *options, measure_subject_t subjects[WORKS][PLAYERS])
{
    measure_comparison_t comparisons[WORKS * PLAYERS];
    size_t count = 0;
    for (int work = 0; work < WORKS; work++) {
        for (int i = 1; i < PLAYERS; i++) {
            const struct player_t *with = &players[i];
            if (takes_part(with, &works[work]))
                comparisons[count++] = (measure_comparison_t){"P5",
                                                              works[work].title,
                                                              "ns",
                                                              with->role,
                                                              &subjects[work][0],
                                                              &subjects[work][i],
                                                              with->targets[works[work].of]};
        }
    }
    return measure(options, &subjects[0][0], (size_t)WORKS * PLAYERS, comparisons, count);
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 30, .operations = 200000};
    static measure_subject_t subjects[WORKS][PLAYERS];
    static helper_t helpers[TEAMS];
    if (argc == 3 && strcmp(argv[1], TEAM_ARGUMENT) == 0)
        return be_helper(argv[2]);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    if (!measure_is_wanted(&options, "P5"))
        return 0;
    set_up(subjects, helpers, argv[0]);
    const int result = compare(&options, subjects);
    for (int i = 0; i < TEAMS; i++)
        helper_close(&helpers[i]);
    return result == 0 ? 0 : 1;
}
