/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "process_object.h"

enum { LINE_MAX_BYTES = 1000 };

/** The levels and their names, in Python's words. */
static const struct level_name_t {
    mproc_log_level_t level;
    const char *name;
} levels[] = {
    {MPROC_LOG_OFF, "OFF"},     {MPROC_LOG_SUBDEBUG, "SUBDEBUG"},     {MPROC_LOG_DEBUG, "DEBUG"},
    {MPROC_LOG_INFO, "INFO"},   {MPROC_LOG_SUBWARNING, "SUBWARNING"}, {MPROC_LOG_WARNING, "WARNING"},
    {MPROC_LOG_ERROR, "ERROR"},
};

static _Atomic int current_level = MPROC_LOG_OFF;
static _Atomic(mproc_log_callback_t) current_callback;
static _Atomic(void *) current_context;

static const char *level_name(mproc_log_level_t level)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i].level == level)
            return levels[i].name;
    return NULL;
}

static void write_to_stderr(void *context, mproc_log_level_t level, const char *line)
{
    (void)context;
    (void)level;
    /* One call, so that the lines of several processes do not mix. Windows buffers stderr where it is no console. */
    char whole[LINE_MAX_BYTES + 2];
    snprintf(whole, sizeof whole, "%s\n", line);
    fputs(whole, stderr);
    fflush(stderr);
}

apr_status_t mproc_log_to(mproc_log_callback_t callback, void *context, mproc_log_level_t level)
{
    if (!level_name(level))
        return mproc_fail(APR_EINVAL, "mproc_log_to: %d is not a log level", (int)level);
    /* Off first: no line may reach the new function with the old context. */
    atomic_store(&current_level, MPROC_LOG_OFF);
    atomic_store(&current_callback, callback);
    atomic_store(&current_context, context);
    atomic_store(&current_level, callback ? level : MPROC_LOG_OFF);
    return APR_SUCCESS;
}

apr_status_t mproc_log_to_stderr(mproc_log_level_t level)
{
    return mproc_log_to(write_to_stderr, NULL, level);
}

mproc_log_level_t mproc_log_level(void)
{
    return (mproc_log_level_t)atomic_load_explicit(&current_level, memory_order_relaxed);
}

mproc_log_level_t log_inherited_level(void)
{
    return atomic_load(&current_callback) == write_to_stderr ? mproc_log_level() : MPROC_LOG_OFF;
}

void mproc_log(mproc_log_level_t level, const char *format, ...)
{
    const int wanted = atomic_load_explicit(&current_level, memory_order_acquire);
    mproc_log_callback_t callback = atomic_load(&current_callback);
    if (wanted == MPROC_LOG_OFF || (int)level < wanted || !callback || !format)
        return;
    char line[LINE_MAX_BYTES];
    const char *name = level_name(level);
    int length = snprintf(line, sizeof line, "[%s/%s] ", name ? name : "LOG", process_current_name());
    va_list values;
    va_start(values, format);
    if (length >= 0 && (size_t)length < sizeof line)
        vsnprintf(line + length, sizeof line - (size_t)length, format, values);
    va_end(values);
    callback(atomic_load(&current_context), level, line);
}
