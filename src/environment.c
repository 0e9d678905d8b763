/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "sys.h"

static size_t count_strings(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

/** The length of the NAME in "NAME=value" or "NAME". Windows has names that begin with '='. */
static size_t name_length(const char *string)
{
    const char *end = *string ? strchr(string + 1, '=') : NULL;
    return end ? (size_t)(end - string) : strlen(string);
}

static int same_name(const char *a, const char *b)
{
    const size_t length = name_length(a);
    return length == name_length(b) && sys_environment_compare(a, b, length) == 0;
}

/** Whether a later change decides about this string's name. */
static int is_changed(const char *string, const char *const *changes)
{
    for (size_t i = 0; changes && changes[i]; i++)
        if (same_name(string, changes[i]))
            return 1;
    return 0;
}

/** Add a string to a list that has room, its bytes going to `text`. */
static void add(char **list, size_t *count, char **text, const char *string)
{
    const size_t size = strlen(string) + 1;
    memcpy(*text, string, size);
    list[(*count)++] = *text;
    *text += size;
}

static apr_status_t check_names(const char *const *strings, int need_value)
{
    for (size_t i = 0; strings && strings[i]; i++)
        if (!*strings[i] || (need_value && !strings[i][name_length(strings[i])]))
            return mproc_fail(APR_EINVAL, "options: '%.40s' in the environment is not NAME=value", strings[i]);
    return APR_SUCCESS;
}

apr_status_t environment_build(char ***list, const char *const *base, const char *const *changes)
{
    char **own = NULL;
    *list = NULL;
    apr_status_t status = check_names(base, 1);
    if (status == APR_SUCCESS)
        status = check_names(changes, 0);
    if (status != APR_SUCCESS)
        return status;
    if (!base) {
        status = sys_environment(&own);
        if (status != APR_SUCCESS)
            return mproc_fail(status, "the environment cannot be read");
        if (!changes) {
            *list = own;
            return APR_SUCCESS;
        }
        base = (const char *const *)own;
    }
    const char *const *parts[2] = {base, changes};
    size_t bytes = (count_strings(base) + count_strings(changes) + 1) * sizeof(char *);
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; parts[p] && parts[p][i]; i++)
            bytes += strlen(parts[p][i]) + 1;
    *list = malloc(bytes);
    if (*list) {
        size_t count = 0;
        char *text = (char *)(*list + count_strings(base) + count_strings(changes) + 1);
        for (size_t i = 0; base[i]; i++)
            if (!is_changed(base[i], changes))
                add(*list, &count, &text, base[i]);
        /* Of several changes of one name the last holds. */
        for (size_t i = 0; changes && changes[i]; i++)
            if (changes[i][name_length(changes[i])] && !is_changed(changes[i], changes + i + 1))
                add(*list, &count, &text, changes[i]);
        (*list)[count] = NULL;
    }
    free(own);
    return *list ? APR_SUCCESS : mproc_fail(APR_ENOMEM, "no memory for an environment");
}

char **environment_list(char *strings, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size && strings[i]; i += strlen(strings + i) + 1)
        count++;
    char **list = malloc((count + 1) * sizeof *list);
    if (!list)
        return NULL;
    count = 0;
    for (size_t i = 0; i < size && strings[i]; i += strlen(strings + i) + 1)
        list[count++] = strings + i;
    list[count] = NULL;
    return list;
}
