/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <apr_general.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

#include <mproc/status.h>

#include "error.h"
#include "family.h"
#include "member.h"
#include "process_object.h"
#include "spots.h"

_Static_assert(sizeof(arena_span_t) == 32, "the same for all members of the family");
_Static_assert(sizeof(arena_member_t) == 128, "the same for all members of the family");
_Static_assert(sizeof(arena_header_t) % 8 == 0, "the same for all members of the family");

arena_header_t *arena;

/** How far this process is. */
enum { NOTHING, BUSY, OFFERED, MAPPED, JOINED };

static _Atomic int state; /* BUSY: a thread is at the next step, */
static int reached;       /* and this is what it has done */
static sys_arena_t memory = {NULL, 0, SYS_NO_HANDLE};
static uint32_t prepared; /* the ticket that the creator has for this process */

/** Wait until no other thread is at a step, and begin one: how far this process is. */
static int enter(void)
{
    for (;;) {
        int now = atomic_load(&state);
        if (now != BUSY && atomic_compare_exchange_strong(&state, &now, BUSY)) {
            reached = now;
            return now;
        }
        apr_thread_yield();
    }
}

static void leave(int now)
{
    atomic_store(&state, now);
}

/* How many threads of this process are in transactions; NO_MEMBER: none may be. */
enum { NO_MEMBER = -1 };
static _Atomic int changing = NO_MEMBER;

int arena_begin_change(void)
{
    int now = atomic_load(&changing);
    while (now != NO_MEMBER)
        if (atomic_compare_exchange_weak(&changing, &now, now + 1))
            return 1;
    return 0;
}

void arena_end_change(void)
{
    atomic_fetch_sub(&changing, 1);
}

int arena_end_changes(void)
{
    enum { PATIENCE = 5000 };
    for (int i = 0; i < PATIENCE; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&changing, &none, NO_MEMBER))
            return 1;
        apr_sleep(100);
    }
    return 0;
}

void arena_forked(void)
{
    /* What another thread was about to do is not done here. */
    const int now = atomic_load(&state) == BUSY ? reached : atomic_load(&state);
    const int here = now == JOINED ? MAPPED : now;
    if (atomic_load(&state) != here)
        atomic_store(&state, here);
    if (prepared)
        prepared = 0;
    if (atomic_load(&changing) != NO_MEMBER)
        atomic_store(&changing, NO_MEMBER);
    member_forget();
    spots_forget();
}

apr_status_t arena_reserve(uint64_t offset, uint64_t size)
{
    return sys_arena_commit(&memory, offset, size);
}

void arena_clear(uint64_t offset, uint64_t size)
{
    sys_arena_clear(&memory, offset, size);
}

void arena_return(uint64_t offset, uint64_t size)
{
    sys_arena_release(&memory, offset, size);
}

/* ---- Founding ---------------------------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/** Where everything lies in an arena. */
typedef struct plan_t {
    uint64_t spots_at;
    uint64_t spans_at;
    uint64_t span_count;
    uint64_t first_span;
} plan_t;

static plan_t plan(uint64_t size)
{
    plan_t plan = {.spots_at = round_up(sizeof(arena_header_t), ARENA_SPAN)};
    plan.spans_at = plan.spots_at + ARENA_SPOTS_MAX * sizeof(spot_t);
    plan.span_count = (size - plan.spans_at) / (ARENA_SPAN + sizeof(arena_span_t));
    plan.first_span = round_up(plan.spans_at + plan.span_count * sizeof(arena_span_t), ARENA_SPAN);
    plan.span_count = (size - plan.first_span) >> ARENA_SPAN_BITS;
    return plan;
}

/** Lay the arena out, in memory that is all zeros. */
static apr_status_t lay_out(arena_header_t *header, uint64_t size)
{
    const plan_t where = plan(size);
    apr_status_t status = apr_generate_random_bytes((unsigned char *)header->family, sizeof header->family);
    if (status == APR_SUCCESS)
        status = sys_pid_space(&header->space);
    if (status != APR_SUCCESS)
        return status;
    header->layout = ARENA_LAYOUT;
    header->build = family_build();
    header->size = size;
    header->spots_at = where.spots_at;
    header->spans_at = where.spans_at;
    header->span_count = where.span_count;
    header->first_span = where.first_span;
    header->magic = ARENA_MAGIC;
    return APR_SUCCESS;
}

