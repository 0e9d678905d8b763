/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator of src/blocks.c, the references of src/references.c, and the memory that objects have besides their own
 * block (src/memory.c): long random sequences, and in each of them a death at every single step; then another process
 * finishes what was begun, or dies of it as well and a third one does. After that the arena is as it was before or
 * after the transaction, and in order.
 */
#include "model/kills.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "blocks.h"
#include "member.h"
#include "model/model.h"
#include "model/table.h"
#include "references.h"
#include "shared.h"
#include "spots.h"

enum { SPANS = 24, MEMORY = 700 * 1024 + SPANS * 65536 };

/* As the arena lays its parts out. */
static _Alignas(65536) unsigned char memory[(MEMORY + 65535) / 65536 * 65536];
arena_header_t *arena = (arena_header_t *)(void *)memory;

/* ---- In place of the system -------------------------------------------------------------------------------------- */

/* Three members who hold things, and two more who come after deaths; the process id of each is its number. */
enum { HOLDERS = 3, WORKER = 1, SECOND = 4, THIRD = 5 };

static int dead[THIRD + 1];

static unsigned is_reserved[SPANS]; /* the system has been asked for its memory */
static int is_out_of_memory;
static size_t largest; /* transaction */

static sys_time_t no_time(void)
{
    return 0;
}

static int pid_now(void)
{
    return WORKER;
}

static apr_status_t find_birth(uint64_t *birth, int pid)
{
    *birth = (uint64_t)pid;
    return APR_SUCCESS;
}

static apr_status_t open_process(sys_process_t **process, int pid, uint64_t birth)
{
    (void)birth;
    *process = NULL;
    return dead[pid] ? APR_ENOENT : APR_SUCCESS;
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
    kills_step();
    if (is_out_of_memory)
        return APR_ENOMEM;
    for (uint64_t i = 0; i < size; i += ARENA_SPAN)
        if (offset >= arena->first_span)
            is_reserved[(offset + i - arena->first_span) / ARENA_SPAN] = 1;
    return APR_SUCCESS;
}

/** What was there is lost. */
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
    kills_step();
    kills_save(memory + offset, (size_t)size);
    memset(memory + offset, 0xa5, (size_t)size);
    for (uint64_t i = 0; i < size; i += ARENA_SPAN)
        is_reserved[(offset + i - arena->first_span) / ARENA_SPAN] = 0;
}

static void *clear(void *at, int value, size_t size)
{
    kills_step();
    kills_save(at, size);
    return memset(at, value, size);
}

/* What waits is not looked at here. */
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
    (void)object;
}

/* ---- The sources ------------------------------------------------------------------------------------------------- */

#define sys_now no_time
#include "robust.c"
#include "journal.c"

#define pack pack_list
#define unpack unpack_list
#include "references.c"
#undef pack
#undef unpack

#include "memory.c"

#define pack pack_use
#define unpack unpack_use
#define memset clear
#include "blocks.c"
#undef memset
#undef pack
#undef unpack

#define sys_getpid pid_now
#define sys_birth find_birth
#define sys_process_open open_process
#define sys_process_close close_process
#define sys_process_sentinel find_sentinel
#define sys_wait wait_for
#include "member.c"

/* ---- Violations -------------------------------------------------------------------------------------------------- */

static unsigned long seed;
static unsigned long operation; /* of the sequence */
static char doing[100];

static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("blocks: VIOLATION: ");
    vprintf(format, arguments);
    printf("\n    seed %lu, operation %lu: %s\n", seed, operation, doing);
    va_end(arguments);
    fflush(stdout);
    exit(MODEL_VIOLATION);
}

#define require(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))

/* ---- Whether all is in order ------------------------------------------------------------------------------------- */

/** What a look at the whole arena finds. */
typedef struct found_t {
    uint64_t digest; /* of all that is in use */
    unsigned raw;    /* blocks in use that are no lists, and nobody's memory */
    unsigned parts;  /* of objects' memory, those among them that are left */
    unsigned objects;
} found_t;

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t sum = (a + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u ^ b * 0x94d049bb133111ebu;
    return sum ^ sum >> 31;
}

