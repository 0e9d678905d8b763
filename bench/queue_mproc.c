/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <mproc/mproc.h>

#include "queue_kinds.h"

/* The children are forked, and use the handles that their creator has. */

static void *make_with(size_t item_size, size_t capacity)
{
    mproc_queue_t *queue;
    const mproc_queue_opts_t opts = {.item_size = item_size, .maxsize = capacity};
    return mproc_queue_create(&queue, &opts) == APR_SUCCESS ? queue : NULL;
}

static void *make_free(size_t size, size_t capacity)
{
    (void)size;
    return make_with(0, capacity);
}

static int put(void *queue, const void *data, size_t size)
{
    return mproc_queue_put(queue, data, size, MPROC_FOREVER) == APR_SUCCESS ? 0 : -1;
}

static int get(void *queue, void *data, size_t size)
{
    return mproc_queue_get(queue, data, size, NULL, MPROC_FOREVER) == APR_SUCCESS ? 0 : -1;
}

/** Only the number that the item begins with is written. */
static int put_in_place(void *queue, const void *data, size_t size)
{
    void *block;
    if (mproc_queue_reserve(queue, &block, size) != APR_SUCCESS)
        return -1;
    memcpy(block, data, sizeof(uint64_t));
    return mproc_queue_put_block(queue, block, size, MPROC_FOREVER) == APR_SUCCESS ? 0 : -1;
}

static int get_in_place(void *queue, void *data, size_t size)
{
    void *block;
    size_t got;
    if (mproc_queue_get_block(queue, &block, &got, MPROC_FOREVER) != APR_SUCCESS || got != size)
        return -1;
    memcpy(data, block, sizeof(uint64_t));
    return mproc_queue_free_block(queue, block) == APR_SUCCESS ? 0 : -1;
}

static int get_alloc(void *queue, void *data, size_t size)
{
    void *item;
    size_t got;
    if (mproc_queue_get_alloc(queue, &item, &got, MPROC_FOREVER) != APR_SUCCESS || got != size)
        return -1;
    memcpy(data, item, sizeof(uint64_t));
    mproc_free(item);
    return 0;
}

const queue_kind_t queue_mproc = {"mproc", make_with, put, get};
const queue_kind_t queue_mproc_free = {"mproc-free", make_free, put, get};
const queue_kind_t queue_mproc_in_place = {"mproc-in-place", make_with, put_in_place, get_in_place};
const queue_kind_t queue_mproc_alloc = {"mproc-alloc", make_free, put, get_alloc};
