/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file log.h
 * @brief Logging. Silent unless asked for; then one line for each event, in the manner of Python's multiprocessing:
 *        `[INFO/Process-1] child process calling its target`.
 *
 * There is one receiver at a time: mproc_log_to_stderr() and mproc_log_to() replace each other. Level and output to
 * stderr are handed on to the children that a process starts afterwards. A callback reaches only children by fork and
 * thread, where it is still in memory (under fork it must not need a lock that another thread of the creator could
 * hold); other children are silent then.
 */
#ifndef MPROC_LOG_H
#define MPROC_LOG_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How much to tell: events of the given level and of all that stand below it here. The numbers are Python's. */
typedef enum mproc_log_level_t {
    /** Nothing at all: how every program starts. */
    MPROC_LOG_OFF = 0,
    /** The library's inner steps. */
    MPROC_LOG_SUBDEBUG = 5,
    /** Steps that a user of the library can follow. */
    MPROC_LOG_DEBUG = 10,
    /** Processes that start and end. */
    MPROC_LOG_INFO = 20,
    /** Something to know that is most often harmless. */
    MPROC_LOG_SUBWARNING = 25,
    /** Something that is most often a mistake. */
    MPROC_LOG_WARNING = 30,
    /** Something that was lost or could not be done. */
    MPROC_LOG_ERROR = 40
} mproc_log_level_t;

/**
 * Receives log lines.
 *
 * @param context What was given to mproc_log_to().
 * @param level   The line's level.
 * @param line    The line, `[LEVEL/process name] text`, without a newline; valid during the call.
 * @remark It is called on the thread that logs, on several at once, while the library may have locked what it logs of:
 *         so it must call nothing of the library.
 */
typedef void (*mproc_log_callback_t)(void *context, mproc_log_level_t level, const char *line);

/**
 * Write log lines to the standard error stream.
 *
 * @param level What to write; MPROC_LOG_OFF ends logging.
 * @return APR_SUCCESS; APR_EINVAL if @p level is none of the levels.
 * @remark Any thread, any process, also before mproc_initialize().
 */
MPROC_API apr_status_t mproc_log_to_stderr(mproc_log_level_t level);

/**
 * Give log lines to a function of the program.
 *
 * @param callback The function; NULL ends logging.
 * @param context  Handed to it with each line; owned by the program.
 * @param level    What to log; MPROC_LOG_OFF ends logging.
 * @return APR_SUCCESS; APR_EINVAL if @p level is none of the levels.
 * @remark Any thread; not while other threads log, since a line on its way may still reach the old callback.
 */
MPROC_API apr_status_t mproc_log_to(mproc_log_callback_t callback, void *context, mproc_log_level_t level);

/**
 * Tell what is being logged.
 *
 * @return The level; MPROC_LOG_OFF if logging was not asked for.
 * @remark Any thread, any process.
 */
MPROC_API mproc_log_level_t mproc_log_level(void);

/**
 * Log a line of the program's own, beside the library's.
 *
 * @param level  The line's level.
 * @param format As for printf; lines are cut at 1000 bytes.
 * @param ...    As for printf.
 * @remark Any thread, any process. Does nothing unless logging was asked for at this level.
 */
MPROC_API void mproc_log(mproc_log_level_t level, const char *format, ...) MPROC_FORMAT(2, 3);

#ifdef __cplusplus
}
#endif

#endif
