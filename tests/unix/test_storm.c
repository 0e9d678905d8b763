/* SPDX-License-Identifier: Apache-2.0 */
/* Many at once, deep, and at the limits: what is left of a family afterwards is nothing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_thread_proc.h>

#include "process_object.h"
#include "support/harness.h"
#include "support/support.h"
#include "unix/processes.h"

static const mproc_start_method_t methods[] = {MPROC_FORKSERVER, MPROC_FORK, MPROC_SPAWN, MPROC_THREAD};
enum { METHODS = 4, PROCESS_METHODS = 3 };

static int return_six(mproc_call_t *call)
{
    return call ? 6 : 0;
}

static int sleep_on(mproc_call_t *call)
{
    (void)call;
    for (;;)
        sleep(600);
    return 0;
}

static mproc_process_opts_t options_for(mproc_start_method_t method)
{
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = method;
    return opts;
}

/* ---- Many at an orderly end -------------------------------------------------------------------------------------- */

/** Run until nobody holds the other end of the pipe that it was given. */
static int run_until_closed(mproc_call_t *call)
{
    char byte;
    ssize_t length;
    const int fd = (int)mproc_call_handle(call, 0);
    do {
        length = read(fd, &byte, 1);
    } while (length < 0 && errno == EINTR);
    close(fd);
    return length == 0 ? 6 : 1;
}

static void *close_later(void *data)
{
    usleep(200000);
    close(*(int *)data);
    return NULL;
}

/** Fifty children by all methods run at the end: daemons are stopped, the others are waited for until they are done. */
static void test_end_with_fifty(void **state)
{
    enum { CHILDREN = 50 };
    int ends[2];
    int pids[CHILDREN];
    pthread_t thread; /* not of APR, which ends with the library */
    (void)state;
    need_proc();
    /* A sanitizer starts a thread of its own with the first one. */
    assert_int_equal(finish(start(return_six, options_for(MPROC_THREAD))), 6);
    const int threads = count_threads();
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    for (int i = 0; i < CHILDREN; i++) {
        const mproc_os_handle_t handle = ends[0];
        mproc_process_opts_t opts = options_for(methods[i % METHODS]);
        opts.daemon = i / METHODS % 2;
        /* By fork a child inherits the writing end: that one must be ended, or all wait for each other. */
        if (opts.start_method == MPROC_FORK)
            opts.daemon = 1;
        /* Threads cannot be stopped, and a daemon among them would hold its end of the pipe. */
        if (opts.start_method == MPROC_THREAD)
            opts.daemon = 0;
        opts.handles = &handle;
        opts.handle_count = 1;
        mproc_process_t *process = start(opts.daemon ? sleep_on : run_until_closed, opts);
        pids[i] = opts.start_method == MPROC_THREAD ? 0 : mproc_process_pid(process);
    }
    size_t count = 0;
    assert_success(mproc_active_children(NULL, 0, &count));
    assert_int_equal(count, CHILDREN);
    assert_int_equal(pthread_create(&thread, NULL, close_later, &ends[1]), 0);
    assert_success(mproc_terminate());
    pthread_join(thread, NULL);
    close(ends[0]);
    for (int i = 0; i < CHILDREN; i++)
        assert_false(pids[i] && lives(pids[i]));
    assert_int_equal(children_of(getpid(), NULL, 0), 0);
    assert_int_equal(count_threads(), threads);
}

/* ---- Depth ------------------------------------------------------------------------------------------------------- */

enum { DEPTH = 6 };

typedef struct chain_t {
    int level;
    mproc_start_method_t method; /* of all levels; MPROC_DEFAULT for one or another */
    unsigned long long seed;     /* which */
} chain_t;

static mproc_process_opts_t options_for_next(chain_t *chain)
{
    const mproc_start_method_t any = methods[next_random(&chain->seed) % PROCESS_METHODS];
    return options_for(chain->method != MPROC_DEFAULT ? chain->method : any);
}

