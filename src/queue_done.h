/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file queue_done.h
 * @brief What is done, and what is lost, in a joinable queue: recorded for each member that gets.
 *
 * How many items were put, the positions tell. What becomes of each is recorded in a transaction (journal.h) between
 * the claim of its position and its end, together with a word of the slot which says that this was done: so whoever is
 * killed, an item is recorded once.
 */
#ifndef MPROC_QUEUE_DONE_H
#define MPROC_QUEUE_DONE_H

#include "queue_object.h"

/** What becomes of an item: this process has it, and will say when it is done; it was none; it is lost. */
typedef enum queue_fate_t { QUEUE_GOT, QUEUE_NOTHING, QUEUE_LOST } queue_fate_t;

/** Have memory for the records of a new queue, and lay them out after that. */
apr_status_t queue_take_records(transaction_t *transaction, queue_t *queue);
void queue_lay_out_records(const queue_t *queue);

/**
 * Record what becomes of the item at a position that was claimed to get. Whether that is done; it is not if another
 * thread has ended the library. Where the queue is not joinable, there is nothing to do.
 */
int queue_count_got(queue_t *queue, slot_t *slot, uint64_t position, queue_fate_t fate);

#endif
