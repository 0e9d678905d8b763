/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_kinds.h"
#include "sync_team.h"

/* ---- Forked workers, two pipes ----------------------------------------------------------------------------------- */

/** How many tasks are under way at most: as many records as a pipe of 64 KiB takes. */
enum { WINDOW = 4096 };

static int task_in, task_out, result_in, result_out;
static pid_t forked[POOL_WORKERS_MAX];
static unsigned forked_count;

/** Records are so small that they go through a pipe whole. */
static void serve(void)
{
    pool_input_t record;
    close(task_out);
    close(result_in);
    while (read(task_in, &record, sizeof record) == (ssize_t)sizeof record) {
        record.value = busy_work(record.value, record.iterations);
        if (write(result_out, &record, sizeof record) != (ssize_t)sizeof record)
            return;
    }
}

int pool_pipes_begin(unsigned workers)
{
    int tasks[2], results[2];
    if (pipe(tasks) != 0 || pipe(results) != 0)
        return -1;
    task_in = tasks[0];
    task_out = tasks[1];
    result_in = results[0];
    result_out = results[1];
    for (; forked_count < workers; forked_count++) {
        const pid_t pid = forked[forked_count] = fork();
        if (pid < 0)
            return -1;
        if (pid == 0) {
            serve();
            _exit(0);
        }
    }
    close(task_in);
    close(result_out);
    /* Whatever a pipe takes: if it takes less than the window the parent goes on to read. */
    return fcntl(task_out, F_SETFL, O_NONBLOCK);
}

void pool_pipes_end(void)
{
    close(task_out);
    close(result_in);
    for (unsigned i = 0; i < forked_count; i++)
        waitpid(forked[i], NULL, 0);
}

static int send(uint64_t value, size_t index, uint32_t iterations)
{
    const pool_input_t task = {iterations, (uint32_t)index, value};
    return write(task_out, &task, sizeof task) == (ssize_t)sizeof task;
}

static int run_within(size_t window, const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    size_t sent = 0;
    for (size_t got = 0; got < count; got++) {
        pool_input_t result;
        while (sent < count && sent - got < window && send(values[sent], sent, iterations))
            sent++;
        if (read(result_in, &result, sizeof result) != (ssize_t)sizeof result || result.index >= count)
            return -1;
        results[result.index] = result.value;
    }
    return 0;
}

static int run_all(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return run_within(WINDOW, values, results, count, iterations);
}

static int run_one_by_one(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
    return run_within(1, values, results, count, iterations);
}

static const pool_kind_t many = {"pipes", run_all};
static const pool_kind_t one_by_one = {"pipes-one", run_one_by_one};
const pool_kind_t *const pool_pipes[] = {&many, &one_by_one, NULL};

/* ---- What there is to reach -------------------------------------------------------------------------------------- */

/** In the memory that all processes of the team have. */
static volatile uint32_t *ideal_iterations;
static unsigned ideal_workers;

static int open_ideal(void *memory)
{
    ideal_iterations = memory;
    return 0;
}

static int play_ideal(unsigned player, unsigned players, uint64_t count)
{
    volatile uint64_t result;
    (void)players;
    for (uint64_t i = 0; i < count; i++)
        result = busy_work(player, *ideal_iterations);
    (void)result;
    return 0;
}

int pool_ideal_begin(unsigned workers)
{
    static const sync_object_t object = {"ideal", open_ideal, NULL, play_ideal, 0};
    static const sync_object_t *const objects[] = {&object, NULL};
    ideal_workers = workers;
    return sync_team_open(objects, sync_team_fork);
}

void pool_ideal_end(void)
{
    sync_team_close();
}

double pool_ideal(int count, uint32_t iterations)
{
    char what[32];
    const int part = (count + (int)ideal_workers - 1) / (int)ideal_workers;
    snprintf(what, sizeof what, "ideal:%u:apart", ideal_workers);
    *ideal_iterations = iterations;
    /* It tells the time for each task of one process. */
    return sync_team_measure(what, part) / ideal_workers;
}
