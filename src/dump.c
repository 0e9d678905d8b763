/* SPDX-License-Identifier: Apache-2.0 */
/* The family in words. Nothing is locked: others go on meanwhile, and who has died in the middle of it is no matter. */
#include <mproc/family.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "blocks.h"
#include "error.h"
#include "initialize.h"
#include "lock_object.h"
#include "member.h"
#include "spots.h"

enum { LINE_MAX_SIZE = 400, CIRCLE_MAX = 64 };

/** Where lines go. */
typedef struct writer_t {
    void (*line)(void *context, const char *text);
    void *context;
} writer_t;

static void write_line(const writer_t *writer, const char *format, ...)
{
    char text[LINE_MAX_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    const size_t length = strlen(text);
    text[length] = '\n';
    text[length + 1] = '\0';
    writer->line(writer->context, text);
}

/* ---- Members ----------------------------------------------------------------------------------------------------- */

/** Count those who are members. */
static unsigned count_members(void)
{
    unsigned count = 0;
    const uint64_t end = shm_load64(&arena->members_used);
    for (uint64_t place = 1; place < end; place++)
        count += member_ident(&arena->members[place]).state == MEMBER_LIVING;
    return count;
}

static void write_members(const writer_t *writer)
{
    const uint64_t end = shm_load64(&arena->members_used);
    for (uint64_t place = 1; place < end; place++) {
        const arena_member_t *member = &arena->members[place];
        const member_ident_t ident = member_ident(member);
        char name[ARENA_NAME_MAX];
        shm_get_text(name, member->name, sizeof name);
        if (ident.state == MEMBER_STARTING)
            write_line(writer, "member %s: is being started by process %d", name, member_pid(ident.who));
        else if (ident.state != MEMBER_FREE)
            write_line(writer, "member %s: process %u%s", name, ident.who,
                       ident.state == MEMBER_ENDED || member_is_dead(ident.ticket) ? ", dead" : "");
    }
}

/* ---- Objects, and who waits -------------------------------------------------------------------------------------- */

static void write_waiting(const writer_t *writer, uint64_t object)
{
    const uint64_t now = (uint64_t)sys_now();
    for (const spot_t *spot = spot_next(NULL); spot; spot = spot_next(spot)) {
        if (shm_load64(&spot->object) != object)
            continue;
        const uint64_t since = shm_load64(&spot->since);
        const uint64_t waited = now > since ? (now - since) / 1000 : 0;
        write_line(writer, "  process %d has waited for %llu.%03u s", member_pid(shm_load(&spot->owner)),
                   (unsigned long long)(waited / 1000), (unsigned)(waited % 1000));
    }
}

static uint64_t write_objects(const writer_t *writer)
{
    uint64_t count = 0;
    for (uint64_t offset = blocks_next_object(0); offset; offset = blocks_next_object(offset)) {
        const shared_kind_t *kind = shared_kind_at(offset);
        const shared_head_t *head = arena_at(offset);
        char name[SHARED_NAME_MAX], text[LINE_MAX_SIZE / 2];
        if (!kind)
            continue;
        count++;
        if (!writer)
            continue;
        const uint64_t serial = shm_load64(&head->object.serial);
        shm_get_text(name, head->name, sizeof name);
        kind->describe(head, text, sizeof text);
        /* What was read is another's if this one is gone. */
        if (serial == 0 || shm_load64(&head->object.serial) != serial || shared_kind_at(offset) != kind)
            continue;
        write_line(writer, "%s %llu%s%s: %s", kind->noun, (unsigned long long)serial, *name ? " " : "", name, text);
        write_waiting(writer, offset);
    }
    return count;
}

/* ---- Circles ----------------------------------------------------------------------------------------------------- */

/** A search for a circle of members that wait for one another. */
typedef struct search_t {
    uint32_t tickets[CIRCLE_MAX];
    uint64_t locks[CIRCLE_MAX]; /* what each of them waits for */
    unsigned char is_visited[ARENA_MEMBERS_MAX];
} search_t;

/**
 * Follow who waits for whom, from the last of some members, each thread of theirs: how long the circle is that leads
 * back to the first one, 0 if there is none. It is told by the one with the smallest number alone.
 */
static size_t follow(search_t *search, size_t length)
{
    for (const spot_t *spot = spot_next(NULL); spot; spot = spot_next(spot)) {
        const uint64_t object = shm_load64(&spot->object);
        const int is_one = shm_load(&spot->owner) == search->tickets[length - 1] && object;
        const shared_kind_t *kind = is_one ? shared_kind_at(object) : NULL;
        if (!kind || kind->kind != HANDLE_LOCK)
            continue;
        const uint32_t owner = robust_owner(&((const lock_t *)arena_at(object))->robust);
        unsigned char *is_visited = &search->is_visited[owner & (ARENA_MEMBERS_MAX - 1)];
        search->locks[length - 1] = object;
        if (owner == search->tickets[0])
            return length;
        if (owner < search->tickets[0] || *is_visited || length == CIRCLE_MAX)
            continue;
        *is_visited = 1;
        search->tickets[length] = owner;
        const size_t found = follow(search, length + 1);
        if (found)
            return found;
    }
    return 0;
}

static void write_circles(const writer_t *writer)
{
    search_t search;
    const uint64_t end = shm_load64(&arena->members_used);
    for (uint64_t place = 1; place < end; place++) {
        const member_ident_t ident = member_ident(&arena->members[place]);
        memset(&search, 0, sizeof search);
        search.tickets[0] = ident.ticket;
        const size_t length = ident.state == MEMBER_LIVING ? follow(&search, 1) : 0;
        if (length > 0)
            write_line(writer, "deadlock of %zu, unless other threads of theirs go on:", length);
        for (size_t i = 0; i < length; i++) {
            const shared_head_t *head = arena_at(search.locks[i]);
            write_line(writer, "  process %d waits for lock %llu, which process %d has", member_pid(search.tickets[i]),
                       (unsigned long long)shm_load64(&head->object.serial),
                       member_pid(search.tickets[(i + 1) % length]));
        }
    }
}

/* ---- The public functions ---------------------------------------------------------------------------------------- */

apr_status_t mproc_family_info(mproc_family_info_t *info)
{
    static const char call[] = "mproc_family_info";
    if (!info)
        return mproc_fail(APR_EINVAL, "%s: nowhere to store it: it is NULL", call);
    memset(info, 0, sizeof *info);
    apr_status_t status = library_check_initialized(call);
    if (status != APR_SUCCESS || !arena_is_there())
        return status;
    status = arena_use(call);
    if (status != APR_SUCCESS)
        return status;
    info->size = arena->size;
    info->used = blocks_used();
    info->objects = write_objects(NULL);
    info->members = count_members();
    return status;
}

apr_status_t mproc_dump(void (*line)(void *context, const char *text), void *context)
{
    static const char call[] = "mproc_dump";
    const writer_t writer = {line, context};
    mproc_family_info_t info;
    if (!line)
        return mproc_fail(APR_EINVAL, "%s: the function is NULL", call);
    const apr_status_t status = mproc_family_info(&info);
    if (status != APR_SUCCESS)
        return status;
    write_line(&writer, "family: %u members, %llu objects, %llu of %llu bytes in use", info.members,
               (unsigned long long)info.objects, (unsigned long long)info.used, (unsigned long long)info.size);
    if (info.size == 0)
        return status;
    write_members(&writer);
    write_objects(&writer);
    write_circles(&writer);
    return status;
}
