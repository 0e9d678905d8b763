/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between two processes: mproc's pipes, beside the system's own calls and other libraries (row P4).
 *
 * Each transport is measured by a helper, which is this program started anew; it forks the process at the other end
 * once, and both stay for all rounds. So all of them are alike, and none is in another one's way. Nobody is bound to a
 * CPU. The time of a message is the time of all of a round's, up to the answer that the last one has come.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "measure.h"
#include "pipe_transports.h"

/** The first argument that makes this program a helper; the second is its transport. */
#define TRANSPORT_ARGUMENT "--transport"

enum { SIZE_MAXIMUM = 1 << 20 };

/** What the process at the other end is to do next. */
typedef struct request_t {
    uint64_t size;
    uint64_t count; /* 0: end */
    uint64_t is_round_trip;
} request_t;

static const pipe_transport_t *transport;
static unsigned char *buffer;

int pipe_fork(int (*open)(int is_child), void (*serve)(void))
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid < 0 ? -1 : open(0);
    if (open(1) == 0)
        serve();
    _exit(0);
}

/* ---- The process at the other end -------------------------------------------------------------------------------- */

/** Receive a message, which must be the one that is expected. */
static int receive_number(uint64_t number, uint64_t size)
{
    size_t got;
    return transport->receive(buffer, SIZE_MAXIMUM, &got) == 0 && got == size && *buffer == (unsigned char)number ? 0
                                                                                                                  : -1;
}

static int send_number(uint64_t number, uint64_t size)
{
    *buffer = (unsigned char)number;
    return transport->send(buffer, (size_t)size);
}

static int answer(const request_t *request)
{
    for (uint64_t i = 0; i < request->count; i++)
        if (receive_number(i, request->size) != 0 || (request->is_round_trip && send_number(i, request->size) != 0))
            return -1;
    return request->is_round_trip ? 0 : transport->send(request, sizeof *request);
}

static void serve(void)
{
    request_t request;
    size_t size;
    while (transport->receive(&request, sizeof request, &size) == 0 && size == sizeof request && request.count > 0)
        if (answer(&request) != 0)
            return;
}

/* ---- The helper -------------------------------------------------------------------------------------------------- */

static int exchange(const request_t *request)
{
    request_t answered;
    size_t size;
    for (uint64_t i = 0; i < request->count; i++)
        if (send_number(i, request->size) != 0 || (request->is_round_trip && receive_number(i, request->size) != 0))
            return -1;
    if (request->is_round_trip)
        return 0;
    return transport->receive(&answered, sizeof answered, &size) == 0 && size == sizeof answered ? 0 : -1;
}

/** Measure "round-trip:SIZE" or "one-way:SIZE". */
static double measure_messages(const char *what, int count)
{
    const char *size = strchr(what, ':');
    const request_t request = {size ? strtoul(size + 1, NULL, 10) : 0, (uint64_t)count, strncmp(what, "round", 5) == 0};
    if (request.size == 0 || request.size > SIZE_MAXIMUM || transport->send(&request, sizeof request) != 0)
        return 0;
    const double start = measure_now();
    return exchange(&request) == 0 ? (measure_now() - start) / count : 0;
}

static const pipe_transport_t *const transports[] = {
    &pipe_mproc,  &pipe_mproc_one_way, &pipe_socketpair, &pipe_socketpair_glance, &pipe_pipes,
#if defined(MPROC_BENCH_LIBUV)
    &pipe_libuv,
#endif
#if defined(MPROC_BENCH_ZEROMQ)
    &pipe_zeromq,
#endif
#if defined(MPROC_BENCH_NNG)
    &pipe_nng,
#endif
};

/** NULL if it is not installed. */
static const pipe_transport_t *find_transport(const char *name)
{
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++)
        if (strcmp(transports[i]->name, name) == 0)
            return transports[i];
    return NULL;
}

static int be_helper(const char *name)
{
    const request_t end = {0, 0, 0};
    transport = find_transport(name);
    buffer = calloc(1, SIZE_MAXIMUM);
    if (!transport || !buffer || transport->start(serve) != 0) {
        fprintf(stderr, "%s: it does not start\n", name);
        return 1;
    }
    helper_serve(measure_messages);
    transport->send(&end, sizeof end);
    return 0;
}

/* ---- All the comparisons ----------------------------------------------------------------------------------------- */

