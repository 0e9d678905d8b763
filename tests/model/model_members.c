/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of src/member.c and what they hold, by src/references.c, changed by src/journal.c: a process makes a
 * place for a child and has it hold an object; the child comes, or not; another process comes and goes, and looks after
 * the dead. In the end a last one looks whether anything is left.
 */
#include "model/steps.h"

#include <stdio.h>

#include "arena.h"
#include "blocks.h"
#include "member.h"
#include "memory.h"
#include "references.h"
#include "shared.h"
#include "spots.h"

#define FRESH ((uint64_t)5 << 32)

enum { CREATOR, CHILD };
enum { FIRST_PID = 100, PLACES = 6 };

static int process_now;

/* ---- In place of the system -------------------------------------------------------------------------------------- */

static sys_time_t no_time(void)
{
    return 0;
}

static int pid_now(void)
{
    return FIRST_PID + process_now;
}

static apr_status_t find_birth(uint64_t *birth, int pid)
{
    *birth = (uint64_t)pid;
    return APR_SUCCESS;
}

static apr_status_t open_process(sys_process_t **process, int pid, uint64_t birth)
{
    *process = NULL;
    model_require(birth == 0 || birth == (uint64_t)pid, "a place has the birth of another process");
    return model_step((step_t){.kind = STEP_ASK, .before = (uint64_t)(pid - FIRST_PID)}) ? APR_ENOENT : APR_SUCCESS;
}

static void close_process(sys_process_t *process)
{
    (void)process;
}

static sys_handle_t find_sentinel(const sys_process_t *process)
{
    (void)process;
    return SYS_NO_HANDLE;
}

static apr_status_t wait_for(sys_handle_t handle, sys_time_t deadline)
{
    (void)handle;
    (void)deadline;
    return APR_TIMEUP;
}

apr_status_t arena_use(const char *call)
{
    (void)call;
    return APR_SUCCESS;
}

int arena_is_mapped(void)
{
    return 1;
}

int arena_has_members(void)
{
    return 1;
}

apr_status_t arena_reserve(uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
    return APR_SUCCESS;
}

int arena_begin_change(void)
{
    return 1;
}

void arena_end_change(void)
{
}

int arena_end_changes(void)
{
    return 1;
}

void arena_return(uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
}

/* ---- The memory -------------------------------------------------------------------------------------------------- */

/* Some lists of references, behind the header, and one object. */
enum { LISTS = 5, BLOCK = 1024, FIRST_BLOCK = sizeof(arena_header_t) / BLOCK + 1, OBJECT_AT = FIRST_BLOCK + LISTS };

static _Alignas(64) unsigned char memory[(OBJECT_AT + 1) * BLOCK];
arena_header_t *arena = (arena_header_t *)(void *)memory;

/* Which lists are in use: an allocator that is simple enough. */
static shm_u64_t *taken_at(unsigned list)
{
    return &arena->with_room[0][list];
}

static uint64_t block_at(unsigned block)
{
    return ((uint64_t)FIRST_BLOCK + block) * BLOCK;
}

static object_t *the_object(void)
{
    return arena_at(block_at(LISTS));
}

apr_status_t blocks_take(transaction_t *transaction, uint64_t *offset, uint64_t size, block_purpose_t purpose)
{
    (void)purpose;
    model_require(size == BLOCK, "a block of another size is taken");
    for (unsigned i = 0; i < LISTS; i++) {
        if (journal_get(transaction, taken_at(i)))
            continue;
        journal_put(transaction, taken_at(i), 1);
        *offset = block_at(i);
        return APR_SUCCESS;
    }
    model_fail("there are more lists than members");
}

void blocks_give(transaction_t *transaction, uint64_t offset)
{
    const unsigned block = (unsigned)(offset / BLOCK) - FIRST_BLOCK;
    if (block == LISTS) {
        model_require(journal_get(transaction, &the_object()->serial) != 0, "the object was given back twice");
        journal_put(transaction, &the_object()->serial, 0);
        journal_put(transaction, &the_object()->holds, 0);
        return;
    }
    model_require(journal_get(transaction, taken_at(block)) != 0, "a list was given back twice");
    journal_put(transaction, taken_at(block), 0);
}

/* Those who wait have a model of their own. */
void spots_settle(uint32_t ticket, void (*was_notified)(uint64_t object))
{
    (void)ticket;
    (void)was_notified;
}

void condition_pass_on(uint64_t object)
{
    (void)object;
}

