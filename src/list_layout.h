/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file list_layout.h
 * @brief How a list lies in a segment: the layout of Python's ShareableList.
 *
 * In the machine's order of bytes, with nothing between the parts:
 *
 *     the number of items, N                  64 bits
 *     where each slot begins, and the end     64 bits each, N + 1 of them, from 0 on
 *     the slots                               each a multiple of 8 bytes
 *     the format of each item                 8 bytes each: "q", "d", "xxxxxxx?", "xxxxxx?x" or "<size>s", then zeros
 *     what it is read as                      1 byte each: 0 as it is, 1 as text, 2 as bytes, 3 as none
 *
 * Python 3.8 has the size of each slot in place of where it begins, and no end.
 *
 * Anybody may write to it, so every part is copied out before it is looked at, and where the slots lie is read once.
 */
#ifndef MPROC_LIST_LAYOUT_H
#define MPROC_LIST_LAYOUT_H

#include <mproc/shareable_list.h>

#include "segment.h"

typedef struct list_layout_t {
    const segment_t *segment;
    size_t count;
    uint64_t *slots;  /* where each begins in the segment, and where the last one ends; from malloc() */
    uint64_t formats; /* where those begin */
    uint64_t codes;
} list_layout_t;

/* For the public function `call`; after a failure the status has its text. */

/** Check a value for a list. */
apr_status_t list_check_item(const mproc_item_t *item, const char *call);

/** The size of a segment for a list of values that were checked; SIZE_MAX if there is no such segment. */
size_t list_size(const mproc_item_t *items, size_t count);

/** Write a list of values that were checked to a new segment. */
apr_status_t list_fill(list_layout_t *layout, const segment_t *segment, const mproc_item_t *items, size_t count,
                       const char *call);

/** Find out where what lies: MPROC_ECORRUPT if it is no list. */
apr_status_t list_examine(list_layout_t *layout, const segment_t *segment, const char *call);

void list_forget(list_layout_t *layout);

/** What an item is: the size of a str or bytes, and the place of its slot. */
typedef struct list_value_t {
    mproc_item_type_t type;
    uint64_t place;
    size_t size;
} list_value_t;

/** Find out what an item is. */
apr_status_t list_look(list_value_t *value, const list_layout_t *layout, size_t index, const char *call);

/** Get an item, as mproc_shareable_list_get(). */
apr_status_t list_get(mproc_item_t *item, const list_layout_t *layout, size_t index, void *buffer, size_t size,
                      const char *call);

/** Set an item to a value that was checked. */
apr_status_t list_set(const list_layout_t *layout, size_t index, const mproc_item_t *item, const char *call);

/** Compare an item with a value that was checked. */
apr_status_t list_compare(int *is_equal, const list_layout_t *layout, size_t index, const mproc_item_t *item,
                          const char *call);

#endif
