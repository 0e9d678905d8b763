/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

/** One row of MPROC_STATUS_MAP. */
typedef struct row_t {
    const char *name;
    const char *text;
} row_t;

static const row_t rows[] = {
#define ROW(name, text) {"MPROC_" #name, text},
    MPROC_STATUS_MAP(ROW)
#undef ROW
};

/**
 * A code of Windows that APR does not gather, and the status that it means. No other system's statuses have these
 * numbers.
 */
typedef struct code_t {
    int native;
    apr_status_t canonical;
} code_t;

static const code_t codes[] = {
    {50, APR_ENOTIMPL},      /* ERROR_NOT_SUPPORTED */
    {111, APR_ENAMETOOLONG}, /* ERROR_BUFFER_OVERFLOW */
    {123, APR_ENOENT},       /* ERROR_INVALID_NAME: no file can have it */
    {1113, APR_EINVAL},      /* ERROR_NO_UNICODE_TRANSLATION: not UTF-8 */
    {1130, APR_ENOMEM},      /* ERROR_NOT_ENOUGH_SERVER_MEMORY */
    {1314, APR_EACCES},      /* ERROR_PRIVILEGE_NOT_HELD */
    {1450, APR_ENOMEM},      /* ERROR_NO_SYSTEM_RESOURCES */
    {1451, APR_ENOMEM},      /* ERROR_NONPAGED_SYSTEM_RESOURCES */
    {1452, APR_ENOMEM},      /* ERROR_PAGED_SYSTEM_RESOURCES */
    {1453, APR_ENOMEM},      /* ERROR_WORKING_SET_QUOTA */
    {1454, APR_ENOMEM},      /* ERROR_PAGEFILE_QUOTA */
    {1455, APR_ENOMEM},      /* ERROR_COMMITMENT_LIMIT */
    {10024, APR_EMFILE},     /* WSAEMFILE */
    {10055, APR_ENOMEM},     /* WSAENOBUFS */
};

/* Per thread, and without an allocation that could fail while a failure is being recorded. */
static _Thread_local char last_text[MPROC_ERROR_TEXT];
static _Thread_local mproc_error_t last = {APR_SUCCESS, 0, ""};

static const row_t *find_row(apr_status_t status)
{
    if (status <= MPROC_STATUS_START || status >= MPROC_STATUS_END)
        return NULL;
    return &rows[status - MPROC_STATUS_START - 1];
}

const char *mproc_status_name(apr_status_t status)
{
    const row_t *row = find_row(status);
    return row ? row->name : NULL;
}

const char *mproc_strerror(apr_status_t status, char *buffer, size_t size)
{
    if (!buffer || size == 0)
        return "";
    const row_t *row = find_row(status);
    if (row)
        snprintf(buffer, size, "%s", row->text);
    else if (status == APR_SUCCESS)
        snprintf(buffer, size, "success");
    else
        apr_strerror(status, buffer, size);
    return buffer;
}

apr_status_t mproc_canonical(apr_status_t status)
{
    if (status == APR_SUCCESS || find_row(status))
        return status;
/* On Unix each test is a comparison with itself; on Windows it gathers several codes into one. */
#define CANONICAL(name)                                                                                                \
    if (APR_STATUS_IS_##name(status))                                                                                  \
        return APR_##name;
    CANONICAL(ENOENT)
    CANONICAL(EACCES)
    CANONICAL(EEXIST)
    CANONICAL(ENOTDIR)
    CANONICAL(ENOSPC)
    CANONICAL(ENOMEM)
    CANONICAL(EMFILE)
    CANONICAL(ENFILE)
    CANONICAL(EBADF)
    CANONICAL(EINVAL)
    CANONICAL(ENAMETOOLONG)
    CANONICAL(EPIPE)
    CANONICAL(TIMEUP)
    CANONICAL(EAGAIN)
    CANONICAL(EFTYPE)
#undef CANONICAL
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (status == APR_OS_START_SYSERR + codes[i].native)
            return codes[i].canonical;
    return status;
}

/** Whether a status is a code of the system, whose own words say more than ours. */
static int is_of_system(apr_status_t status)
{
    return status != APR_SUCCESS && status != APR_EINVAL && !find_row(status) && !APR_STATUS_IS_TIMEUP(status) &&
           (status < APR_OS_START_ERROR || status >= APR_OS_START_SYSERR);
}

/**
 * The system's own code of a status, or 0. Some systems' codes are statuses as they are, others' lie in a range of
 * their own.
 */
static int native_of(apr_status_t status)
{
    const int has_range = APR_FROM_OS_ERROR(1) != 1;
    if (!is_of_system(status) || (has_range && status < APR_OS_START_SYSERR))
        return 0;
    return (int)APR_TO_OS_ERROR(status);
}

/** Record a failure, and return how long its text has become. */
static size_t record(apr_status_t status, int native, const char *format, va_list values)
{
    const int length = vsnprintf(last_text, sizeof last_text, format, values);
    last.text = last_text;
    last.status = mproc_canonical(status);
    last.native = native;
    return length > 0 ? (size_t)length : 0;
}

apr_status_t mproc_fail(apr_status_t status, const char *format, ...)
{
    const int of_system = is_of_system(status);
    va_list values;
    va_start(values, format);
    const size_t length = record(status, native_of(status), format, values);
    va_end(values);
    if (of_system && length + 3 < sizeof last_text) {
        memcpy(last_text + length, ": ", 3);
        apr_strerror(status, last_text + length + 2, sizeof last_text - length - 2);
        /* Windows ends its texts with a line. */
        for (size_t end = strlen(last_text); end > 0 && strchr(" \r\n", last_text[end - 1]); end--)
            last_text[end - 1] = '\0';
    }
    return last.status;
}

apr_status_t mproc_fail_native(apr_status_t status, int native, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    record(status, native, format, values);
    va_end(values);
    return last.status;
}

void mproc_forget_error(void)
{
    last.status = APR_SUCCESS;
    last.native = 0;
    last.text = "";
}

void mproc_keep_error(kept_error_t *kept)
{
    kept->status = last.status;
    kept->native = last.native;
    snprintf(kept->text, sizeof kept->text, "%s", last.text);
}

void mproc_restore_error(const kept_error_t *kept)
{
    last.status = kept->status;
    last.native = kept->native;
    snprintf(last_text, sizeof last_text, "%s", kept->text);
    last.text = last_text;
}

const mproc_error_t *mproc_last_error(void)
{
    return &last;
}
