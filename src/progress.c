/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Rates ------------------------------------------------------------------------------------------------------- */

/**
 * What mproc_progress_t keeps from one update to the next. Times are in microseconds, which a double holds exactly for
 * some hundred years.
 */
enum {
    STARTED, /* when it was begun */
    CHANGED, /* how long after that something was done the last time */
    COUNTED, /* how much was done then */
    RATE,    /* items per second until then */
    GAP      /* how long it usually is between two changes, rather too long than too short */
};

/* What is longer ago than this, or than so many changes, hardly counts any more. */
static const double window_min = 5e6;
static const double window_gaps = 8;

void progress_begin_at(mproc_progress_t *progress, uint64_t total, sys_time_t now)
{
    memset(progress, 0, sizeof *progress);
    progress->total = total;
    progress->left = -1;
    progress->reserved[STARTED] = (double)now;
}

/**
 * How much the time since the last change weighs against all that was before: as much as it lasted. So at first the
 * rate is the mean over all, and later that over the window.
 */
static double weight_of(const double *kept, double passed, double elapsed)
{
    const double window = kept[GAP] * window_gaps > window_min ? kept[GAP] * window_gaps : window_min;
    return passed / (elapsed < window + passed ? elapsed : window + passed);
}

/**
 * Learn from how long it was between two changes. A pause is not what is usual, nor is the time until the first one.
 */
static void learn_gap(double *kept, double passed, double weight)
{
    enum { FALL = 16 };
    const double gap = kept[GAP];
    kept[GAP] += gap == 0 || passed > gap ? (passed - gap) * weight : (passed - gap) / FALL;
}

/** Something was done since the last change. */
static void take_change(double *kept, double done, double elapsed)
{
    const double passed = elapsed - kept[CHANGED];
    const double weight = weight_of(kept, passed, elapsed);
    kept[RATE] += ((done - kept[COUNTED]) * 1e6 / passed - kept[RATE]) * weight;
    learn_gap(kept, passed, weight);
    kept[CHANGED] = elapsed;
    kept[COUNTED] = done;
}

/**
 * The rate now. As long as the next change is not overdue nothing is known that is new; from then on it is as if as
 * much as usual were done this moment.
 */
static double rate_at(const double *kept, double elapsed)
{
    const double passed = elapsed - kept[CHANGED];
    if (passed <= kept[GAP])
        return kept[RATE];
    const double rate = kept[RATE] * kept[GAP] / passed;
    return kept[RATE] + (rate - kept[RATE]) * weight_of(kept, passed, elapsed);
}

/** How long what is not done may take, in microseconds; -1 if nobody can say. */
static apr_interval_time_t time_left(const mproc_progress_t *progress)
{
    const double too_long = 1e15;
    if (progress->is_over || (progress->total > 0 && progress->done >= progress->total))
        return 0;
    if (progress->total == 0 || !(progress->rate > 0))
        return -1;
    const double left = (double)(progress->total - progress->done) * 1e6 / progress->rate;
    return left < too_long ? (apr_interval_time_t)left : -1;
}

void progress_update_at(mproc_progress_t *progress, uint64_t done, uint64_t failed, sys_time_t now)
{
    double *kept = progress->reserved;
    const double since = (double)now - kept[STARTED];
    const double elapsed = since > kept[CHANGED] ? since : kept[CHANGED];
    /* What was taken back is counted when it is done again. */
    if ((double)done < kept[COUNTED])
        kept[COUNTED] = (double)done;
    if ((double)done > kept[COUNTED] && elapsed > kept[CHANGED])
        take_change(kept, (double)done, elapsed);
    progress->done = done;
    progress->failed = failed;
    progress->elapsed = (apr_interval_time_t)elapsed;
    progress->rate = rate_at(kept, elapsed);
    progress->left = time_left(progress);
}

void mproc_progress_begin(mproc_progress_t *progress, uint64_t total)
{
    progress_begin_at(progress, total, sys_now());
}

