/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <string.h>

#include <apr_strings.h>

static const char placeholder[] = "{}";

static const char *replace(const char *text, const char *line, apr_pool_t *pool)
{
    const char *result = "";
    const char *place;
    while ((place = strstr(text, placeholder)) != NULL) {
        result = apr_pstrcat(pool, result, apr_pstrmemdup(pool, text, (size_t)(place - text)), line, NULL);
        text = place + strlen(placeholder);
    }
    return apr_pstrcat(pool, result, text, NULL);
}

const char *const *command_for_line(const char *const *pattern, const char *line, apr_pool_t *pool)
{
    size_t count = 0;
    size_t places = 0;
    while (pattern[count])
        places += strstr(pattern[count++], placeholder) != NULL;

    /* One for the line, one for the NULL. */
    const char **args = apr_pcalloc(pool, (count + 2) * sizeof *args);
    for (size_t i = 0; i < count; i++)
        args[i] = replace(pattern[i], line, pool);
    if (places == 0)
        args[count] = line;
    return args;
}
