/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena is a section of the paging file without a name, all of which is mapped, while memory is promised to it part
 * by part: what is committed in one view is so in all. In front of what the core knows of lies a part of the backend's
 * own, see park.c.
 */
#include <stdatomic.h>
#include <string.h>

#include "win32.h"

/* With this it needs no library of its own. */
#define PSAPI_VERSION 2
#include <psapi.h>

/* The system keeps eight bytes for each page from the beginning, used or not. */
#define LARGE ((uint64_t)1 << 30)
#define SMALL ((uint64_t)256 << 20)

enum { MAGIC = 0x74656e61 };

/** The beginning of the section: the system does not say how large it was made. */
typedef struct front_t {
    uint32_t magic;
    uint32_t unused;
    uint64_t size; /* of what lies behind */
    uint64_t reserved[6];
} front_t;

/* Views begin at multiples of this, and so must the core's part. */
enum { GRANULARITY = 65536 };
#define FRONT_SIZE ((sizeof(front_t) + WIN32_LOT_SIZE + GRANULARITY - 1) / GRANULARITY * GRANULARITY)

_Static_assert(sizeof(front_t) == 64 && FRONT_SIZE % GRANULARITY == 0, "the same for all members of the family");

uint64_t sys_arena_default_size(void)
{
    return sizeof(void *) < 8 ? SMALL : LARGE;
}

/* What children are to have. */
static _Atomic sys_handle_t own = SYS_NO_HANDLE;

apr_status_t win32_push_arena(int64_t *there, HANDLE process)
{
    const sys_handle_t handle = atomic_load(&own);
    *there = 0;
    return handle == SYS_NO_HANDLE ? APR_SUCCESS : win32_push(there, process, (HANDLE)handle);
}

sys_handle_t sys_child_arena(const int64_t *slots)
{
    const sys_handle_t handle = slots[WIN32_SLOT_ARENA] ? (sys_handle_t)slots[WIN32_SLOT_ARENA] : SYS_NO_HANDLE;
    if (handle != SYS_NO_HANDLE)
        atomic_store(&own, handle);
    return handle;
}

/** What the system says if there is no memory, as the one status that the seam promises. */
static apr_status_t memory_error(void)
{
    switch (GetLastError()) {
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_PAGEFILE_QUOTA:
        return APR_ENOMEM;
    default:
        return win32_error();
    }
}

/** Map the section: its beginning, NULL after a failure. */
static front_t *map(HANDLE section)
{
    return MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
}

/** From now on this process has it. */
static void take(sys_arena_t *arena, front_t *front, HANDLE section)
{
    arena->base = (unsigned char *)front + FRONT_SIZE;
    arena->size = front->size;
    arena->handle = (sys_handle_t)section;
    win32_lot_open(front + 1, arena);
}

apr_status_t sys_arena_create(sys_arena_t *arena, uint64_t size)
{
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
    const uint64_t whole = size + FRONT_SIZE;
    if (whole < size || whole > SIZE_MAX / 2)
        return APR_ENOMEM;
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, (DWORD)(whole >> 32),
                                        (DWORD)(whole & 0xffffffffu), NULL);
    if (!section)
        return memory_error();
    front_t *front = map(section);
    if (!front || !VirtualAlloc(front, FRONT_SIZE, MEM_COMMIT, PAGE_READWRITE)) {
        const apr_status_t status = memory_error();
        if (front)
            UnmapViewOfFile(front);
        win32_close(section);
        return status;
    }
    front->size = size;
    front->magic = MAGIC;
    take(arena, front, section);
    atomic_store(&own, arena->handle);
    return APR_SUCCESS;
}

/** Whether a view is of an arena, and of all of it: so nothing behind its end is ever touched. */
static int is_arena(const front_t *front)
{
    MEMORY_BASIC_INFORMATION part;
    if (VirtualQuery(front, &part, sizeof part) == 0 || part.State != MEM_COMMIT || front->magic != MAGIC ||
        front->size == 0 || front->size > SIZE_MAX / 2 - FRONT_SIZE)
        return 0;
    return VirtualQuery((const unsigned char *)front + FRONT_SIZE + front->size - 1, &part, sizeof part) != 0 &&
           part.AllocationBase == front;
}

