/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file member.h
 * @brief The members of the family: who they are, and whether they live.
 *
 * A member is a process that uses the arena. Its ticket names it for good: 12 bits say where it stands in the table,
 * the others count those who have stood there. A place is claimed and its state changed by one step each, so that
 * whoever dies in between leaves nothing that others could not finish:
 *
 *     free -> starting (a creator holds references for a child to be) -> living -> ended -> free
 *     free -> living   (a process that comes by itself)
 *
 * Who notices a death marks the member as ended; what it held is released by whoever comes first (member_settle()).
 */
#ifndef MPROC_MEMBER_H
#define MPROC_MEMBER_H

#include "arena.h"

typedef enum member_state_t { MEMBER_FREE, MEMBER_STARTING, MEMBER_LIVING, MEMBER_ENDED } member_state_t;

/** A member's word `ident`, unpacked. */
typedef struct member_ident_t {
    member_state_t state;
    uint32_t ticket;
    uint32_t who; /* its process id; while it starts, its creator's ticket */
} member_ident_t;

extern _Atomic uint32_t member_ticket;

/** This process's ticket; 0 before it is a member. */
static inline uint32_t member_self(void)
{
    return atomic_load_explicit(&member_ticket, memory_order_relaxed);
}

/**
 * Become a member, as the one that the creator has made a place for (its ticket), or as a new one (0).
 *
 * @return APR_SUCCESS; MPROC_EGONE: the place is not there any more, as the creator has ended; MPROC_EFULL; APR_ENOMEM.
 */
apr_status_t member_join(uint32_t ticket);

/**
 * A new member releases what the dead held that nobody has missed, and finds another place for itself if it stands in
 * the last one: MPROC_EFULL or APR_ENOMEM if there is none, and it is no member any more.
 */
apr_status_t member_settle_in(void);

/** In a forked child: this process is none yet. */
void member_forget(void);

/** Make a place for a child, whose ticket is told: MPROC_EFULL; APR_ENOMEM. */
apr_status_t member_prepare(uint32_t *ticket);

/** Name a member, for whoever looks at the family. */
void member_set_name(uint32_t ticket, const char *name);

/** Whether a member is dead; if so it is marked as ended, and member_settle() has something to do. */
int member_is_dead(uint32_t ticket);

/** Whom a thread looks at again and again, and what of the system's it keeps for that. Zeros: nobody yet. */
typedef struct member_look_t {
    uint32_t ticket;
    sys_process_t *process;
} member_look_t;

/** As member_is_dead(), but most looks after the first one at the same member cost much less. */
int member_look_at(member_look_t *look, uint32_t ticket);
void member_look_away(member_look_t *look);

/**
 * Whether a member is known to have ended: somebody has noticed, or it has left in order. That costs one look at the
 * arena, where member_is_dead() asks the system.
 */
int member_has_ended(uint32_t ticket);

/** Where this process stands among the members: unlike its ticket, another one's when this one is gone. */
static inline unsigned member_own_place(void)
{
    return member_self() & (ARENA_MEMBERS_MAX - 1);
}

/** Whether the member that stands at a place has ended, and what it held is to be released. */
int member_place_is_over(unsigned place);

/** Mark a member as ended: it is known to be dead, never came to life, or has left. */
void member_end(uint32_t ticket);

/** Give a place back that was made for a child which will not be: what it held is released, and that is no death. */
void member_withdraw(uint32_t ticket);

/** Release what ended members held. Not while the arena's lock is held. */
void member_settle(void);

/**
 * Ask about members whose creator has ended: they end with it, but nobody waits for them. What the dead ones held is
 * released. Not while the arena's lock is held.
 *
 * @return How many of them live, or end just now.
 */
unsigned member_ask_about_orphans(void);

/**
 * Note that a child has ended, which may have been a member; its ticket is 0 if it was none, or has become one by
 * itself. member_settle_noted() does what is to be done, with no lock held.
 */
void member_note_end(uint32_t ticket, int pid);
void member_settle_noted(void);

/**
 * Say that this process is about to end as it should. What it has open is released when it has; until then, other
 * threads may still use it. 0: it is not to end after all.
 */
void member_announce_end(int is_ending);

/** Leave the family: what this process holds is released. 0: it is a member still, as threads use the arena. */
int member_leave(void);

/** With the arena's lock: whether all that a member of this process held is released, or just about to be. */
int member_has_released(uint32_t ticket);

/**
 * How long a thread may sleep that waits, until it looks itself whether anything was lost with a death: the longer, the
 * more others there are who may do so, since each look costs a little.
 */
sys_time_t member_patience(void);

/** Whether there are so many that one is to look more often, for all of them. */
int member_is_crowd(void);

/** How long who looks out for deaths sleeps at most, in microseconds. */
enum { MEMBER_LOOKOUT_SLEEP = 100000 };

/**
 * Become the one who looks out for deaths, if there is none, or none that has looked lately: whoever succeeds wakes up
 * often, calls member_look_out(), and is it no more. That call looks only if it is time for it.
 */
int member_become_lookout(void);
void member_look_out(void);

member_ident_t member_ident(const arena_member_t *member);

arena_member_t *member_at(uint32_t ticket);

/** The process id of a member; 0 if it is none any more. */
int member_pid(uint32_t ticket);

#endif
