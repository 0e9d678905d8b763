/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many to many: ten processes put who they are and what time it is into one queue, ten others get and print that.
 */
#include <stdio.h>

#include <apr_time.h>

#include <mproc/mproc.h>

enum { EACH = 10, ROOM = 3 };

typedef struct note_t {
    int pid;
    apr_time_t time;
} note_t;

static int fail(const char *what)
{
    fprintf(stderr, "many: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

/* This runs in ten children. There is room for three notes: most of them wait here, until somebody gets some. */
static int put_note(mproc_call_t *call)
{
    note_t note = {.pid = mproc_getpid(), .time = apr_time_now()};
    return mproc_queue_put(mproc_call_queue(call, 0), &note, sizeof note, MPROC_FOREVER) == APR_SUCCESS ? 0
                                                                                                        : fail("put");
}

static void print_note(const note_t *note)
{
    apr_time_exp_t time;
    apr_time_exp_lt(&time, note->time);
    printf("process %d has put this at %02d:%02d:%02d.%03d, ", note->pid, time.tm_hour, time.tm_min, time.tm_sec,
           (int)(time.tm_usec / 1000));
    /* In two pieces, slowly: whoever came in between would be seen. */
    fflush(stdout);
    apr_sleep(MPROC_MILLISECONDS(2));
    printf("process %d has got it\n", mproc_getpid());
    /* All write to the same place: the line shall be there before another one has the lock. */
    fflush(stdout);
}

/* This runs in the other ten. A queue gives each item to one of them; how many notes one gets is left to chance. */
static int print_notes(mproc_call_t *call)
{
    mproc_queue_t *getter = mproc_call_queue(call, 0);
    mproc_lock_t *lock = mproc_call_lock(call, 1);
    note_t note;
    apr_status_t status;
    while ((status = mproc_queue_get(getter, &note, sizeof note, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        if (!mproc_has_acquired(mproc_lock_acquire(lock, MPROC_FOREVER)))
            return fail("acquire");
        print_note(&note);
        if (mproc_lock_release(lock) != APR_SUCCESS)
            return fail("release");
    }
    return status == APR_EOF ? 0 : fail("get");
}

/* Start ten processes that share an end of the queue, and the lock. */
static apr_status_t start(mproc_process_t **processes, mproc_target_t target, mproc_queue_t *end, mproc_lock_t *lock)
{
    /* Daemons do not keep their parent, should it have to end too early. */
    const mproc_process_opts_t opts = {.daemon = 1, .share = {end, lock}};
    apr_status_t status = APR_SUCCESS;
    for (int i = 0; i < EACH && status == APR_SUCCESS; i++)
        status = mproc_process_start(&processes[i], target, &opts);
    return status;
}

static int finish(mproc_process_t **processes, int count)
{
    int failures = 0;
    for (int i = 0; i < count; i++) {
        int exitcode;
        if (mproc_process_finish(processes[i], &exitcode) != APR_SUCCESS)
            return fail("finish");
        failures += exitcode != 0;
    }
    return failures;
}

int main(int argc, char **argv)
{
    mproc_queue_t *queue;
    mproc_queue_t *putter;
    mproc_queue_t *getter;
    mproc_lock_t *lock;
    mproc_process_t *processes[2 * EACH];
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_queue_create(&queue, &(mproc_queue_opts_t){.maxsize = ROOM, .item_size = sizeof(note_t)}) !=
            APR_SUCCESS ||
        mproc_queue_open_putter(&putter, queue, NULL) != APR_SUCCESS ||
        mproc_queue_open_getter(&getter, queue, NULL) != APR_SUCCESS || mproc_lock_create(&lock, NULL) != APR_SUCCESS)
        return fail("create");
    if (start(processes, put_note, putter, lock) != APR_SUCCESS ||
        start(processes + EACH, print_notes, getter, lock) != APR_SUCCESS)
        return fail("start");

    /*
     * Not before all are started: the queue would end with the first ones, if they are quick. Now it ends when the
     * ten have put their notes. If all that get were killed, those that still put would be told.
     */
    mproc_queue_close(putter);
    mproc_queue_close(getter);
    int failures = finish(processes, 2 * EACH);
    mproc_queue_close(queue);
    mproc_lock_close(lock);
    return failures != 0;
}