void spots_forget(void)
{
}

/* Memory of objects is in the model of blocks. */
void memory_leave(transaction_t *transaction, object_t *object)
{
    (void)transaction;
    (void)object;
}

void memory_clean(void)
{
}

void sys_lock(void)
{
}

void sys_unlock(void)
{
}

void shared_stir(uint64_t object)
{
    (void)object;
}

void shared_bereave(uint64_t object)
{
    model_require(object == block_at(LISTS) && shm_load64(&the_object()->serial) != 0,
                  "a death is told to an object that is not there");
}

/* ---- The sources ------------------------------------------------------------------------------------------------- */

#define sys_now no_time
#include "robust.c"

static apr_status_t acquire(robust_t *lock, const robust_wait_t *wait)
{
    return steps_acquire_simply(&lock->word, wait->self, member_is_dead) ? MPROC_EOWNERDEAD : APR_SUCCESS;
}

#define robust_acquire acquire
#include "journal.c"

#define pack pack_list
#define unpack unpack_list
#include "references.c"
#undef pack
#undef unpack

#define sys_getpid pid_now
#define sys_birth find_birth
#define sys_process_open open_process
#define sys_process_close close_process
#define sys_process_sentinel find_sentinel
#define sys_wait wait_for
#include "member.c"

/* ---- What processes tell each other outside the arena ------------------------------------------------------------ */

static shm_u64_t offered;                 /* the child's ticket */
static shm_u64_t offered_reference;       /* and what it holds */
static uint64_t tickets[MODEL_PROCESSES]; /* of those who have been members; no process knows of it */

/* What a process awaits. */
enum { THE_LOCK, AN_OFFER, THE_END_OF_THE_CHILD, THE_END_OF_ALL };

static uint64_t await(uint64_t what)
{
    return model_step((step_t){.kind = STEP_AWAIT, .word = model_word(&offered, 8), .before = what});
}

static int has_ended(const view_t *view, int process)
{
    return view->status[process] >= DEAD;
}

static model_t model;

