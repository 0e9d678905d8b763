/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block is a section of the paging file: it has no name, and is gone with its last handle and view. Its memory is
 * promised by the system when it is made, so filling it cannot fail.
 */
#include "win32.h"

/* Views begin at multiples of this; to map the rest anew pays only if it frees more. */
enum { GRANULARITY = 65536 };

static apr_status_t map(sys_block_t *block, HANDLE section, size_t size)
{
    void *data = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, size);
    if (!data)
        return win32_error();
    block->data = data;
    block->size = size;
    return APR_SUCCESS;
}

apr_status_t sys_block_create(sys_block_t *block, size_t size, sys_block_kind_t kind)
{
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)((uint64_t)size >> 32),
                                        (DWORD)(size & 0xffffffffu), NULL);
    if (!section)
        return win32_error();
    const apr_status_t status = map(block, section, size);
    if (status == APR_SUCCESS && kind == SYS_BLOCK_PASSED)
        block->handle = (sys_handle_t)section;
    else
        win32_close(section);
    return status;
}

apr_status_t win32_block_pull(sys_block_t *block, DWORD creator, uint64_t handle)
{
    HANDLE section = NULL;
    MEMORY_BASIC_INFORMATION view;
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
    HANDLE process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, creator);
    if (!process)
        return win32_error();
    apr_status_t status = APR_SUCCESS;
    if (!DuplicateHandle(process, (HANDLE)(uintptr_t)handle, GetCurrentProcess(), &section, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        status = win32_error();
    /* This refuses whatever is no section; a section whose memory is not all there is none of ours either. */
    if (status == APR_SUCCESS)
        status = map(block, section, 0);
    if (status == APR_SUCCESS && (VirtualQuery(block->data, &view, sizeof view) == 0 || view.State != MEM_COMMIT))
        status = APR_EINVAL;
    if (status == APR_SUCCESS)
        block->size = view.RegionSize;
    else
        sys_block_close(block);
    win32_close(section);
    win32_close(process);
    return status;
}

void sys_block_trim(sys_block_t *block, size_t keep)
{
    /* A view cannot be cut, only made anew. Where that fails it stays as it is. */
    sys_block_t rest = {NULL, 0, SYS_NO_HANDLE, NULL, 0};
    if (block->size > keep && block->size - keep >= GRANULARITY && block->handle != SYS_NO_HANDLE &&
        map(&rest, (HANDLE)block->handle, keep) == APR_SUCCESS) {
        UnmapViewOfFile(block->data);
        block->data = rest.data;
        block->size = rest.size;
    }
    sys_handle_close(block->handle);
    block->handle = SYS_NO_HANDLE;
}

void sys_block_close(sys_block_t *block)
{
    if (block->data)
        UnmapViewOfFile(block->data);
    sys_handle_close(block->handle);
    *block = (sys_block_t){NULL, 0, SYS_NO_HANDLE, NULL, 0};
}
