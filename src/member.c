/* SPDX-License-Identifier: Apache-2.0 */
#include "member.h"

#include <mproc/status.h>

#include "references.h"
#include "shared.h"
#include "spots.h"

enum { PLACE_BITS = 12, TICKET_BITS = 31 };
_Static_assert((int)ARENA_MEMBERS_MAX == 1 << PLACE_BITS, "a ticket names a place");

static const uint32_t last_generation = ((uint32_t)1 << (TICKET_BITS - PLACE_BITS)) - 1;

_Atomic uint32_t member_ticket;

void member_forget(void)
{
    if (member_self())
        atomic_store(&member_ticket, 0);
}

/* ---- The word that says who stands in a place -------------------------------------------------------------------- */

static uint64_t pack(member_ident_t ident)
{
    return (uint64_t)ident.state << 62 | (uint64_t)ident.who << TICKET_BITS | ident.ticket;
}

member_ident_t member_ident(const arena_member_t *member)
{
    const uint64_t word = shm_load64(&member->ident);
    const uint32_t low = ((uint32_t)1 << TICKET_BITS) - 1;
    return (member_ident_t){.state = (member_state_t)(word >> 62),
                            .ticket = (uint32_t)word & low,
                            .who = (uint32_t)(word >> TICKET_BITS) & low};
}

arena_member_t *member_at(uint32_t ticket)
{
    return &arena->members[ticket & (ARENA_MEMBERS_MAX - 1)];
}

int member_pid(uint32_t ticket)
{
    const member_ident_t ident = member_ident(member_at(ticket));
    return ident.ticket == ticket && ident.state != MEMBER_STARTING ? (int)ident.who : 0;
}

/** Change a member's state: whether it was as expected. */
static int change(arena_member_t *member, member_ident_t before, member_ident_t after)
{
    return shm_replace64(&member->ident, pack(before), pack(after));
}

/* ---- Becoming one ------------------------------------------------------------------------------------------------ */

/** Say that places up to this one were in use: whether there is memory for them. */
static int note_use(uint32_t place)
{
    uint64_t used = shm_load64(&arena->members_used);
    if (used > place)
        return 1;
    /* A place may lie across two spans. */
    const uint64_t first = arena_offset(&arena->members[place]) & ~(ARENA_SPAN - 1);
    const uint64_t end = arena_offset(&arena->members[place + 1]);
    for (uint64_t offset = first; offset < end; offset += ARENA_SPAN)
        if (arena_reserve(offset, ARENA_SPAN) != APR_SUCCESS)
            return 0;
    while (used <= place && !shm_replace64(&arena->members_used, used, (uint64_t)place + 1))
        used = shm_load64(&arena->members_used);
    return 1;
}

/* The last place is for who comes when all others are taken, and looks whether their members live. */
enum { LAST_PLACE = ARENA_MEMBERS_MAX - 1 };

/** Claim a free place from the first one to the last: MPROC_EFULL; APR_ENOMEM. */
static apr_status_t claim_between(uint32_t *ticket, uint32_t first, uint32_t last, member_state_t state, uint32_t who)
{
    for (uint32_t place = first; place <= last; place++) {
        arena_member_t *member = &arena->members[place];
        const member_ident_t before = member_ident(member);
        const uint32_t generation = before.ticket >> PLACE_BITS;
        /* One that has had all generations rests for good. */
        if (before.state != MEMBER_FREE || generation == last_generation)
            continue;
        *ticket = (generation + 1) << PLACE_BITS | place;
        /* First, so that nobody who looks for members leaves it out. */
        if (!note_use(place))
            return APR_ENOMEM;
        if (change(member, before, (member_ident_t){state, *ticket, who}))
            return APR_SUCCESS;
    }
    return MPROC_EFULL;
}

static apr_status_t claim(uint32_t *ticket, member_state_t state, uint32_t who)
{
    return claim_between(ticket, 1, LAST_PLACE - 1, state, who);
}

/** Ask about all members, and release what the dead ones held. */
static void ask_about_all(void)
{
    const uint64_t end = shm_load64(&arena->members_used);
    for (uint64_t place = 1; place < end; place++) {
        const member_ident_t ident = member_ident(&arena->members[place]);
        if (ident.state != MEMBER_FREE)
            member_is_dead(ident.ticket);
    }
    member_settle();
}

