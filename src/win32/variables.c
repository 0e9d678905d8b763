/* SPDX-License-Identifier: Apache-2.0 */
/* Environments as the system wants them. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

/** The length of a variable's name; some begin with '='. */
static int name_length(const wchar_t *variable)
{
    const wchar_t *end = *variable ? wcschr(variable + 1, L'=') : NULL;
    return end ? (int)(end - variable) : (int)wcslen(variable);
}

static int compare_names(const void *a, const void *b)
{
    const wchar_t *const *left = a;
    const wchar_t *const *right = b;
    return CompareStringOrdinal(*left, name_length(*left), *right, name_length(*right), TRUE) - CSTR_EQUAL;
}

/** Get a variable of this process's: one allocation for free(), NULL if it is not set. */
static apr_status_t get_own(wchar_t **value, const wchar_t *name)
{
    DWORD size = GetEnvironmentVariableW(name, NULL, 0);
    *value = NULL;
    while (size > 0) {
        wchar_t *larger = realloc(*value, size * sizeof *larger);
        if (!larger) {
            free(*value);
            *value = NULL;
            return APR_ENOMEM;
        }
        *value = larger;
        SetLastError(ERROR_SUCCESS);
        /* Another thread may change it meanwhile. */
        const DWORD length = GetEnvironmentVariableW(name, larger, size);
        if (length < size && (length > 0 || GetLastError() == ERROR_SUCCESS))
            return APR_SUCCESS;
        size = length;
    }
    free(*value);
    *value = NULL;
    return APR_SUCCESS;
}

apr_status_t win32_variable(wchar_t **value, const wchar_t *block, const wchar_t *name)
{
    if (!block)
        return get_own(value, name);
    *value = NULL;
    for (; *block; block += wcslen(block) + 1) {
        const int length = name_length(block);
        if (block[length] != L'=' || CompareStringOrdinal(block, length, name, -1, TRUE) != CSTR_EQUAL)
            continue;
        *value = _wcsdup(block + length + 1);
        return *value ? APR_SUCCESS : APR_ENOMEM;
    }
    return APR_SUCCESS;
}

/** This process's own "SystemRoot=...": without it a program cannot even use sockets, and APR's start needs them. */
static wchar_t *copy_system_root(void)
{
    static const wchar_t name[] = L"SystemRoot";
    enum { NAME = sizeof name / sizeof name[0] - 1 };
    wchar_t *value;
    if (get_own(&value, name) != APR_SUCCESS || !value)
        return NULL;
    const size_t size = wcslen(value) + 1;
    wchar_t *variable = malloc((NAME + 1 + size) * sizeof *variable);
    if (variable) {
        wmemcpy(variable, name, NAME);
        variable[NAME] = L'=';
        wmemcpy(variable + NAME + 1, value, size);
    }
    free(value);
    return variable;
}

/** Lay out variables as the system wants them: sorted, back to back, with an empty string at the end. */
static wchar_t *lay_out(wchar_t **variables, size_t count)
{
    size_t length = 2;
    qsort(variables, count, sizeof *variables, compare_names);
    for (size_t i = 0; i < count; i++)
        length += wcslen(variables[i]) + 1;
    wchar_t *block = calloc(length, sizeof *block);
    wchar_t *to = block;
    for (size_t i = 0; block && i < count; i++) {
        const size_t size = wcslen(variables[i]) + 1;
        wmemcpy(to, variables[i], size);
        to += size;
    }
    return block;
}

apr_status_t win32_environment_block(wchar_t **block, const char *const *environment)
{
    size_t count = 0;
    apr_status_t status = APR_SUCCESS;
    *block = NULL;
    while (environment[count])
        count++;
    wchar_t **variables = calloc(count + 1, sizeof *variables);
    if (!variables)
        return APR_ENOMEM;
    for (size_t i = 0; i < count && status == APR_SUCCESS; i++)
        status = win32_to_utf16(&variables[i], environment[i]);
    if (status == APR_SUCCESS) {
        wchar_t *root = copy_system_root();
        for (size_t i = 0; root && i < count; i++) {
            if (compare_names(&root, &variables[i]) == 0) {
                free(root);
                root = NULL;
            }
        }
        variables[count] = root;
        *block = lay_out(variables, root ? count + 1 : count);
        status = *block ? APR_SUCCESS : APR_ENOMEM;
    }
    for (size_t i = 0; i <= count; i++)
        free(variables[i]);
    free(variables);
    return status;
}