/** Found the family. */
static apr_status_t found(void)
{
    enum { LEAST = 64 << 20 };
    uint64_t size = family_arena_size();
    apr_status_t status = sys_arena_create(&memory, size);
    /* Nobody has asked for so much: some systems, and tools like valgrind, have less room for it. */
    for (const int is_default = size == sys_arena_default_size(); status != APR_SUCCESS && is_default;) {
        if (size / 4 < LEAST)
            break;
        size = size / 4 / ARENA_SPAN * ARENA_SPAN;
        status = sys_arena_create(&memory, size);
    }
    if (status != APR_SUCCESS)
        return status;
    /* The tables get their memory as they are used, but for the beginning. */
    status = sys_arena_commit(&memory, 0, ARENA_SPAN);
    if (status == APR_SUCCESS)
        status = lay_out((arena_header_t *)(void *)memory.base, memory.size);
    if (status == APR_SUCCESS)
        return status;
    sys_arena_close(&memory);
    return status;
}

/* ---- Joining ----------------------------------------------------------------------------------------------------- */

/*
 * These look at how many spans are used after the word that they are about was looked at: others go on, and spans only
 * become more.
 */

/** Whether it is the number of a span that is used, +1, or 0. */
static int is_span(const arena_header_t *header, uint64_t number)
{
    return number <= shm_load64(&header->spans_used);
}

/** Whether a block can be at an offset, or it is 0. */
static int is_block(const arena_header_t *header, uint64_t offset)
{
    const uint64_t end = header->first_span + (shm_load64(&header->spans_used) << ARENA_SPAN_BITS);
    return offset == 0 || (offset >= header->first_span && offset < end && offset % (1 << ARENA_CLASS_BITS) == 0);
}

/** Whether an arena of this build says what can be true of it: who believes anything else reads beyond its tables. */
static int is_plausible(const arena_header_t *header)
{
    const plan_t where = plan(memory.size);
    int result = header->size == memory.size && header->spots_at == where.spots_at &&
                 header->spans_at == where.spans_at && header->spans_at < header->size &&
                 header->span_count == where.span_count && header->first_span == where.first_span &&
                 shm_load(&header->journal.count) <= JOURNAL_MAX &&
                 shm_load64(&header->spans_used) <= header->span_count &&
                 shm_load64(&header->members_used) <= ARENA_MEMBERS_MAX &&
                 shm_load64(&header->spots_used) <= ARENA_SPOTS_MAX && is_block(header, shm_load64(&header->left));
    for (size_t i = 0; i < ARENA_CLASSES; i++)
        result = result && is_span(header, shm_load64(&header->with_room[0][i])) &&
                 is_span(header, shm_load64(&header->with_room[1][i]));
    return result;
}

/** Whether process ids mean the same here as to the rest of the family; the status has its text. */
static apr_status_t check_space(const arena_header_t *header, const char *call)
{
    uint64_t space;
    const apr_status_t status = sys_pid_space(&space);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: it cannot be told in which PID namespace this process is", call);
    if (header->space == space || !header->space || !space)
        return APR_SUCCESS;
    return mproc_fail(MPROC_EFOREIGN,
                      "%s: the family lives in another PID namespace, where process ids have another meaning", call);
}

/** Whether what the creator offers is an arena that this build of the library can use; the status has its text. */
static apr_status_t check(const arena_header_t *header, const char *call)
{
    const int is_arena = memory.size >= sizeof *header && header->magic == ARENA_MAGIC;
    /* That of another build may have all that follows elsewhere. */
    if (is_arena && (header->layout != ARENA_LAYOUT || header->build != family_build()))
        return mproc_fail(MPROC_EBUILD, "%s: the family's memory was made by another build of libmproc", call);
    if (!is_arena || !is_plausible(header))
        return mproc_fail(MPROC_EPROTOCOL, "%s: what is offered is no memory of a family", call);
    return check_space(header, call);
}

/** Map no more what cannot be used: whoever tries again is told the same. */
static void unmap(void)
{
    const sys_handle_t handle = memory.handle;
    memory.handle = SYS_NO_HANDLE;
    sys_arena_close(&memory);
    memory.handle = handle;
}

/** Map what was offered; the status has its text. */
static apr_status_t map(const char *call)
{
    const sys_handle_t handle = memory.handle;
    apr_status_t status = sys_arena_map(&memory, handle);
    if (status != APR_SUCCESS) {
        memory.handle = handle;
        return mproc_fail(status, "%s: the family's memory cannot be mapped", call);
    }
    status = check((const arena_header_t *)(void *)memory.base, call);
    if (status != APR_SUCCESS)
        unmap();
    return status;
}

