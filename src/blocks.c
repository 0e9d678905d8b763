/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

/* ---- What a span is for ------------------------------------------------------------------------------------------ */

typedef enum span_kind_t {
    SPAN_FREE, /* or never used */
    SPAN_SMALL,
    SPAN_LARGE, /* the first of several */
    SPAN_REST   /* one that follows it */
} span_kind_t;

/** A span's word `use`, unpacked. */
typedef struct use_t {
    span_kind_t kind;
    block_purpose_t purpose;
    unsigned class;
    unsigned used;       /* blocks */
    unsigned touched;    /* blocks behind were never used */
    unsigned first_free; /* block + 1; 0: none */
} use_t;

static uint64_t pack(use_t use)
{
    return (uint64_t)use.kind | (uint64_t)use.purpose << 2 | (uint64_t)use.class << 4 | (uint64_t)use.used << 16 |
           (uint64_t)use.touched << 32 | (uint64_t)use.first_free << 48;
}

static use_t unpack(uint64_t word)
{
    return (use_t){.kind = (span_kind_t)(word & 3),
                   .purpose = (block_purpose_t)(word >> 2 & 3),
                   .class = (unsigned)(word >> 4 & 0xf),
                   .used = (unsigned)(word >> 16 & 0xffff),
                   .touched = (unsigned)(word >> 32 & 0xffff),
                   .first_free = (unsigned)(word >> 48)};
}

static arena_span_t *span_at(uint64_t index)
{
    return (arena_span_t *)arena_at(arena->spans_at) + index;
}

static use_t use_of(const transaction_t *transaction, uint64_t index)
{
    return unpack(journal_get(transaction, &span_at(index)->use));
}

static void set_use(transaction_t *transaction, uint64_t index, use_t use)
{
    journal_put(transaction, &span_at(index)->use, pack(use));
}

static unsigned capacity(unsigned class)
{
    return 1u << (ARENA_SPAN_BITS - ARENA_CLASS_BITS - class);
}

static uint64_t span_offset(uint64_t index)
{
    return arena->first_span + (index << ARENA_SPAN_BITS);
}

static uint64_t block_offset(uint64_t index, use_t use, unsigned block)
{
    return span_offset(index) + ((uint64_t)block << (ARENA_CLASS_BITS + use.class));
}

/** The second word of a free block: the next free one. */
static shm_u64_t *link_of(uint64_t index, use_t use, unsigned block)
{
    return (shm_u64_t *)arena_at(block_offset(index, use, block)) + 1;
}

/* ---- Runs of spans ----------------------------------------------------------------------------------------------- */

static void set_run(transaction_t *transaction, uint64_t first, uint64_t count)
{
    journal_put(transaction, &span_at(first)->run, count);
    journal_put(transaction, &span_at(first + count - 1)->run, count);
}

static void count_free_run(transaction_t *transaction, int64_t change)
{
    journal_put(transaction, &arena->free_runs, journal_get(transaction, &arena->free_runs) + (uint64_t)change);
}

/** Find a run of free spans that is long enough; its first span + 1, or 0. */
static uint64_t find_run(const transaction_t *transaction, uint64_t count)
{
    const uint64_t end = journal_get(transaction, &arena->spans_used);
    if (journal_get(transaction, &arena->free_runs) == 0)
        return 0;
    for (uint64_t i = 0; i < end;) {
        const span_kind_t kind = use_of(transaction, i).kind;
        const uint64_t run = kind == SPAN_SMALL ? 1 : journal_get(transaction, &span_at(i)->run);
        if (kind == SPAN_FREE && run >= count)
            return i + 1;
        i += run;
    }
    return 0;
}

/** Have memory for the part of the table that is about spans which were never used. */
static apr_status_t reserve_table(uint64_t first, uint64_t count)
{
    const uint64_t each = ARENA_SPAN / sizeof(arena_span_t);
    for (uint64_t i = (first + each - 1) / each * each; i < first + count; i += each) {
        const apr_status_t status = arena_reserve(arena_offset(span_at(i)), ARENA_SPAN);
        if (status != APR_SUCCESS)
            return status;
    }
    return APR_SUCCESS;
}

/** Take spans that follow one another: the first one; APR_ENOMEM if there are none. */
static apr_status_t take_run(transaction_t *transaction, uint64_t *first, uint64_t count)
{
    const uint64_t found = find_run(transaction, count);
    const uint64_t end = journal_get(transaction, &arena->spans_used);
    uint64_t left = 0;
    if (found)
        left = journal_get(transaction, &span_at(found - 1)->run) - count;
    else if (count > arena->span_count - end)
        return APR_ENOMEM;
    /* From the end of the run, so that what is left of it begins where it did. */
    *first = found ? found - 1 + left : end;
    apr_status_t status = arena_reserve(span_offset(*first), count << ARENA_SPAN_BITS);
    if (status == APR_SUCCESS && !found)
        status = reserve_table(end, count);
    if (status != APR_SUCCESS)
        return status;
    if (!found) {
        journal_put(transaction, &arena->spans_used, end + count);
    } else if (left) {
        set_run(transaction, found - 1, left);
        set_use(transaction, found + left - 2, (use_t){.kind = SPAN_FREE});
    } else {
        count_free_run(transaction, -1);
    }
    return APR_SUCCESS;
}

