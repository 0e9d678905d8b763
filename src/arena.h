/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file arena.h
 * @brief The family's memory: its layout, how a process gets hold of it, and how what is in it is changed.
 *
 * A family is a first process and all that descend from it by mproc. Its members have one large mapping in common, each
 * wherever the system puts it, so that in it there are offsets and no pointers. Memory is taken from the system as it
 * is needed.
 *
 * What keeps the arena in order (blocks, members, references: everything but the insides of objects) is changed by one
 * member at a time, in transactions, see journal.h: either all of one is done or nothing, whoever is killed when.
 */
#ifndef MPROC_ARENA_H
#define MPROC_ARENA_H

#include "journal.h"
#include "robust.h"
#include "shm.h"
#include "shm_fixed.h"

/** Memory is managed in spans of this size, each of them for one purpose. */
#define ARENA_SPAN_BITS 16
#define ARENA_SPAN ((uint64_t)1 << ARENA_SPAN_BITS)

/** Sizes of small blocks are powers of two, from 64 bytes; a span has blocks of one size. */
enum { ARENA_CLASSES = 8, ARENA_CLASS_BITS = 6 };

enum {
    ARENA_MEMBERS_MAX = 4096,
    ARENA_SPOTS_MAX = 65536,
    ARENA_MAGIC = 0x616e6572,
    ARENA_LAYOUT = 3,
    ARENA_NAME_MAX = 64
};

/** What a process of the family is in it; a place that was in use is used again, with another ticket. */
typedef struct arena_member_t {
    shm_u64_t ident;           /* who it is, see member.c */
    shm_u64_t birth;           /* of the process, as sys_birth() has it; 0: not known */
    shm_u64_t parent;          /* the ticket of who has made a place for it; 0: it came by itself */
    shm_u64_t lists_with_room; /* what it holds, see references.c */
    shm_u64_t full_lists;
    shm_u64_t is_leaving; /* its end, when it comes, is no death to be told of */
    uint64_t reserved[2];
    shm_char_t name[ARENA_NAME_MAX];
} arena_member_t;

/** What is known of a span: three words, so that a transaction can write them. */
typedef struct arena_span_t {
    shm_u64_t use;   /* kind, class, blocks in use, blocks ever used, first free block: see blocks.c */
    shm_u64_t links; /* others of the class that have room: next in the lower half, previous in the upper */
    shm_u64_t run;   /* of several spans in one: how many, in the first and in the last one */
    uint64_t reserved;
} arena_span_t;

/** The beginning of the arena. */
typedef struct arena_header_t {
    /* Written once, before anybody else has it. */
    uint32_t magic;
    uint32_t layout;
    uint64_t size;
    uint64_t family[2]; /* tells families apart: random bits */
    uint64_t space;     /* what process ids mean: sys_pid_space() of the first process */
    uint64_t build;     /* of the library */
    uint64_t span_count;
    uint64_t spans_at;   /* the table of spans, */
    uint64_t first_span; /* and what it is about */
    uint64_t spots_at;   /* the table of spots, see spots.h */

    robust_t lock;       /* held for all that follows */
    shm_u32_t lookout;   /* the ticket of who looks out for deaths; 0: nobody */
    shm_u32_t looked_at; /* whom they have come to */
    shm_u64_t looked;    /* when somebody last looked, as sys_now() */
    journal_t journal;
    shm_u64_t traced;                      /* whether the trace was begun, see trace.c */
    shm_u64_t serial;                      /* of the last object */
    shm_u64_t left;                        /* the memory of objects that are gone, see memory.h; 0: none */
    shm_u64_t spans_used;                  /* those behind were never used */
    shm_u64_t free_runs;                   /* how many runs of free spans there are in front of that */
    shm_u64_t members_used;                /* places behind were never used */
    shm_u64_t spots_used;                  /* likewise */
    shm_u64_t with_room[2][ARENA_CLASSES]; /* for each kind and class: a span with a free block, +1 */

    arena_member_t members[ARENA_MEMBERS_MAX]; /* the first place is not used: no ticket is 0 */
} arena_header_t;

/** Where this process has it; NULL before arena_use(). */
extern arena_header_t *arena;

/**
 * Make the arena usable: found the family, or map the arena that this process's creator has, and become a member of the
 * family. Harmless if that was done. For the public function `call`: the status has its text.
 */
apr_status_t arena_use(const char *call);

/** Found the family, if that was not done, so that a child can have the arena. */
void arena_offer(void);

/** In a child: what its creator offers (SYS_NO_HANDLE: what a fork has left), and the ticket that it has for it. */
void arena_take(sys_handle_t handle, uint32_t ticket);

/** Join the family of another process; the status has its text. */
apr_status_t arena_join(int pid, const char *call);

/** Whether there is an arena for this process, mapped or not. */
int arena_is_there(void);

/** Whether somebody may use the arena already. */
int arena_has_members(void);

/** Whether this process has the arena already. */
int arena_is_mapped(void);

/**
 * Leave the family, at the end of the library: what this process holds is released. If threads still use objects, it is
 * the end of the process that does that.
 */
void arena_leave(int is_in_use);

/** Around each transaction: 0 if this process is no member any more, and must not make any. */
int arena_begin_change(void);
void arena_end_change(void);

/** From now on there are no transactions: 0 if one is still going on after a while, and they go on. */
int arena_end_changes(void);

/** In a child that anybody's fork made, with all locks held: this process is another member, if it is one at all. */
void arena_forked(void);

/** Have memory for a part of the arena: APR_ENOMEM if the system has none. Part of it may have some already. */
apr_status_t arena_reserve(uint64_t offset, uint64_t size);

/** Make a part of the arena zeros, which has memory, and which nobody else uses. */
void arena_clear(uint64_t offset, uint64_t size);

/** Give the memory of a part of the arena back to the system, if it takes it; its content is lost. */
void arena_return(uint64_t offset, uint64_t size);

static inline void *arena_at(uint64_t offset)
{
    return (unsigned char *)arena + offset;
}

static inline uint64_t arena_offset(const void *at)
{
    return (uint64_t)((const unsigned char *)at - (const unsigned char *)arena);
}

#endif