apr_status_t member_prepare(uint32_t *ticket)
{
    apr_status_t status = claim(ticket, MEMBER_STARTING, member_self());
    if (status == MPROC_EFULL) {
        /* There may be dead ones that nobody has missed. */
        ask_about_all();
        status = claim(ticket, MEMBER_STARTING, member_self());
    }
    if (status != APR_SUCCESS)
        *ticket = 0;
    return status;
}

void member_set_name(uint32_t ticket, const char *name)
{
    shm_set_text(member_at(ticket)->name, name, ARENA_NAME_MAX);
}

/** Be the member that a ticket names. */
static void become(uint32_t ticket)
{
    uint64_t birth = 0;
    if (sys_birth(&birth, sys_getpid()) == APR_SUCCESS)
        shm_store64(&member_at(ticket)->birth, birth);
    atomic_store(&member_ticket, ticket);
}

apr_status_t member_join(uint32_t ticket)
{
    const uint32_t pid = (uint32_t)sys_getpid();
    apr_status_t status = APR_SUCCESS;
    if (ticket) {
        arena_member_t *member = member_at(ticket);
        const member_ident_t before = member_ident(member);
        if (before.state != MEMBER_STARTING || before.ticket != ticket ||
            !change(member, before, (member_ident_t){MEMBER_LIVING, ticket, pid}))
            return MPROC_EGONE;
        shm_store64(&member->parent, before.who);
    } else {
        status = claim(&ticket, MEMBER_LIVING, pid);
        if (status == MPROC_EFULL)
            status = claim_between(&ticket, LAST_PLACE, LAST_PLACE, MEMBER_LIVING, pid);
    }
    if (status == APR_SUCCESS)
        become(ticket);
    return status;
}

apr_status_t member_settle_in(void)
{
    uint32_t ticket;
    const uint32_t before = member_self();
    if (member_own_place() != LAST_PLACE) {
        member_settle();
        return APR_SUCCESS;
    }
    ask_about_all();
    const apr_status_t status = claim(&ticket, MEMBER_LIVING, (uint32_t)sys_getpid());
    if (status == APR_SUCCESS)
        become(ticket);
    member_end(before);
    if (status == APR_SUCCESS)
        member_settle();
    else
        member_forget();
    return status;
}

/* ---- Deaths ------------------------------------------------------------------------------------------------------ */

/** Ask the system. What it does not tell is no death. */
static int has_died(const arena_member_t *member, int pid)
{
    sys_process_t *process;
    const apr_status_t status = sys_process_open(&process, pid, shm_load64(&member->birth));
    if (status != APR_SUCCESS)
        return status == APR_ENOENT;
    const int has_ended = sys_wait(sys_process_sentinel(process), 0) == APR_SUCCESS;
    sys_process_close(process);
    return has_ended;
}

static int is_over(member_ident_t ident, uint32_t ticket)
{
    return ident.ticket != ticket || ident.state == MEMBER_FREE || ident.state == MEMBER_ENDED;
}

int member_has_ended(uint32_t ticket)
{
    return is_over(member_ident(member_at(ticket)), ticket);
}

int member_place_is_over(unsigned place)
{
    return member_ident(&arena->members[place]).state == MEMBER_ENDED;
}

int member_is_dead(uint32_t ticket)
{
    arena_member_t *member = member_at(ticket);
    if (ticket == member_self())
        return 0;
    for (;;) {
        const member_ident_t ident = member_ident(member);
        if (is_over(ident, ticket))
            return 1;
        /* A child that has not come yet does not come any more when its creator is dead. */
        if (ident.state == MEMBER_STARTING ? !member_is_dead(ident.who) : !has_died(member, (int)ident.who))
            return 0;
        /* If it has come meanwhile, it lives without its creator. */
        if (change(member, ident, (member_ident_t){MEMBER_ENDED, ticket, ident.who}))
            return 1;
    }
}

int member_look_at(member_look_t *look, uint32_t ticket)
{
    if (ticket == member_self())
        return 0;
    if (look->ticket != ticket)
        member_look_away(look);
    look->ticket = ticket;
    const member_ident_t ident = member_ident(member_at(ticket));
    if (ident.ticket == ticket && ident.state == MEMBER_LIVING) {
        if (!look->process)
            sys_process_open(&look->process, (int)ident.who, shm_load64(&member_at(ticket)->birth));
        if (look->process && sys_wait(sys_process_sentinel(look->process), 0) == APR_TIMEUP)
            return 0;
    }
    return member_is_dead(ticket);
}

