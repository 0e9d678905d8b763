/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "terminal.h"

static void update(report_t *report, int failed)
{
    mproc_progress_t *progress = &report->progress;
    mproc_progress_update(progress, progress->done + 1, progress->failed + (failed != 0));
}

void report_start(report_t *report, int total, int quiet)
{
    mproc_progress_begin(&report->progress, (uint64_t)total);
    report->quiet = quiet;
    report->is_drawn = 0;
}

void report_clear(report_t *report)
{
    if (report->is_drawn)
        mproc_progress_clear(stderr);
    report->is_drawn = 0;
}

void report_draw(report_t *report)
{
    mproc_progress_t *progress = &report->progress;
    /* Without a terminal there are lines instead; and the last picture is followed by another line than the bar's. */
    if (report->quiet || terminal_width() == 0 || progress->done == progress->total)
        return;
    mproc_progress_update(progress, progress->done, progress->failed);
    mproc_progress_bar(stderr, progress);
    report->is_drawn = 1;
}

void report_note(report_t *report, const char *format, ...)
{
    va_list values;
    report_clear(report);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
}

void report_done(report_t *report, const char *input, const char *output)
{
    update(report, 0);
    if (!report->quiet && terminal_width() == 0)
        report_note(report, "%d/%d %s -> %s", (int)report->progress.done, (int)report->progress.total, input, output);
}

void report_failed(report_t *report, const char *input, const char *reason)
{
    update(report, 1);
    report_note(report, "%s: %s", input, reason);
}

void report_finish(report_t *report)
{
    const mproc_progress_t *progress = &report->progress;
    report_clear(report);
    mproc_progress_update(&report->progress, progress->done, progress->failed);
    if (!report->quiet)
        report_note(report, "%d of %d pictures blurred in %.1f s", (int)(progress->done - progress->failed),
                    (int)progress->total, (double)progress->elapsed / APR_USEC_PER_SEC);
}
