/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <mproc/family.h>
#include <mproc/version.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "arena.h"
#include "error.h"
#include "initialize.h"

/* What the program says; 0: nothing. */
static _Atomic uint64_t wanted;

static uint64_t round_up(uint64_t size)
{
    return (size + ARENA_SPAN - 1) / ARENA_SPAN * ARENA_SPAN;
}

/** The least that holds the tables, and something beside. */
static uint64_t least(void)
{
    return round_up(sizeof(arena_header_t)) + ARENA_SPOTS_MAX * 64 + 16 * ARENA_SPAN;
}

uint64_t family_arena_size(void)
{
    char text[32];
    char *end;
    if (atomic_load(&wanted))
        return atomic_load(&wanted);
    if (sys_environment_get(text, sizeof text, "MPROC_ARENA_SIZE") == APR_SUCCESS) {
        const unsigned long long size = strtoull(text, &end, 10);
        if (*end == '\0' && size >= least() && size <= SIZE_MAX / 2)
            return round_up(size);
    }
    return sys_arena_default_size();
}

uint64_t family_build(void)
{
    return (uint64_t)MPROC_VERSION_NUMBER << 32 | (uint64_t)sizeof(void *) << 8 | ARENA_LAYOUT;
}

apr_status_t mproc_family_join(int pid)
{
    static const char call[] = "mproc_family_join";
    const apr_status_t status = library_check_initialized(call);
    return status == APR_SUCCESS ? arena_join(pid, call) : status;
}

apr_status_t mproc_set_arena_size(uint64_t size)
{
    static const char call[] = "mproc_set_arena_size";
    if (arena_is_there())
        return mproc_fail(MPROC_ESTATE, "%s: the family has its memory already", call);
    if (size > 0 && (size < least() || size > SIZE_MAX / 2))
        return mproc_fail(APR_EINVAL, "%s: %llu bytes, where %llu to %llu are possible", call, (unsigned long long)size,
                          (unsigned long long)least(), (unsigned long long)(SIZE_MAX / 2));
    atomic_store(&wanted, size ? round_up(size) : 0);
    return APR_SUCCESS;
}