void member_look_away(member_look_t *look)
{
    sys_process_close(look->process);
    look->process = NULL;
}

void member_end(uint32_t ticket)
{
    arena_member_t *member = member_at(ticket);
    for (;;) {
        member_ident_t ident = member_ident(member);
        if (is_over(ident, ticket))
            return;
        const member_ident_t before = ident;
        ident.state = MEMBER_ENDED;
        if (change(member, before, ident))
            return;
    }
}

/** Release what an ended member held, and let its place be used again. */
static void settle(arena_member_t *member, member_ident_t ident)
{
    transaction_t transaction;
    /* Objects are there as long as the dead one holds them. One at a time: a spot that is freed is somebody else's. */
    if (!journal_begin(&transaction))
        return;
    spots_settle(ident.ticket, condition_pass_on);
    journal_abandon(&transaction);
    references_release_all(ident.ticket, shm_load64(&member->is_leaving) ? shared_stir : shared_bereave);
    if (!journal_begin(&transaction))
        return;
    const member_ident_t now = member_ident(member);
    if (now.state == MEMBER_ENDED && now.ticket == ident.ticket) {
        journal_put(&transaction, &member->birth, 0);
        journal_put(&transaction, &member->parent, 0);
        journal_put(&transaction, &member->is_leaving, 0);
        journal_step(&transaction);
        /* On its own: a place is claimed without the lock, and what is in the journal may be written once more. */
        change(member, now, (member_ident_t){MEMBER_FREE, ident.ticket, 0});
    }
    journal_abandon(&transaction);
}

void member_settle(void)
{
    const uint64_t end = shm_load64(&arena->members_used);
    for (uint64_t place = 1; place < end; place++) {
        arena_member_t *member = &arena->members[place];
        member_ident_t ident = member_ident(member);
        if (ident.state == MEMBER_STARTING && member_is_dead(ident.ticket))
            ident = member_ident(member);
        if (ident.state == MEMBER_ENDED)
            settle(member, ident);
    }
}

unsigned member_ask_about_orphans(void)
{
    const uint64_t end = shm_load64(&arena->members_used);
    unsigned living = 0;
    for (uint64_t place = 1; place < end; place++) {
        arena_member_t *member = &arena->members[place];
        const member_ident_t ident = member_ident(member);
        const uint32_t parent = (uint32_t)shm_load64(&member->parent);
        if (ident.state == MEMBER_LIVING && parent && member_has_ended(parent))
            living += !member_is_dead(ident.ticket);
    }
    member_settle();
    return living;
}

void member_withdraw(uint32_t ticket)
{
    const member_ident_t ident = member_ident(member_at(ticket));
    /* As long as its creator, which is this process, lives, nobody else ends it. */
    if (ident.ticket == ticket && ident.state == MEMBER_STARTING)
        references_release_all(ticket, NULL);
    member_end(ticket);
    member_settle();
}

void member_announce_end(int is_ending)
{
    if (member_self())
        shm_store64(&member_at(member_self())->is_leaving, is_ending != 0);
}

static _Atomic uint32_t released;

int member_has_released(uint32_t ticket)
{
    return ticket == atomic_load(&released);
}

int member_leave(void)
{
    const uint32_t ticket = member_self();
    if (ticket == 0)
        return 1;
    sys_lock();
    spots_forget();
    sys_unlock();
    spots_settle(ticket, condition_pass_on);
    /* Threads that are closing what they had open have nothing left to release. */
    atomic_store(&released, ticket);
    references_release_all(ticket, NULL);
    /* A transaction of a member that has ended is taken for a dead one's, and of one without a ticket for nobody's. */
    if (!arena_end_changes())
        return 0;
    /* Nobody of this process uses the arena any more: the last step is somebody else's, or nobody's. */
    member_end(ticket);
    member_forget();
    return 1;
}

/* ---- Looking out for deaths -------------------------------------------------------------------------------------- */

/* How long who waits is patient, in microseconds: so much for each of the family, but within these bounds. */
enum { PATIENCE_EACH = 5000, PATIENCE_LEAST = 70000, PATIENCE_MOST = 5000000 };

/** How many there have been at once, at most: members, or threads that wait. */
static uint64_t crowd(void)
{
    const uint64_t members = shm_load64(&arena->members_used);
    const uint64_t spots = shm_load64(&arena->spots_used);
    return members > spots ? members : spots;
}

