/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items in blocks, in src/queue_blocks.c: whoever is killed when, each block is nobody's, one's alone, or that of an
 * item which is still to be got; nobody uses another one's; and what a dead one had is used again.
 */
#include "model/no_spots.h"

/* As many blocks as anybody needs here; the others of the table are in use for ever. */
enum { TABLE_AT = 4, CONTENTS_AT = 8, BLOCKS_MAX = 4, CONTENT_SIZE = 64 };

static unsigned blocks_here;

/* Whether they have no memory at first; and which parts of it are in use then, as bits. */
static int is_enlarging;
static shm_u64_t parts_used;
static shm_u64_t notes[BLOCKS_MAX]; /* of the parts */

/* By side and position; the positions of these are all that there are at one time. */
enum { SLOTS_MAX = 2 };
static shm_u32_t claimed_by[2][SLOTS_MAX];

static int is_dead_ones_used; /* somebody has taken what a dead one had, in some order */

static block_table_t *the_table(void)
{
    const uint64_t offset = arena_offset(waits_object(TABLE_AT));
    return arena_at((offset - PART_HEADER + TABLE_SIZE - 1) / TABLE_SIZE * TABLE_SIZE + PART_HEADER);
}

static queue_block_t *the_block(unsigned number)
{
    return &the_table()->blocks[number];
}

static uint32_t *content_of(unsigned number)
{
    return (uint32_t *)(void *)((unsigned char *)waits_object(CONTENTS_AT) + (size_t)number * CONTENT_SIZE);
}

/** The block that a word is in; BLOCKS: none. */
static unsigned block_around(const volatile void *at)
{
    const uint64_t offset = (uint64_t)((const volatile unsigned char *)at - (unsigned char *)the_block(0));
    const uint64_t number = offset / sizeof(queue_block_t);
    return number < BLOCKS ? (unsigned)number : (unsigned)BLOCKS;
}

