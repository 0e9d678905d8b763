/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments. A program of Windows gets one string, and takes it apart by itself. All but a few do so as the C runtime
 * and CommandLineToArgvW() do, and get exactly what they are to get. Batch files are run by the command interpreter,
 * which has other rules, and no means to write some characters so that they stay what they are: those are refused, lest
 * an argument becomes a command.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "win32.h"

/* The system's limits, the interpreter's among them, with the end of the string. */
enum { COMMAND_MAX = 32767, BATCH_MAX = 8191 };

/** A command line in the making. */
typedef struct line_t {
    wchar_t *text;
    size_t length;
    size_t max;
    int is_full;
} line_t;

static void put(line_t *line, wchar_t unit)
{
    if (line->length + 1 < line->max)
        line->text[line->length++] = unit;
    else
        line->is_full = 1;
}

static void put_text(line_t *line, const wchar_t *text)
{
    while (*text)
        put(line, *text++);
}

/** Put what goes between quotation marks, and these. */
static void put_quoted(line_t *line, const wchar_t *text)
{
    put(line, L'"');
    put_text(line, text);
    put(line, L'"');
}

/** Convert an argument from UTF-8: one allocation for free(). */
static apr_status_t widen(wchar_t **wide, const char *text, const char **failed)
{
    const apr_status_t status = win32_to_utf16(wide, text);
    if (status != APR_SUCCESS && status != APR_ENOMEM)
        *failed = "an argument";
    return status;
}

static apr_status_t begin(line_t *line, size_t max)
{
    *line = (line_t){.max = max};
    line->text = malloc(max * sizeof *line->text);
    return line->text ? APR_SUCCESS : APR_ENOMEM;
}

/** Hand over a line that is complete, or why there is none. */
static apr_status_t finish(wchar_t **command, line_t *line, apr_status_t status, const char **failed)
{
    *command = NULL;
    if (status == APR_SUCCESS && line->is_full) {
        *failed = "the arguments";
        status = E2BIG;
    }
    if (status != APR_SUCCESS) {
        free(line->text);
        return status;
    }
    line->text[line->length] = L'\0';
    *command = line->text;
    return APR_SUCCESS;
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

/**
 * Whether something has to be quoted: what ends an argument or is a quotation mark to one program or another, and what
 * some of them take as a pattern for names of files unless it is quoted.
 */
static int needs_quotes(const wchar_t *text)
{
    if (!*text)
        return 1;
    for (; *text; text++)
        if (*text <= L' ' || wcschr(L"\"'*?[", *text))
            return 1;
    return 0;
}

/** Put an argument: backslashes mean something only before a quotation mark, which the closing one is, too. */
static void put_argument(line_t *line, const wchar_t *text)
{
    if (!needs_quotes(text)) {
        put_text(line, text);
        return;
    }
    put(line, L'"');
    for (;; text++) {
        size_t backslashes = 0;
        for (; *text == L'\\'; text++)
            backslashes++;
        if (!*text || *text == L'"')
            backslashes += backslashes;
        while (backslashes-- > 0)
            put(line, L'\\');
        if (!*text)
            break;
        if (*text == L'"')
            put(line, L'\\');
        put(line, *text);
    }
    put(line, L'"');
}

apr_status_t win32_command_line(wchar_t **command, const char *const *args, const char **failed)
{
    line_t line;
    apr_status_t status = begin(&line, COMMAND_MAX);
    for (size_t i = 0; args[i] && status == APR_SUCCESS; i++) {
        wchar_t *wide;
        status = widen(&wide, args[i], failed);
        if (status != APR_SUCCESS)
            break;
        /* In the name of the program a backslash means nothing, so it cannot have a quotation mark in it. */
        if (i > 0) {
            put(&line, L' ');
            put_argument(&line, wide);
        } else if (wcschr(wide, L'"')) {
            *failed = "the first argument";
            status = APR_EINVAL;
        } else if (needs_quotes(wide)) {
            put_quoted(&line, wide);
        } else {
            put_text(&line, wide);
        }
        free(wide);
    }
    return finish(command, &line, status, failed);
}

/* ---- Batch files ------------------------------------------------------------------------------------------------- */

/** Put an argument of a batch file; APR_EINVAL if it would not come through, or not in the same way everywhere. */
static apr_status_t put_plain(line_t *line, const wchar_t *text)
{
    int is_quoted = !*text;
    const wchar_t *at = text;
    for (; *at; at++) {
        if (*at < L' ' || *at == 0x7f || wcschr(L"\"%!^&|<>", *at))
            return APR_EINVAL;
        const int is_letter = (*at >= L'a' && *at <= L'z') || (*at >= L'A' && *at <= L'Z');
        if (!is_letter && !(*at >= L'0' && *at <= L'9') && !wcschr(L"#$*+-./:?@\\_", *at))
            is_quoted = 1;
    }
    /* To a program that the batch file hands it on to, a backslash at the end would quote the quotation mark. */
    if (is_quoted && at > text && at[-1] == L'\\')
        return APR_EINVAL;
    if (is_quoted)
        put_quoted(line, text);
    else
        put_text(line, text);
    return APR_SUCCESS;
}

apr_status_t win32_batch_line(wchar_t **command, const wchar_t *path, const char *const *args, const char **failed)
{
    line_t line;
    *command = NULL;
    if (wcschr(path, L'%')) {
        *failed = "the name of a batch file";
        return APR_EINVAL;
    }
    apr_status_t status = begin(&line, BATCH_MAX);
    if (status != APR_SUCCESS)
        return status;
    /* No commands of the registry's first, no variables in exclamation marks; and the outermost quotation marks go. */
    put_text(&line, L"cmd.exe /d /e:on /v:off /s /c \"");
    put_quoted(&line, path);
    for (size_t i = 1; args[i] && status == APR_SUCCESS; i++) {
        wchar_t *wide;
        status = widen(&wide, args[i], failed);
        if (status != APR_SUCCESS)
            break;
        put(&line, L' ');
        status = put_plain(&line, wide);
        if (status != APR_SUCCESS)
            *failed = "an argument that would not come to a batch file as it is";
        free(wide);
    }
    put(&line, L'"');
    return finish(command, &line, status, failed);
}
