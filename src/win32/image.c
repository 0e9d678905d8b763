/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: modules are images of the PE format. A module's identity is what the linker noted in its headers, together
 * with the GUID of its debug database, which is made anew with each build; where the linker made none, a hash of its
 * code.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <mproc/status.h>

#include "win32.h"

/** A module's identity: the notes of the linker first, then, if `size` says so, the GUID or the hash. */
typedef struct identity_t {
    uint32_t notes[4];
    unsigned char code[16];
    uint32_t size;
} identity_t;

enum { NOTES_SIZE = 16, HASHED_SIZE = NOTES_SIZE + 8, GUID_SIZE = NOTES_SIZE + 16 };

_Static_assert((int)GUID_SIZE <= (int)SYS_IMAGE_ID_MAX, "an identity fits into a place");

/* ---- Reading images ---------------------------------------------------------------------------------------------- */

static const unsigned char *base_of(HMODULE module)
{
    return (const unsigned char *)module;
}

/** Get a module's headers; NULL if it is no image. */
static const IMAGE_NT_HEADERS *headers_of(HMODULE module)
{
    const IMAGE_DOS_HEADER *start = (const void *)base_of(module);
    if (start->e_magic != IMAGE_DOS_SIGNATURE)
        return NULL;
    const IMAGE_NT_HEADERS *headers = (const void *)(base_of(module) + start->e_lfanew);
    return headers->Signature == IMAGE_NT_SIGNATURE ? headers : NULL;
}

/** Get one of the tables that the headers point to, and its size; 0 if it is not there. */
static uint32_t find_table(uint32_t *size, const IMAGE_NT_HEADERS *headers, unsigned index)
{
    *size = 0;
    if (index >= headers->OptionalHeader.NumberOfRvaAndSizes)
        return 0;
    const IMAGE_DATA_DIRECTORY *table = &headers->OptionalHeader.DataDirectory[index];
    if (table->VirtualAddress >= headers->OptionalHeader.SizeOfImage ||
        table->Size > headers->OptionalHeader.SizeOfImage - table->VirtualAddress)
        return 0;
    *size = table->Size;
    return table->VirtualAddress;
}

/** Whether a section holds code that the program does not change. */
static int is_code(const IMAGE_SECTION_HEADER *section)
{
    return (section->Characteristics & IMAGE_SCN_MEM_EXECUTE) && !(section->Characteristics & IMAGE_SCN_MEM_WRITE);
}

/** Whether an offset from the module's base is in its code. */
static int holds_code(HMODULE module, uint64_t offset)
{
    const IMAGE_NT_HEADERS *headers = headers_of(module);
    const IMAGE_SECTION_HEADER *section = headers ? IMAGE_FIRST_SECTION(headers) : NULL;
    for (unsigned i = 0; headers && i < headers->FileHeader.NumberOfSections; i++, section++)
        if ((section->Characteristics & IMAGE_SCN_MEM_EXECUTE) && offset >= section->VirtualAddress &&
            offset - section->VirtualAddress < section->Misc.VirtualSize)
            return 1;
    return 0;
}

/* ---- Identity ---------------------------------------------------------------------------------------------------- */

/** FNV-1a over words: short, and good enough to tell builds apart. */
static uint64_t hash(uint64_t state, const unsigned char *bytes, size_t size)
{
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        state = (state ^ word) * 0x100000001b3u;
        state ^= state >> 29;
    }
    for (; i < size; i++)
        state = (state ^ bytes[i]) * 0x100000001b3u;
    return state;
}

/** Hash a section but for the addresses in it, which depend on where the module was loaded. */
static uint64_t hash_section(uint64_t state, HMODULE module, const IMAGE_SECTION_HEADER *section)
{
    uint32_t size;
    const unsigned char *base = base_of(module);
    uint32_t at = section->VirtualAddress;
    const uint32_t end = at + section->Misc.VirtualSize;
    uint32_t table = find_table(&size, headers_of(module), IMAGE_DIRECTORY_ENTRY_BASERELOC);
    const uint32_t table_end = table + size;
    while (table && table_end - table >= sizeof(IMAGE_BASE_RELOCATION)) {
        const IMAGE_BASE_RELOCATION *page = (const void *)(base + table);
        if (page->SizeOfBlock < sizeof *page || page->SizeOfBlock > table_end - table)
            break;
        const WORD *entries = (const void *)(page + 1);
        for (size_t i = 0; i < (page->SizeOfBlock - sizeof *page) / sizeof *entries; i++) {
            const uint32_t address = page->VirtualAddress + (entries[i] & 0xfff);
            const int type = entries[i] >> 12;
            if (type == IMAGE_REL_BASED_ABSOLUTE || address < at || address >= end)
                continue; /* a filler, or not here */
            state = hash(state, base + at, address - at);
            at = address + (type == IMAGE_REL_BASED_DIR64 ? 8 : 4);
        }
        table += page->SizeOfBlock;
    }
    return at < end ? hash(state, base + at, end - at) : state;
}

static void hash_code(identity_t *identity, HMODULE module)
{
    const IMAGE_NT_HEADERS *headers = headers_of(module);
    const IMAGE_SECTION_HEADER *section = IMAGE_FIRST_SECTION(headers);
    uint64_t state = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < headers->FileHeader.NumberOfSections; i++, section++)
        if (is_code(section))
            state = hash_section(state, module, section);
    memcpy(identity->code, &state, sizeof state);
    identity->size = HASHED_SIZE;
}

