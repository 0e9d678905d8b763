/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include <windows.h>

#include "support.h"

/* The system's list of the handles of all processes. */
typedef LONG(NTAPI *query_t)(int, void *, ULONG, ULONG *);

typedef struct entry_t {
    void *object;
    ULONG_PTR pid;
    ULONG_PTR handle;
    ULONG access;
    USHORT trace, kind;
    ULONG attributes, reserved;
} entry_t;

typedef struct list_t {
    ULONG_PTR count;
    ULONG_PTR reserved;
    entry_t entries[];
} list_t;

int count_descriptors(void)
{
    enum { EXTENDED_HANDLE_INFORMATION = 64, SIZE = 1 << 22 };
    const query_t query =
        (query_t)(void (*)(void))GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQuerySystemInformation");
    list_t *list = malloc(SIZE);
    int count = -1;
    if (list && query && query(EXTENDED_HANDLE_INFORMATION, list, SIZE, NULL) >= 0) {
        count = 0;
        for (ULONG_PTR i = 0; i < list->count; i++)
            count += list->entries[i].pid == GetCurrentProcessId();
    }
    free(list);
    return count;
}

int count_given(void)
{
    /* What is given keeps its number, and the system opens no pipes by itself. */
    enum { STEP = 4, LAST = 1 << 14 };
    static const DWORD standard[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    int count = 0;
    for (intptr_t number = STEP; number <= LAST; number += STEP) {
        int is_standard = 0;
        for (int i = 0; i < 3; i++)
            is_standard |= GetStdHandle(standard[i]) == (HANDLE)number;
        count += !is_standard && GetNamedPipeInfo((HANDLE)number, NULL, NULL, NULL, NULL);
    }
    return count;
}

int close_descriptors(void)
{
    return 0;
}
