/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of forked children: small pieces of memory that a child shares with whoever forks it. A mapping for each
 * would cost more than all else that a start does, so several lie in one page, which stays mapped.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "unix.h"

enum { PAGE = 4096, SLOTS = PAGE / SYS_REPORT_MAX, ALL_TAKEN = (1 << SLOTS) - 1 };

/** A page of reports. What is said of it is not in it: there, children could write to it. */
typedef struct page_t {
    struct page_t *next;
    unsigned char *memory;
    _Atomic unsigned taken; /* a bit for each slot */
    unsigned generation;    /* the process that uses it */
} page_t;

/*
 * There is no lock: one that another thread holds during a fork would stay locked in the child. Pages stay for good; a
 * forked child leaves those of its creator alone, as the creator goes on using them.
 */
static _Atomic(page_t *) pages;
static unsigned generation;

static void *slot_of(const page_t *page, unsigned slot)
{
    return page->memory + (size_t)slot * SYS_REPORT_MAX;
}

static void *take_from(page_t *page)
{
    unsigned taken = atomic_load(&page->taken);
    while (taken != ALL_TAKEN) {
        unsigned slot = 0;
        while (taken & 1u << slot)
            slot++;
        if (atomic_compare_exchange_weak(&page->taken, &taken, taken | 1u << slot))
            return slot_of(page, slot);
    }
    return NULL;
}

void *unix_report_get(void)
{
    void *report = NULL;
    for (page_t *page = atomic_load(&pages); page && !report; page = page->next)
        if (page->generation == generation)
            report = take_from(page);
    if (report)
        return memset(report, 0, SYS_REPORT_MAX);
    page_t *made = malloc(sizeof *made);
    void *memory = made ? mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) {
        free(made);
        errno = ENOMEM;
        return NULL;
    }
    made->memory = memory;
    made->generation = generation;
    atomic_init(&made->taken, 1);
    made->next = atomic_load(&pages);
    while (!atomic_compare_exchange_weak(&pages, &made->next, made)) {}
    return memory;
}

void unix_report_put(void *report)
{
    const uintptr_t address = (uintptr_t)report;
    for (page_t *page = atomic_load(&pages); page; page = page->next) {
        const uintptr_t offset = address - (uintptr_t)page->memory;
        if (offset < PAGE)
            atomic_fetch_and(&page->taken, ~(1u << offset / SYS_REPORT_MAX));
    }
}

void unix_report_forked(void)
{
    generation++;
}
