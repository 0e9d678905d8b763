/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file table.h
 * @brief Tables of things of one size, each of which is in it once and has a number.
 */
#ifndef MPROC_TESTS_MODEL_TABLE_H
#define MPROC_TESTS_MODEL_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct table_t {
    size_t size; /* of one */
    size_t count;
    size_t room;
    unsigned char *items;
    uint32_t *slots; /* item + 1 */
    size_t slot_count;
} table_t;

/** Find a thing, or add it: its number. */
uint32_t table_add(table_t *table, const void *item, int *is_new);

const void *table_at(const table_t *table, uint32_t number);

/** Have nothing in it. */
void table_clear(table_t *table);
void table_free(table_t *table);

/** Memory for more, or the end of the program. */
void *table_grow(void *memory, size_t size);

#endif