/** Tell this level's process id, start the next one below, and wait for it. */
static int nest(mproc_call_t *call)
{
    chain_t chain = *(chain_t *)mproc_call_data(call, sizeof(chain_t));
    const mproc_os_handle_t writer = mproc_call_handle(call, 0);
    const int pid = getpid();
    if (write((int)writer, &pid, sizeof pid) != sizeof pid)
        return 1;
    if (++chain.level == DEPTH)
        return sleep_on(call);
    mproc_process_t *next;
    mproc_process_opts_t opts = options_for_next(&chain);
    opts.data = &chain;
    opts.size = sizeof chain;
    opts.handles = &writer;
    opts.handle_count = 1;
    return mproc_process_start(&next, nest, &opts) == APR_SUCCESS ? mproc_process_finish(next, NULL) != APR_SUCCESS : 1;
}

static void test_killed_in_the_middle(void **state)
{
    unsigned long long seed = choose_seed();
    (void)state;
    for (int round = 0; round < 12; round++) {
        int pids[DEPTH], exitcode = 0;
        apr_file_t *reader;
        /* First all by one method, then mixed. */
        chain_t chain = {0, round < PROCESS_METHODS ? methods[round] : MPROC_DEFAULT, seed};
        const int victim = round < PROCESS_METHODS ? DEPTH / 2 : (int)(next_random(&seed) % DEPTH);
        mproc_process_opts_t opts = options_for_next(&chain);
        opts.data = &chain;
        opts.size = sizeof chain;
        mproc_process_t *top = start_writing(&reader, nest, opts);
        apr_size_t size = sizeof pids;
        assert_int_equal(apr_file_read_full(reader, pids, size, &size), APR_SUCCESS);
        kill(pids[victim], SIGKILL);
        for (int i = victim; i < DEPTH; i++)
            if (!is_gone_within(pids[i], 10))
                fail_msg("level %d was killed, but level %d (pid %d) lives", victim, i, pids[i]);
        /* Those above see their child's end, and end by themselves. */
        assert_success(mproc_process_join(top, MPROC_SECONDS(30) * slowdown()));
        assert_success(mproc_process_exitcode(top, &exitcode));
        assert_int_equal(exitcode, victim == 0 ? -9 : 0);
        assert_success(mproc_process_close(top));
        apr_file_close(reader);
    }
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

/** Start children one after the other until ended: a root of its own, so that signals to its group spare us. */
static void start_for_ever(void)
{
    setpgid(0, 0);
    for (unsigned i = 0;; i++) {
        mproc_process_t *process;
        mproc_process_opts_t opts = options_for(methods[i % PROCESS_METHODS]);
        if (mproc_process_start(&process, i % 2 ? sleep_on : return_six, &opts) != APR_SUCCESS)
            continue;
        if (i % 2)
            mproc_process_terminate(process);
        mproc_process_finish(process, NULL);
    }
}

/** SIGTERM for all of a family, again and again, while it starts children: nobody is left once its root is gone. */
static void test_terminated_group(void **state)
{
    unsigned long long random = choose_seed();
    (void)state;
    need_proc();
    /* Whoever is orphaned becomes our child, and is seen. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (int round = 0; round < 40; round++) {
        fflush(NULL);
        const pid_t root = fork();
        if (root == 0)
            start_for_ever();
        setpgid(root, root);
        apr_sleep((apr_interval_time_t)(next_random(&random) % 30000));
        for (int i = 0; i < 3; i++) {
            assert_true(kill(-root, SIGTERM) == 0 || errno == ESRCH);
            apr_sleep((apr_interval_time_t)(next_random(&random) % 1000));
        }
        const apr_time_t end = apr_time_now() + apr_time_from_sec(20) * slowdown();
        while (children_of(getpid(), NULL, 0) > 0) {
            while (waitpid(-1, NULL, WNOHANG) > 0) {}
            if (apr_time_now() > end)
                fail_msg("round %d: %d processes are left", round, children_of(getpid(), NULL, 0));
            apr_sleep(1000);
        }
    }
}

/* ---- A child's own forks ----------------------------------------------------------------------------------------- */

/** Leave a daemon in the old way, which is not the library's, and end. */
static int fork_twice(mproc_call_t *call)
{
    const int writer = (int)mproc_call_handle(call, 0);
    const pid_t first = fork();
    if (first == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        const int pid = getpid();
        if (write(writer, &pid, sizeof pid) < 0)
            _exit(1);
        alarm(120);
        for (;;)
            pause();
    }
    return first > 0 && waitpid(first, NULL, 0) == first ? 6 : 1;
}

/**
 * A process that a child forked by itself and cut loose is not of the family: it holds copies of nothing that the
 * library has, so neither joining the child nor the end of the family waits for it.
 */
static void test_double_fork(void **state)
{
    (void)state;
    for (int i = 0; i < PROCESS_METHODS; i++) {
        int pid = 0;
        apr_file_t *reader;
        apr_size_t size = sizeof pid;
        mproc_process_t *process = start_writing(&reader, fork_twice, options_for(methods[i]));
        assert_int_equal(apr_file_read_full(reader, &pid, size, &size), APR_SUCCESS);
        assert_int_equal(finish(process), 6);
        assert_true(lives(pid));
        kill(pid, SIGKILL);
        assert_true(is_gone_within(pid, 10));
        apr_file_close(reader);
    }
}

/* ---- At the limit of descriptors --------------------------------------------------------------------------------- */

typedef struct storm_t {
    unsigned long long seed;
    int starts, refused;
    apr_status_t status; /* the first that must not be */
    int exitcode;
    char text[256];
} storm_t;

/** Start, join and close at random, with a few at a time; no descriptor may be the one too many for good. */
static void *APR_THREAD_FUNC start_and_close(apr_thread_t *self, void *data)
{
    enum { AT_ONCE = 6, ROUNDS = 150 };
    storm_t *storm = data;
    mproc_process_t *running[AT_ONCE] = {NULL};
    (void)self;
    for (int i = 0; i < ROUNDS + AT_ONCE && storm->status == APR_SUCCESS && storm->exitcode == 6; i++) {
        mproc_process_t **place = &running[i % AT_ONCE];
        apr_status_t status = *place ? mproc_process_finish(*place, &storm->exitcode) : APR_SUCCESS;
        *place = NULL;
        if (status == APR_SUCCESS && i < ROUNDS) {
            const mproc_process_opts_t opts = options_for(methods[next_random(&storm->seed) % METHODS]);
            status = mproc_process_start(place, return_six, &opts);
            storm->starts += status == APR_SUCCESS;
            if (status == APR_EMFILE) {
                storm->refused++;
                status = APR_SUCCESS;
            }
        }
        if (status != APR_SUCCESS)
            snprintf(storm->text, sizeof storm->text, "%s", mproc_last_error()->text);
        storm->status = status;
    }
    return NULL;
}

static void test_storm_at_the_descriptor_limit(void **state)
{
    enum { THREADS = 3 };
    apr_thread_t *threads[THREADS];
    storm_t storms[THREADS];
    apr_status_t ignored;
    struct rlimit before;
    unsigned long long random = choose_seed();
    int refused = 0, starts = 0;
    (void)state;
    need_proc();
    for (int i = 0; i < METHODS; i++)
        assert_int_equal(finish(start(return_six, options_for(methods[i]))), 6);
    const int used = count_descriptors();
    getrlimit(RLIMIT_NOFILE, &before);
    const int first_free = dup(0);
    close(first_free);
    const struct rlimit limit = {(rlim_t)(first_free + 24), before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < THREADS; i++) {
        storms[i] = (storm_t){.seed = next_random(&random), .exitcode = 6};
        apr_thread_create(&threads[i], NULL, start_and_close, &storms[i], test_pool());
    }
    for (int i = 0; i < THREADS; i++)
        apr_thread_join(&ignored, threads[i]);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < THREADS; i++) {
        if (storms[i].status != APR_SUCCESS || storms[i].exitcode != 6)
            fail_msg("status %d, exit code %d: %s", storms[i].status, storms[i].exitcode, storms[i].text);
        refused += storms[i].refused;
        starts += storms[i].starts;
    }
    printf("%d started, %d refused\n", starts, refused);
    assert_true(refused > 0 && starts > 0);
    assert_int_equal(count_descriptors(), used);
    for (int i = 0; i < METHODS; i++)
        assert_int_equal(finish(start(return_six, options_for(methods[i]))), 6);
    assert_success(mproc_terminate());
    assert_int_equal(children_of(getpid(), NULL, 0), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_with_fifty),
        cmocka_unit_test(test_killed_in_the_middle),
        cmocka_unit_test(test_terminated_group),
        cmocka_unit_test(test_double_fork),
        cmocka_unit_test(test_storm_at_the_descriptor_limit),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
