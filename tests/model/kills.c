/* SPDX-License-Identifier: Apache-2.0 */
#include "kills.h"

#include <stdlib.h>
#include <string.h>

#include "model/table.h"

jmp_buf kills_end;
long kills_left = -1;

void kills_step(void)
{
    if (kills_left == 0)
        longjmp(kills_end, 1);
    if (kills_left > 0)
        kills_left--;
}

/** What was somewhere. */
typedef struct saved_t {
    void *at;
    size_t size;
    uint64_t word; /* of up to 8 bytes */
    void *copy;    /* of more */
} saved_t;

static saved_t *saved;
static size_t saved_count;
static size_t saved_room;

void kills_save(void *at, size_t size)
{
    if (saved_count == saved_room) {
        saved_room = saved_room ? saved_room * 2 : 256;
        saved = table_grow(saved, saved_room * sizeof *saved);
    }
    saved_t *one = &saved[saved_count++];
    *one = (saved_t){.at = at, .size = size};
    if (size > sizeof one->word)
        one->copy = table_grow(NULL, size);
    memcpy(one->copy ? one->copy : (void *)&one->word, at, size);
}

void kills_mark(void)
{
    while (saved_count)
        free(saved[--saved_count].copy);
}

void kills_undo(void)
{
    while (saved_count) {
        saved_t *one = &saved[--saved_count];
        memcpy(one->at, one->copy ? one->copy : (void *)&one->word, one->size);
        free(one->copy);
    }
}
