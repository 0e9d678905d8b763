/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file sync_team.h
 * @brief Processes that use one object of synchronisation together, a round at a time, and are timed together.
 *
 * The team of mproc is a family; that of the others is forked by hand. Apart from that all is the same for all objects:
 * the processes are there from the beginning and sleep in a pipe until there is a round for them, each may be bound to
 * a CPU for the round, and none begins before all are there. A round's time is from then to the end of the last one.
 */
#ifndef MPROC_BENCH_SYNC_TEAM_H
#define MPROC_BENCH_SYNC_TEAM_H

#include <stdint.h>

/** The most processes of a round. */
enum { SYNC_PLAYERS = 8 };

/** The shared memory that an object gets; its parts should be so far apart that each has a cache line. */
enum { SYNC_MEMORY = 4096, SYNC_LINE = 128 };

/** An object, and what is done with it. Its functions are 0, or -1. */
typedef struct sync_object_t {
    const char *name;
    /** Make it, in zeroed memory that all processes will share, before there are other processes. */
    int (*open)(void *memory);
    /** In each of the other processes; NULL: there is nothing to do. */
    int (*open_in_child)(void);
    /** What one of the players does in a round. */
    int (*play)(unsigned player, unsigned players, uint64_t count);
    /** Whether each operation of each player counts, at sync_counter: to be added to while it has the object alone. */
    int is_counted;
} sync_object_t;

/** The one that is being opened or played with, for functions that several objects share. */
extern const sync_object_t *sync_object;

/** What locks guard. */
extern volatile uint64_t *sync_counter;

/**
 * Start a team that has the objects of a list, which ends with NULL; `start` makes another process that calls the
 * function, and ends.
 */
int sync_team_open(const sync_object_t *const *objects, int (*start)(void (*serve)(void)));

/** A `start` for sync_team_open(): fork(). */
int sync_team_fork(void (*serve)(void));

/**
 * A helper's `measure`: "OBJECT:PLAYERS:PLACE" with the place "apart" (each process on a CPU of its own, as far as
 * there are CPUs), "together" (all on one) or "anywhere" (bound to none). The value is nanoseconds for each operation:
 * if they are counted, of all that all players did, else of one player's.
 */
double sync_team_measure(const char *what, int count);

/** End the other processes. */
void sync_team_close(void);

#endif
