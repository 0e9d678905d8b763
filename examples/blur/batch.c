/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <signal.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "processes.h"
#include "tasks.h"

/* The signal that asked this process to end. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
    /* Who asks again wants it at once. */
    signal(number, SIG_DFL);
}

static void watch_for(int number)
{
    /* A shell starts programs in the background with SIGINT ignored: then it shall stay so. */
    if (signal(number, SIG_IGN) != SIG_IGN)
        signal(number, on_interrupt);
}

int batch_is_interrupted(void)
{
    return interrupted != 0;
}

/* ---- What becomes of pictures ------------------------------------------------------------------------------------ */

/* The processes that were given one picture each send what is to be written, and nothing else. */
static void show_file(batch_t *batch, int index)
{
    picture_t picture;
    thumb_t thumb;
    const char *reason;
    if (picture_read(&picture, &reason, batch->plan->items[index].output, batch->pool) != APR_SUCCESS)
        return;
    thumb_make(&thumb, &picture);
    sheet_add(&batch->sheet, index, &thumb);
    picture_destroy(&picture);
}

void batch_done(batch_t *batch, int index, const outcome_t *outcome)
{
    const plan_item_t *item = &batch->plan->items[index];
    if (batch->sheet.pixels && outcome)
        sheet_add(&batch->sheet, index, &outcome->thumb);
    else if (batch->sheet.pixels)
        show_file(batch, index);
    if (batch->checksums && outcome)
        batch->differences += outcome->checksum != batch->checksums[index];
    report_done(&batch->report, item->input, item->output);
}

void batch_failed(batch_t *batch, int index, const char *reason)
{
    if (!interrupted)
        report_failed(&batch->report, batch->plan->items[index].input, reason);
}

/* ---- One process ------------------------------------------------------------------------------------------------- */

/* Do all that in this process. What fails is told when it is done the other way. */
static apr_interval_time_t run_here(batch_t *batch)
{
    const mproc_progress_t *progress = &batch->report.progress;
    const plan_t *plan = batch->plan;
    outcome_t outcome;
    batch->checksums = apr_pcalloc(batch->pool, (apr_size_t)plan->count * sizeof *batch->checksums);
    report_start(&batch->report, plan->count, batch->options->quiet);
    for (int i = 0; i < plan->count && !interrupted; i++) {
        const plan_item_t *item = &plan->items[i];
        const char *reason;
        buffer_t png = {NULL, 0};
        if (work_on_file(&png, &outcome, &reason, item->input, &batch->options->settings, batch->pool) == APR_SUCCESS &&
            buffer_write(png.data, png.size, &reason, item->output, item->temporary, batch->pool) == APR_SUCCESS)
            batch->checksums[i] = outcome.checksum;
        buffer_destroy(&png);
        mproc_progress_update(&batch->report.progress, (uint64_t)i + 1, 0);
        report_draw(&batch->report);
    }
    report_clear(&batch->report);
    mproc_progress_update(&batch->report.progress, progress->done, 0);
    if (!interrupted)
        report_note(&batch->report, "one process: %.1f s", (double)progress->elapsed / APR_USEC_PER_SEC);
    return progress->elapsed;
}

static void tell_difference(batch_t *batch, apr_interval_time_t alone)
{
    const double together = (double)batch->report.progress.elapsed;
    report_note(&batch->report, "%d workers: %.1f s, %.2f times as fast; %s", batch->options->jobs,
                together / APR_USEC_PER_SEC, together > 0 ? (double)alone / together : 1.0,
                batch->differences == 0 ? "the pictures are the same, byte for byte" : "but the pictures DIFFER");
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static void write_sheet(batch_t *batch)
{
    const char *reason = NULL;
    buffer_t png = {NULL, 0};
    apr_status_t status = picture_encode(&batch->sheet, &reason, &png);
    if (status == APR_SUCCESS)
        status =
            buffer_write(png.data, png.size, &reason, batch->plan->sheet, batch->plan->sheet_temporary, batch->pool);
    if (status != APR_SUCCESS)
        report_failed(&batch->report, "the contact sheet", reason);
    else if (!batch->options->quiet)
        report_note(&batch->report, "contact sheet: %s", batch->plan->sheet);
    buffer_destroy(&png);
}

batch_result_t batch_run(const plan_t *plan, const batch_options_t *options, apr_pool_t *pool)
{
    batch_t batch = {.plan = plan, .options = options, .pool = pool};
    apr_interval_time_t alone = 0;
    watch_for(SIGINT);
    watch_for(SIGTERM);
    if (plan->sheet && sheet_create(&batch.sheet, plan->count) != APR_SUCCESS)
        report_note(&batch.report, "there is not enough memory for a contact sheet");

    if (options->compare)
        alone = run_here(&batch);
    report_start(&batch.report, plan->count, options->quiet);
    if (!interrupted && options->way == BATCH_VIA_FILE)
        tasks_run(&batch);
    else if (!interrupted)
        processes_run(&batch);

    if (interrupted) {
        report_clear(&batch.report);
    } else {
        report_finish(&batch.report);
        if (options->compare)
            tell_difference(&batch, alone);
        if (batch.sheet.pixels && batch.report.progress.done > batch.report.progress.failed)
            write_sheet(&batch);
    }
    picture_destroy(&batch.sheet);
    return (batch_result_t){(int)batch.report.progress.failed + batch.differences, interrupted};
}
