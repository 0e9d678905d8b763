/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include "terminal.h"

/* A moving bar looks smooth with this, and costs nothing. */
#define REDRAW_AFTER (apr_time_from_sec(1) / 10)

/* Wide enough to see, and short enough to see at a glance. */
#define BAR_MAX 50

void progress_start(progress_t *progress, int total, int quiet)
{
    memset(progress, 0, sizeof *progress);
    progress->total = total;
    progress->quiet = quiet;
    progress->start = apr_time_now();
}

void progress_clear(progress_t *progress)
{
    if (progress->drawn_width > 0)
        fprintf(stderr, "\r%*s\r", progress->drawn_width, "");
    progress->drawn_width = 0;
    progress->drawn = 0;
}

/* "=====>    ", so that there is something to see from the first picture on. */
static void make_bar(char *bar, int width, int done, int total)
{
    int filled = (int)((double)done / total * width);
    memset(bar, ' ', (size_t)width);
    memset(bar, '=', (size_t)filled);
    if (filled > 0 && filled < width)
        bar[filled - 1] = '>';
    bar[width] = '\0';
}

void progress_draw(progress_t *progress)
{
    char figures[100];
    char bar[BAR_MAX + 1];
    const apr_time_t now = apr_time_now();
    const double seconds = (double)(now - progress->start) / APR_USEC_PER_SEC;
    const int finished = progress->done + progress->failed;
    const int columns = progress->quiet ? 0 : terminal_width();
    int length;
    int width;

    if (columns == 0 || now - progress->drawn < REDRAW_AFTER)
        return;
    length = snprintf(figures, sizeof figures, "%d/%d", finished, progress->total);
    if (finished > 0 && seconds > 0) {
        double rate = finished / seconds;
        int left = (int)((progress->total - finished) / rate + 0.5);
        length += snprintf(figures + length, sizeof figures - (size_t)length, "  %.1f/s  %d:%02d left", rate, left / 60,
                           left % 60);
    }

    /* The last column stays free: some terminals go to the next line when it is written. */
    width = columns - 1 - (int)strlen("[] ") - length;
    if (width > BAR_MAX)
        width = BAR_MAX;
    progress_clear(progress);
    if (width >= 10) {
        make_bar(bar, width, finished, progress->total);
        progress->drawn_width = fprintf(stderr, "[%s] %s", bar, figures);
    } else {
        progress->drawn_width = fprintf(stderr, "%.*s", columns - 1, figures);
    }
    fflush(stderr);
    progress->drawn = now;
}

void progress_done(progress_t *progress, const char *input, const char *output)
{
    progress->done++;
    if (!progress->quiet && terminal_width() == 0)
        fprintf(stderr, "%d/%d %s -> %s\n", progress->done + progress->failed, progress->total, input, output);
}

void progress_failed(progress_t *progress, const char *input, const char *reason)
{
    progress->failed++;
    progress_clear(progress);
    fprintf(stderr, "%s: %s\n", input, reason);
}

void progress_finish(progress_t *progress)
{
    const double seconds = (double)(apr_time_now() - progress->start) / APR_USEC_PER_SEC;
    progress_clear(progress);
    if (!progress->quiet)
        fprintf(stderr, "%d of %d pictures blurred in %.1f s\n", progress->done, progress->total, seconds);
}