/** Give spans back, together with free neighbours. */
static void give_run(transaction_t *transaction, uint64_t first, uint64_t count)
{
    const uint64_t end = journal_get(transaction, &arena->spans_used);
    const uint64_t own_first = first;
    const uint64_t own_count = count;
    journal_forget(transaction, span_offset(first), count << ARENA_SPAN_BITS);
    int64_t runs = 1;
    if (first > 0 && use_of(transaction, first - 1).kind == SPAN_FREE) {
        const uint64_t before = journal_get(transaction, &span_at(first - 1)->run);
        first -= before;
        count += before;
        runs--;
    }
    if (first + count < end && use_of(transaction, first + count).kind == SPAN_FREE) {
        count += journal_get(transaction, &span_at(first + count)->run);
        runs--;
    }
    /* Only the first one of several and the one behind the last are ever looked at. */
    set_use(transaction, own_first, (use_t){.kind = SPAN_FREE});
    set_use(transaction, own_first + own_count - 1, (use_t){.kind = SPAN_FREE});
    set_run(transaction, first, count);
    count_free_run(transaction, runs);
}

/* ---- Spans that have room ---------------------------------------------------------------------------------------- */

static uint64_t next_of(uint64_t links)
{
    return links & 0xffffffffu;
}

static uint64_t previous_of(uint64_t links)
{
    return links >> 32;
}

/** Put a span to the front of those that have room. Numbers are one more than those of the spans. */
static void link_span(transaction_t *transaction, uint64_t index, use_t use)
{
    shm_u64_t *head = &arena->with_room[use.purpose][use.class];
    const uint64_t next = journal_get(transaction, head);
    journal_put(transaction, &span_at(index)->links, next);
    if (next) {
        shm_u64_t *links = &span_at(next - 1)->links;
        journal_put(transaction, links, next_of(journal_get(transaction, links)) | (index + 1) << 32);
    }
    journal_put(transaction, head, index + 1);
}