static int is_ready(const view_t *view, const step_t *step)
{
    const uint32_t owner = (uint32_t)view->words[step->word];
    switch (step->before) {
    case THE_LOCK:
        for (int i = 0; i < model.processes; i++)
            if (owner && owner == model_value(view, &tickets[i]) && !has_ended(view, i))
                return 0;
        return 1;
    case AN_OFFER:
        return model_value(view, &offered) != 0 || has_ended(view, CREATOR);
    case THE_END_OF_THE_CHILD:
        return has_ended(view, CHILD);
    default:
        for (int i = 0; i < model.processes - 1; i++)
            if (!has_ended(view, i))
                return 0;
        return 1;
    }
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

/* Whether it holds the object for itself, and who it is while it is a member. */
enum { TAG_HOLDS = 1 << TAG_BITS, TAG_TICKET_SHIFT = 8 };

static void say_what_it_is(uint32_t ticket)
{
    model_tag = (model_tag & ((1 << TAG_TICKET_SHIFT) - 1)) | (uint64_t)ticket << TAG_TICKET_SHIFT;
}

/** So far, and what it knows. */
static void point(unsigned phase, uint64_t known)
{
    model_point((uint64_t)1 << 63 | (uint64_t)phase << 56 | known);
}

static void join(uint32_t ticket)
{
    model_require(member_join(ticket) == APR_SUCCESS, "there is no place for a new member");
    say_what_it_is(member_self());
}

static void end(void)
{
    say_what_it_is(0);
    model_tag &= ~(uint64_t)TAG_HOLDS;
    member_leave();
}

static void hold(uint32_t ticket, reference_t *reference)
{
    transaction_t transaction;
    journal_begin(&transaction);
    /* Made anew if the last one who held it has gone. */
    if (journal_get(&transaction, &the_object()->serial) == 0) {
        journal_put(&transaction, &the_object()->serial, 1);
        journal_put(&transaction, &the_object()->holds, FRESH);
    }
    model_require(references_add(&transaction, reference, ticket, block_at(LISTS)) == APR_SUCCESS, "no reference");
    journal_commit(&transaction);
}

static void drop(reference_t reference)
{
    transaction_t transaction;
    journal_begin(&transaction);
    references_drop(&transaction, reference);
    journal_commit(&transaction);
}

/** Make a place for a child, have it hold the object, and start it, or fail to. */
static void create(void)
{
    reference_t reference = 0;
    uint32_t ticket;
    model_require(member_prepare(&ticket) == APR_SUCCESS, "there is no place for a child");
    point(1, ticket);
    hold(ticket, &reference);
    point(2, (uint64_t)ticket << 24 | reference);
    if (model_choose(2) == 0) {
        member_end(ticket);
        member_settle();
        return;
    }
    shm_store64(&offered_reference, reference);
    shm_store64(&offered, ticket);
    point(3, ticket);
    if (model_choose(2) == 0)
        return;
    await(THE_END_OF_THE_CHILD);
    member_note_end(ticket, FIRST_PID + CHILD);
    point(4, ticket);
    member_settle_noted();
}

static void be_creator(void)
{
    join(0);
    point(5, member_self());
    create();
    point(6, member_self());
    end();
}

static void be_child(void)
{
    const uint32_t ticket = (uint32_t)await(AN_OFFER);
    if (ticket == 0 || member_join(ticket) != APR_SUCCESS)
        return;
    model_require(member_self() == ticket, "a child is another member than it was to be");
    say_what_it_is(ticket);
    point(7, ticket);
    if (model_choose(2) == 0) {
        drop(shm_load64(&offered_reference));
        point(8, ticket);
    }
    end();
}

static void be_other(void)
{
    join(0);
    point(9, member_self());
    if (model_choose(2) == 0) {
        const uint32_t ticket = (uint32_t)shm_load64(&offered);
        if (ticket)
            member_is_dead(ticket);
    }
    point(10, member_self());
    member_settle();
    point(11, member_self());
    end();
}

/* What a visitor does at each of its visits. */
static enum { NOTHING, SETTLE, HOLD, ANYTHING } visits[3];

/** One who comes three times, may hold the object, and looks after the dead. */
static void be_visitor(void)
{
    reference_t reference;
    for (unsigned i = 0; i < 3; i++) {
        join(0);
        point(14 + 4 * i, member_self());
        const unsigned what = visits[i] == ANYTHING ? model_choose(ANYTHING) : (unsigned)visits[i];
        if (what == HOLD) {
            hold(member_self(), &reference);
            model_tag |= TAG_HOLDS;
            model_choose(1); /* it uses the object, and may be slow */
        }
        point(15 + 4 * i, member_self());
        if (what == SETTLE)
            member_settle();
        point(16 + 4 * i, member_self());
        end();
        point(17 + 4 * i, 0);
    }
}

/** One who looks after the dead once. */
static void be_settler(void)
{
    join(0);
    point(30, member_self());
    member_settle();
    point(31, member_self());
    end();
}

/** Somebody asks about all members, and nothing is left but what is in use. */
static void be_last(void)
{
    await(THE_END_OF_ALL);
    join(0);
    const uint32_t used = (uint32_t)shm_load64(&arena->members_used);
    for (uint32_t place = 1; place < used; place++) {
        const member_ident_t ident = member_ident(&arena->members[place]);
        if (ident.state == MEMBER_LIVING)
            member_is_dead(ident.ticket);
    }
    point(12, member_self());
    member_settle();
    point(13, member_self());
    for (uint32_t place = 1; place <= PLACES; place++) {
        const member_ident_t ident = member_ident(&arena->members[place]);
        model_require(ident.state == MEMBER_FREE || ident.ticket == member_self(), "place %u is lost for good", place);
    }
    model_require((uint32_t)shm_load64(&the_object()->holds) == 0, "the object is left");
    for (unsigned i = 0; i < LISTS; i++)
        model_require(shm_load64(taken_at(i)) == 0, "a list is left");
}

typedef void (*body_t)(void);

static const body_t family[] = {be_creator, be_child, be_last};
static const body_t family_and_other[] = {be_creator, be_child, be_other, be_last};
static const body_t visitor[] = {be_visitor, be_settler, be_last};

static const body_t *bodies;

static void body(int process)
{
    steps_reset();
    atomic_store(&member_ticket, 0);
    atomic_store(&noted, NOTHING_NOTED);
    process_now = process;
    bodies[process]();
}

/* ---- What always holds ------------------------------------------------------------------------------------------- */

static member_ident_t unpack_ident(uint64_t word)
{
    const uint32_t low = ((uint32_t)1 << TICKET_BITS) - 1;
    return (member_ident_t){(member_state_t)(word >> 62), (uint32_t)word & low, (uint32_t)(word >> TICKET_BITS) & low};
}

static member_ident_t ident_in(const view_t *view, uint32_t ticket)
{
    return unpack_ident(model_value(view, &member_at(ticket)->ident));
}

/** Whether there is nothing between two transactions, or of a dead process. */
static int is_settled(const view_t *view)
{
    return model_value(view, &arena->lock.word) == 0;
}

/** Each list in use is one member's, and the object counts what they hold of it. */
static void check_references(const view_t *view)
{
    unsigned entries = 0;
    unsigned lists = 0;
    for (uint32_t place = 1; place <= PLACES; place++) {
        const arena_member_t *member = &arena->members[place];
        const uint64_t offset = model_value(view, &member->lists_with_room);
        if (offset == 0)
            continue;
        const unsigned block = (unsigned)(offset / BLOCK) - FIRST_BLOCK;
        const state_t state = unpack_list(model_value(view, &list_at(offset)->state));
        model_require(model_value(view, taken_at(block)) == 1, "a member has a list that is free");
        model_require(model_value(view, &list_at(offset)->next) == 0, "a member has two lists for one reference");
        model_require(state.ticket == unpack_ident(model_value(view, &member->ident)).ticket,
                      "place %u has a list of another member", place);
        lists++;
        entries += state.used;
    }
    for (unsigned i = 0; i < LISTS; i++)
        lists -= (unsigned)model_value(view, taken_at(i));
    model_require(lists == 0, "a list is nobody's");
    model_require((uint32_t)model_value(view, &the_object()->holds) == entries, "the object counts its holders wrong");
}

static void check(const view_t *view)
{
    for (int i = 0; i < model.processes; i++) {
        const uint32_t ticket = (uint32_t)(model_tag_of(view->node[i]) >> TAG_TICKET_SHIFT);
        if (view->status[i] != RUNNING || ticket == 0)
            continue;
        const member_ident_t ident = ident_in(view, ticket);
        model_require(ident.ticket == ticket && ident.who == (uint32_t)(FIRST_PID + i), "process %d has lost its place",
                      i + 1);
        const arena_member_t *member = member_at(ticket);
        model_require(model_value(view, &member->birth) == ident.who, "the birth of process %d is lost", i + 1);
        model_require(!(model_tag_of(view->node[i]) & TAG_HOLDS) || model_value(view, &member->lists_with_room) != 0,
                      "what process %d holds was released", i + 1);
        model_require(ident.state == MEMBER_LIVING, "process %d lives, and its place says that it does not", i + 1);
    }
    if (is_settled(view))
        check_references(view);
}

/** Look at a change of the word that says who stands in a place. */
static void check_ident(const view_t *view, const arena_member_t *member, member_ident_t before, member_ident_t after)
{
    const int is_claimed = before.state == MEMBER_FREE && after.state != MEMBER_FREE && after.state != MEMBER_ENDED;
    if (is_claimed) {
        model_require(after.ticket == before.ticket + ARENA_MEMBERS_MAX ||
                          (before.ticket == 0 && after.ticket >> PLACE_BITS == 1),
                      "a ticket is not the next one");
        model_require(member_at(after.ticket) == member, "a ticket names another place");
        return;
    }
    model_require(after.ticket == before.ticket, "a place that is in use was given to another");
    model_require((before.state == MEMBER_STARTING && after.state == MEMBER_LIVING) ||
                      (after.state == MEMBER_ENDED && before.state != MEMBER_FREE) ||
                      (before.state == MEMBER_ENDED && after.state == MEMBER_FREE),
                  "a place went from state %d to %d", (int)before.state, (int)after.state);
    if (after.state == MEMBER_FREE)
        model_require(model_value(view, &member->lists_with_room) == 0 && model_value(view, &member->full_lists) == 0,
                      "a place is free while something is held for it");
}

/** What nobody reads any more before it is written is made the same, so that there are fewer states. */
static void clear(view_t *view)
{
    for (unsigned i = 0; i < view->word_count; i++) {
        const unsigned char *at = model_address(i);
        const uint64_t offset = (uint64_t)(at - memory);
        if (at < memory || at >= memory + sizeof memory)
            continue;
        if (at >= (unsigned char *)arena->journal.entries && at < (unsigned char *)(&arena->journal + 1))
            view->words[i] = 0;
        if (offset >= block_at(0) && offset < block_at(LISTS) &&
            model_value(view, taken_at((unsigned)(offset / BLOCK) - FIRST_BLOCK)) == 0)
            view->words[i] = 0;
    }
}

static void on_step(const view_t *before, view_t *after, int process, const step_t *step, uint64_t result)
{
    (void)result;
    if (step->kind == STEP_STORE && step->after == 0 && step->word == model_word(&arena->journal.count, 4))
        clear(after);
    for (uint32_t place = 1; place <= PLACES; place++) {
        const arena_member_t *member = &arena->members[place];
        if (step->word != model_word(&member->ident, 8) || before->words[step->word] == after->words[step->word])
            continue;
        const member_ident_t next = unpack_ident(after->words[step->word]);
        check_ident(before, member, unpack_ident(before->words[step->word]), next);
        if (next.state == MEMBER_LIVING)
            model_set(after, &tickets[process], next.ticket);
    }
}

/** What only the owner of the lock touches: all of the arena but who stands in a place. */
static int is_private(const view_t *view, int process, const step_t *step)
{
    if (!(model_tag_of(view->node[process]) & TAG_OWNS) || step->kind > STEP_EXCHANGE)
        return 0;
    const unsigned char *at = model_address(step->word);
    if (at == (const unsigned char *)&arena->lock.word || at < memory || at >= memory + sizeof memory)
        return 0;
    for (uint32_t place = 1; place <= PLACES; place++) {
        const arena_member_t *member = &arena->members[place];
        if (at == (const unsigned char *)&member->ident || at == (const unsigned char *)&member->birth ||
            at == (const unsigned char *)&member->parent)
            return 0;
    }
    return at != (const unsigned char *)&arena->members_used;
}

static void explore(const char *name, const body_t *who, int processes, unsigned kills, int reduced)
{
    bodies = who;
    model = (model_t){.name = name,
                      .processes = processes,
                      .kills = kills,
                      .immortal = 1u << (processes - 1),
                      .limit = 30000000,
                      .body = body,
                      .is_ready = is_ready,
                      .is_private = reduced ? is_private : NULL,
                      .check = check,
                      .on_step = on_step};
    model_explore(&model);
    model_require_finish(NULL, EVENT_STEP, "not all of the living can come to their end");
    model_require_end(EVENT_STEP, "they run for ever");
}

/** Give the words names. */
static void name_words(void)
{
    model_name(&offered, 8, "offered");
    model_name(&offered_reference, 8, "offered reference");
    model_name(&arena->lock.word, 4, "lock");
    model_name(&arena->journal.count, 4, "journal.count");
    model_name(&arena->members_used, 8, "members_used");
    model_name(&the_object()->serial, 8, "object.serial");
    model_name(&the_object()->holds, 8, "object.holds");
    for (unsigned i = 0; i < LISTS; i++) {
        model_name(taken_at(i), 8, "list taken");
        model_name(&list_at(block_at(i))->state, 8, "list.state");
        model_name(&list_at(block_at(i))->next, 8, "list.next");
        model_name(&list_at(block_at(i))->previous, 8, "list.previous");
        model_name(&list_at(block_at(i))->entries[0], 8, "list.entries[0]");
    }
    for (uint32_t place = 1; place <= PLACES; place++) {
        arena_member_t *member = &arena->members[place];
        model_name(&member->ident, 8, "ident");
        model_name(&member->birth, 8, "birth");
        model_name(&member->parent, 8, "parent");
        model_name(&member->lists_with_room, 8, "lists_with_room");
        model_name(&member->full_lists, 8, "full_lists");
    }
    for (int i = 0; i < MODEL_PROCESSES; i++)
        model_name(&tickets[i], 8, "ticket");
}

int main(void)
{
    atomic_store(&arena->members_used, 1);
    atomic_store(&the_object()->serial, 1);
    atomic_store(&the_object()->holds, FRESH);
    name_words();
    steps_lock = (steps_lock_t){&arena->lock.word, &arena->lock.watcher};
    explore("a child, all orders", family, 3, 2, 0);
    explore("a child", family, 3, 2, 1);
    visits[0] = NOTHING;
    visits[1] = SETTLE;
    visits[2] = HOLD;
    explore("a visitor", visitor, 3, 0, 1);
    explore("a child and another", family_and_other, 4, 0, 1);
    if (model_is_deep()) {
        explore("a visitor", visitor, 3, 1, 1);
        explore("a visitor", visitor, 3, 2, 1);
        explore("a child and another", family_and_other, 4, 1, 1);
        explore("a child and another", family_and_other, 4, 2, 1);
        for (int i = 0; i < 3; i++)
            visits[i] = ANYTHING;
        explore("a visitor who does anything", visitor, 3, 1, 1);
    }
    return 0;
}
