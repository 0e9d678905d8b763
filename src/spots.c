/* SPDX-License-Identifier: Apache-2.0 */
#include "spots.h"

#include "member.h"

/*
 * Spots that this process has and no thread uses: claiming one is not for each wait. A stack of a fixed size, guarded
 * by the core's lock; what does not fit is freed.
 */
enum { KEPT_MAX = 64 };
static uint32_t kept[KEPT_MAX];
static size_t kept_count;

_Static_assert(sizeof(spot_t) == 64, "a spot is a cache line, the same for all members of the family");

static spot_t *spot_at(uint64_t index)
{
    return (spot_t *)arena_at(arena->spots_at) + index;
}

static uint64_t index_of(const spot_t *spot)
{
    return (uint64_t)(spot - spot_at(0));
}

/** Count a spot among those that are looked at, and have memory for it. */
static int note_use(uint64_t index)
{
    uint64_t used = shm_load64(&arena->spots_used);
    if (used > index)
        return 1;
    const uint64_t offset = arena->spots_at + index * sizeof(spot_t);
    if (arena_reserve(offset & ~(ARENA_SPAN - 1), ARENA_SPAN) != APR_SUCCESS)
        return 0;
    while (used <= index && !shm_replace64(&arena->spots_used, used, index + 1))
        used = shm_load64(&arena->spots_used);
    return 1;
}

static spot_t *claim(void)
{
    for (uint64_t i = 0; i < ARENA_SPOTS_MAX && note_use(i); i++) {
        spot_t *spot = spot_at(i);
        if (shm_load(&spot->owner) == 0 && shm_replace(&spot->owner, 0, member_self()))
            return spot;
    }
    return NULL;
}

spot_t *spot_begin(uint64_t object)
{
    sys_lock();
    spot_t *spot = kept_count ? spot_at(kept[--kept_count]) : NULL;
    sys_unlock();
    if (!spot)
        spot = claim();
    if (!spot)
        return NULL;
    shm_store(&spot->word, spot_word(shm_load(&spot->word) + SPOT_TIMES, SPOT_IDLE));
    shm_store64(&spot->since, (uint64_t)sys_now());
    shm_store64(&spot->object, object);
    return spot;
}

void spot_end(spot_t *spot)
{
    if (!spot)
        return;
    shm_store64(&spot->object, 0);
    shm_store(&spot->word, spot_word(shm_load(&spot->word), SPOT_IDLE));
    sys_lock();
    const int is_kept = kept_count < KEPT_MAX;
    if (is_kept)
        kept[kept_count++] = (uint32_t)index_of(spot);
    sys_unlock();
    if (!is_kept)
        shm_store(&spot->owner, 0);
}

spot_t *spot_keep(void)
{
    return claim();
}

int spot_is_announced(uint64_t what, uint64_t position)
{
    const uint64_t end = shm_load64(&arena->spots_used);
    for (uint64_t i = 0; i < end; i++) {
        const spot_t *spot = spot_at(i);
        const uint32_t owner = shm_load(&spot->owner);
        if (owner && shm_load64(&spot->announced) == what && shm_load64(&spot->position) == position &&
            !member_is_dead(owner))
            return 1;
    }
    return 0;
}

spot_t *spot_next(const spot_t *spot)
{
    const uint64_t end = shm_load64(&arena->spots_used);
    for (uint64_t i = spot ? index_of(spot) + 1 : 0; i < end; i++)
        if (shm_load(&spot_at(i)->owner) && shm_load64(&spot_at(i)->object))
            return spot_at(i);
    return NULL;
}

void spots_settle(uint32_t ticket, void (*was_notified)(uint64_t object))
{
    const uint64_t end = shm_load64(&arena->spots_used);
    for (uint64_t i = 0; i < end; i++) {
        spot_t *spot = spot_at(i);
        if (shm_load(&spot->owner) != ticket)
            continue;
        const uint64_t object = shm_load64(&spot->object);
        uint32_t word = shm_load(&spot->word);
        /* From here on nobody notifies it, who would not know that it is dead. */
        if ((word & SPOT_STATE) == SPOT_WAITING && !shm_replace(&spot->word, word, spot_word(word, SPOT_IDLE)))
            word = shm_load(&spot->word);
        /* Not forgotten before it is done: one who dies in between leaves it to the next, and twice does no harm. */
        if (object && (word & SPOT_STATE) == SPOT_NOTIFIED)
            was_notified(object);
        shm_store(&spot->word, spot_word(word, SPOT_IDLE));
        shm_store64(&spot->object, 0);
        /* Whoever has the spot next would be taken for the one who announces this. */
        shm_store64(&spot->announced, 0);
        shm_replace(&spot->owner, ticket, 0);
    }
}

void spots_forget(void)
{
    if (kept_count)
        kept_count = 0;
}