static unsigned char in_chain[SPANS];
/* For each place where a block can begin: what it is, and how many entries refer to it. */
enum { UNIT = 64, UNITS = SPANS * 65536 / UNIT };
static enum { UNUSED, RAW, OBJECT, LIST, PART } block_kinds[UNITS];
static uint64_t owners[UNITS]; /* of parts: the object; 0: they are left */
static unsigned holders[UNITS];

static size_t unit_of(uint64_t offset)
{
    require(offset >= arena->first_span && offset < arena->first_span + SPANS * ARENA_SPAN && offset % UNIT == 0,
            "%#llx is no block", (unsigned long long)offset);
    return (size_t)((offset - arena->first_span) / UNIT);
}

/** The chains of spans with room. */
static void check_chains(void)
{
    memset(in_chain, 0, sizeof in_chain);
    for (unsigned purpose = 0; purpose < 2; purpose++)
        for (unsigned class = 0; class < ARENA_CLASSES; class ++) {
            uint64_t previous = 0;
            for (uint64_t next = atomic_load(&arena->with_room[purpose][class]); next;) {
                require(next <= atomic_load(&arena->spans_used), "a chain of spans leads out of them");
                require(!in_chain[next - 1], "span %u is in two chains, or twice in one", (unsigned)next - 1);
                in_chain[next - 1] = 1;
                const use_t use = unpack_use(atomic_load(&span_at(next - 1)->use));
                require(use.kind == SPAN_SMALL && use.class == class && use.purpose == purpose,
                        "span %u is in the wrong chain", (unsigned)next - 1);
                const uint64_t links = atomic_load(&span_at(next - 1)->links);
                require(previous_of(links) == previous, "span %u does not know the one before it", (unsigned)next - 1);
                previous = next;
                next = next_of(links);
            }
        }
}

static void check_small(found_t *found, uint64_t index, use_t use)
{
    unsigned free_blocks = 0;
    static unsigned char is_free[65536 / UNIT];
    memset(is_free, 0, sizeof is_free);
    require(use.class < ARENA_CLASSES && use.touched <= capacity(use.class), "span %u is odd", (unsigned)index);
    for (unsigned next = use.first_free; next; free_blocks++) {
        require(next <= use.touched && !is_free[next - 1], "the free blocks of span %u are odd", (unsigned)index);
        is_free[next - 1] = 1;
        if (use.purpose == BLOCK_OBJECT)
            require(atomic_load((shm_u64_t *)arena_at(block_offset(index, use, next - 1))) == 0,
                    "a free object has a serial");
        next = (unsigned)atomic_load(link_of(index, use, next - 1));
    }
    require(use.used + free_blocks == use.touched, "span %u counts its blocks wrong", (unsigned)index);
    require(in_chain[index] == (use.used < capacity(use.class)), "span %u is in a chain or not", (unsigned)index);
    for (unsigned block = 0; block < use.touched; block++) {
        if (is_free[block])
            continue;
        const uint64_t offset = block_offset(index, use, block);
        block_kinds[unit_of(offset)] = use.purpose == BLOCK_OBJECT ? OBJECT : RAW;
        found->digest += mix(offset, use.class);
        found->raw += use.purpose != BLOCK_OBJECT;
        found->objects += use.purpose == BLOCK_OBJECT;
    }
}