int member_is_crowd(void)
{
    return crowd() > PATIENCE_LEAST / PATIENCE_EACH;
}

sys_time_t member_patience(void)
{
    enum { MEETINGS = 8 };
    const uint64_t all = crowd() * PATIENCE_EACH;
    const sys_time_t patience = (sys_time_t)(all < PATIENCE_LEAST  ? PATIENCE_LEAST
                                             : all > PATIENCE_MOST ? PATIENCE_MOST
                                                                   : all);
    /* To wake many at once costs the machine much less than to wake each alone. */
    const sys_time_t now = sys_now();
    const sys_time_t end = now + patience;
    return end - end % (patience / MEETINGS) - now;
}

/* How many members are asked for at once, at least, and what part of them: each takes some 20 microseconds. */
enum { LOOKS = 8, LOOKS_PART = 40 };

/*
 * How often a lookout looks, in microseconds, however often it is woken, and after how long without a look another one
 * looks out, as somebody may have stopped or killed the first: to ask for that takes longer than to wait and be woken.
 */
enum { LOOK_INTERVAL = MEMBER_LOOKOUT_SLEEP - 10000, LOOK_OVERDUE = 2 * MEMBER_LOOKOUT_SLEEP };

/** Whether the last look was so long ago; also if it was later than now, by another clock. */
static int has_passed(uint64_t now, uint64_t interval)
{
    return now - shm_load64(&arena->looked) >= interval;
}

int member_become_lookout(void)
{
    const uint32_t other = shm_load(&arena->lookout);
    if (other != 0 && !member_has_ended(other) && !has_passed((uint64_t)sys_now(), LOOK_OVERDUE))
        return 0;
    return shm_replace(&arena->lookout, other, member_self());
}

/** Look at some of the members, others each time. */
static void look_at_some(void)
{
    const uint32_t end = (uint32_t)shm_load64(&arena->members_used);
    int has_found = 0;
    const uint32_t looks = end / LOOKS_PART > LOOKS ? end / LOOKS_PART : LOOKS;
    for (uint32_t i = 0; i < looks && i + 1 < end; i++) {
        const uint32_t place = 1 + shm_add(&arena->looked_at, 1) % (end - 1);
        const member_ident_t ident = member_ident(&arena->members[place]);
        if (ident.state != MEMBER_FREE)
            has_found |= member_is_dead(ident.ticket);
    }
    if (has_found)
        member_settle();
}

void member_look_out(void)
{
    const uint64_t now = (uint64_t)sys_now();
    if (has_passed(now, LOOK_INTERVAL)) {
        shm_store64(&arena->looked, now);
        look_at_some();
    }
    /* Unless another one looks out by now: with a plain store there would be two from then on. */
    shm_replace(&arena->lookout, member_self(), 0);
}

/* ---- Children of this process ------------------------------------------------------------------------------------ */

enum { NOTHING_NOTED, ENDS_NOTED, LOOK_AT_ALL };
static _Atomic int noted;

void member_note_end(uint32_t ticket, int pid)
{
    /* Who is no member has not used it, but children may have; and may live where process ids mean something else. */
    if (!arena_is_mapped() || !member_self()) {
        if (arena_has_members())
            atomic_store(&noted, LOOK_AT_ALL);
        return;
    }
    const uint64_t end = shm_load64(&arena->members_used);
    int is_one = ticket != 0;
    if (ticket)
        member_end(ticket);
    for (uint64_t place = 1; place < end && ticket == 0; place++) {
        const member_ident_t ident = member_ident(&arena->members[place]);
        /* Once more: whoever has the number now may be another process. */
        if ((ident.state == MEMBER_LIVING || ident.state == MEMBER_ENDED) && ident.who == (uint32_t)pid)
            is_one |= member_is_dead(ident.ticket);
    }
    if (!is_one)
        return;
    int nothing = NOTHING_NOTED;
    atomic_compare_exchange_strong(&noted, &nothing, ENDS_NOTED);
}

void member_settle_noted(void)
{
    const int what = atomic_exchange(&noted, NOTHING_NOTED);
    if (what == NOTHING_NOTED || arena_use("") != APR_SUCCESS)
        return;
    if (what == LOOK_AT_ALL)
        ask_about_all();
    else
        member_settle();
}
