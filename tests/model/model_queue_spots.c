/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threads announce, in the spots of src/spots.c: who has died announces nothing, whoever has its spot after it.
 */
#define QUEUES_HAVE_SPOTS
#include "model/queues.h"

static void note_nothing(uint64_t object)
{
    (void)object;
}

/** Put one; the line is the first spot. */
static void put_one(void)
{
    begin_part(1);
    kept_count = 0;
    own_line = spot_keep();
    model_require(own_line != NULL, "there is no spot");
    own_place = (unsigned)index_of(own_line);
    put_value(value_of(0, 0), 0, SYS_NEVER);
    close_end(100);
}

/** Get all, at a spot as mproc_queue_get() has it, after releasing what the dead had. */
static void settle_and_get(void)
{
    begin_part(1);
    kept_count = 0;
    own_line = spot_keep();
    own_place = (unsigned)index_of(own_line);
    if (member_is_dead(1))
        spots_settle(1, note_nothing);
    spot_t *spot = spot_begin(arena_offset(the_queue()));
    model_require(own_line && spot, "there is no spot");
    own_place += 4 * (unsigned)index_of(spot);
    begin_part(2);
    while (get_value(SYS_NEVER) == APR_SUCCESS) {
        waits_point(2 + own_place, 0);
        begin_part(3);
    }
    shm_store(&ends_seen, 1);
    spot_end(spot);
}

static const body_t bodies_at_spots[] = {put_one, settle_and_get};

int main(void)
{
    make(2, 0);
    name_words();
    has_ends = 1;
    set_counts(1, 0, 0);
    ends_of[0] = QUEUE_PUTTER;
    ends_of[1] = QUEUE_GETTER;
    explore("a dead one's spot", bodies_at_spots, 2, 1);
    return 0;
}