/** Become a member; the status has its text. */
static apr_status_t join(const char *call)
{
    /* A fork may have brought what is mapped into another namespace. */
    apr_status_t status = check_space(arena, call);
    if (status != APR_SUCCESS)
        return status;
    status = member_join(prepared);
    if (status == APR_SUCCESS) {
        atomic_store(&changing, 0);
        status = member_settle_in();
        if (status != APR_SUCCESS)
            atomic_store(&changing, NO_MEMBER);
    }
    if (status == MPROC_EFULL)
        return mproc_fail(status, "%s: the family has %d members already", call, ARENA_MEMBERS_MAX - 2);
    if (status == APR_ENOMEM)
        return mproc_fail(status, "%s: no memory for another member of the family", call);
    if (status != APR_SUCCESS)
        return mproc_fail(status, "%s: this process's creator has ended", call);
    member_set_name(member_self(), process_current_name());
    return status;
}

/** One step from how far this process is; the status has its text. */
static apr_status_t advance(int *now, const char *call)
{
    apr_status_t status;
    switch (*now) {
    case NOTHING:
        status = found();
        if (status != APR_SUCCESS)
            return mproc_fail(status, "%s: there is no memory to share", call);
        *now = OFFERED;
        return status;
    case OFFERED:
        status = memory.base ? APR_SUCCESS : map(call);
        if (status != APR_SUCCESS)
            return status;
        arena = (arena_header_t *)(void *)memory.base;
        *now = MAPPED;
        return status;
    default:
        status = join(call);
        if (status == APR_SUCCESS)
            *now = JOINED;
        return status;
    }
}

apr_status_t arena_use(const char *call)
{
    if (atomic_load_explicit(&state, memory_order_acquire) == JOINED)
        return APR_SUCCESS;
    int now = enter();
    apr_status_t status = APR_SUCCESS;
    while (now != JOINED && status == APR_SUCCESS) {
        status = advance(&now, call);
        reached = now;
    }
    leave(now);
    return status;
}

void arena_offer(void)
{
    if (atomic_load_explicit(&state, memory_order_acquire) > BUSY)
        return;
    int now = enter();
    if (now == NOTHING && found() == APR_SUCCESS)
        now = OFFERED;
    leave(now);
}

void arena_take(sys_handle_t handle, uint32_t ticket)
{
    prepared = ticket;
    if (handle == SYS_NO_HANDLE)
        return;
    memory = (sys_arena_t){.handle = handle};
    atomic_store(&state, OFFERED);
}

apr_status_t arena_join(int pid, const char *call)
{
    const uint32_t magic = ARENA_MAGIC;
    sys_handle_t handle = SYS_NO_HANDLE;
    int now = enter();
    apr_status_t status = now == NOTHING ? sys_arena_find(&handle, pid, &magic, sizeof magic) : MPROC_ESTATE;
    if (status == APR_SUCCESS) {
        memory = (sys_arena_t){.handle = handle};
        now = OFFERED;
    }
    leave(now);
    if (status == APR_SUCCESS)
        return arena_use(call);
    return mproc_fail(status,
                      status == MPROC_ESTATE ? "%s: this process has a family already"
                                             : "%s: process %d has no family that this process could join",
                      call, pid);
}

int arena_is_there(void)
{
    return atomic_load(&state) != NOTHING;
}

int arena_has_members(void)
{
    const int now = atomic_load(&state);
    /* What is not mapped at all was made by others, who may be using it. */
    return now == OFFERED ? !memory.base || shm_load64(&((arena_header_t *)(void *)memory.base)->members_used) > 0
                          : now >= MAPPED;
}

int arena_is_mapped(void)
{
    return atomic_load_explicit(&state, memory_order_acquire) >= MAPPED;
}

void arena_leave(int is_in_use)
{
    /* Nothing is written where there is nothing to do: a forked child would copy the page. */
    if (!arena_is_mapped() && atomic_load(&state) != BUSY)
        return;
    const int now = enter();
    const int has_left = now == JOINED && !is_in_use && member_leave();
    if (now == JOINED && !has_left)
        member_announce_end(1);
    leave(has_left ? MAPPED : now);
}
