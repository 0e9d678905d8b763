/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include "terminal.h"

/* A moving bar looks smooth with this, and costs nothing. */
#define REDRAW_AFTER (apr_time_from_sec(1) / 10)

/* Wide enough to see, and short enough to see at a glance. */
#define BAR_MAX 40

/* What a terminal is expected to have where there is none. */
#define COLUMNS_DEFAULT 80

void progress_start(progress_t *progress, size_t total, progress_when_t when)
{
    memset(progress, 0, sizeof *progress);
    progress->total = total;
    progress->when = when;
    progress->start = apr_time_now();
}

void progress_clear(progress_t *progress)
{
    if (progress->drawn_width > 0)
        fprintf(stderr, "\r%*s\r", progress->drawn_width, "");
    progress->drawn_width = 0;
    progress->drawn = 0;
}

static int columns(const progress_t *progress)
{
    int width = progress->when == PROGRESS_NEVER ? 0 : terminal_width();
    return width == 0 && progress->when == PROGRESS_ALWAYS ? COLUMNS_DEFAULT : width;
}

static int write_figures(char *text, size_t size, const progress_t *progress)
{
    const double seconds = (double)(apr_time_now() - progress->start) / APR_USEC_PER_SEC;
    int length = snprintf(text, size, "%lu/%lu, %lu failed", (unsigned long)progress->done,
                          (unsigned long)progress->total, (unsigned long)progress->failed);
    if (progress->done > 0 && progress->done < progress->total) {
        long left = (long)(seconds / (double)progress->done * (double)(progress->total - progress->done) + 0.5);
        length += snprintf(text + length, size - (size_t)length, ", %ld:%02ld left", left / 60, left % 60);
    }
    return length;
}

static void draw(progress_t *progress, int width)
{
    char figures[160];
    char bar[BAR_MAX + 1] = "";
    const int length = write_figures(figures, sizeof figures, progress);
    /* The last column stays free: some terminals go to the next line when it is written. */
    int room = width - 1 - (int)strlen("[] ") - length;
    if (room > BAR_MAX)
        room = BAR_MAX;
    progress_clear(progress);
    if (room >= 10) {
        memset(bar, ' ', (size_t)room);
        memset(bar, '=', (size_t)((double)progress->done / (double)progress->total * room));
        progress->drawn_width = fprintf(stderr, "[%s] %s", bar, figures);
    } else {
        progress->drawn_width = fprintf(stderr, "%.*s", width - 1, figures);
    }
    fflush(stderr);
    progress->drawn = apr_time_now();
}

void progress_draw(progress_t *progress)
{
    const int width = columns(progress);
    if (width > 0 && progress->total > 0 && apr_time_now() - progress->drawn >= REDRAW_AFTER)
        draw(progress, width);
}

void progress_finish(progress_t *progress)
{
    const int width = columns(progress);
    if (width > 0 && progress->total > 0) {
        draw(progress, width);
        fputc('\n', stderr);
    }
}
