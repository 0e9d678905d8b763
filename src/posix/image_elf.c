/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux and the BSDs: the list of loaded modules, which is there in static programs too. A module's identity is its
 * build id; where the linker made none, a hash of its code together with what the file system says of its file.
 */
#include <sys/types.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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

/** Hash the segments that have some flags and lack others. Returns whether there were any. */
static int hash_segments(uint64_t *state, const struct dl_phdr_info *info, unsigned with, unsigned without)
{
    int found = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const unsigned flags = info->dlpi_phdr[i].p_flags;
        if (info->dlpi_phdr[i].p_type != PT_LOAD || (flags & with) != with || (flags & without))
            continue;
        *state = unix_image_hash(*state, (const void *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                                 info->dlpi_phdr[i].p_memsz);
        found = 1;
    }
    return found;
}

static void identify(sys_place_t *place, const struct dl_phdr_info *info, int is_program)
{
    place->is_program = is_program != 0;
    place->path = NULL;
    if (!is_program)
        unix_image_set_path(place, info->dlpi_name);
    place->id_size = read_build_id(place->id, info);
    if (place->id_size > 0)
        return;
    uint64_t code = UNIX_HASH_START;
    /* OpenBSD's code may be executed but not read: then the constants stand for it. */
    if (!hash_segments(&code, info, PF_R | PF_X, 0))
        hash_segments(&code, info, PF_R, PF_W);
    unix_image_make_id(place, code);
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

/* ---- The program ------------------------------------------------------------------------------------------------- */

/*
 * Most targets lie in the program, which is never unloaded. So it is described once, and its forked children find it
 * without going through the list of modules, which is pages of code and headers that each would have to map.
 */
static struct {
    _Atomic int stage;
    uintptr_t base;
    uintptr_t code, code_size; /* its first segment of code */
    sys_place_t identity;
} program;

enum { PROGRAM_UNKNOWN, PROGRAM_CLAIMED, PROGRAM_KNOWN };

static int remember_first(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    program.base = (uintptr_t)info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum && !program.code_size; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
            continue;
        program.code = program.base + (uintptr_t)info->dlpi_phdr[i].p_vaddr;
        program.code_size = (uintptr_t)info->dlpi_phdr[i].p_memsz;
    }
    identify(&program.identity, info, 1);
    return 1;
}

void unix_image_remember(void)
{
    int unknown = PROGRAM_UNKNOWN;
    if (!atomic_compare_exchange_strong(&program.stage, &unknown, PROGRAM_CLAIMED))
        return;
    unix_image_lock();
    dl_iterate_phdr(remember_first, NULL);
    unix_image_unlock();
    atomic_store(&program.stage, PROGRAM_KNOWN);
}

static int is_program_code(uintptr_t address)
{
    return address - program.code < program.code_size;
}

/** Find a place in the program without the list of modules: whether it was there. */
static int find_in_program(uintptr_t *address, const sys_place_t *place)
{
    if (!place->is_program || atomic_load(&program.stage) != PROGRAM_KNOWN)
        return 0;
    *address = program.base + (uintptr_t)place->offset;
    return is_program_code(*address) && unix_image_compare(&program.identity, place) == APR_SUCCESS;
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

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
    place->path = NULL;
    unix_image_remember();
    if (atomic_load(&program.stage) == PROGRAM_KNOWN && is_program_code(address)) {
        *place = program.identity;
        place->offset = address - program.base;
        return APR_SUCCESS;
    }
    unix_image_lock();
    dl_iterate_phdr(locate_in, &search);
    unix_image_unlock();
    return search.status == APR_SUCCESS && !place->is_program && !place->path ? APR_ENOMEM : search.status;
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
    const apr_status_t status = unix_image_compare(&here, place);
    free(here.path);
    if (status == MPROC_EBUILD)
        search->status = status;
    if (status != APR_SUCCESS)
        return (int)here.is_program;
    search->address = (uintptr_t)info->dlpi_addr + (uintptr_t)place->offset;
    search->status = holds_code(info, search->address) ? APR_SUCCESS : MPROC_EBUILD;
    return 1;
}

apr_status_t sys_image_find(uintptr_t *address, const sys_place_t *place)
{
    search_t search = {.place = place, .status = APR_ENOENT};
    if (find_in_program(address, place))
        return APR_SUCCESS;
    *address = 0;
    unix_image_lock();
    dl_iterate_phdr(find_in, &search);
    unix_image_unlock();
    if (search.status == APR_SUCCESS)
        *address = search.address;
    return search.status;
}
