/* SPDX-License-Identifier: Apache-2.0 */
/* White box: children that ignore Ctrl-C from their first moment, while what they start does not. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_object.h"
#include "support/harness.h"
#include "support/support.h"

static const mproc_start_method_t methods[] = {MPROC_FORKSERVER, MPROC_FORK, MPROC_SPAWN};
enum { METHODS = 3, SURVIVED = 7 };

static volatile sig_atomic_t interrupts;

static void count_interrupt(int sig)
{
    (void)sig;
    interrupts++;
}

static mproc_process_t *start_shielded(mproc_target_t target, mproc_process_opts_t opts)
{
    mproc_process_t *process;
    assert_success(process_create_shielded(&process, target, &opts));
    assert_success(mproc_process_launch(process));
    return process;
}

/* ---- In the child ------------------------------------------------------------------------------------------------ */

enum { RUNS, GOES_ON };

static int run_on(mproc_call_t *call)
{
    mproc_event_set(mproc_call_event(call, RUNS));
    return mproc_event_wait(mproc_call_event(call, GOES_ON), MPROC_SECONDS(60)) == APR_SUCCESS ? SURVIVED : 1;
}

/** A signal that this process sends itself has come, if it comes, when the call returns. */
static int interrupt_itself(mproc_call_t *call)
{
    (void)call;
    raise(SIGINT);
    return SURVIVED;
}

/** Ignored is not blocked: nothing is to wait for a target that wants the signal again. */
static int look_at_signals(mproc_call_t *call)
{
    struct sigaction action;
    sigset_t blocked, waiting;
    (void)call;
    if (sigaction(SIGINT, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
        return 1;
    if (sigprocmask(SIG_SETMASK, NULL, &blocked) != 0 || sigismember(&blocked, SIGINT))
        return 2;
    return sigpending(&waiting) != 0 || sigismember(&waiting, SIGINT) ? 3 : SURVIVED;
}

static int catch_itself(mproc_call_t *call)
{
    (void)call;
    signal(SIGINT, count_interrupt);
    raise(SIGINT);
    return interrupts == 1 ? SURVIVED : 1;
}

/** How a program ends that interrupts itself; in an exit code. */
static int run_interrupted_program(void)
{
    const char *const args[] = {"/bin/sh", "-c", "kill -INT $$; exit 7", NULL};
    int code;
    return mproc_subprocess_call(&code, args, NULL, MPROC_FOREVER) == APR_SUCCESS ? code : 1;
}

static int run_interrupted_child(mproc_start_method_t method, int is_shielded)
{
    mproc_process_t *process;
    int code = 1;
    const mproc_process_opts_t opts = {.start_method = method};
    apr_status_t status = is_shielded ? process_create_shielded(&process, interrupt_itself, &opts)
                                      : mproc_process_create(&process, interrupt_itself, &opts);
    if (status == APR_SUCCESS)
        status = mproc_process_launch(process);
    if (status == APR_SUCCESS)
        status = mproc_process_join(process, MPROC_SECONDS(60));
    if (status == APR_SUCCESS)
        status = mproc_process_exitcode(process, &code);
    return status == APR_SUCCESS ? code : 1;
}

/** What a shielded child starts is interrupted, unless `expected` says otherwise. */
static int start_all(mproc_call_t *call)
{
    const int *expected = mproc_call_data(call, sizeof *expected);
    if (run_interrupted_program() != *expected)
        return 1;
    for (int i = 0; i < METHODS; i++)
        if (run_interrupted_child(methods[i], 0) != *expected)
            return 10 + i;
    for (int i = 0; i < METHODS; i++)
        if (run_interrupted_child(methods[i], 1) != SURVIVED)
            return 20 + i;
    /* Those were children of its own: nothing has changed for itself. */
    return interrupt_itself(call);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void test_survives(void **state)
{
    mproc_event_t *events[2];
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        for (int k = 0; k < 2; k++)
            assert_success(mproc_event_create(&events[k], NULL));
        const mproc_process_opts_t opts = {.start_method = methods[i], .share = {events[0], events[1]}};
        mproc_process_t *process = start_shielded(run_on, opts);
        assert_success(mproc_event_wait(events[RUNS], MPROC_SECONDS(60)));
        for (int k = 0; k < 10; k++)
            assert_int_equal(kill(mproc_process_pid(process), SIGINT), 0);
        assert_success(mproc_process_interrupt(process));
        assert_success(mproc_event_set(events[GOES_ON]));
        assert_int_equal(finish(process), SURVIVED);
        for (int k = 0; k < 2; k++)
            mproc_event_close(events[k]);
    }
}

static void test_nothing_is_blocked(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        const mproc_process_opts_t opts = {.start_method = methods[i]};
        assert_int_equal(finish(start_shielded(look_at_signals, opts)), SURVIVED);
        assert_int_equal(finish(start_shielded(catch_itself, opts)), SURVIVED);
        /* And the creator is as it was. */
        sigset_t blocked;
        sigprocmask(SIG_SETMASK, NULL, &blocked);
        assert_false(sigismember(&blocked, SIGINT));
        assert_int_equal(finish(start(interrupt_itself, opts)), -2);
    }
}

static void expect_of_what_it_starts(int expected)
{
    for (int i = 0; i < METHODS; i++) {
        const mproc_process_opts_t opts = {.start_method = methods[i], .data = &expected, .size = sizeof expected};
        assert_int_equal(finish(start_shielded(start_all, opts)), SURVIVED);
    }
}

static void test_shields_nobody_else(void **state)
{
    (void)state;
    expect_of_what_it_starts(-2);
}

/** As by a shell that runs the program in the background: that was so before, and stays. */
static void test_ignored_before(void **state)
{
    (void)state;
    signal(SIGINT, SIG_IGN);
    expect_of_what_it_starts(SURVIVED);
}

static void test_handlers_of_the_creator(void **state)
{
    (void)state;
    signal(SIGINT, count_interrupt);
    expect_of_what_it_starts(-2);
}

static int look_at_disposition(mproc_call_t *call)
{
    struct sigaction action;
    (void)call;
    return sigaction(SIGINT, NULL, &action) == 0 && action.sa_handler == SIG_DFL ? SURVIVED : 1;
}

/** Signals are the process's: that one of its threads is shielded changes nothing. */
static void test_thread(void **state)
{
    (void)state;
    assert_int_equal(finish(start_shielded(look_at_disposition, (mproc_process_opts_t){.start_method = MPROC_THREAD})),
                     SURVIVED);
}

static volatile pid_t creator;

/** A forked child has its creator's handlers: as if Ctrl-C ended it. */
static void end_if_child(int sig)
{
    interrupts++;
    if (getpid() == creator)
        return;
    signal(sig, SIG_DFL);
    raise(sig);
}

/** Send SIGINT to the whole process group, again and again, from a process that ignores it: its id. */
static pid_t begin_storm(void)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    signal(SIGINT, SIG_IGN);
    alarm(60u * (unsigned)slowdown());
    for (;;) {
        kill(0, SIGINT);
        usleep(100);
    }
}

