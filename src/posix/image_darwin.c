/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macOS: the loader's list of modules. A module's identity is the UUID that the linker gave it, or where it gave none,
 * a hash of its code together with what the file system says of its file.
 */
#include <mach-o/dyld.h>
#include <mach-o/loader.h>
#include <stdlib.h>
#include <string.h>

#include <mproc/status.h>

#include "unix.h"

/** A loaded module. */
typedef struct module_t {
    const struct mach_header_64 *header;
    uintptr_t slide; /* from where the linker put it to where it lies */
    const char *name;
} module_t;

/** Get a module by its number; 0 if there is none: another thread may be unloading some. */
static int get_module(module_t *module, uint32_t index)
{
    module->header = (const struct mach_header_64 *)(const void *)_dyld_get_image_header(index);
    module->slide = (uintptr_t)_dyld_get_image_vmaddr_slide(index);
    module->name = _dyld_get_image_name(index);
    return module->header && module->name && module->header->magic == MH_MAGIC_64;
}

static int is_program(const module_t *module)
{
    return module->header->filetype == MH_EXECUTE;
}

/** Get the load command after another, or the first; NULL at the end. */
static const struct load_command *next_command(const module_t *module, const struct load_command *command)
{
    const char *first = (const char *)(module->header + 1);
    const char *next = command ? (const char *)command + command->cmdsize : first;
    const char *end = first + module->header->sizeofcmds;
    return next + sizeof *command <= end ? (const struct load_command *)(const void *)next : NULL;
}

/** Get the next segment of code; NULL at the end. */
static const struct segment_command_64 *next_code(const module_t *module, const struct segment_command_64 *segment)
{
    const struct load_command *command = (const struct load_command *)(const void *)segment;
    while ((command = next_command(module, command)) != NULL) {
        segment = (const struct segment_command_64 *)(const void *)command;
        if (command->cmd == LC_SEGMENT_64 && (segment->initprot & VM_PROT_EXECUTE))
            return segment;
    }
    return NULL;
}

/** Whether an address is in a module's code. */
static int holds_code(const module_t *module, uintptr_t address)
{
    for (const struct segment_command_64 *code = NULL; (code = next_code(module, code)) != NULL;) {
        const uintptr_t start = (uintptr_t)code->vmaddr + module->slide;
        if (address >= start && address - start < code->vmsize)
            return 1;
    }
    return 0;
}

static void identify(sys_place_t *place, const module_t *module)
{
    place->is_program = (uint32_t)is_program(module);
    place->path = NULL;
    if (!place->is_program)
        unix_image_set_path(place, module->name);
    for (const struct load_command *command = NULL; (command = next_command(module, command)) != NULL;) {
        if (command->cmd != LC_UUID)
            continue;
        const struct uuid_command *uuid = (const struct uuid_command *)(const void *)command;
        memcpy(place->id, uuid->uuid, sizeof uuid->uuid);
        place->id_size = sizeof uuid->uuid;
        return;
    }
    uint64_t code_hash = UNIX_HASH_START;
    for (const struct segment_command_64 *code = NULL; (code = next_code(module, code)) != NULL;)
        code_hash =
            unix_image_hash(code_hash, (const void *)((uintptr_t)code->vmaddr + module->slide), (size_t)code->vmsize);
    unix_image_make_id(place, code_hash);
}

void unix_image_remember(void)
{
}

apr_status_t sys_image_locate(sys_place_t *place, uintptr_t address)
{
    module_t module;
    place->path = NULL;
    for (uint32_t i = 0; i < _dyld_image_count(); i++) {
        if (!get_module(&module, i) || !holds_code(&module, address))
            continue;
        identify(place, &module);
        place->offset = address - (uintptr_t)module.header;
        return place->is_program || place->path ? APR_SUCCESS : APR_ENOMEM;
    }
    return APR_ENOENT;
}

apr_status_t sys_image_find(uintptr_t *address, const sys_place_t *place)
{
    module_t module;
    sys_place_t here;
    apr_status_t result = APR_ENOENT;
    *address = 0;
    for (uint32_t i = 0; i < _dyld_image_count(); i++) {
        if (!get_module(&module, i) || is_program(&module) != (int)place->is_program)
            continue;
        identify(&here, &module);
        const apr_status_t status = unix_image_compare(&here, place);
        free(here.path);
        if (status == APR_ENOENT)
            continue;
        result = status;
        if (status != APR_SUCCESS)
            continue;
        const uintptr_t found = (uintptr_t)module.header + (uintptr_t)place->offset;
        if (!holds_code(&module, found))
            return MPROC_EBUILD;
        *address = found;
        break;
    }
    return result;
}
