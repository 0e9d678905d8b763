/* SPDX-License-Identifier: Apache-2.0 */
/* What does not depend on how a system lays out its modules. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <mproc/status.h>

#include "unix.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void unix_image_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void unix_image_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

uint64_t unix_image_hash(uint64_t state, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        state = (state ^ word) * 0x100000001b3u;
        state ^= state >> 29;
    }
    for (size_t i = size & ~(size_t)7; i < size; i++)
        state = (state ^ bytes[i]) * 0x100000001b3u;
    return state;
}

void unix_image_make_id(sys_place_t *place, uint64_t code)
{
    uint64_t parts[2] = {code, UNIX_HASH_START};
    struct stat file;
    if (place->path && stat(place->path, &file) == 0) {
        const uint64_t facts[] = {(uint64_t)file.st_dev, (uint64_t)file.st_ino, (uint64_t)file.st_size,
                                  (uint64_t)file.st_mtime};
        parts[1] = unix_image_hash(parts[1], facts, sizeof facts);
    }
    memcpy(place->id, parts, sizeof parts);
    place->id_size = sizeof parts;
}

void unix_image_set_path(sys_place_t *place, const char *name)
{
    place->path = realpath(name, NULL);
    if (!place->path)
        place->path = strdup(name);
}

apr_status_t unix_image_compare(const sys_place_t *here, const sys_place_t *place)
{
    if (here->is_program != place->is_program)
        return APR_ENOENT;
    if (here->id_size == place->id_size && memcmp(here->id, place->id, here->id_size) == 0)
        return APR_SUCCESS;
    const int is_same_file = here->path && place->path && strcmp(here->path, place->path) == 0;
    return here->is_program || is_same_file ? MPROC_EBUILD : APR_ENOENT;
}