/** The moment of the start is no gap. */
static void test_interrupted_start(void **state)
{
    enum { CHILDREN = 60 };
    struct sigaction action;
    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = end_if_child;
    action.sa_flags = SA_RESTART;
    creator = getpid();
    assert_int_equal(setpgid(0, 0), 0);
    /* The fork server is nobody's child: it is shielded when it runs. */
    assert_int_equal(finish(start_shielded(interrupt_itself, (mproc_process_opts_t){.start_method = MPROC_FORKSERVER})),
                     SURVIVED);
    sigaction(SIGINT, &action, NULL);
    const pid_t storm = begin_storm();
    for (int i = 0; i < METHODS; i++) {
        const mproc_process_opts_t opts = {.start_method = methods[i]};
        const sig_atomic_t before = interrupts;
        for (int k = 0; k < CHILDREN / slowdown() + 1; k++)
            assert_int_equal(finish(start_shielded(interrupt_itself, opts)), SURVIVED);
        assert_true(interrupts > before);
    }
    kill(storm, SIGKILL);
    assert_int_equal(waitpid(storm, NULL, 0), storm);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survives),
        cmocka_unit_test(test_nothing_is_blocked),
        cmocka_unit_test(test_shields_nobody_else),
        cmocka_unit_test(test_ignored_before),
        cmocka_unit_test(test_handlers_of_the_creator),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_interrupted_start),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
