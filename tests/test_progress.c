/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and times of made-up progress, and lines in files. What terminals get, tests/unix/test_terminal.c sees. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>

#include "progress.h"
#include "support/harness.h"
#include "support/support.h"

enum { SECOND = 1000000, TENTH = SECOND / 10 };

/* ---- Rates and times --------------------------------------------------------------------------------------------- */

/** A beginning as good as any. */
static const sys_time_t birth = 1234567890;

/** Fail unless a number is near another: within so many hundredths of it. */
static void expect_near(double found, double expected, double hundredths)
{
    const double most = expected * hundredths / 100;
    if (!(found >= expected - most && found <= expected + most))
        fail_msg("%g, and not about %g", found, expected);
}

static void test_begin(void **state)
{
    mproc_progress_t progress;
    (void)state;
    memset(&progress, 0x55, sizeof progress);
    mproc_progress_begin(&progress, 7);
    assert_true(progress.done == 0 && progress.failed == 0 && progress.total == 7);
    assert_true(progress.elapsed == 0 && progress.left == -1 && progress.rate == 0 && !progress.is_over);
    mproc_progress_update(&progress, 3, 1);
    assert_true(progress.done == 3 && progress.failed == 1 && progress.total == 7);
    assert_true(progress.elapsed >= 0 && progress.elapsed < 60LL * SECOND);
}

static void test_steady(void **state)
{
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 10000, birth);
    for (int tick = 1; tick <= 6000; tick++) {
        progress_update_at(&progress, (uint64_t)tick, 0, birth + (sys_time_t)tick * TENTH);
        assert_int_equal(progress.elapsed, (apr_interval_time_t)tick * TENTH);
        expect_near(progress.rate, 10, 1);
        expect_near((double)progress.left, (10000.0 - tick) * TENTH, 1);
    }
}

/** Batches that come at once are no jumps. */
static void test_batches(void **state)
{
    enum { PERIOD = 20, BATCH = 1000 };
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 0, birth);
    for (int tick = 1; tick <= 6000; tick++) {
        progress_update_at(&progress, (uint64_t)(tick / PERIOD * BATCH), 0, birth + (sys_time_t)tick * TENTH);
        if (tick >= PERIOD)
            expect_near(progress.rate, 500, 20);
        assert_int_equal(progress.left, -1);
    }
}

/** As with workers whose first slices end nearly together: the rate is that of all, not of the moment. */
static void test_first_batches(void **state)
{
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 800, birth);
    for (int i = 0; i < 8; i++)
        progress_update_at(&progress, (uint64_t)(i + 1) * 10, 0, birth + 2 * SECOND + (sys_time_t)i * 1000);
    expect_near(progress.rate, 40, 2);
    expect_near((double)progress.left, 18.0 * SECOND, 2);
}

/** A new speed is seen soon, but not at once. */
static void test_other_speed(void **state)
{
    mproc_progress_t progress;
    uint64_t done = 0;
    (void)state;
    progress_begin_at(&progress, 0, birth);
    for (int tick = 1; tick <= 900; tick++) {
        done += tick <= 600 ? 10 : 1;
        progress_update_at(&progress, done, 0, birth + (sys_time_t)tick * TENTH);
        if (tick <= 600)
            expect_near(progress.rate, 100, 1);
        else if (tick == 605)
            assert_true(progress.rate > 80);
    }
    expect_near(progress.rate, 10, 30);
}

/** Items that take long: they differ, and between them nothing comes. */
static void test_slow_items(void **state)
{
    mproc_progress_t progress;
    uint64_t done = 0;
    int next = 0;
    (void)state;
    progress_begin_at(&progress, 1000, birth);
    for (int tick = 1; tick <= 36000; tick++) {
        if (tick >= next) {
            done += tick > 1;
            next = tick + (done % 2 ? 400 : 800);
        }
        progress_update_at(&progress, done, 0, birth + (sys_time_t)tick * TENTH);
        if (done >= 4)
            expect_near(progress.rate, 1.0 / 60, 35);
    }
}

/** A long beginning is not forgotten at once, but soon. */
static void test_slow_start(void **state)
{
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 0, birth);
    for (int tick = 1; tick <= 600; tick++)
        progress_update_at(&progress, tick < 200 ? 0 : (uint64_t)(tick - 199) * 10, 0,
                           birth + (sys_time_t)tick * TENTH);
    expect_near(progress.rate, 100, 10);
}

