/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "win32.h"

apr_status_t win32_to_utf16(wchar_t **wide, const char *text)
{
    *wide = NULL;
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    if (length <= 0)
        return win32_error();
    *wide = malloc((size_t)length * sizeof **wide);
    if (!*wide)
        return APR_ENOMEM;
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, *wide, length);
    return APR_SUCCESS;
}

apr_status_t win32_to_utf8(char *buffer, size_t size, const wchar_t *wide)
{
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, buffer, (int)size, NULL, NULL) > 0)
        return APR_SUCCESS;
    buffer[0] = '\0';
    return GetLastError() == ERROR_INSUFFICIENT_BUFFER ? APR_ENAMETOOLONG : win32_error();
}

apr_status_t win32_to_list(char ***list, const wchar_t *strings, size_t length, size_t count)
{
    *list = NULL;
    if (length > INT_MAX)
        return APR_ENOMEM;
    const int bytes = length ? WideCharToMultiByte(CP_UTF8, 0, strings, (int)length, NULL, 0, NULL, NULL) : 0;
    if (length && bytes <= 0)
        return win32_error();
    /* The strings go behind the list, so that one free() does. */
    char **made = malloc((count + 1) * sizeof *made + (size_t)bytes);
    if (!made)
        return APR_ENOMEM;
    char *text = (char *)(made + count + 1);
    if (length)
        WideCharToMultiByte(CP_UTF8, 0, strings, (int)length, text, bytes, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        made[i] = text;
        text += strlen(text) + 1;
    }
    made[count] = NULL;
    *list = made;
    return APR_SUCCESS;
}
