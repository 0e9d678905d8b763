/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queue_kinds.h
 * @brief What bench/queue measures: queues of items of one size, each by the same three functions.
 */
#ifndef MPROC_BENCH_QUEUE_KINDS_H
#define MPROC_BENCH_QUEUE_KINDS_H

#include <stddef.h>

/** A kind of queues. Its functions are called the same way for all, so that costs all the same. */
typedef struct queue_kind_t {
    const char *name;
    /** Make one for items of a size, before there are other processes: it, or NULL. */
    void *(*make)(size_t size, size_t capacity);
    /** Put an item, or get one into memory of its size, waiting as long as it takes: 0, or -1. */
    int (*put)(void *queue, const void *data, size_t size);
    int (*get)(void *queue, void *data, size_t size);
} queue_kind_t;

/* ---- queue_mproc.c ----------------------------------------------------------------------------------------------- */

/** A queue with an `.item_size`. */
extern const queue_kind_t queue_mproc;

/** One without: items are of any size. */
extern const queue_kind_t queue_mproc_free;

/** Items are written and read where they are; of what they are made of only the beginning is looked at. */
extern const queue_kind_t queue_mproc_in_place;

/** The same as queue_mproc_free, got by mproc_queue_get_alloc(). */
extern const queue_kind_t queue_mproc_alloc;

/* ---- queue_vyukov.c: elsewhere than on Linux making them fails --------------------------------------------------- */

/**
 * Vyukov's bounded ring, and futexes to sleep at: it sleeps at once, or looks for two microseconds first. A death
 * between claim and publication stops all others for good; apart from that it does what a queue of mproc's does: the
 * same slots, one getter woken at a time, and putters when half of the ring is free.
 */
extern const queue_kind_t queue_vyukov;
extern const queue_kind_t queue_vyukov_spin;

/* ---- queue_references.c ------------------------------------------------------------------------------------------ */

/** A ring, a mutex and two conditions, for several processes. */
extern const queue_kind_t queue_mutex;

/** A POSIX message queue, of fewer messages where the system does not allow more. */
extern const queue_kind_t queue_mq;

/** A pipe: what is not larger than PIPE_BUF goes through it whole. */
extern const queue_kind_t queue_pipe;

/* ---- queue_boost.cpp --------------------------------------------------------------------------------------------- */

/** boost::interprocess::message_queue; it is compiled where it is installed. */
extern const queue_kind_t queue_boost;

#endif