/** Nothing comes any more: the rate goes down, and the time grows, without an end. */
static void test_stall(void **state)
{
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 4000, birth);
    for (int tick = 1; tick <= 300; tick++)
        progress_update_at(&progress, (uint64_t)tick * 10, 0, birth + (sys_time_t)tick * TENTH);
    expect_near(progress.rate, 100, 1);
    double before = progress.rate;
    for (int tick = 301; tick <= 3000; tick++) {
        progress_update_at(&progress, 3000, 0, birth + (sys_time_t)tick * TENTH);
        assert_true(progress.rate <= before);
        before = progress.rate;
    }
    assert_true(progress.rate < 10 && progress.rate > 0);
    assert_true(progress.left > 100LL * SECOND);
    /* And comes back. */
    for (int tick = 3001; tick <= 3300; tick++)
        progress_update_at(&progress, 3000 + (uint64_t)(tick - 3000) * 10, 0, birth + (sys_time_t)tick * TENTH);
    expect_near(progress.rate, 100, 20);
}

/** Whether a progress has only numbers that make sense. */
static int is_sane(const mproc_progress_t *progress)
{
    return progress->rate >= 0 && progress->rate <= DBL_MAX && progress->elapsed >= 0 && progress->left >= -1;
}

static void test_no_time_passed(void **state)
{
    mproc_progress_t progress;
    (void)state;
    progress_begin_at(&progress, 10, birth);
    for (uint64_t i = 0; i <= 5; i++) {
        progress_update_at(&progress, i, 0, birth);
        assert_true(is_sane(&progress) && progress.elapsed == 0 && progress.rate == 0 && progress.left == -1);
    }
    progress_update_at(&progress, 5, 0, birth + SECOND);
    expect_near(progress.rate, 5, 0.001);
    assert_int_equal(progress.left, SECOND);
    /* The clock does not go back, but if. */
    progress_update_at(&progress, 6, 0, birth - SECOND);
    assert_true(is_sane(&progress) && progress.elapsed == SECOND);
}

static void test_strange_numbers(void **state)
{
    static const uint64_t steps[] = {5, 12, 3, 0, UINT64_MAX, 0, UINT64_MAX - 1, 10, 10, 11};
    (void)state;
    for (uint64_t total = 0; total <= 10; total += 10) {
        mproc_progress_t progress;
        sys_time_t now = birth;
        progress_begin_at(&progress, total, now);
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            char line[PROGRESS_LINE_MAX];
            now += i % 3 ? 1 : SECOND;
            progress_update_at(&progress, steps[i], steps[i], now);
            assert_true(is_sane(&progress));
            assert_true(progress.done == steps[i]);
            progress_write_line(line, &progress, 80);
            assert_int_equal(strlen(line), 79);
        }
        assert_int_equal(progress.left, total ? 0 : -1);
    }
    mproc_progress_t progress;
    progress_begin_at(&progress, UINT64_MAX, birth);
    progress_update_at(&progress, 1, 0, birth + 1000LL * SECOND);
    assert_int_equal(progress.left, -1);
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static const char *line_of(const mproc_progress_t *progress, int width)
{
    static char line[PROGRESS_LINE_MAX];
    memset(line, 'x', sizeof line);
    progress_write_line(line, progress, width);
    return line;
}

static mproc_progress_t made_up(uint64_t done, uint64_t total, double seconds, double rate, double left)
{
    return (mproc_progress_t){.done = done,
                              .total = total,
                              .elapsed = (apr_interval_time_t)(seconds * 1e6),
                              .rate = rate,
                              .left = (apr_interval_time_t)(left * 1e6)};
}

static void test_lines(void **state)
{
    (void)state;
    mproc_progress_t progress = made_up(0, 0, 0, 0, -1);
    assert_string_equal(line_of(&progress, 0), "0  0:00");
    progress = made_up(12, 0, 4.9, 2.5, -1);
    assert_string_equal(line_of(&progress, 0), "12  2.50/s  0:04");
    progress = made_up(0, 40, 0, 0, -1);
    assert_string_equal(line_of(&progress, 0), "0/40  0%  0:00");
    progress = made_up(10, 40, 61, 12.34, 2.1);
    assert_string_equal(line_of(&progress, 0), "10/40  25%  12.3/s  1:01  0:03 left");
    progress.failed = 3;
    assert_string_equal(line_of(&progress, 0), "10/40  25%  3 failed  12.3/s  1:01  0:03 left");
    progress = made_up(39999, 40000, 3600, 999.6, 3599.5);
    assert_string_equal(line_of(&progress, 0), "39999/40000  99%  1000/s  1:00:00  1:00:00 left");
    progress = made_up(45, 40, 360000, 1, 0);
    assert_string_equal(line_of(&progress, 0), "45/40  100%  1.00/s  100:00:00  0:00 left");
    /* In the end the rate is that of all. */
    progress = made_up(40, 40, 80, 3, 0);
    progress.is_over = 1;
    assert_string_equal(line_of(&progress, 0), "40/40  100%  30.0/min  1:20");
    progress = made_up(4, 40, 0, 0, -1);
    progress.is_over = 1;
    assert_string_equal(line_of(&progress, 0), "4/40  10%  0:00");
}

