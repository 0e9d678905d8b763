/* SPDX-License-Identifier: Apache-2.0 */
#include "sync_team.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/** Where the processes run. */
typedef enum place_t { APART, TOGETHER, ANYWHERE } place_t;

/** What is to be played next. */
typedef struct task_t {
    unsigned object;
    unsigned players;
    uint64_t count;
    place_t place;
} task_t;

/** What the processes have in common; each part has cache lines of its own. */
typedef struct board_t {
    _Alignas(SYNC_LINE) _Atomic unsigned arrived;
    _Alignas(SYNC_LINE) _Atomic unsigned opened;
    double start;
    _Alignas(SYNC_LINE) volatile uint64_t counter;
    _Alignas(SYNC_LINE) double ends[SYNC_PLAYERS];
} board_t;

enum { OBJECTS_MAX = 40 };

volatile uint64_t *sync_counter;
const sync_object_t *sync_object;

static board_t *board;
static const sync_object_t *const *all;
static int is_usable[OBJECTS_MAX];
static unsigned player;              /* which one this process is; 0: the one that asks */
static int to_players[SYNC_PLAYERS]; /* each one's pipe: where to write tasks; where a player reads them */
static int own_end;                  /* where tasks for the player that is being started are written */
static int done_in, done_out;        /* a byte comes when a player has done its part */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- Where processes run ----------------------------------------------------------------------------------------- */

#if defined(__linux__)
static cpu_set_t allowed;

static void learn_places(void)
{
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
}

/** Run on the CPU of this player's number, on the first one, or on any. */
static void take_place(place_t place)
{
    const int cpus = CPU_COUNT(&allowed);
    int left = place == TOGETHER || cpus == 0 ? 0 : (int)player % cpus;
    if (place == ANYWHERE) {
        sched_setaffinity(0, sizeof allowed, &allowed);
        return;
    }
    for (int i = 0; i < CPU_SETSIZE; i++) {
        cpu_set_t one;
        if (!CPU_ISSET(i, &allowed) || left-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}
#else
/* There they run where the system has them run. */
static void learn_places(void)
{
}

static void take_place(place_t place)
{
    (void)place;
}
#endif

/* ---- A round ----------------------------------------------------------------------------------------------------- */

/** Wait until all players are there; the last one has the time. None of them sleeps, so none is woken late. */
static void meet(unsigned players)
{
    const unsigned opened = atomic_load(&board->opened);
    if (atomic_fetch_add(&board->arrived, 1) + 1 == players) {
        atomic_store(&board->arrived, 0);
        board->start = now();
        atomic_store(&board->opened, opened + 1);
        return;
    }
    while (atomic_load(&board->opened) == opened)
        sched_yield();
}

static int play(const task_t *task)
{
    const sync_object_t *object = sync_object = all[task->object];
    take_place(task->place);
    meet(task->players);
    const int result = object->play(player, task->players, task->count);
    board->ends[player] = result == 0 ? now() : 0;
    return result;
}

static void serve(void)
{
    task_t task;
    /* Where ends to write to are open, those who read would not see the end. */
    close(own_end);
    for (unsigned i = 0; i < SYNC_PLAYERS; i++)
        if (i != player)
            close(to_players[i]);
    for (unsigned i = 0; all[i]; i++) {
        sync_object = all[i];
        if (is_usable[i] && all[i]->open_in_child && all[i]->open_in_child() != 0)
            return;
    }
    while (read(to_players[player], &task, sizeof task) == (ssize_t)sizeof task)
        if (play(&task) != 0 || write(done_out, "", 1) != 1)
            return;
}

/** Play a round with all: what it took, or 0. */
static double play_with_all(const task_t *task)
{
    char byte;
    board->counter = 0;
    for (unsigned i = 1; i < task->players; i++)
        if (write(to_players[i], task, sizeof *task) != (ssize_t)sizeof *task)
            return 0;
    if (play(task) != 0)
        return 0;
    for (unsigned i = 1; i < task->players; i++)
        if (read(done_in, &byte, 1) != 1)
            return 0;
    double end = 0;
    for (unsigned i = 0; i < task->players; i++)
        end = board->ends[i] > end ? board->ends[i] : end;
    return end - board->start;
}

double sync_team_measure(const char *what, int count)
{
    char name[64], place[16];
    task_t task = {.count = (uint64_t)count};
    if (sscanf(what, "%63[^:]:%u:%15s", name, &task.players, place) != 3 || task.players < 1 ||
        task.players > SYNC_PLAYERS)
        return 0;
    task.place = strcmp(place, "together") == 0 ? TOGETHER : strcmp(place, "anywhere") == 0 ? ANYWHERE : APART;
    while (all[task.object] && strcmp(all[task.object]->name, name) != 0)
        task.object++;
    if (!all[task.object] || !is_usable[task.object])
        return 0;
    const double time = play_with_all(&task);
    if (!all[task.object]->is_counted)
        return time / count;
    const uint64_t operations = task.count * task.players;
    if (board->counter != operations) {
        fprintf(stderr, "%s: %llu operations were counted, of %llu\n", what, (unsigned long long)board->counter,
                (unsigned long long)operations);
        return 0;
    }
    return time / (double)operations;
}

/* ---- The team ---------------------------------------------------------------------------------------------------- */

static void *map(size_t size)
{
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

int sync_team_fork(void (*serve_in_child)(void))
{
    const pid_t pid = fork();
    if (pid == 0) {
        serve_in_child();
        _exit(0);
    }
    return pid < 0 ? -1 : 0;
}

static int start_player(unsigned number, int (*start)(void (*serve)(void)))
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    player = number;
    to_players[number] = ends[0];
    own_end = ends[1];
    const int result = start(serve);
    player = 0;
    to_players[number] = ends[1];
    close(ends[0]);
    return result;
}

int sync_team_open(const sync_object_t *const *objects, int (*start)(void (*serve)(void)))
{
    int ends[2];
    all = objects;
    board = map(sizeof *board);
    if (!board || pipe(ends) != 0)
        return -1;
    done_in = ends[0];
    done_out = ends[1];
    sync_counter = &board->counter;
    learn_places();
    for (unsigned i = 0; i < OBJECTS_MAX && all[i]; i++) {
        void *memory = map(SYNC_MEMORY);
        sync_object = all[i];
        is_usable[i] = memory && all[i]->open(memory) == 0;
    }
    for (unsigned i = 0; i < SYNC_PLAYERS; i++)
        to_players[i] = -1;
    for (unsigned i = 1; i < SYNC_PLAYERS; i++)
        if (start_player(i, start) != 0)
            return -1;
    return 0;
}

void sync_team_close(void)
{
    for (unsigned i = 1; i < SYNC_PLAYERS; i++)
        close(to_players[i]);
}
