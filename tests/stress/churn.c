/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that are made, opened and closed as often as can be, by processes that are killed at random instants.
 *
 *     churn [CYCLES [SEED [WORKERS [METHOD]]]]
 *
 * It ends with 0 if no call failed that should not, and if at the end the family's memory is as it was at first. The
 * same seed makes the same choices, though not the same races. Unix only: it counts in a file that all map.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "support/harness.h"
#include "support/objects.h"
#include "support/random.h"

enum { MOST_WORKERS = 64, KEPT = 40 };

/** What lies in the file. */
typedef struct board_t {
    _Atomic uint64_t cycles;
    _Atomic int stop;
    _Atomic int faults;
} board_t;

typedef struct plan_t {
    unsigned long long seed;
    char path[256];
} plan_t;

static board_t *board;

static void fault(const char *what, int status)
{
    atomic_fetch_add(&board->faults, 1);
    printf("FAULT: process %d: %s: %d, %s\n", (int)getpid(), what, status, mproc_last_error()->text);
    fflush(stdout);
}

static int map_board(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *board) != 0)
        return 0;
    void *at = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    board = at;
    return at != MAP_FAILED;
}

/** Make one of any kind and size. */
static apr_status_t make(void **object, int *kind, unsigned long long *random)
{
    *kind = (int)(next_random(random) % OBJECT_KINDS);
    if (*kind != OF_SEMAPHORE)
        return object_kinds[*kind].create(object, "churn", NULL);
    const mproc_semaphore_opts_t owned = {.owned = 1};
    mproc_semaphore_t *semaphore;
    const apr_status_t status =
        mproc_semaphore_create(&semaphore, 1 + (unsigned)(next_random(random) % MPROC_SEMAPHORE_OWNED_MAX), &owned);
    *object = semaphore;
    return status;
}

static int work(mproc_call_t *call)
{
    const plan_t *plan = mproc_call_data(call, sizeof *plan);
    void *kept[KEPT] = {NULL}, *opened;
    int kinds[KEPT] = {0};
    if (!map_board(plan->path))
        return 9;
    unsigned long long random = plan->seed;
    while (!atomic_load(&board->stop)) {
        const size_t i = (size_t)(next_random(&random) % KEPT);
        mproc_ref_t ref;
        apr_status_t status = object_kinds[kinds[i]].close(kept[i]);
        if (status == APR_SUCCESS)
            status = make(&kept[i], &kinds[i], &random);
        if (status == APR_SUCCESS)
            status = mproc_ref(&ref, kept[i]);
        if (status == APR_SUCCESS)
            status = object_kinds[kinds[i]].open(&opened, &ref, NULL);
        if (status == APR_SUCCESS)
            status = object_kinds[kinds[i]].close(opened);
        if (status != APR_SUCCESS) {
            fault("a cycle", status);
            return 1;
        }
        atomic_fetch_add(&board->cycles, 1);
    }
    return 7;
}

static mproc_process_t *start_worker(const char *path, mproc_start_method_t method, unsigned long long *random)
{
    plan_t plan;
    mproc_process_t *process;
    memset(&plan, 0, sizeof plan);
    plan.seed = next_random(random);
    snprintf(plan.path, sizeof plan.path, "%s", path);
    const mproc_process_opts_t opts = {.start_method = method, .data = &plan, .size = sizeof plan};
    const apr_status_t status = mproc_process_start(&process, work, &opts);
    if (status == APR_SUCCESS)
        return process;
    fault("start", status);
    exit(1);
}

/** See one through: killed, or at its end. */
static void finish_worker(mproc_process_t *process, int expected)
{
    int code = 0;
    const apr_status_t status = mproc_process_finish(process, &code);
    if (code != expected && status != MPROC_ESTARTUP)
        fault("a worker has ended", status == APR_SUCCESS ? code : status);
}

int main(int argc, char **argv)
{
    static mproc_process_t *processes[MOST_WORKERS];
    mproc_start_method_t method = MPROC_DEFAULT;
    mproc_family_info_t before, after;
    char path[64];
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "churn: %s\n", mproc_last_error()->text);
        return 2;
    }
    const unsigned long long cycles = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    unsigned long long random = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const int workers = argc > 3 ? atoi(argv[3]) : 4;
    if (workers < 1 || workers > MOST_WORKERS ||
        (argc > 4 && mproc_start_method_parse(&method, argv[4]) != APR_SUCCESS)) {
        fprintf(stderr, "usage: churn [CYCLES [SEED [WORKERS, 1 to %d [METHOD]]]]\n", MOST_WORKERS);
        return 2;
    }
    snprintf(path, sizeof path, "mproc-churn-%d", (int)getpid());
    if (!map_board(path))
        return 2;
    /* One that stays: there is a family, and what its first object took is taken. */
    void *object = make_object(&object_kinds[OF_CONDITION]);
    if (mproc_family_info(&before) != APR_SUCCESS)
        return 2;
    for (int i = 0; i < workers; i++)
        processes[i] = start_worker(path, method, &random);
    int kills = 0;
    while (atomic_load(&board->cycles) < cycles && atomic_load(&board->faults) == 0) {
        const size_t victim = (size_t)(next_random(&random) % (unsigned)workers);
        usleep((useconds_t)(next_random(&random) % 10000));
        if (mproc_process_kill(processes[victim]) != APR_SUCCESS)
            fault("kill", 0);
        finish_worker(processes[victim], -SIGKILL);
        processes[victim] = start_worker(path, method, &random);
        kills++;
    }
    atomic_store(&board->stop, 1);
    for (int i = 0; i < workers; i++)
        finish_worker(processes[i], 7);
    if (mproc_family_info(&after) != APR_SUCCESS || memcmp(&before, &after, sizeof before) != 0) {
        fault("the family's memory is not as at first", 0);
        mproc_dump_to(stdout);
    }
    object_kinds[OF_CONDITION].close(object);
    unlink(path);
    printf("seed %s, %d workers: %llu cycles, %d kills; %llu objects, %llu bytes at the end; %d faults\n",
           argc > 2 ? argv[2] : "1", workers, (unsigned long long)atomic_load(&board->cycles), kills,
           (unsigned long long)after.objects, (unsigned long long)after.used, atomic_load(&board->faults));
    return atomic_load(&board->faults) > 0;
}
