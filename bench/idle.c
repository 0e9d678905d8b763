/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waiting costs: processes that wait for something that does not come, and the processor time that they take
 * together.
 *
 *     bench/idle [processes [seconds [first]]]
 *
 * `first` leaves out so many kinds: 4 begins at queues.
 *
 * There is nothing to compare it with: what is waited for without any look at whether its owner lives costs nothing,
 * and is waited for for ever when that one is dead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mproc/mproc.h>

typedef enum kind_t { OF_LOCK, OF_EVENT, OF_CONDITION, OF_BARRIER, OF_QUEUE, OF_GETTER, KINDS } kind_t;

static const char *const names[KINDS] = {"lock",    "event", "condition",
                                         "barrier", "queue", "getter of a queue with a putter"};

static int wait_for_ever(mproc_call_t *call)
{
    const kind_t *kind = mproc_call_data(call, sizeof *kind);
    mproc_condition_t *condition;
    int item;
    if (!kind)
        return 1;
    switch (*kind) {
    case OF_LOCK:
        return mproc_lock_acquire(mproc_call_lock(call, 0), MPROC_FOREVER);
    case OF_EVENT:
        return mproc_event_wait(mproc_call_event(call, 0), MPROC_FOREVER);
    case OF_CONDITION:
        condition = mproc_call_condition(call, 0);
        return mproc_condition_acquire(condition, MPROC_FOREVER) != APR_SUCCESS ||
               mproc_condition_wait(condition, MPROC_FOREVER) != APR_SUCCESS;
    case OF_BARRIER:
        return mproc_barrier_wait(mproc_call_barrier(call, 0), NULL, MPROC_FOREVER);
    default:
        return mproc_queue_get(mproc_call_queue(call, 0), &item, sizeof item, NULL, MPROC_FOREVER);
    }
}

/** Make what nobody comes to have: it, or NULL. */
static void *make(kind_t kind, unsigned count)
{
    mproc_lock_t *lock = NULL;
    mproc_event_t *event = NULL;
    mproc_condition_t *condition = NULL;
    mproc_barrier_t *barrier = NULL;
    mproc_queue_t *queue = NULL, *putter = NULL, *getter = NULL;
    const mproc_queue_opts_t of_numbers = {.item_size = sizeof(int)};
    switch (kind) {
    case OF_LOCK:
        return mproc_lock_create(&lock, NULL) == APR_SUCCESS && mproc_lock_acquire(lock, 0) == APR_SUCCESS ? lock
                                                                                                           : NULL;
    case OF_EVENT:
        return mproc_event_create(&event, NULL) == APR_SUCCESS ? event : NULL;
    case OF_CONDITION:
        return mproc_condition_create(&condition, NULL) == APR_SUCCESS ? condition : NULL;
    case OF_BARRIER:
        return mproc_barrier_create(&barrier, count + 1, NULL) == APR_SUCCESS ? barrier : NULL;
    case OF_QUEUE:
        return mproc_queue_create(&queue, &of_numbers) == APR_SUCCESS ? queue : NULL;
    default:
        /* Who gets here looks whether those who put are dead. */
        return mproc_queue_create(&queue, &of_numbers) == APR_SUCCESS &&
                       mproc_queue_open_putter(&putter, queue, NULL) == APR_SUCCESS &&
                       mproc_queue_open_getter(&getter, queue, NULL) == APR_SUCCESS
                   ? getter
                   : NULL;
    }
}

/** The processor time of some processes, in seconds, as their scheduler counts it. */
static double processor_time(mproc_process_t *const *processes, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        char path[64];
        unsigned long long nanoseconds = 0;
        snprintf(path, sizeof path, "/proc/%d/schedstat", mproc_process_pid(processes[i]));
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%llu", &nanoseconds) == 1)
            sum += (double)nanoseconds / 1e9;
        if (file)
            fclose(file);
    }
    return sum;
}

static int measure_kind(kind_t kind, int count, unsigned seconds)
{
    enum { SETTLE = 5 };
    void *object = make(kind, (unsigned)count);
    mproc_process_t **processes = calloc((size_t)count, sizeof(mproc_process_t *));
    const mproc_process_opts_t opts = {.data = &kind, .size = sizeof kind, .share = {object}};
    int started = 0;
    while (object && processes && started < count &&
           mproc_process_start(&processes[started], wait_for_ever, &opts) == APR_SUCCESS)
        started++;
    if (started == count) {
        sleep(SETTLE);
        const double before = processor_time(processes, count);
        sleep(seconds);
        printf("%d processes that wait at a%s %s: %.2f %% of a CPU\n", count, kind == OF_EVENT ? "n" : "", names[kind],
               (processor_time(processes, count) - before) * 100 / seconds);
        fflush(stdout);
    } else {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
    }
    for (int i = 0; i < started; i++)
        mproc_process_kill(processes[i]);
    for (int i = 0; i < started; i++)
        mproc_process_finish(processes[i], NULL);
    free(processes);
    return started == count ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return 1;
    const int count = argc > 1 ? atoi(argv[1]) : 1000;
    const int seconds = argc > 2 ? atoi(argv[2]) : 10;
    const int first = argc > 3 ? atoi(argv[3]) : 0;
    if (count < 1 || seconds < 1 || first < 0) {
        fprintf(stderr, "usage: idle [processes [seconds [first]]]\n");
        return 2;
    }
    int result = 0;
    for (int kind = first; kind < KINDS; kind++)
        result |= measure_kind((kind_t)kind, count, (unsigned)seconds);
    return result;
}