static void check_spans(found_t *found)
{
    const uint64_t end = atomic_load(&arena->spans_used);
    uint64_t free_runs = 0;
    int was_free = 0;
    require(end <= arena->span_count, "more spans are used than there are");
    for (uint64_t i = 0; i < end;) {
        const use_t use = unpack_use(atomic_load(&span_at(i)->use));
        const uint64_t run = use.kind == SPAN_SMALL ? 1 : atomic_load(&span_at(i)->run);
        require(use.kind != SPAN_REST && run >= 1 && i + run <= end, "a run of spans at %u is odd", (unsigned)i);
        require(use.kind == SPAN_SMALL || atomic_load(&span_at(i + run - 1)->run) == run,
                "a run of spans at %u ends otherwise than it begins", (unsigned)i);
        const span_kind_t last = unpack_use(atomic_load(&span_at(i + run - 1)->use)).kind;
        if (use.kind == SPAN_FREE) {
            require(!was_free, "two free runs at %u are not one", (unsigned)i);
            require(last == SPAN_FREE, "the end of the free run at %u is not free", (unsigned)i);
            free_runs++;
        } else if (use.kind == SPAN_LARGE) {
            require(run == 1 || last == SPAN_REST, "the end of the block at %u is odd", (unsigned)i);
            block_kinds[unit_of(span_offset(i))] = RAW;
            found->digest += mix(span_offset(i), run << 8);
            found->raw++;
        } else {
            check_small(found, i, use);
        }
        was_free = use.kind == SPAN_FREE;
        i += run;
    }
    require(free_runs == atomic_load(&arena->free_runs), "free runs are counted wrong");
}

/** A member's lists that have room, or those that have none. */
static void check_lists(found_t *found, uint32_t ticket, uint64_t first, int is_full)
{
    uint64_t previous = 0;
    for (uint64_t offset = first; offset;) {
        static unsigned char is_free[LIST_ENTRIES];
        const list_t *list = list_at(offset);
        const state_t state = unpack_list(atomic_load(&list->state));
        unsigned free_entries = 0;
        require(block_kinds[unit_of(offset)] == RAW, "a list is not in a block of its own");
        block_kinds[unit_of(offset)] = LIST;
        found->raw--;
        require(atomic_load(&list->previous) == previous, "a list does not know the one before it");
        require(state.ticket == ticket, "a member has another's list");
        require(state.used > 0 && (state.used == LIST_ENTRIES) == is_full, "a list is in the wrong chain");
        memset(is_free, 0, sizeof is_free);
        for (unsigned next = state.first_free; next; free_entries++) {
            require(next <= state.touched && !is_free[next - 1], "the free entries of a list are odd");
            is_free[next - 1] = 1;
            next = (unsigned)atomic_load(&list->entries[next - 1]);
        }
        require(state.used + free_entries == state.touched, "a list counts its entries wrong");
        for (unsigned i = 0; i < state.touched; i++)
            if (!is_free[i]) {
                const uint64_t object = atomic_load(&list->entries[i]);
                require(block_kinds[unit_of(object)] == OBJECT, "an entry refers to no object");
                holders[unit_of(object)]++;
                found->digest += mix(object, (uint64_t)ticket << 16 | 1) * 3;
            }
        previous = offset;
        offset = atomic_load(&list->next);
    }
}

/** The memory of an object; 0 as owner: what one has left, whose first part need not know that it is the first. */
static void check_parts(found_t *found, uint64_t first, uint64_t owner)
{
    uint64_t previous = 0;
    for (uint64_t offset = first; offset; offset = atomic_load(&part_at(offset)->next)) {
        require(block_kinds[unit_of(offset)] == RAW, "a part of an object's memory is not in a block of its own");
        block_kinds[unit_of(offset)] = PART;
        owners[unit_of(offset)] = owner;
        found->raw--;
        found->parts++;
        require(atomic_load(&part_at(offset)->previous) == previous || (!owner && offset == first),
                "a part does not know the one before it");
        found->digest += mix(offset, owner) * 7;
        previous = offset;
    }
}

static int has_memory(uint64_t offset)
{
    const object_t *object = arena_at(offset);
    return (atomic_load(&object->holds) & OBJECT_HAS_MEMORY) != 0;
}

static void check_memory(found_t *found)
{
    for (size_t i = 0; i < UNITS; i++) {
        const uint64_t offset = arena->first_span + i * UNIT;
        if (block_kinds[i] == OBJECT && has_memory(offset))
            check_parts(found, atomic_load(object_memory(arena_at(offset))), offset);
    }
    for (uint64_t offset = atomic_load(&arena->left); offset; offset = atomic_load(&part_at(offset)->other_chain))
        check_parts(found, offset, 0);
}

