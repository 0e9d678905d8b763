/* SPDX-License-Identifier: Apache-2.0 */
#include "support/json.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* By hand, and not by strspn(): the strict checks of a sanitizer read all that follows, each time. */
static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
        at++;
    return at;
}

/** A character in UTF-8: where it ends, or NULL. */
static const char *end_of_character(const unsigned char *at)
{
    static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int length = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
    if (length == 0 || (*at >= 0x80 && *at < 0xc2))
        return NULL;
    unsigned long code = length == 1 ? *at : *at & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return NULL;
        code = code << 6 | (at[i] & 0x3fu);
    }
    const int is_one = code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return is_one ? (const char *)at + length : NULL;
}

static const char *end_of_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (at && *at != '"') {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at != '\\') {
            at = end_of_character((const unsigned char *)at);
        } else if (at[1] == 'u') {
            for (int i = 2; i < 6; i++)
                if (!isxdigit((unsigned char)at[i]))
                    return NULL;
            at += 6;
        } else {
            at = at[1] && strchr("\"\\/bfnrt", at[1]) ? at + 2 : NULL;
        }
    }
    return at ? at + 1 : NULL;
}

static const char *end_of_number(const char *at)
{
    at += *at == '-';
    size_t digits = 0;
    while (isdigit((unsigned char)at[digits]))
        digits++;
    if (digits == 0 || (*at == '0' && digits > 1))
        return NULL;
    return at + digits;
}

/** What is in brackets; `has_names`: each value with its name before it. */
static const char *end_of_list(const char *at, char close, int has_names)
{
    at = skip_space(at + 1);
    if (*at == close)
        return at + 1;
    for (;;) {
        if (has_names) {
            at = end_of_string(at);
            at = at ? skip_space(at) : NULL;
            if (!at || *at++ != ':')
                return NULL;
        }
        at = json_end(skip_space(at));
        at = at ? skip_space(at) : NULL;
        if (!at)
            return NULL;
        if (*at == close)
            return at + 1;
        if (*at++ != ',')
            return NULL;
        at = skip_space(at);
    }
}

const char *json_end(const char *text)
{
    switch (*text) {
    case '{':
        return end_of_list(text, '}', 1);
    case '[':
        return end_of_list(text, ']', 0);
    case '"':
        return end_of_string(text);
    default:
        return end_of_number(text);
    }
}

int json_is_value(const char *text)
{
    const char *end = json_end(skip_space(text));
    return end && !*skip_space(end);
}
