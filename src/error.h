/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file error.h
 * @brief How a public function fails: `return mproc_fail(status, "what, who, why");`
 */
#ifndef MPROC_ERROR_H
#define MPROC_ERROR_H

#include <mproc/status.h>

/** The longest text of a failure. */
enum { MPROC_ERROR_TEXT = 512 };

/**
 * Record a failure for mproc_last_error().
 *
 * @param status What happened; a status of the system is made canonical, its code kept as the native one, and the
 *               system's own words are appended to the text.
 * @param format As for printf: what, who and why.
 * @return The canonical status.
 */
apr_status_t mproc_fail(apr_status_t status, const char *format, ...) MPROC_FORMAT(2, 3);

/** Record a failure whose native code and words are known from elsewhere: another process told them. */
apr_status_t mproc_fail_native(apr_status_t status, int native, const char *format, ...) MPROC_FORMAT(3, 4);

/**
 * Reset mproc_last_error(). For functions that return something else than a status: their caller must be able to tell a
 * 0 that is the answer from a 0 that is a refusal.
 */
void mproc_forget_error(void);

/** What mproc_last_error() told before something was done that is no part of the call, and may fail. */
typedef struct kept_error_t {
    apr_status_t status;
    int native;
    char text[MPROC_ERROR_TEXT];
} kept_error_t;

void mproc_keep_error(kept_error_t *kept);
void mproc_restore_error(const kept_error_t *kept);

/** The canonical form of a status of the system: the same on every platform for the same situation. */
apr_status_t mproc_canonical(apr_status_t status);

#endif
