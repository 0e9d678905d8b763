/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux and the BSDs: the list of loaded modules, which is there in static programs too. A module's identity is its build id; where
 * the linker made none, a hash of its code together with what the file system says of its file.
 */
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <mproc/status.h>

#include "unix.h"

/** What is looked for among the modules, and what was found. */
typedef struct search_t {
    int index;         /* of the module that is visited: the program is the first */
    uintptr_t address; /* locate: look for the module with this code */
    sys_place_t *found;
    const sys_place_t *place; /* find: look for this module */
    apr_status_t status;
} search_t;

/** FNV-1a over words: short, and good enough to tell builds apart. */
static uint64_t hash(uint64_t state, const void *data, size_t size)
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

/** Find the linker's build id among the notes. */
static uint32_t read_build_id(unsigned char *id, const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_NOTE)
            continue;
        const unsigned char *note = (const unsigned char *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        const unsigned char *end = note + info->dlpi_phdr[i].p_memsz;
        while (note + 12 <= end) {
            uint32_t sizes[3]; /* of the name, of the contents; the type */
            memcpy(sizes, note, sizeof sizes);
            const unsigned char *contents = note + 12 + ((sizes[0] + 3) & ~3u);
            if (contents + sizes[1] > end)
                break;
            if (sizes[2] == 3 && sizes[0] == 4 && memcmp(note + 12, "GNU", 4) == 0 && sizes[1] <= SYS_IMAGE_ID_MAX) {
                memcpy(id, contents, sizes[1]);
                return sizes[1];
            }
            note = contents + ((sizes[1] + 3) & ~3u);
        }
    }
    return 0;
}

static uint32_t hash_module(unsigned char *id, const struct dl_phdr_info *info, const char *path)
{
    uint64_t parts[2] = {0xcbf29ce484222325u, 0xcbf29ce484222325u};
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X))
            parts[0] = hash(parts[0], (const void *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                            info->dlpi_phdr[i].p_memsz);
    struct stat file;
    if (path[0] && stat(path, &file) == 0) {
        const uint64_t facts[] = {(uint64_t)file.st_dev, (uint64_t)file.st_ino, (uint64_t)file.st_size,
                                  (uint64_t)file.st_mtime};
        parts[1] = hash(parts[1], facts, sizeof facts);
    }
    memcpy(id, parts, sizeof parts);
    return sizeof parts;
}

static void identify(sys_place_t *place, const struct dl_phdr_info *info, int is_program)
{
    place->is_program = is_program != 0;
    place->path[0] = '\0';
    if (!is_program) {
        char resolved[PATH_MAX];
        const char *path = realpath(info->dlpi_name, resolved);
        snprintf(place->path, sizeof place->path, "%s", path ? path : info->dlpi_name);
    }
    place->id_size = read_build_id(place->id, info);
    if (place->id_size == 0)
        place->id_size = hash_module(place->id, info, place->path);
}

/** Whether an address is in a module's code. */
static int holds_code(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t start = (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) && address >= start &&
            address - start < info->dlpi_phdr[i].p_memsz)
            return 1;
    }
    return 0;
}

static int locate_in(struct dl_phdr_info *info, size_t size, void *data)
{
    search_t *search = data;
    const int is_program = search->index++ == 0;
    (void)size;
    if (!holds_code(info, search->address))
        return 0;
    identify(search->found, info, is_program);
    search->found->offset = search->address - (uintptr_t)info->dlpi_addr;
    search->status = APR_SUCCESS;
    return 1;
}

apr_status_t sys_image_locate(sys_place_t *place, uintptr_t address)
{
    search_t search = {.address = address, .found = place, .status = APR_ENOENT};
    dl_iterate_phdr(locate_in, &search);
    return search.status;
}

static int find_in(struct dl_phdr_info *info, size_t size, void *data)
{
    search_t *search = data;
    const sys_place_t *place = search->place;
    sys_place_t here;
    (void)size;
    here.is_program = search->index++ == 0;
    if (here.is_program != place->is_program)
        return 0;
    identify(&here, info, (int)here.is_program);
    const int same_build = here.id_size == place->id_size && memcmp(here.id, place->id, here.id_size) == 0;
    if (!same_build) {
        if (here.is_program || strcmp(here.path, place->path) == 0)
            search->status = MPROC_EBUILD;
        return (int)here.is_program;
    }
    search->address = (uintptr_t)info->dlpi_addr + (uintptr_t)place->offset;
    search->status = holds_code(info, search->address) ? APR_SUCCESS : MPROC_EBUILD;
    return 1;
}

apr_status_t sys_image_find(uintptr_t *address, const sys_place_t *place)
{
    search_t search = {.place = place, .status = APR_ENOENT};
    *address = 0;
    dl_iterate_phdr(find_in, &search);
    if (search.status == APR_SUCCESS)
        *address = search.address;
    return search.status;
}
