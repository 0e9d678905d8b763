/* SPDX-License-Identifier: Apache-2.0 */
#include "steps.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_time.h>

#include "support/harness.h"
#include "support/support.h"

int steps_begin(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0 ? 0 : -1;
}

static int try_steps(mproc_call_t *call)
{
    (void)call;
    return steps_begin() == 0 ? 0 : 77;
}

void need_steps(void)
{
    const mproc_process_opts_t opts = {.start_method = MPROC_FORK};
    mproc_process_t *process = start(try_steps, opts);
    steps_go(process, INT_MAX, NULL, NULL);
    if (finish(process) != 0)
        skip_because("processes cannot be traced here");
}

/** The state of a process, as /proc tells it; 0 if it is gone. */
static char state_of(int pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *end = strrchr(text, ')'); /* the name before it can hold anything */
    return end && end[1] ? end[2] : 0;
}

/** What a child that was let go does next. */
typedef enum next_t { STOPS, SLEEPS, ENDS } next_t;

/** See what comes next, or what there is for the moment; a stop has a signal. An end is left to others to see. */
static next_t look(pid_t pid, int *sig)
{
    siginfo_t info;
    for (;;) {
        memset(&info, 0, sizeof info);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG), 0);
        *sig = info.si_status;
        if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)
            return STOPS;
        if (info.si_pid == pid)
            return ENDS;
        if (state_of(pid) == 'S')
            return SLEEPS;
        sched_yield(); /* it may be waiting for this CPU */
    }
}

/** Wait until the child has begun: 0, or -1 if it cannot be traced. */
static int attach(pid_t pid)
{
    int sig;
    next_t next;
    while ((next = look(pid, &sig)) == SLEEPS) {}
    if (next == ENDS)
        return -1;
    assert_int_equal(sig, SIGSTOP);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)), 0);
    return 0;
}

int steps_go(mproc_process_t *process, int count, int (*while_asleep)(void *context), void *context)
{
    enum { AT_CALL = SIGTRAP | 0x80 }; /* what a stop at a call is told by, with PTRACE_O_TRACESYSGOOD */
    const pid_t pid = mproc_process_pid(process);
    const apr_time_t end = apr_time_now() + MPROC_SECONDS(30) * slowdown();
    next_t before = STOPS;
    int is_disturbed = 0;
    int sig = 0;
    if (attach(pid) != 0)
        return 0;
    for (int done = 0; done < count;) {
        assert_true(apr_time_now() < end);
        if (before == STOPS && ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)sig) != 0)
            break;
        const next_t next = look(pid, &sig);
        if (next == ENDS)
            return 0;
        done += next == STOPS ? sig == AT_CALL : before != SLEEPS || is_disturbed;
        is_disturbed = next == SLEEPS && done < count && while_asleep && while_asleep(context);
        if (sig == AT_CALL)
            sig = 0;
        before = next;
    }
    kill(pid, SIGKILL);
    return 1;
}

/* ---- By instructions --------------------------------------------------------------------------------------------- */

void steps_end(void)
{
    raise(SIGSTOP);
}

void steps_meet(mproc_process_t *process)
{
    assert_int_equal(attach(mproc_process_pid(process)), 0);
}

/** Have it go on in a way, until it stops: the signal; it must not end. */
static int go_on(pid_t pid, int how, int sig)
{
    siginfo_t info;
    assert_int_equal(ptrace(how, pid, NULL, (void *)(intptr_t)sig), 0);
    memset(&info, 0, sizeof info);
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT) != 0)
        assert_int_equal(errno, EINTR);
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
        fail_msg("it has ended: %d", info.si_status);
    return info.si_status & 0x7f;
}

long steps_walk(mproc_process_t *process, long count)
{
    const pid_t pid = mproc_process_pid(process);
    int sig = 0;
    for (long done = 0; done < count; done++) {
        sig = go_on(pid, PTRACE_SINGLESTEP, sig == SIGTRAP ? 0 : sig);
        if (sig == SIGSTOP)
            return done;
    }
    return count;
}

void steps_kill(mproc_process_t *process)
{
    kill(mproc_process_pid(process), SIGKILL);
}

void steps_release(mproc_process_t *process)
{
    assert_int_equal(ptrace(PTRACE_DETACH, mproc_process_pid(process), NULL, NULL), 0);
}