/** Find the GUID and the age of the debug database among the debug entries. */
static void read_guid(identity_t *identity, HMODULE module)
{
    uint32_t size;
    const IMAGE_NT_HEADERS *headers = headers_of(module);
    const uint32_t table = find_table(&size, headers, IMAGE_DIRECTORY_ENTRY_DEBUG);
    const IMAGE_DEBUG_DIRECTORY *entry = (const void *)(base_of(module) + table);
    for (; table && size >= sizeof *entry; size -= (uint32_t)sizeof *entry, entry++) {
        if (entry->Type != IMAGE_DEBUG_TYPE_CODEVIEW || entry->SizeOfData < 24 || entry->AddressOfRawData == 0 ||
            entry->AddressOfRawData > headers->OptionalHeader.SizeOfImage - 24)
            continue;
        const unsigned char *data = base_of(module) + entry->AddressOfRawData;
        if (memcmp(data, "RSDS", 4) != 0)
            continue;
        memcpy(identity->code, data + 4, sizeof identity->code);
        memcpy(&identity->notes[3], data + 20, sizeof identity->notes[3]);
        identity->size = GUID_SIZE;
    }
}

static void identify(identity_t *identity, HMODULE module)
{
    const IMAGE_NT_HEADERS *headers = headers_of(module);
    memset(identity, 0, sizeof *identity);
    identity->notes[0] = headers->FileHeader.TimeDateStamp;
    identity->notes[1] = headers->OptionalHeader.SizeOfImage;
    identity->notes[2] = headers->OptionalHeader.CheckSum;
    identity->size = NOTES_SIZE;
    read_guid(identity, module);
    /* A debugger writes its breakpoints into the code: then the linker's notes have to do. */
    if (identity->size == NOTES_SIZE && !IsDebuggerPresent())
        hash_code(identity, module);
}

static identity_t program; /* of this program, as remember_program() found it */

static BOOL CALLBACK remember_program(INIT_ONCE *once, void *data, void **context)
{
    (void)once;
    (void)data;
    (void)context;
    identify(&program, GetModuleHandleW(NULL));
    return TRUE;
}

/** Get a module's identity. The program's is found once: all children are compared with it. */
static void get_identity(identity_t *identity, HMODULE module)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    if (module != GetModuleHandleW(NULL)) {
        identify(identity, module);
        return;
    }
    InitOnceExecuteOnce(&once, remember_program, NULL, NULL);
    *identity = program;
}

static int is_same_build(const identity_t *identity, const sys_place_t *place)
{
    /* Where one side had a debugger, both have the notes. */
    const int notes_only = identity->size == NOTES_SIZE || place->id_size == NOTES_SIZE;
    if (!notes_only && (identity->size != place->id_size ||
                        memcmp(identity->code, place->id + NOTES_SIZE, identity->size - NOTES_SIZE) != 0))
        return 0;
    return memcmp(identity->notes, place->id, NOTES_SIZE) == 0;
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

apr_status_t win32_module_path(wchar_t **path, HMODULE module)
{
    enum { FIRST = 260, LAST = 65536 };
    *path = NULL;
    for (DWORD size = FIRST; size <= LAST; size *= 2) {
        wchar_t *larger = realloc(*path, size * sizeof *larger);
        if (!larger) {
            free(*path);
            *path = NULL;
            return APR_ENOMEM;
        }
        *path = larger;
        const DWORD length = GetModuleFileNameW(module, larger, size);
        if (length > 0 && length < size)
            return APR_SUCCESS;
        if (length == 0)
            break;
    }
    const apr_status_t status = win32_error();
    free(*path);
    *path = NULL;
    return status;
}

apr_status_t sys_image_locate(sys_place_t *place, uintptr_t address)
{
    HMODULE module;
    identity_t identity;
    memset(place, 0, sizeof *place);
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const wchar_t *)address, &module))
        return APR_ENOENT;
    place->offset = address - (uintptr_t)base_of(module);
    if (!holds_code(module, place->offset))
        return APR_ENOENT;
    get_identity(&identity, module);
    memcpy(place->id, identity.notes, NOTES_SIZE);
    memcpy(place->id + NOTES_SIZE, identity.code, sizeof identity.code);
    place->id_size = identity.size;
    place->is_program = module == GetModuleHandleW(NULL);
    if (place->is_program)
        return APR_SUCCESS;
    wchar_t *path;
    apr_status_t status = win32_module_path(&path, module);
    if (status == APR_SUCCESS)
        place->path = malloc(SYS_PATH_MAX);
    if (status == APR_SUCCESS)
        status = place->path ? win32_to_utf8(place->path, SYS_PATH_MAX, path) : APR_ENOMEM;
    if (status != APR_SUCCESS) {
        free(place->path);
        place->path = NULL;
    }
    free(path);
    return status;
}

/** Find a loaded module: by its path, or, if this process found it elsewhere, by its name. */
static HMODULE find_module(const char *path, int *by_path)
{
    wchar_t *wide;
    *by_path = 1;
    if (win32_to_utf16(&wide, path) != APR_SUCCESS)
        return NULL;
    HMODULE module = GetModuleHandleW(wide);
    const wchar_t *name = wcsrchr(wide, L'\\');
    if (!module && name) {
        *by_path = 0;
        module = GetModuleHandleW(name + 1);
    }
    free(wide);
    return module;
}

apr_status_t sys_image_find(uintptr_t *address, const sys_place_t *place)
{
    int is_certain = 1;
    identity_t identity;
    *address = 0;
    HMODULE module = place->is_program ? GetModuleHandleW(NULL) : find_module(place->path, &is_certain);
    if (!module || !headers_of(module))
        return APR_ENOENT;
    get_identity(&identity, module);
    if (!is_same_build(&identity, place))
        return is_certain ? MPROC_EBUILD : APR_ENOENT;
    if (!holds_code(module, place->offset))
        return MPROC_EBUILD;
    *address = (uintptr_t)base_of(module) + (uintptr_t)place->offset;
    return APR_SUCCESS;
}
