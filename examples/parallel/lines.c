/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <string.h>

#include <apr_strings.h>

static apr_status_t read_all(char **text, size_t *size, apr_file_t *file, apr_pool_t *pool)
{
    size_t capacity = 64 * 1024;
    *text = apr_palloc(pool, capacity);
    *size = 0;
    for (;;) {
        /* Room for a zero behind it. */
        apr_size_t count = capacity - *size - 1;
        apr_status_t status = apr_file_read(file, *text + *size, &count);
        if (APR_STATUS_IS_EOF(status))
            break;
        if (status != APR_SUCCESS)
            return status;
        *size += count;
        if (*size == capacity - 1) {
            char *larger = apr_palloc(pool, capacity * 2);
            memcpy(larger, *text, *size);
            *text = larger;
            capacity *= 2;
        }
    }
    (*text)[*size] = '\0';
    return APR_SUCCESS;
}

static size_t count_ends(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += text[i] == '\n';
    return count;
}

apr_status_t lines_read(lines_t *lines, apr_file_t *file, apr_pool_t *pool)
{
    char *text;
    size_t size;
    apr_status_t status = read_all(&text, &size, file, pool);
    if (status != APR_SUCCESS)
        return status;

    char *const end = text + size;
    char *line = text;
    lines->whole_count = count_ends(text, size);
    lines->count = 0;
    lines->items = apr_palloc(pool, (lines->whole_count + 1) * sizeof *lines->items);
    while (lines->count < lines->whole_count) {
        char *line_end = memchr(line, '\n', (size_t)(end - line));
        *line_end = '\0';
        if (line_end > line && line_end[-1] == '\r')
            line_end[-1] = '\0';
        lines->items[lines->count++] = line;
        line = line_end + 1;
    }
    lines->whole_size = line - text;
    if (line < end)
        lines->items[lines->count++] = line;
    return APR_SUCCESS;
}
