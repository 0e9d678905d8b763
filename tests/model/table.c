/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *table_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);
    if (!grown) {
        fprintf(stderr, "no memory for %zu bytes\n", size);
        exit(EXIT_FAILURE);
    }
    return grown;
}

/** Eight bytes at a time: nearly all the time of a model is spent in here. */
static size_t hash(const unsigned char *item, size_t size)
{
    uint64_t sum = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t part = 0;
        memcpy(&part, item + i, size - i < sizeof part ? size - i : sizeof part);
        sum = (sum ^ part) * 0xff51afd7ed558ccdu;
        sum ^= sum >> 32;
    }
    return (size_t)sum;
}

const void *table_at(const table_t *table, uint32_t number)
{
    return table->items + number * table->size;
}

/** The slot where an item is, or may be put. */
static uint32_t *find(const table_t *table, const void *item)
{
    size_t slot = hash(item, table->size) & (table->slot_count - 1);
    while (table->slots[slot] && memcmp(table_at(table, table->slots[slot] - 1), item, table->size) != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return &table->slots[slot];
}

static void make_room(table_t *table)
{
    table->room = table->room ? table->room * 2 : 512;
    table->slot_count = table->room * 2;
    table->items = table_grow(table->items, table->room * table->size);
    free(table->slots);
    table->slots = table_grow(NULL, table->slot_count * sizeof *table->slots);
    memset(table->slots, 0, table->slot_count * sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++)
        *find(table, table_at(table, (uint32_t)i)) = (uint32_t)i + 1;
}

uint32_t table_add(table_t *table, const void *item, int *is_new)
{
    if (table->count == table->room)
        make_room(table);
    uint32_t *slot = find(table, item);
    if (is_new)
        *is_new = *slot == 0;
    if (*slot)
        return *slot - 1;
    memcpy(table->items + table->count * table->size, item, table->size);
    *slot = (uint32_t)++table->count;
    return *slot - 1;
}

void table_clear(table_t *table)
{
    table->count = 0;
    if (table->slots)
        memset(table->slots, 0, table->slot_count * sizeof *table->slots);
}

void table_free(table_t *table)
{
    free(table->items);
    free(table->slots);
    *table = (table_t){.size = table->size};
}