/** Likewise the block whose content it is in. */
static unsigned block_with_content(const view_t *view, const void *at)
{
    const uint64_t offset = (uint64_t)((const unsigned char *)at - (unsigned char *)content_of(0));
    if (offset >= (uint64_t)BLOCKS_MAX * CONTENT_SIZE)
        return BLOCKS;
    const uint64_t part = arena_offset(content_of((unsigned)(offset / CONTENT_SIZE)));
    for (unsigned i = 0; i < blocks_here; i++) {
        const shm_u64_t *word = &the_block(i)->part;
        if ((is_enlarging ? model_value(view, word) : atomic_load(word)) == part)
            return i;
    }
    model_fail("memory is used that no block has");
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/** Which blocks a process has is a part of what it knows. */
static void note_blocks(step_kind_t kind, const volatile void *at, uint64_t value, uint64_t result)
{
    const unsigned number = block_around(at);
    if (number == BLOCKS || at != &the_block(number)->owner || kind == STEP_LOAD || (kind == STEP_REPLACE && !result))
        return;
    own_place &= ~(1u << number);
    if (value == member_self())
        own_place |= 1u << number;
}

static int is_constant_of_blocks(const volatile void *at)
{
    const unsigned number = block_around(at);
    if (at == &the_table()->next || at == &the_table()->queue)
        return 1;
    for (unsigned i = 0; i < BLOCKS_MAX && !is_enlarging; i++)
        if (at == &notes[i])
            return 1;
    return number < BLOCKS && (number >= blocks_here || (!is_enlarging && at != &the_block(number)->owner));
}

static int is_own_content(const view_t *view, int process, const step_t *step)
{
    const unsigned number = block_with_content(view, model_address(step->word));
    return number < BLOCKS && model_value(view, &the_block(number)->owner) == (uint64_t)process + 1;
}

static uint64_t position_of(uint64_t owner)
{
    return owner & ~QUEUE_BLOCK_PUT;
}

/** Who has claimed a position, and is not done with it, or was killed there; 0: nobody. */
static uint64_t claimer(const view_t *view, unsigned side, uint64_t position)
{
    return model_value(view, &claimed_by[side][position % SLOTS_MAX]);
}

static int is_claimed_by_other(const view_t *view, int process, unsigned side, uint64_t position)
{
    const uint64_t who = claimer(view, side, position);
    return who != 0 && who != (uint64_t)process + 1 && view->status[who - 1] < DEAD;
}

/** See who claims what. */
static void note_claims(const view_t *before, view_t *after, int process, const step_t *step)
{
    unsigned number;
    const void *at = model_address(step->word);
    const uint64_t was = before->words[step->word];
    const uint64_t now = after->words[step->word];
    const slot_t *slot = slot_around(at, &number);
    const unsigned side = at == (const void *)&the_ring(0)->tail ? RING_PUTS : RING_GETS;
    if ((at == (const void *)&the_ring(0)->tail || at == (const void *)&the_ring(0)->head) &&
        ring_position(now) != ring_position(was))
        model_set(after, &claimed_by[side][ring_position(was) % SLOTS_MAX], (uint64_t)process + 1);
    if (!slot || at != (const void *)&slot->sequence || was == now)
        return;
    const uint64_t position = (was & ~RING_TOMBSTONE) / 2;
    model_set(after, &claimed_by[was & 1 ? RING_GETS : RING_PUTS][position % SLOTS_MAX], 0);
}

static void check_owner(const view_t *before, int process, const step_t *step, uint64_t owner)
{
    const uint64_t self = (uint64_t)process + 1;
    const uint64_t was = before->words[step->word];
    const int is_put = (was & QUEUE_BLOCK_PUT) != 0;
    if (owner == 0 && step->kind == STEP_STORE) {
        model_require(was == self, "a block is given back by one who does not have it");
    } else if (owner == 0) {
        model_require(is_put && !is_claimed_by_other(before, process, RING_PUTS, position_of(was)) &&
                          !is_claimed_by_other(before, process, RING_GETS, position_of(was)),
                      "a block that is in use is dropped");
    } else if (owner & QUEUE_BLOCK_PUT) {
        model_require(was == self, "a block is put by one who does not have it");
        model_require(claimer(before, RING_PUTS, position_of(owner)) == self, "it is put where nothing is");
    } else if (is_put) {
        model_require(claimer(before, RING_GETS, position_of(was)) == self, "a block is got by another one");
    } else {
        model_require(was == 0 || before->status[was - 1] >= DEAD, "a block is taken that another one has");
        is_dead_ones_used |= was != 0 && before->status[was - 1] == DEAD;
    }
}

/** Look at who has which block. */
static void watch_blocks(const view_t *before, view_t *after, int process, const step_t *step)
{
    const void *at = model_address(step->word);
    const uint64_t self = (uint64_t)process + 1;
    if (step->kind == STEP_END)
        for (unsigned i = 0; i < blocks_here; i++)
            model_require(model_value(before, &the_block(i)->owner) != self, "who goes takes a block along");
    if (step->kind > STEP_REPLACE)
        return;
    const unsigned content = block_with_content(before, at);
    model_require(content == BLOCKS || model_value(before, &the_block(content)->owner) == self,
                  "a block is used by one who does not have it");
    const unsigned number = block_around(at);
    if (number < blocks_here && at == (const void *)&the_block(number)->owner && step->kind != STEP_LOAD &&
        (step->kind == STEP_STORE || after->words[step->word] != before->words[step->word]))
        check_owner(before, process, step, after->words[step->word]);
    note_claims(before, after, process, step);
}

/** Each part of the memory that is in use is one block's. */
static void check_memory(const view_t *view)
{
    uint64_t left = model_value(view, &parts_used);
    if (model_value(view, &arena->lock.word))
        return;
    for (unsigned i = 0; i < blocks_here; i++)
        for (unsigned k = 0; k < BLOCKS_MAX; k++) {
            if (model_value(view, &the_block(i)->part) != arena_offset(content_of(k)))
                continue;
            model_require(left >> k & 1, "a block has memory that is free, or another one's");
            left &= ~((uint64_t)1 << k);
        }
    model_require(left == 0, "memory is lost");
}

/** Each block that was put is that of an item which is there; and what was published has its block. */
static void check_blocks(const view_t *view)
{
    const ring_t *ring = the_ring(0);
    if (is_enlarging)
        check_memory(view);
    for (unsigned i = 0; i < blocks_here; i++) {
        const uint64_t owner = model_value(view, &the_block(i)->owner);
        const slot_t *slot = ring_slot(ring, position_of(owner));
        if (owner & QUEUE_BLOCK_PUT)
            model_require(model_value(view, &slot->block) == arena_offset(the_block(i)) &&
                              (model_value(view, &slot->sequence) & ~RING_TOMBSTONE & ~(uint64_t)1) ==
                                  2 * position_of(owner),
                          "a block is lost");
    }
    const uint64_t end = ring_position(model_value(view, &ring->tail));
    for (uint64_t position = ring_position(model_value(view, &ring->head)); position < end; position++) {
        const slot_t *slot = ring_slot(ring, position);
        if (model_value(view, &slot->sequence) != 2 * position + 1)
            continue;
        const unsigned number = block_around(arena_at(model_value(view, &slot->block)));
        model_require(number < blocks_here &&
                          model_value(view, &the_block(number)->owner) == (QUEUE_BLOCK_PUT | position),
                      "the block of an item is not its own");
    }
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

static void require_put(apr_status_t status)
{
    model_require(status == APR_SUCCESS || status == APR_EPIPE, "a put has failed");
}

/** A block is used between two calls. */
static void put_reserved(void)
{
    const int self = (int)member_self() - 1;
    void *block;
    for (unsigned i = 0; i < counts[self]; i++) {
        const uint32_t content[2] = {value_of(self, i), value_of(self, i)};
        waits_point(1 + i, 0);
        begin_part(1 + i);
        model_require(mproc_queue_reserve(the_handle(), &block, sizeof content) == APR_SUCCESS, "there is no block");
        copy(block, content, sizeof content);
        const apr_status_t status = mproc_queue_put_block(the_handle(), block, sizeof content, MPROC_FOREVER);
        require_put(status);
        if (status == APR_SUCCESS)
            continue;
        model_require(mproc_queue_free_block(the_handle(), block) == APR_SUCCESS, "a block is not this process's");
        break;
    }
    close_end(100);
}

static void put_copies(void)
{
    const int self = (int)member_self() - 1;
    apr_status_t status = APR_SUCCESS;
    for (unsigned i = 0; i < counts[self] && status == APR_SUCCESS; i++) {
        const uint32_t content[2] = {value_of(self, i), value_of(self, i)};
        waits_point(1 + i, 0);
        begin_part(1 + i);
        status = queue_put_handle(the_handle(), content, sizeof content, MPROC_FOREVER);
        require_put(status);
    }
    close_end(100);
}

/** It is noted what was got. */
static void check_content(const uint32_t content[2])
{
    model_require(content[0] == content[1] && content[0] != 0 && content[0] < VALUES, "an item is torn: %u, %u",
                  content[0], content[1]);
    model_tag |= (uint64_t)content[0] << TAG_VALUE_SHIFT;
    has_just_got = 1;
}

static void require_got(apr_status_t status)
{
    model_require(status == APR_SUCCESS || status == APR_EOF, "a get has failed");
}

/** As many as there are, or as it gets. */
static void get_blocks(void)
{
    const int self = (int)member_self() - 1;
    apr_status_t status = APR_SUCCESS;
    for (unsigned i = 0; (counts[self] == 0 || i < counts[self]) && status == APR_SUCCESS; i++) {
        uint32_t content[2];
        void *block;
        waits_point(counts[self] ? 1 + i : 1, 0);
        begin_part(counts[self] ? 1 + i : 1);
        status = mproc_queue_get_block(the_handle(), &block, NULL, MPROC_FOREVER);
        require_got(status);
        if (status != APR_SUCCESS)
            break;
        copy(content, block, sizeof content);
        check_content(content);
        model_require(mproc_queue_free_block(the_handle(), block) == APR_SUCCESS, "a block is not this process's");
    }
    close_end(100);
}

static void get_copies(void)
{
    const int self = (int)member_self() - 1;
    apr_status_t status = APR_SUCCESS;
    for (unsigned i = 0; (counts[self] == 0 || i < counts[self]) && status == APR_SUCCESS; i++) {
        uint32_t content[2] = {0, 0};
        waits_point(counts[self] ? 1 + i : 1, 0);
        begin_part(counts[self] ? 1 + i : 1);
        status = queue_get_handle(the_handle(), content, sizeof content, NULL, MPROC_FOREVER);
        require_got(status);
        if (status == APR_SUCCESS)
            check_content(content);
    }
    close_end(100);
}

/** What was got before is kept while there is more. */
static void keep_and_get(void)
{
    uint32_t content[2];
    apr_status_t status = APR_SUCCESS;
    own_place = 1;
    while (status == APR_SUCCESS) {
        waits_point(1, 0);
        begin_part(1);
        status = queue_get_handle(the_handle(), content, sizeof content, NULL, MPROC_FOREVER);
        require_got(status);
        if (status == APR_SUCCESS)
            check_content(content);
    }
    model_require(mproc_queue_free_block(the_handle(), content_of(0)) == APR_SUCCESS, "a block is lost");
    close_end(100);
}

/** Have a block for a while, again and again. */
static void have_block(void)
{
    const int self = (int)member_self() - 1;
    void *block;
    for (unsigned i = 0; i < counts[self]; i++) {
        uint32_t mark = member_self();
        waits_point(1 + i, 0);
        begin_part(1 + i);
        model_require(mproc_queue_reserve(the_handle(), &block, 0) == APR_SUCCESS, "there is no block");
        copy(block, &mark, sizeof mark);
        copy(&mark, block, sizeof mark);
        model_require(mark == member_self(), "another one has written into a block");
        model_require(mproc_queue_free_block(the_handle(), block) == APR_SUCCESS, "a block is not this process's");
    }
}

static uint64_t take_part(transaction_t *transaction, uint64_t size)
{
    const uint64_t used = journal_get(transaction, &parts_used);
    (void)size;
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        if (!(used >> i & 1)) {
            journal_put(transaction, &parts_used, used | (uint64_t)1 << i);
            return arena_offset(content_of(i));
        }
    return 0;
}

static void give_part(transaction_t *transaction, uint64_t part)
{
    const uint64_t used = journal_get(transaction, &parts_used);
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        if (part == arena_offset(content_of(i)))
            journal_put(transaction, &parts_used, used & ~((uint64_t)1 << i));
}

static shm_u64_t *note_of_part(uint64_t part)
{
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        if (part == arena_offset(content_of(i)))
            return &notes[i];
    return NULL;
}

/** A larger one each time. */
static void have_larger_blocks(void)
{
    const int self = (int)member_self() - 1;
    const uint32_t mark = member_self();
    void *block;
    for (unsigned i = 0; i < counts[self]; i++) {
        const size_t size = i ? 100 : 8;
        waits_point(1 + i, 0);
        begin_part(1 + i);
        model_require(mproc_queue_reserve(the_handle(), &block, size) == APR_SUCCESS, "there is no block");
        copy(block, &mark, sizeof mark);
        const uint64_t taken = queue_block_find(the_queue(), block);
        model_require(taken && shm_load64(&queue_block_at(taken)->size) >= size, "a block is too small");
        model_require(mproc_queue_free_block(the_handle(), block) == APR_SUCCESS, "a block is not this process's");
    }
}

static const body_t reserved[] = {put_reserved, get_blocks};
static const body_t copied[] = {put_copies, get_copies};
static const body_t kept[] = {put_copies, keep_and_get};
static const body_t beside[] = {put_copies, have_block};
static const body_t takers[] = {have_block, have_block, have_block};
static const body_t larger[] = {have_larger_blocks, have_larger_blocks};
static const body_t putters[] = {put_copies, put_copies, get_copies};

/* ---- Exploring --------------------------------------------------------------------------------------------------- */

static void make_with_blocks(uint64_t length, unsigned number)
{
    make(length, 0);
    memset(the_table(), 0, sizeof(block_table_t));
    memset(content_of(0), 0, (size_t)BLOCKS_MAX * CONTENT_SIZE);
    memset(claimed_by, 0, sizeof claimed_by);
    has_blocks = 1;
    has_ends = 1;
    blocks_here = number;
    is_enlarging = 0;
    atomic_store(&parts_used, 0);
    /* All items have this size, and no slot has room. */
    the_queue()->room = 0;
    arena->size = 1 << 20;
    note_of_memory = note_of_part;
    atomic_store(&the_queue()->blocks, arena_offset(the_table()));
    atomic_store(&the_table()->queue, arena_offset(the_queue()));
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        atomic_store(&notes[i], arena_offset(the_block(i)));
    atomic_store(&the_table()->free, ((uint64_t)1 << number) - 1);
    for (unsigned i = 0; i < BLOCKS; i++) {
        atomic_store(&the_block(i)->owner, i < number ? 0 : QUEUE_BLOCK_PUT);
        atomic_store(&the_block(i)->part, i < number ? arena_offset(content_of(i)) : 0);
        atomic_store(&the_block(i)->size, i < number ? CONTENT_SIZE : 0);
    }
}

/** The same, and each block has memory only when it is taken. */
static void make_without_memory(uint64_t length, unsigned number)
{
    make_with_blocks(length, number);
    is_enlarging = 1;
    the_queue()->item_size = 0;
    take_memory = take_part;
    give_memory = give_part;
    for (unsigned i = 0; i < number; i++) {
        atomic_store(&the_block(i)->part, 0);
        atomic_store(&the_block(i)->size, 0);
    }
}

/** Somebody (0: nobody any more) has the block that it got from the first position. */
static void have_got(uint32_t ticket)
{
    slot_t *slot = ring_slot(the_ring(0), 0);
    atomic_store(&slot->block, arena_offset(the_block(0)));
    atomic_store(&slot->sequence, 2 * the_ring(0)->length);
    atomic_store(&the_ring(0)->tail, (uint64_t)1 << RING_BITS);
    atomic_store(&the_ring(0)->head, (uint64_t)1 << RING_BITS);
    atomic_store(&the_block(0)->owner, ticket);
    atomic_store(&the_table()->free, atomic_load(&the_table()->free) & ~(uint64_t)1);
}

static void explore_blocks(const char *name, const body_t *who, int processes, unsigned kills)
{
    for (int i = 0; i < processes; i++)
        ends_of[i] = who[i] == put_reserved || who[i] == put_copies         ? QUEUE_PUTTER
                     : who[i] == have_block || who[i] == have_larger_blocks ? 0
                                                                            : QUEUE_GETTER;
    explore(name, who, processes, kills);
}

static void name_blocks(void)
{
    char name[32];
    model_name(&the_table()->free, 8, "blocks that may be free");
    model_name(&parts_used, 8, "parts_used");
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        snprintf(name, sizeof name, "owner of block %u", i);
        model_name(&the_block(i)->owner, 8, name);
        snprintf(name, sizeof name, "memory of block %u", i);
        model_name(&the_block(i)->part, 8, name);
        snprintf(name, sizeof name, "size of block %u", i);
        model_name(&the_block(i)->size, 8, name);
        snprintf(name, sizeof name, "block %u, first half", i);
        model_name(content_of(i), 4, name);
        snprintf(name, sizeof name, "block %u, second half", i);
        model_name(content_of(i) + 1, 4, name);
        model_name(&claimed_by[i / SLOTS_MAX][i % SLOTS_MAX], 4, "claimed_by");
    }
}

int main(void)
{
    make(2, 0);
    name_words();
    name_blocks();
    after_step_too = note_blocks;
    is_constant_too = is_constant_of_blocks;
    is_private_too = is_own_content;
    on_step_too = watch_blocks;
    check_more = check_blocks;
    make_with_blocks(1, 3);
    set_counts(1, 1, 1);
    immortal = 3;
    /* What else is free has to be looked for. */
    atomic_store(&the_table()->free, 4);
    explore_blocks("three who take blocks", takers, 3, 1);
    model_require(is_dead_ones_used, "nobody takes what a dead one had");
    make_without_memory(1, 3);
    set_counts(1, 2, 0);
    immortal = 1;
    explore_blocks("larger and larger blocks", larger, 2, 1);
    make_with_blocks(1, 3);
    set_counts(1, 0, 0);
    have_got(2);
    immortal = 2;
    explore_blocks("a block is kept", kept, 2, 1);
    make_with_blocks(1, 2);
    set_counts(1, 1, 0);
    have_got(0);
    atomic_store(&the_table()->free, 0);
    explore_blocks("a block beside those in the queue", beside, 2, 1);
    make_with_blocks(1, 3);
    set_counts(2, 0, 0);
    explore_blocks("reserved blocks", reserved, 2, 1);
    make_with_blocks(1, 3);
    set_counts(2, 0, 0);
    explore_blocks("copies", copied, 2, 1);
    if (model_is_deep()) {
        make_without_memory(1, 3);
        set_counts(2, 2, 0);
        explore_blocks("larger blocks, whoever dies", larger, 2, 1);
        make_with_blocks(2, 4);
        set_counts(1, 1, 0);
        explore_blocks("two putters", putters, 3, 1);
    }
    return 0;
}