/** What is measured of each transport. */
static const struct work_t {
    const char *what;
    const char *title;
    int divisor;
} works[] = {
    {"round-trip:64", "pipe: round trip, 64 B", 5},   {"one-way:64", "pipe: one way, 64 B", 1},
    {"one-way:4096", "pipe: one way, 4 KiB", 2},      {"one-way:65536", "pipe: one way, 64 KiB", 20},
    {"one-way:1048576", "pipe: one way, 1 MiB", 200},
};

/** Who takes part, in the order in which they take turns; ours is the first. */
static const struct player_t {
    const char *name;
    const char *transport; /* NULL: Python */
    measure_role_t role;
    double round_trip_target;
    double one_way_target;
    int divisor;
} players[] = {
    {"mproc pipe", "mproc", MEASURE_REFERENCE, 0, 0, 1},
    {"mproc pipe with .one_way", "mproc-one-way", MEASURE_REFERENCE, 0, 0, 1},
    {"socketpair", "socketpair", MEASURE_REFERENCE, 1.1, 1.1, 1},
    {"socketpair, with mproc's glance", "socketpair-glance", MEASURE_REFERENCE, 1.1, 1.1, 1},
    {"two pipes", "pipes", MEASURE_REFERENCE, 0, 0, 1},
    {"libuv", "libuv", MEASURE_PEER, 0, 1, 1},
    {"ZeroMQ", "zeromq", MEASURE_PEER, 0, 1, 1},
    {"nng", "nng", MEASURE_PEER, 0, 1, 10},
    {"Python", NULL, MEASURE_PEER, 0, 1, 1},
};

enum { WORKS = sizeof works / sizeof works[0], PLAYERS = sizeof players / sizeof players[0] };

static const char *open_player(helper_t *helper, const struct player_t *player, char *path)
{
    static char argument[] = TRANSPORT_ARGUMENT, interpreter[] = "python3", script[] = MPROC_BENCH_PYTHON;
    char name[32];
    char *transport_argv[] = {path, argument, name, NULL};
    char *python_argv[] = {interpreter, script, NULL};
    snprintf(name, sizeof name, "%s", player->transport ? player->transport : "");
    if (player->transport && !find_transport(player->transport))
        return "it was not installed when this was built";
    if (helper_open(helper, player->transport ? transport_argv : python_argv) != 0)
        return player->transport ? "it does not start" : "there is no python3 in PATH";
    return NULL;
}

/** Each row of subjects is a work's. */
static void set_up(measure_subject_t subjects[WORKS][PLAYERS], helper_t *helpers, char *path)
{
    static helper_task_t tasks[WORKS][PLAYERS];
    for (int player = 0; player < PLAYERS; player++) {
        const char *missing = open_player(&helpers[player], &players[player], path);
        for (int work = 0; work < WORKS; work++) {
            tasks[work][player] = (helper_task_t){&helpers[player], works[work].what};
            subjects[work][player] = (measure_subject_t){.name = players[player].name,
                                                         .round = helper_measure,
                                                         .context = &tasks[work][player],
                                                         .divisor = works[work].divisor * players[player].divisor,
                                                         .missing = missing};
        }
    }
}

static int compare(const measure_options_t *options, measure_subject_t subjects[WORKS][PLAYERS])
{
    measure_comparison_t comparisons[WORKS * PLAYERS];
    size_t count = 0;
    for (int work = 0; work < WORKS; work++) {
        for (int player = 1; player < PLAYERS; player++) {
            const struct player_t *with = &players[player];
            comparisons[count++] = (measure_comparison_t){"P4",
                                                          works[work].title,
                                                          "us",
                                                          with->role,
                                                          &subjects[work][0],
                                                          &subjects[work][player],
                                                          work == 0 ? with->round_trip_target : with->one_way_target};
        }
    }
    return measure(options, &subjects[0][0], (size_t)WORKS * PLAYERS, comparisons, count);
}

int main(int argc, char **argv)
{
    measure_options_t options = {.rounds = 30, .operations = 20000};
    static measure_subject_t subjects[WORKS][PLAYERS];
    static helper_t helpers[PLAYERS];
    if (argc == 3 && strcmp(argv[1], TRANSPORT_ARGUMENT) == 0)
        return be_helper(argv[2]);
    if (measure_parse(&options, argc, argv) != 0)
        return 2;
    set_up(subjects, helpers, argv[0]);
    const int result = compare(&options, subjects);
    for (int i = 0; i < PLAYERS; i++)
        helper_close(&helpers[i]);
    return result == 0 ? 0 : 1;
}
