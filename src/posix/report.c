/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of children: small pieces of memory that a child shares with its creator. A mapping for each would cost more
 * than all else that a start does, so many lie in one area, which stays mapped. A forked child has the same mapping;
 * a child of the fork server maps the area by its descriptor.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unix.h"

enum { SLOTS = UNIX_REPORTS_SIZE / SYS_REPORT_MAX < 32 ? UNIX_REPORTS_SIZE / SYS_REPORT_MAX : 32 };

static const uint32_t all_taken = (uint32_t)(((uint64_t)1 << SLOTS) - 1);

/** An area of reports. What is said of it is not in it: there, children could write to it. */
typedef struct area_t {
    struct area_t *next;
    unsigned char *memory;
    int fd;                 /* -1: forked children only have it */
    _Atomic uint32_t taken; /* a bit for each slot */
    unsigned generation;    /* the process that uses it */
} area_t;

/*
 * There is no lock: one that another thread holds during a fork would stay locked in the child. Areas stay for good; a
 * forked child leaves those of its creator alone, as the creator goes on using them.
 */
static _Atomic(area_t *) areas;
static unsigned generation;

static void *take_from(area_t *area)
{
    uint32_t taken = atomic_load(&area->taken);
    while (taken != all_taken) {
        unsigned slot = 0;
        while (taken & (uint32_t)1 << slot)
            slot++;
        if (atomic_compare_exchange_weak(&area->taken, &taken, taken | (uint32_t)1 << slot))
            return area->memory + (size_t)slot * SYS_REPORT_MAX;
    }
    return NULL;
}

/** Make another area, its first slot taken. */
static area_t *make_area(void)
{
    area_t *area = malloc(sizeof *area);
    if (!area)
        return NULL;
    area->fd = unix_datagram_max > 0 ? unix_open_nameless() : -1;
    const int flags = area->fd < 0 ? MAP_SHARED | MAP_ANON : MAP_SHARED;
    void *memory = MAP_FAILED;
    if (area->fd < 0 ? unix_datagram_max == 0 : ftruncate(area->fd, UNIX_REPORTS_SIZE) == 0)
        memory = mmap(NULL, UNIX_REPORTS_SIZE, PROT_READ | PROT_WRITE, flags, area->fd, 0);
    if (memory == MAP_FAILED) {
        unix_close(area->fd);
        free(area);
        return NULL;
    }
    area->memory = memory;
    area->generation = generation;
    atomic_init(&area->taken, 1);
    return area;
}

static void unmake_area(area_t *area)
{
    munmap(area->memory, UNIX_REPORTS_SIZE);
    unix_close(area->fd);
    free(area);
}

void *unix_report_get(void)
{
    for (;;) {
        area_t *const first = atomic_load(&areas);
        void *report = NULL;
        for (area_t *area = first; area && !report; area = area->next)
            if (area->generation == generation)
                report = take_from(area);
        if (report)
            return memset(report, 0, SYS_REPORT_MAX);
        area_t *made = make_area();
        if (!made)
            return NULL;
        area_t *expected = made->next = first;
        if (atomic_compare_exchange_strong(&areas, &expected, made))
            return made->memory;
        /* Another thread was faster: its area has room for all. */
        unmake_area(made);
    }
}

/** Find the area of a report, which becomes its place there. */
static area_t *find_area(const void *report, uint32_t *offset)
{
    for (area_t *area = atomic_load(&areas); area; area = area->next) {
        const uintptr_t distance = (uintptr_t)report - (uintptr_t)area->memory;
        *offset = (uint32_t)distance;
        if (distance < UNIX_REPORTS_SIZE)
            return area;
    }
    return NULL;
}

int unix_report_find(const void *report, uint32_t *offset)
{
    const area_t *area = find_area(report, offset);
    return area ? area->fd : -1;
}

void *unix_report_map(int fd, uint32_t offset)
{
    if (offset > UNIX_REPORTS_SIZE - SYS_REPORT_MAX)
        return NULL;
    unsigned char *memory = mmap(NULL, UNIX_REPORTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory + offset;
}

void unix_report_put(void *report)
{
    uint32_t offset;
    area_t *area = find_area(report, &offset);
    if (area)
        atomic_fetch_and(&area->taken, ~((uint32_t)1 << offset / SYS_REPORT_MAX));
}

void unix_report_forked(void)
{
    generation++;
}