static void unlink_span(transaction_t *transaction, uint64_t index, use_t use)
{
    const uint64_t links = journal_get(transaction, &span_at(index)->links);
    const uint64_t next = next_of(links);
    const uint64_t previous = previous_of(links);
    if (next) {
        shm_u64_t *of_next = &span_at(next - 1)->links;
        journal_put(transaction, of_next, next_of(journal_get(transaction, of_next)) | previous << 32);
    }
    if (previous) {
        shm_u64_t *of_previous = &span_at(previous - 1)->links;
        journal_put(transaction, of_previous, next | previous_of(journal_get(transaction, of_previous)) << 32);
    } else {
        journal_put(transaction, &arena->with_room[use.purpose][use.class], next);
    }
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

static unsigned class_of(uint64_t size)
{
    unsigned class = 0;
    while (((uint64_t)1 << (ARENA_CLASS_BITS + class)) < size)
        class ++;
    return class;
}

/** Get a span with room for a block of a class. */
static apr_status_t get_span(transaction_t *transaction, uint64_t *index, unsigned class, block_purpose_t purpose)
{
    const uint64_t head = journal_get(transaction, &arena->with_room[purpose][class]);
    if (head) {
        *index = head - 1;
        return APR_SUCCESS;
    }
    const apr_status_t status = take_run(transaction, index, 1);
    if (status != APR_SUCCESS)
        return status;
    const use_t use = {.kind = SPAN_SMALL, .purpose = purpose, .class = class};
    /* What was there before is not to be taken for objects. */
    shm_clear(arena_at(span_offset(*index)), ARENA_SPAN);
    set_use(transaction, *index, use);
    link_span(transaction, *index, use);
    return APR_SUCCESS;
}

apr_status_t blocks_take(transaction_t *transaction, uint64_t *offset, uint64_t size, block_purpose_t purpose)
{
    uint64_t index;
    *offset = 0;
    if (size > BLOCK_SMALL_MAX) {
        if (purpose != BLOCK_RAW || size > arena->size)
            return APR_ENOMEM;
        const uint64_t count = (size + ARENA_SPAN - 1) >> ARENA_SPAN_BITS;
        const apr_status_t status = take_run(transaction, &index, count);
        if (status != APR_SUCCESS)
            return status;
        set_use(transaction, index + count - 1, (use_t){.kind = SPAN_REST});
        set_use(transaction, index, (use_t){.kind = SPAN_LARGE});
        set_run(transaction, index, count);
        *offset = span_offset(index);
        return APR_SUCCESS;
    }
    const apr_status_t status = get_span(transaction, &index, class_of(size), purpose);
    if (status != APR_SUCCESS)
        return status;
    use_t use = use_of(transaction, index);
    unsigned block = use.touched;
    if (use.first_free) {
        block = use.first_free - 1;
        use.first_free = (unsigned)journal_get(transaction, link_of(index, use, block));
    } else {
        use.touched++;
    }
    use.used++;
    set_use(transaction, index, use);
    if (use.used == capacity(use.class))
        unlink_span(transaction, index, use);
    *offset = block_offset(index, use, block);
    return APR_SUCCESS;
}

void blocks_give(transaction_t *transaction, uint64_t offset)
{
    const uint64_t index = (offset - arena->first_span) >> ARENA_SPAN_BITS;
    use_t use = use_of(transaction, index);
    if (use.kind == SPAN_LARGE) {
        give_run(transaction, index, journal_get(transaction, &span_at(index)->run));
        return;
    }
    const uint64_t links = journal_get(transaction, &span_at(index)->links);
    const int was_full = use.used == capacity(use.class);
    const unsigned block = (unsigned)((offset - span_offset(index)) >> (ARENA_CLASS_BITS + use.class));
    /* The last one of a class stays, for the next block. */
    if (use.used == 1 && !was_full && (next_of(links) || previous_of(links))) {
        unlink_span(transaction, index, use);
        give_run(transaction, index, 1);
        return;
    }
    journal_put(transaction, arena_at(offset), 0);
    journal_put(transaction, link_of(index, use, block), use.first_free);
    use.first_free = block + 1;
    use.used--;
    set_use(transaction, index, use);
    if (was_full)
        link_span(transaction, index, use);
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

/** The use of the span that an offset lies in; SPAN_FREE for none. */
static use_t look(uint64_t offset, uint64_t *index)
{
    const uint64_t none = (uint64_t)-1;
    *index = offset < arena->first_span ? none : (offset - arena->first_span) >> ARENA_SPAN_BITS;
    if (*index >= shm_load64(&arena->spans_used))
        return (use_t){.kind = SPAN_FREE};
    return unpack(shm_load64(&span_at(*index)->use));
}

int blocks_can_be_object(uint64_t offset)
{
    uint64_t index;
    const use_t use = look(offset, &index);
    if (use.kind != SPAN_SMALL || use.purpose != BLOCK_OBJECT)
        return 0;
    const uint64_t inside = offset - span_offset(index);
    return (inside & (((uint64_t)1 << (ARENA_CLASS_BITS + use.class)) - 1)) == 0 &&
           inside >> (ARENA_CLASS_BITS + use.class) < use.touched;
}

int blocks_can_be_raw(uint64_t offset)
{
    uint64_t index;
    const use_t use = look(offset, &index);
    if (use.kind == SPAN_LARGE)
        return offset == span_offset(index);
    if (use.kind != SPAN_SMALL || use.purpose != BLOCK_RAW)
        return 0;
    const uint64_t inside = offset - span_offset(index);
    return (inside & (((uint64_t)1 << (ARENA_CLASS_BITS + use.class)) - 1)) == 0 &&
           inside >> (ARENA_CLASS_BITS + use.class) < use.touched;
}

int blocks_are_there(uint64_t offset, uint64_t size)
{
    const uint64_t end = span_offset(shm_load64(&arena->spans_used));
    return offset >= arena->first_span && offset % 64 == 0 && offset < end && size <= end - offset;
}

uint64_t blocks_next_object(uint64_t offset)
{
    uint64_t index = 0;
    if (offset) {
        const use_t use = look(offset, &index);
        const uint64_t next = offset + ((uint64_t)1 << (ARENA_CLASS_BITS + use.class));
        if (blocks_can_be_object(next) && next < span_offset(index + 1))
            return next;
        index++;
    }
    for (const uint64_t end = shm_load64(&arena->spans_used); index < end; index++)
        if (blocks_can_be_object(span_offset(index)))
            return span_offset(index);
    return 0;
}

uint64_t blocks_used(void)
{
    uint64_t bytes = 0;
    const uint64_t end = shm_load64(&arena->spans_used);
    for (uint64_t i = 0; i < end;) {
        const use_t use = unpack(shm_load64(&span_at(i)->use));
        const uint64_t run = use.kind == SPAN_SMALL ? 1 : shm_load64(&span_at(i)->run);
        if (use.kind == SPAN_SMALL)
            bytes += (uint64_t)use.used << (ARENA_CLASS_BITS + use.class);
        else if (use.kind == SPAN_LARGE)
            bytes += run << ARENA_SPAN_BITS;
        /* Nobody has the lock: a span may be counted that is not described yet, and whoever does that may be dead. */
        i += run ? run : 1;
    }
    return bytes;
}