void mproc_progress_update(mproc_progress_t *progress, uint64_t done, uint64_t failed)
{
    progress_update_at(progress, done, failed, sys_now());
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* A bar is wide enough to see, and short enough to see at a glance. */
enum { FIGURES_MAX = 160, BAR_MIN = 10, BAR_MAX = 50 };

typedef struct figures_t {
    char text[FIGURES_MAX];
    size_t length;
} figures_t;

static void add(figures_t *figures, const char *format, ...) MPROC_FORMAT(2, 3);

/** Add to a text; what does not fit is left out. */
static void add(figures_t *figures, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    const int more = vsnprintf(figures->text + figures->length, sizeof figures->text - figures->length, format, values);
    va_end(values);
    if (more > 0)
        figures->length += (size_t)more;
    if (figures->length >= sizeof figures->text)
        figures->length = sizeof figures->text - 1;
}

/** Add a rate with three digits or so, in a unit that it is no fraction of. */
static void add_rate(figures_t *figures, double rate)
{
    static const char units[] = {'\0', 'k', 'M', 'G', 'T'};
    const char *period = "s";
    size_t unit = 0;
    /* Not greater than 0, or no number; and beyond all units. */
    if (!(rate > 0) || rate >= 1e17)
        return;
    if (rate < 1.0 / 60) {
        rate *= 3600;
        period = "h";
    } else if (rate < 1) {
        rate *= 60;
        period = "min";
    }
    /* From ten thousand on, so that what counts up slowly is still seen to. */
    for (; rate >= (unit ? 1000 : 10000) && unit + 1 < sizeof units; unit++)
        rate /= 1000;
    const int digits = rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2;
    const char suffix[] = {units[unit], '\0'};
    add(figures, "  %.*f%s/%s", digits, rate, suffix, period);
}

/** Add a time as m:ss or h:mm:ss. */
static void add_time(figures_t *figures, apr_interval_time_t time, const char *after)
{
    const long long seconds = time / 1000000;
    if (seconds < 3600)
        add(figures, "  %d:%02d%s", (int)(seconds / 60), (int)(seconds % 60), after);
    else
        add(figures, "  %lld:%02d:%02d%s", seconds / 3600, (int)(seconds / 60 % 60), (int)(seconds % 60), after);
}

/** Write all that is not the bar. */
static void write_figures(figures_t *figures, const mproc_progress_t *progress)
{
    const unsigned long long done = progress->done;
    const unsigned long long total = progress->total;
    *figures = (figures_t){"", 0};
    if (total > 0) {
        /* All of it is 100 % and nothing less is. */
        const double share = (double)done * 100 / (double)total;
        add(figures, "%llu/%llu  %d%%", done, total, done >= total ? 100 : share > 99 ? 99 : (int)share);
    } else {
        add(figures, "%llu", done);
    }
    if (progress->failed > 0)
        add(figures, "  %llu failed", (unsigned long long)progress->failed);
    /* In the end that of all is of more interest than that of the last seconds. */
    if (!progress->is_over)
        add_rate(figures, progress->rate);
    else if (progress->elapsed > 0)
        add_rate(figures, (double)done * 1e6 / (double)progress->elapsed);
    add_time(figures, progress->elapsed > 0 ? progress->elapsed : 0, "");
    /* Rounded up: it is not over yet. */
    if (!progress->is_over && progress->left >= 0)
        add_time(figures, progress->left < INT64_MAX - 999999 ? progress->left + 999999 : progress->left, " left");
}

/** "=====>    ", so that there is something to see from the first item on. */
static void write_bar(char *bar, size_t width, const mproc_progress_t *progress)
{
    const double part = progress->done < progress->total ? (double)progress->done / (double)progress->total : 1;
    const size_t filled = (size_t)(part * (double)width);
    memset(bar, ' ', width);
    memset(bar, '=', filled);
    if (progress->done > 0 && filled < width)
        bar[filled] = '>';
}

void progress_write_line(char line[PROGRESS_LINE_MAX], const mproc_progress_t *progress, int width)
{
    figures_t figures;
    write_figures(&figures, progress);
    if (width <= 0) {
        memcpy(line, figures.text, figures.length + 1);
        return;
    }
    /* The last column stays free: some terminals go to the next line when it is written. */
    size_t room = width < PROGRESS_LINE_MAX ? (size_t)width - 1 : PROGRESS_LINE_MAX - 1;
    memset(line, ' ', room);
    line[room] = '\0';
    const size_t frame = strlen("[] ");
    if (progress->total > 0 && room >= BAR_MIN + frame + figures.length) {
        const size_t most = room - frame - figures.length;
        const size_t bar = most < BAR_MAX ? most : BAR_MAX;
        line[0] = '[';
        write_bar(line + 1, bar, progress);
        line[1 + bar] = ']';
        line += frame + bar;
        room -= frame + bar;
    }
    memcpy(line, figures.text, figures.length < room ? figures.length : room);
}

/* ---- Where and when ---------------------------------------------------------------------------------------------- */

/* How often a line is written anew on a terminal, and another one elsewhere. */
static const apr_interval_time_t redraw_after = MPROC_MILLISECONDS(100);
static const apr_interval_time_t tell_after = MPROC_SECONDS(10);

/** What was shown, and where. How long ago that was, the elapsed times tell. */
typedef struct shown_t {
    const mproc_progress_t *progress; /* NULL: this one is free */
    FILE *stream;
    apr_interval_time_t looked; /* at whether there is something to show; before 0: never */
    apr_interval_time_t told;   /* by a line, where that is no terminal */
} shown_t;

/* With the core's lock. More at once than these are shown as well, but more often than they need be. */
enum { SHOWN_MAX = 32 };
static shown_t shown[SHOWN_MAX];
static size_t next_to_forget;

/** Find what is known of a bar, or make room for it; with the lock held. */
static shown_t *find_shown(const mproc_progress_t *progress, FILE *stream)
{
    shown_t *place = NULL;
    for (size_t i = 0; i < SHOWN_MAX; i++) {
        if (shown[i].progress == progress && shown[i].stream == stream) {
            /* Another one at the same address, which has begun since. */
            if (progress->elapsed >= shown[i].looked)
                return &shown[i];
            place = &shown[i];
            break;
        }
        if (!shown[i].progress && !place)
            place = &shown[i];
    }
    if (!place)
        place = &shown[next_to_forget++ % SHOWN_MAX];
    *place = (shown_t){progress, stream, -redraw_after, 0};
    return place;
}

/** Whether so much time lies between; the program may have written any number into its progress. */
static int is_after(apr_interval_time_t elapsed, apr_interval_time_t last, apr_interval_time_t least)
{
    return (uint64_t)elapsed - (uint64_t)last >= (uint64_t)least;
}

/** Whether it is worth a look where this goes. */
static int is_due(const mproc_progress_t *progress, FILE *stream)
{
    sys_lock();
    shown_t *before = find_shown(progress, stream);
    const int result = progress->is_over || is_after(progress->elapsed, before->looked, redraw_after);
    if (result)
        before->looked = progress->elapsed;
    sys_unlock();
    return result;
}

/** Whether it is time for a line where that is no terminal. */
static int is_to_be_told(const mproc_progress_t *progress, FILE *stream)
{
    sys_lock();
    shown_t *before = find_shown(progress, stream);
    const int result = progress->is_over || is_after(progress->elapsed, before->told, tell_after);
    if (result)
        before->told = progress->elapsed;
    sys_unlock();
    return result;
}

static void forget(const mproc_progress_t *progress, FILE *stream)
{
    sys_lock();
    find_shown(progress, stream)->progress = NULL;
    sys_unlock();
}

/** Write what stands in the line of a terminal, and what comes after it. */
static void rewrite(FILE *stream, const char *line, const char *after)
{
    char whole[PROGRESS_LINE_MAX + 2];
    const int length = snprintf(whole, sizeof whole, "\r%s%s", line, after);
    /* One call, so that the lines of several threads and processes do not mix. */
    fwrite(whole, 1, (size_t)length, stream);
    fflush(stream);
}

int mproc_progress_bar(void *context, const mproc_progress_t *progress)
{
    char line[PROGRESS_LINE_MAX];
    FILE *stream = context ? context : stderr;
    if (!progress || !is_due(progress, stream))
        return 0;
    const int width = sys_terminal_width(stream);
    if (width > 0 || is_to_be_told(progress, stream)) {
        progress_write_line(line, progress, width);
        if (width > 0) {
            rewrite(stream, line, progress->is_over ? "\n" : "");
        } else {
            strcat(line, "\n");
            fwrite(line, 1, strlen(line), stream);
            fflush(stream);
        }
    }
    if (progress->is_over)
        forget(progress, stream);
    return 0;
}

void mproc_progress_clear(void *context)
{
    char line[PROGRESS_LINE_MAX];
    FILE *stream = context ? context : stderr;
    const int width = sys_terminal_width(stream);
    if (width <= 0)
        return;
    const size_t room = width < PROGRESS_LINE_MAX ? (size_t)width - 1 : PROGRESS_LINE_MAX - 1;
    memset(line, ' ', room);
    line[room] = '\0';
    rewrite(stream, line, "\r");
}
