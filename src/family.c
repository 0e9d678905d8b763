/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <mproc/version.h>

#include <stdlib.h>

#include "arena.h"

uint64_t family_arena_size(void)
{
    char text[32];
    char *end;
    if (sys_environment_get(text, sizeof text, "MPROC_ARENA_SIZE") == APR_SUCCESS) {
        const unsigned long long size = strtoull(text, &end, 10);
        if (size > 0 && *end == '\0')
            return (size + ARENA_SPAN - 1) / ARENA_SPAN * ARENA_SPAN;
    }
    return sys_arena_default_size();
}

uint64_t family_build(void)
{
    return (uint64_t)MPROC_VERSION_NUMBER << 32 | (uint64_t)sizeof(void *) << 8 | ARENA_LAYOUT;
}