apr_status_t sys_arena_map(sys_arena_t *arena, sys_handle_t handle)
{
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
    front_t *front = map((HANDLE)handle);
    if (!front)
        return memory_error();
    if (!is_arena(front)) {
        UnmapViewOfFile(front);
        return APR_EINVAL;
    }
    take(arena, front, (HANDLE)handle);
    return APR_SUCCESS;
}

/** Whether a handle is of an arena that begins with some bytes; it may be of anything. */
static int begins_with(HANDLE handle, const void *beginning, size_t size)
{
    MEMORY_BASIC_INFORMATION part;
    wchar_t path[2];
    const front_t *front = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, FRONT_SIZE + size);
    if (!front)
        return 0;
    /* What is of a file, and thus has a name, is not read: where the file cannot be, that would be a crash. */
    SetLastError(ERROR_SUCCESS);
    const int is_file = GetMappedFileNameW(GetCurrentProcess(), (void *)(uintptr_t)front, path, 2) > 0 ||
                        GetLastError() == ERROR_INSUFFICIENT_BUFFER;
    const int is_it =
        !is_file && VirtualQuery(front, &part, sizeof part) != 0 && part.State == MEM_COMMIT && front->magic == MAGIC &&
        VirtualQuery((const unsigned char *)front + FRONT_SIZE, &part, sizeof part) != 0 && part.State == MEM_COMMIT &&
        memcmp((const unsigned char *)front + FRONT_SIZE, beginning, size) == 0;
    UnmapViewOfFile(front);
    return is_it;
}

apr_status_t sys_arena_find(sys_handle_t *handle, int pid, const void *beginning, size_t size)
{
    /* Handles are multiples of the step, from low numbers on. The arena's is among the first that a process has. */
    enum { STEP = 4, LAST = 1 << 16 };
    *handle = SYS_NO_HANDLE;
    HANDLE process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, (DWORD)pid);
    if (!process)
        return GetLastError() == ERROR_INVALID_PARAMETER ? APR_ENOENT : win32_error();
    for (intptr_t theirs = STEP; theirs <= LAST && *handle == SYS_NO_HANDLE; theirs += STEP) {
        HANDLE copy;
        if (!DuplicateHandle(process, (HANDLE)theirs, GetCurrentProcess(), &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
            continue;
        if (begins_with(copy, beginning, size))
            *handle = (sys_handle_t)copy;
        else
            win32_close(copy);
    }
    win32_close(process);
    return *handle == SYS_NO_HANDLE ? APR_ENOENT : APR_SUCCESS;
}

apr_status_t sys_arena_commit(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    if (VirtualAlloc(arena->base + offset, (SIZE_T)size, MEM_COMMIT, PAGE_READWRITE))
        return APR_SUCCESS;
    return memory_error();
}

void sys_arena_clear(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    /* The system does not tell which pages of a section nobody has written to yet. */
    memset(arena->base + offset, 0, (size_t)size);
}

void sys_arena_release(const sys_arena_t *arena, uint64_t offset, uint64_t size)
{
    /*
     * What a section was promised it keeps. But the system may take the pages for others without writing them to the
     * paging file, until somebody writes to them again.
     */
    VirtualAlloc(arena->base + offset, (SIZE_T)size, MEM_RESET, PAGE_READWRITE);
}

void sys_arena_close(sys_arena_t *arena)
{
    if (arena->base) {
        win32_lot_close(arena);
        UnmapViewOfFile(arena->base - FRONT_SIZE);
    }
    if (arena->handle == atomic_load(&own))
        atomic_store(&own, SYS_NO_HANDLE);
    sys_handle_close(arena->handle);
    *arena = (sys_arena_t){.handle = SYS_NO_HANDLE};
}

apr_status_t sys_pid_space(uint64_t *space)
{
    *space = 0;
    return APR_SUCCESS;
}
