/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "queue_kinds.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IS_HERE = 1 };

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
#else
enum { IS_HERE = 0 };

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    (void)word;
    (void)value;
}

static void wake(_Atomic uint32_t *word, int count)
{
    (void)word;
    (void)count;
}
#endif

enum { LINE = 64, APART = 128, SPIN = 2000 };

/** Free for the position that its sequence is, or full with the item of the one before that. */
typedef struct slot_t {
    _Atomic uint64_t sequence;
    uint64_t size;
    unsigned char data[];
} slot_t;

/** Where one side sleeps. Who wakes takes those that it wakes off the count. */
typedef struct bed_t {
    _Alignas(APART) _Atomic uint32_t bell;
    _Atomic uint32_t sleepers;
} bed_t;

typedef struct ring_t {
    _Alignas(APART) _Atomic uint64_t tail;
    _Alignas(APART) _Atomic uint64_t head;
    _Alignas(APART) uint64_t mask;
    uint64_t stride;
    bed_t filled;
    bed_t emptied;
    _Alignas(APART) unsigned char slots[];
} ring_t;

static slot_t *slot_at(ring_t *ring, uint64_t position)
{
    return (slot_t *)(void *)(ring->slots + (position & ring->mask) * ring->stride);
}

static void *make(size_t size, size_t capacity)
{
    uint64_t slots = 1;
    while (slots < capacity)
        slots *= 2;
    uint64_t stride = (sizeof(slot_t) + size + LINE - 1) / LINE * LINE;
    if (stride < APART)
        stride = APART;
    ring_t *ring = mmap(NULL, sizeof *ring + slots * stride, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED || !IS_HERE)
        return NULL;
    ring->mask = slots - 1;
    ring->stride = stride;
    for (uint64_t i = 0; i < slots; i++)
        atomic_init(&slot_at(ring, i)->sequence, i);
    return ring;
}

/* ---- Without sleeping -------------------------------------------------------------------------------------------- */

static int try_put(ring_t *ring, const void *data, size_t size)
{
    uint64_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    for (;;) {
        slot_t *slot = slot_at(ring, position);
        const int64_t ahead = (int64_t)(atomic_load_explicit(&slot->sequence, memory_order_acquire) - position);
        if (ahead < 0)
            return 0;
        if (ahead > 0) {
            position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
            continue;
        }
        if (!atomic_compare_exchange_weak_explicit(&ring->tail, &position, position + 1, memory_order_relaxed,
                                                   memory_order_relaxed))
            continue;
        slot->size = size;
        memcpy(slot->data, data, size);
        atomic_store_explicit(&slot->sequence, position + 1, memory_order_release);
        return 1;
    }
}

static int try_get(ring_t *ring, void *data, size_t size)
{
    uint64_t position = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (;;) {
        slot_t *slot = slot_at(ring, position);
        const int64_t ahead = (int64_t)(atomic_load_explicit(&slot->sequence, memory_order_acquire) - (position + 1));
        if (ahead < 0)
            return 0;
        if (ahead > 0) {
            position = atomic_load_explicit(&ring->head, memory_order_relaxed);
            continue;
        }
        if (!atomic_compare_exchange_weak_explicit(&ring->head, &position, position + 1, memory_order_relaxed,
                                                   memory_order_relaxed))
            continue;
        memcpy(data, slot->data, slot->size <= size ? slot->size : size);
        atomic_store_explicit(&slot->sequence, position + ring->mask + 1, memory_order_release);
        return 1;
    }
}

/* ---- Sleeping ---------------------------------------------------------------------------------------------------- */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint32_t lie_down(bed_t *bed)
{
    const uint32_t bell = atomic_load(&bed->bell);
    atomic_fetch_add(&bed->sleepers, 1);
    return bell;
}

static void wake_one(bed_t *bed)
{
    uint32_t sleepers = atomic_load(&bed->sleepers);
    while (sleepers > 0 && !atomic_compare_exchange_weak(&bed->sleepers, &sleepers, sleepers - 1)) {}
    if (sleepers == 0)
        return;
    atomic_fetch_add(&bed->bell, 1);
    wake(&bed->bell, 1);
}

static void wake_all(bed_t *bed)
{
    if (atomic_exchange(&bed->sleepers, 0) == 0)
        return;
    atomic_fetch_add(&bed->bell, 1);
    wake(&bed->bell, INT_MAX);
}

static int has_sleepers(bed_t *bed)
{
    /* What was published comes before the look. */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&bed->sleepers, memory_order_relaxed) > 0;
}

static int look_to_put(ring_t *ring, const void *data, size_t size)
{
    for (const int64_t end = now() + SPIN; now() < end;) {
        for (int i = 0; i < 16; i++) {
            pause_a_little();
            if (try_put(ring, data, size))
                return 1;
        }
    }
    return 0;
}

static int look_to_get(ring_t *ring, void *data, size_t size)
{
    for (const int64_t end = now() + SPIN; now() < end;) {
        for (int i = 0; i < 16; i++) {
            pause_a_little();
            if (try_get(ring, data, size))
                return 1;
        }
    }
    return 0;
}

static void put_in_any_case(ring_t *ring, const void *data, size_t size, int spins)
{
    while (!try_put(ring, data, size)) {
        if (spins && look_to_put(ring, data, size))
            return;
        const uint32_t bell = lie_down(&ring->emptied);
        if (try_put(ring, data, size))
            return;
        wait_while(&ring->emptied.bell, bell);
    }
}

/** Whoever was woken and has got wakes the next one: wakes come to nothing while a slot before theirs is not full. */
static void pass_on(ring_t *ring)
{
    if (atomic_load(&ring->tail) != atomic_load(&ring->head))
        wake_one(&ring->filled);
}

static void get_in_any_case(ring_t *ring, void *data, size_t size, int spins)
{
    int has_slept = 0;
    while (!try_get(ring, data, size)) {
        if (spins && look_to_get(ring, data, size))
            break;
        const uint32_t bell = lie_down(&ring->filled);
        if (try_get(ring, data, size))
            break;
        wait_while(&ring->filled.bell, bell);
        has_slept = 1;
    }
    if (has_slept)
        pass_on(ring);
}

static int put_to(ring_t *ring, const void *data, size_t size, int spins)
{
    put_in_any_case(ring, data, size, spins);
    if (has_sleepers(&ring->filled))
        wake_one(&ring->filled);
    return 0;
}

static int get_from(ring_t *ring, void *data, size_t size, int spins)
{
    get_in_any_case(ring, data, size, spins);
    if (has_sleepers(&ring->emptied)) {
        const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (atomic_load_explicit(&ring->tail, memory_order_relaxed) - head <= (ring->mask + 1) / 2)
            wake_all(&ring->emptied);
    }
    return 0;
}

static int put(void *queue, const void *data, size_t size)
{
    return put_to(queue, data, size, 0);
}

static int get(void *queue, void *data, size_t size)
{
    return get_from(queue, data, size, 0);
}

static int put_spinning(void *queue, const void *data, size_t size)
{
    return put_to(queue, data, size, 1);
}

static int get_spinning(void *queue, void *data, size_t size)
{
    return get_from(queue, data, size, 1);
}

const queue_kind_t queue_vyukov = {"vyukov", make, put, get};
const queue_kind_t queue_vyukov_spin = {"vyukov-spin", make, put_spinning, get_spinning};