static void expect_rate(double rate, const char *text)
{
    char expected[80];
    const mproc_progress_t progress = made_up(1, 0, 1, rate, -1);
    snprintf(expected, sizeof expected, "1%s  0:01", text);
    assert_string_equal(line_of(&progress, 0), expected);
}

static void test_rates(void **state)
{
    (void)state;
    expect_rate(-1, "");
    expect_rate(0, "");
    expect_rate(NAN, "");
    expect_rate(INFINITY, "");
    expect_rate(1e300, "");
    expect_rate(1.0 / 7200, "  0.50/h");
    expect_rate(1.0 / 60, "  1.00/min");
    expect_rate(0.5, "  30.0/min");
    expect_rate(1, "  1.00/s");
    expect_rate(9.99, "  9.99/s");
    expect_rate(9.996, "  10.0/s");
    expect_rate(99.96, "  100/s");
    expect_rate(9999, "  9999/s");
    expect_rate(10000, "  10.0k/s");
    expect_rate(123456, "  123k/s");
    expect_rate(1234567, "  1.23M/s");
    expect_rate(1e9, "  1.00G/s");
    expect_rate(2.5e12, "  2.50T/s");
}

static void test_bars(void **state)
{
    (void)state;
    mproc_progress_t progress = made_up(0, 8, 0, 0, -1);
    assert_string_equal(line_of(&progress, 33), "[                ] 0/8  0%  0:00");
    progress.done = 1;
    assert_string_equal(line_of(&progress, 34), "[==>             ] 1/8  12%  0:00");
    progress.done = 8;
    assert_string_equal(line_of(&progress, 35), "[================] 8/8  100%  0:00");
    progress.done = 9;
    assert_string_equal(line_of(&progress, 35), "[================] 9/8  100%  0:00");
    /* No room, and no end. */
    assert_string_equal(line_of(&progress, 20), "9/8  100%  0:00    ");
    assert_string_equal(line_of(&progress, 6), "9/8  ");
    assert_string_equal(line_of(&progress, 1), "");
    progress.total = 0;
    assert_string_equal(line_of(&progress, 20), "9  0:00            ");
    /* Wide terminals. */
    progress.total = 9;
    const char *line = line_of(&progress, 120);
    assert_int_equal(strlen(line), 119);
    assert_memory_equal(line + 1 + 50, "] 9/9", 5);
    assert_int_equal(strlen(line_of(&progress, 100000)), PROGRESS_LINE_MAX - 1);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/** What was written to a file from its beginning. */
static const char *text_of(FILE *file)
{
    static char text[1 << 16];
    fflush(file);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fseek(file, 0, SEEK_END);
    return text;
}

static int count_lines(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void test_file(void **state)
{
    (void)state;
    FILE *const file = tmpfile();
    assert_non_null(file);
    mproc_progress_t progress = made_up(0, 1000, 0, 10, 1);
    for (int tick = 0; tick < 350; tick++) {
        progress.done = (uint64_t)tick;
        progress.elapsed = (apr_interval_time_t)tick * TENTH;
        assert_int_equal(mproc_progress_bar(file, &progress), 0);
    }
    assert_string_equal(text_of(file), "100/1000  10%  10.0/s  0:10  0:01 left\n"
                                       "200/1000  20%  10.0/s  0:20  0:01 left\n"
                                       "300/1000  30%  10.0/s  0:30  0:01 left\n");
    progress.is_over = 1;
    mproc_progress_bar(file, &progress);
    assert_non_null(strstr(text_of(file), "left\n349/1000  34%  10.0/s  0:34\n"));
    assert_int_equal(count_lines(text_of(file)), 4);
    /* The same place, but another progress: its ten seconds begin anew. */
    progress = made_up(1, 2, 5, 1, 1);
    mproc_progress_bar(file, &progress);
    progress.elapsed = 9 * SECOND;
    mproc_progress_bar(file, &progress);
    assert_int_equal(count_lines(text_of(file)), 4);
    progress.elapsed = 11 * SECOND;
    mproc_progress_bar(file, &progress);
    assert_int_equal(count_lines(text_of(file)), 5);
    /* Also if nobody has said that the one before is over. */
    progress.elapsed = 1 * SECOND;
    mproc_progress_bar(file, &progress);
    progress.elapsed = 10 * SECOND;
    mproc_progress_bar(file, &progress);
    assert_int_equal(count_lines(text_of(file)), 6);
    mproc_progress_clear(file);
    assert_int_equal(count_lines(text_of(file)), 6);
    assert_null(strchr(text_of(file), '\r'));
    fclose(file);
    assert_int_equal(mproc_progress_bar(NULL, NULL), 0);
}

/** Programs may write what they like into a progress of their own. */
static void test_strange_times(void **state)
{
    static const apr_interval_time_t times[] = {INT64_MAX, INT64_MIN, INT64_MAX - 1, -1, 0, INT64_MIN + 1, INT64_MAX};
    enum { MANY = sizeof times / sizeof times[0] };
    (void)state;
    FILE *const file = tmpfile();
    assert_non_null(file);
    for (int i = 0; i < MANY; i++) {
        mproc_progress_t progress = {
            .done = 1, .total = 2, .elapsed = times[i], .rate = 1, .left = times[MANY - 1 - i]};
        for (int k = 0; k < 2; k++) {
            assert_int_equal(mproc_progress_bar(file, &progress), 0);
            progress.elapsed = times[(i + 1) % MANY];
        }
        progress.is_over = 1;
        assert_int_equal(mproc_progress_bar(file, &progress), 0);
    }
    assert_in_range(count_lines(text_of(file)), MANY, 3 * MANY);
    fclose(file);
}

enum { THREADS = 40, CALLS = 200 };

typedef struct teller_t {
    FILE *file;
    uint64_t total;
} teller_t;

static void *APR_THREAD_FUNC tell(apr_thread_t *self, void *context)
{
    const teller_t *teller = context;
    mproc_progress_t progress = made_up(0, teller->total, 0, 1, 1);
    (void)self;
    for (int i = 1; i <= CALLS; i++) {
        progress.done = (uint64_t)i;
        progress.elapsed += SECOND;
        progress.is_over = i == CALLS;
        mproc_progress_bar(teller->file, &progress);
    }
    return NULL;
}

/** More bars than the library remembers, from as many threads: whole lines, and each tells its end. */
static void test_threads(void **state)
{
    apr_thread_t *threads[THREADS];
    teller_t tellers[THREADS];
    apr_status_t result;
    (void)state;
    FILE *const file = tmpfile();
    assert_non_null(file);
    for (int i = 0; i < THREADS; i++) {
        tellers[i] = (teller_t){file, 1000 + (uint64_t)i};
        assert_int_equal(apr_thread_create(&threads[i], NULL, tell, &tellers[i], test_pool()), APR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++)
        apr_thread_join(&result, threads[i]);
    int ends = 0;
    rewind(file);
    for (char line[200]; fgets(line, sizeof line, file);) {
        int done, total, percent;
        assert_non_null(strchr(line, '\n'));
        assert_int_equal(sscanf(line, "%d/%d  %d%%  ", &done, &total, &percent), 3);
        assert_in_range(total, 1000, 1000 + THREADS - 1);
        assert_int_equal(percent, done * 100 / total);
        ends += done == CALLS;
    }
    assert_int_equal(ends, THREADS);
    fclose(file);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin),          cmocka_unit_test(test_steady),
        cmocka_unit_test(test_batches),        cmocka_unit_test(test_first_batches),
        cmocka_unit_test(test_other_speed),    cmocka_unit_test(test_slow_items),
        cmocka_unit_test(test_slow_start),     cmocka_unit_test(test_stall),
        cmocka_unit_test(test_no_time_passed), cmocka_unit_test(test_strange_numbers),
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_rates),
        cmocka_unit_test(test_bars),           cmocka_unit_test(test_file),
        cmocka_unit_test(test_strange_times),  cmocka_unit_test(test_threads),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