static uint32_t ticket_of(unsigned number)
{
    return (uint32_t)1 << PLACE_BITS | number;
}

/** The object that another one keeps; 0: none. */
static uint64_t kept_by(uint64_t offset)
{
    object_t *object = arena_at(offset);
    return atomic_load(&object->holds) & OBJECT_KEEPS ? atomic_load(object_kept(object)) : 0;
}

/** Those objects that keep another one are holders of it. */
static void count_keepers(found_t *found)
{
    for (size_t i = 0; i < UNITS; i++) {
        const uint64_t offset = arena->first_span + i * UNIT;
        if (block_kinds[i] != OBJECT || !kept_by(offset))
            continue;
        require(block_kinds[unit_of(kept_by(offset))] == OBJECT, "an object keeps another one that is not there");
        holders[unit_of(kept_by(offset))]++;
        found->digest += mix(kept_by(offset), offset) * 5;
    }
}

/** Look at everything. */
static found_t look_at_all(void)
{
    found_t found = {.digest = 0};
    memset(block_kinds, 0, sizeof block_kinds);
    memset(holders, 0, sizeof holders);
    require(atomic_load(&arena->journal.count) == 0, "the journal is not empty");
    check_chains();
    check_spans(&found);
    for (unsigned i = 1; i <= HOLDERS; i++) {
        check_lists(&found, ticket_of(i), atomic_load(&arena->members[i].lists_with_room), 0);
        check_lists(&found, ticket_of(i), atomic_load(&arena->members[i].full_lists), 1);
    }
    count_keepers(&found);
    check_memory(&found);
    for (size_t i = 0; i < UNITS; i++)
        if (block_kinds[i] == OBJECT) {
            const object_t *object = arena_at(arena->first_span + i * UNIT);
            require((uint32_t)atomic_load(&object->holds) == holders[i] && holders[i] > 0,
                    "an object counts its holders wrong");
            require(atomic_load(&object->serial) != 0, "an object has no serial");
        }
    return found;
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

typedef enum work_t { TAKE, GIVE, CREATE, HOLD, DROP, RELEASE_ALL, TAKE_PART, GIVE_PART, CLEAN, WORKS } work_t;

enum { PARTS_AT_FIRST = 2 };

typedef struct operation_t {
    work_t work;
    uint64_t size;
    unsigned holder;
    size_t which;  /* of the blocks, references or parts that there are */
    int keeps;     /* an object that is made keeps that one */
    uint64_t kept; /* the object that the one which is dropped keeps */
    int has_memory;
    unsigned parts; /* that one has at first */
    int is_out_of_memory;
} operation_t;

/* What there is, as the test knows it. */
enum { THINGS_MAX = 4096 };

typedef struct held_t {
    reference_t reference;
    uint64_t object;
    unsigned holder;
} held_t;

static uint64_t raw[THINGS_MAX];
static size_t raw_count;
static held_t held[THINGS_MAX];
static size_t held_count;

typedef struct noted_part_t {
    uint64_t part;
    uint64_t object;
} noted_part_t;

static noted_part_t parts[THINGS_MAX];
static size_t part_count;
static size_t left_count; /* of parts whose object is gone */

/* What an operation has made. */
static uint64_t made;
static reference_t made_reference;
static apr_status_t made_status;
static uint64_t made_parts[PARTS_AT_FIRST];
static size_t made_part_count;

static void finish(transaction_t *transaction)
{
    if (transaction->count > largest)
        largest = transaction->count;
    if (made_status == APR_SUCCESS)
        journal_commit(transaction);
    else
        journal_abandon(transaction);
}

/** As src/shared.c does it. */
static void keep(transaction_t *transaction, object_t *object, uint64_t kept)
{
    object_t *other = arena_at(kept);
    journal_put(transaction, &object->holds, journal_get(transaction, &object->holds) | OBJECT_KEEPS);
    journal_put(transaction, object_kept(object), kept);
    journal_put(transaction, &other->holds, journal_get(transaction, &other->holds) + 1);
}

/** Take a part of memory for an object. */
static apr_status_t take_part(transaction_t *transaction, const operation_t *what, object_t *object)
{
    const apr_status_t status = memory_take(transaction, &made_parts[made_part_count], what->size, object);
    if (status == APR_SUCCESS)
        made_part_count++;
    return status;
}

/** Make an object, as src/shared.c does it. */
static apr_status_t create(transaction_t *transaction, const operation_t *what)
{
    const uint64_t size = (uint64_t)64 << what->size % 4;
    apr_status_t status = blocks_take(transaction, &made, size, BLOCK_OBJECT);
    if (status != APR_SUCCESS)
        return status;
    object_t *object = arena_at(made);
    require(atomic_load(&object->serial) == 0, "the block for an object begins with something else than zero");
    if (what->has_memory)
        shm_store64(object_memory(object), 0); /* nobody else can see it */
    journal_put(transaction, &object->serial, 1);
    journal_put(transaction, &object->holds, (uint64_t)5 << 32 | (what->has_memory ? OBJECT_HAS_MEMORY : 0));
    if (what->keeps)
        keep(transaction, object, held[what->which].object);
    for (unsigned i = 0; i < what->parts && status == APR_SUCCESS; i++)
        status = take_part(transaction, what, object);
    return status == APR_SUCCESS ? references_add(transaction, &made_reference, ticket_of(what->holder), made) : status;
}

static void operate(const operation_t *what)
{
    transaction_t transaction;
    made_status = APR_SUCCESS;
    made_part_count = 0;
    is_out_of_memory = what->is_out_of_memory;
    if (what->work == RELEASE_ALL) {
        references_release_all(ticket_of(what->holder), NULL);
        return;
    }
    if (what->work == CLEAN) {
        memory_clean();
        return;
    }
    journal_begin(&transaction);
    switch (what->work) {
    case TAKE:
        made_status = blocks_take(&transaction, &made, what->size, BLOCK_RAW);
        break;
    case GIVE:
        blocks_give(&transaction, raw[what->which]);
        break;
    case CREATE:
        made_status = create(&transaction, what);
        break;
    case HOLD:
        made = held[what->which].object;
        made_status = references_add(&transaction, &made_reference, ticket_of(what->holder), made);
        break;
    case DROP:
        references_drop(&transaction, held[what->which].reference);
        break;
    case TAKE_PART:
        made_status = take_part(&transaction, what, arena_at(held[what->which].object));
        break;
    case GIVE_PART:
        memory_give(&transaction, parts[what->which].part, arena_at(parts[what->which].object));
        break;
    default:
        break;
    }
    finish(&transaction);
}

/* What whoever has taken a block writes into it. */
static uint64_t *mark_of(uint64_t block)
{
    return (uint64_t *)arena_at(block) + 2;
}

/** What is in the blocks that are in use. */
static void check_marks(void)
{
    for (size_t i = 0; i < raw_count; i++)
        require(block_kinds[unit_of(raw[i])] != RAW || *mark_of(raw[i]) == raw[i], "what was in a block is lost");
    for (size_t i = 0; i < part_count; i++)
        require(block_kinds[unit_of(parts[i].part - sizeof(part_t))] != PART ||
                    *(uint64_t *)arena_at(parts[i].part) == parts[i].part,
                "what was in an object's memory is lost");
}

static int is_alive(uint64_t object)
{
    for (size_t i = 0; i < held_count; i++)
        if (held[i].object == object || kept_by(held[i].object) == object)
            return 1;
    return 0;
}

/** If an object is gone, its memory is left. */
static void note_left(uint64_t object)
{
    if (is_alive(object))
        return;
    for (size_t i = part_count; i-- > 0;)
        if (parts[i].object == object) {
            parts[i] = parts[--part_count];
            left_count++;
        }
}

static void note_parts(const operation_t *what)
{
    for (size_t i = 0; i < made_part_count; i++) {
        const uint64_t object = what->work == CREATE ? made : held[what->which].object;
        parts[part_count++] = (noted_part_t){made_parts[i], object};
        *(uint64_t *)arena_at(made_parts[i]) = made_parts[i];
    }
}

/** Note what an operation has done. */
static void note(const operation_t *what)
{
    if (made_status != APR_SUCCESS)
        return;
    note_parts(what);
    const uint64_t dropped = what->work == DROP ? held[what->which].object : 0;
    switch (what->work) {
    case TAKE:
        raw[raw_count++] = made;
        *mark_of(made) = made;
        break;
    case GIVE:
        raw[what->which] = raw[--raw_count];
        break;
    case CREATE:
    case HOLD:
        held[held_count++] = (held_t){made_reference, made, what->holder};
        break;
    case DROP:
        held[what->which] = held[--held_count];
        note_left(dropped);
        note_left(what->kept);
        break;
    case TAKE_PART:
        break;
    case GIVE_PART:
        parts[what->which] = parts[--part_count];
        break;
    case CLEAN:
        left_count = 0;
        break;
    default:
        for (size_t i = held_count; i-- > 0;)
            if (held[i].holder == what->holder)
                held[i] = held[--held_count];
        for (size_t i = part_count; i-- > 0;)
            if (!is_alive(parts[i].object))
                parts[i] = parts[--part_count];
        left_count = 0;
        break;
    }
}

/** Count an object that was not counted before. */
static unsigned count_once(uint64_t object)
{
    const unsigned is_first = block_kinds[unit_of(object)] == OBJECT;
    block_kinds[unit_of(object)] = UNUSED;
    return is_first;
}

static void compare_with_notes(void)
{
    const found_t found = look_at_all();
    unsigned objects = 0;
    require(found.raw == raw_count, "%u blocks are in use, and %u should be", found.raw, (unsigned)raw_count);
    for (size_t i = 0; i < raw_count; i++)
        require(block_kinds[unit_of(raw[i])] == RAW, "a block that was taken is not in use");
    check_marks();
    require(found.parts == part_count + left_count, "there are %u parts of memory, and there should be %u", found.parts,
            (unsigned)(part_count + left_count));
    for (size_t i = 0; i < part_count; i++)
        require(block_kinds[unit_of(parts[i].part - sizeof(part_t))] == PART &&
                    owners[unit_of(parts[i].part - sizeof(part_t))] == parts[i].object,
                "a part that was taken is not its object's");
    for (size_t i = 0; i < held_count; i++) {
        const uint64_t kept = kept_by(held[i].object);
        require(atomic_load((shm_u64_t *)arena_at(held[i].reference)) == held[i].object,
                "an entry refers to another object");
        objects += count_once(held[i].object) + (kept ? count_once(kept) : 0);
    }
    require(objects == found.objects, "%u objects are in use, and %u should be", found.objects, objects);
}

/* ---- Deaths ------------------------------------------------------------------------------------------------------ */

enum { PUBLICATIONS_MAX = 2000 };

static uint64_t digests[PUBLICATIONS_MAX]; /* after as many transactions */
static size_t digest_count;
static size_t publications;
static int is_recording;

static size_t deaths;
static size_t second_deaths;

void kills_stored(const shm_u32_t *word, uint32_t value)
{
    if (word != &arena->journal.count)
        return;
    publications += value != 0;
    if (is_recording && value == 0 && publications == digest_count && digest_count < PUBLICATIONS_MAX)
        digests[digest_count++] = look_at_all().digest;
}

static void be(unsigned number)
{
    atomic_store(&member_ticket, ticket_of(number));
}

/** Take the lock, by which what was begun is finished. */
static void recover(unsigned number)
{
    transaction_t transaction;
    be(number);
    journal_begin(&transaction);
    journal_abandon(&transaction);
}

/** Do something until a death: whether it came before the end. */
static int dies(void (*what)(const void *context), const void *context, long steps)
{
    kills_left = steps;
    if (setjmp(kills_end) == 0) {
        what(context);
        const int is_done = 1;
        kills_left = -1;
        return !is_done;
    }
    kills_left = -1;
    return 1;
}

static void do_operation(const void *context)
{
    operate(context);
}

static void do_recovery(const void *context)
{
    (void)context;
    recover(SECOND);
}

static unsigned long long state_of_random;

static unsigned long long next_random(void)
{
    state_of_random += 0x9e3779b97f4a7c15u;
    return mix(state_of_random, state_of_random >> 7);
}

static void undo(const unsigned *reserved)
{
    kills_undo();
    memcpy(is_reserved, reserved, sizeof is_reserved);
    memset(dead, 0, sizeof dead);
    be(WORKER);
}

/** After a death: somebody finishes what was begun, and it is done or not, but for nothing between. */
static void check_after_death(size_t done)
{
    dead[WORKER] = 1;
    if (next_random() % 4 == 0 && dies(do_recovery, NULL, (long)(next_random() % 60))) {
        second_deaths++;
        dead[SECOND] = 1;
        recover(THIRD);
    } else {
        recover(SECOND);
    }
    require(look_at_all().digest == digests[done], "after a death it is neither done nor undone");
    check_marks();
    if (next_random() % 16)
        return;
    member_is_dead(ticket_of(WORKER));
    member_settle();
    look_at_all();
    require(atomic_load(&arena->members[WORKER].lists_with_room) == 0 &&
                atomic_load(&arena->members[WORKER].full_lists) == 0 &&
                member_ident(&arena->members[WORKER]).state == MEMBER_FREE,
            "what a dead member held is not released");
    require(atomic_load(&arena->left) == 0, "memory of objects that are gone is not given back");
}

static void try_deaths(const operation_t *what)
{
    unsigned reserved[SPANS];
    memcpy(reserved, is_reserved, sizeof reserved);
    kills_mark();
    publications = 0;
    digests[0] = look_at_all().digest;
    digest_count = 1;
    is_recording = 1;
    operate(what);
    is_recording = 0;
    undo(reserved);
    int has_died = 1;
    for (long steps = 0; has_died; steps++) {
        publications = 0;
        has_died = dies(do_operation, what, steps);
        const size_t done = publications;
        if (has_died)
            check_after_death(done);
        deaths += (size_t)has_died;
        undo(reserved);
    }
}

/* ---- Sequences --------------------------------------------------------------------------------------------------- */

static operation_t choose(int is_growing)
{
    operation_t what = {.holder = 1 + (unsigned)(next_random() % HOLDERS)};
    /* One of them has more than a few lists. */
    if (next_random() % 2)
        what.holder = WORKER;
    const unsigned choice = (unsigned)(next_random() % 100);
    what.is_out_of_memory = next_random() % 50 == 0;
    what.size = (uint64_t)1 << next_random() % 14;
    what.size += next_random() % what.size;
    if (next_random() % 8 == 0)
        what.size = 8192 + next_random() % 200000;
    what.work = choice < 22 ? TAKE : choice < 37 ? CREATE : choice < 50 ? TAKE_PART : HOLD;
    if (!is_growing)
        what.work = choice < 25 ? GIVE : choice < 35 ? GIVE_PART : choice < 40 ? CLEAN : DROP;
    if (choice == 99 && next_random() % 4 == 0)
        what.work = RELEASE_ALL;
    if ((what.work == HOLD && held_count == 0) || raw_count == THINGS_MAX || held_count == THINGS_MAX ||
        part_count + PARTS_AT_FIRST > THINGS_MAX)
        what.work = RELEASE_ALL;
    if (what.work == GIVE_PART && part_count == 0)
        what.work = DROP;
    if (what.work == DROP && held_count == 0)
        what.work = GIVE;
    if (what.work == GIVE && raw_count == 0)
        what.work = RELEASE_ALL;
    const size_t things = what.work == GIVE ? raw_count : what.work == GIVE_PART ? part_count : held_count;
    what.which = (size_t)(next_random() % (things + (things == 0)));
    if (what.work == TAKE_PART && (held_count == 0 || !has_memory(held[what.which].object)))
        what.work = TAKE;
    /* What is kept keeps nothing itself. */
    what.keeps = what.work == CREATE && held_count > 0 && next_random() % 2 && !kept_by(held[what.which].object);
    what.has_memory = what.work == CREATE && next_random() % 2;
    what.parts = what.has_memory ? (unsigned)(next_random() % (PARTS_AT_FIRST + 1)) : 0;
    what.kept = what.work == DROP ? kept_by(held[what.which].object) : 0;
    return what;
}

static void lay_out(void)
{
    memset(memory, 0, sizeof memory);
    raw_count = held_count = part_count = left_count = 0;
    arena->size = sizeof memory;
    arena->spans_at = (sizeof *arena + ARENA_SPAN - 1) / ARENA_SPAN * ARENA_SPAN;
    arena->first_span = arena->spans_at + ARENA_SPAN;
    arena->span_count = SPANS;
    require(arena->first_span + SPANS * ARENA_SPAN <= sizeof memory, "the memory is too small");
    atomic_store(&arena->members_used, THIRD + 1);
    for (unsigned i = 1; i <= THIRD; i++)
        atomic_store(&arena->members[i].ident, pack((member_ident_t){MEMBER_LIVING, ticket_of(i), i}));
    be(WORKER);
}

/** The free spans whose memory was not given back to the system. */
static size_t count_kept(void)
{
    size_t kept = 0;
    const uint64_t end = atomic_load(&arena->spans_used);
    for (uint64_t i = 0; i < end;) {
        const use_t use = unpack_use(atomic_load(&span_at(i)->use));
        const uint64_t run = use.kind == SPAN_SMALL ? 1 : atomic_load(&span_at(i)->run);
        for (uint64_t k = i; k < i + run && use.kind == SPAN_FREE; k++)
            kept += is_reserved[k];
        i += run;
    }
    return kept;
}

static void run_sequence(unsigned long number, unsigned long operations)
{
    static const char *const names[WORKS] = {"take",        "give",        "create",      "hold", "drop",
                                             "release all", "take a part", "give a part", "clean"};
    size_t most_held = 0;
    size_t most_parts = 0;
    size_t failures = 0;
    size_t kept = 0;
    seed = number;
    state_of_random = number;
    deaths = second_deaths = largest = 0;
    lay_out();
    for (operation = 0; operation < operations; operation++) {
        /* Mostly long waves, so that the arena fills up, and empties. */
        const operation_t what = choose(operation % 1000 < 600 ? next_random() % 10 != 0 : next_random() % 10 == 0);
        snprintf(doing, sizeof doing, "%s, size %lu, holder %u, thing %lu%s%s%s", names[what.work],
                 (unsigned long)what.size, what.holder, (unsigned long)what.which, what.keeps ? ", kept" : "",
                 what.has_memory ? ", with memory" : "", what.is_out_of_memory ? ", without memory" : "");
        if (next_random() % 5 == 0)
            try_deaths(&what);
        operate(&what);
        kills_mark();
        note(&what);
        failures += made_status != APR_SUCCESS;
        most_held = held_count > most_held ? held_count : most_held;
        most_parts = part_count + left_count > most_parts ? part_count + left_count : most_parts;
        compare_with_notes();
        const size_t now = count_kept();
        kept = now > kept ? now : kept;
    }
    printf("blocks: seed %lu: %lu operations, %zu without room, up to %zu references and %zu parts of memory, %zu "
           "deaths, %zu of who recovers, "
           "up to %zu words in a transaction, up to %zu free spans whose memory the system has not back\n",
           number, operations, failures, most_held, most_parts, deaths, second_deaths, largest, kept);
    fflush(stdout);
}

int main(void)
{
    /* With sanitizers a death takes long. */
    const unsigned long short_run = getenv("MPROC_TEST_SLOWDOWN") ? 1 : 4;
    const unsigned long sequences = model_is_deep() ? 40 : short_run;
    for (unsigned long i = 1; i <= sequences; i++)
        run_sequence(i, model_is_deep() ? 20000 : 3000);
    return 0;
}
