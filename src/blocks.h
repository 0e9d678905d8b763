/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file blocks.h
 * @brief The arena's memory, in blocks.
 *
 * Small blocks are powers of two; a span has small blocks of one size and one purpose. Larger ones are whole spans in a
 * row. All of it changes in transactions (journal.h), so a death at any moment loses no block and gives none twice.
 */
#ifndef MPROC_BLOCKS_H
#define MPROC_BLOCKS_H

#include "arena.h"

/**
 * What a block is for. Objects lie apart from everything else, so that an offset which somebody claims to be an object
 * can be checked: what begins there is the serial of one, or zero.
 */
typedef enum block_purpose_t { BLOCK_RAW, BLOCK_OBJECT } block_purpose_t;

/** The largest small block, and so the largest object. */
#define BLOCK_SMALL_MAX ((uint64_t)1 << (ARENA_CLASS_BITS + ARENA_CLASSES - 1))

/**
 * Take a block, whose content is anything but for its first word, which is zero if it is for an object. Its memory is
 * there, whatever becomes of the transaction.
 *
 * @return APR_SUCCESS; APR_ENOMEM: the arena is full, or the system is.
 */
apr_status_t blocks_take(transaction_t *transaction, uint64_t *offset, uint64_t size, block_purpose_t purpose);

/** Give a block back. */
void blocks_give(transaction_t *transaction, uint64_t offset);

/** Whether an object can begin at an offset, whoever says so. */
int blocks_can_be_object(uint64_t offset);

/** The same for a block that is no object. */
int blocks_can_be_raw(uint64_t offset);

/** The next place after `offset` where an object can begin; 0: there is none. To start with, 0. */
uint64_t blocks_next_object(uint64_t offset);

/** Whether there is memory at an offset, whoever says so. */
int blocks_are_there(uint64_t offset, uint64_t size);

/** How many bytes are in use; without the arena's lock it may be wrong while others change them. */
uint64_t blocks_used(void);

#endif
