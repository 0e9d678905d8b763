/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All calls at once, in random order, by several threads, on children that do what children should not: crash, exit
 * somewhere, close all descriptors, fork by themselves, ignore SIGTERM, have children of their own.
 *
 *     chaos [SECONDS [SEED [THREADS]]] [--kill-servers]
 *
 * It ends with 0 if each call returned what it may, each exit code was one that its child can have had, and at the end
 * no child, thread or descriptor is left. What is wrong it prints, and what each thread does if they hang. The same
 * seed makes the same choices, though not the same races. With --kill-servers the fork server is killed again and
 * again. Linux only: it looks into /proc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mproc/mproc.h>

#include "support/harness.h"
#include "support/support.h"
#include "unix/processes.h"

/* ---- What children do -------------------------------------------------------------------------------------------- */

typedef enum kind_t {
    RETURN, /* its code, at once */
    SHORT,  /* a little later */
    EXIT,   /* by exit() */
    EXIT_AT_ONCE /* by _exit() */,
    CRASH,
    ABORT,
    CLOSE_ALL,      /* its descriptors, then return */
    FORK,           /* a process that is not the library's, then return */
    NEST,           /* has children, waits for them, returns */
    NEST_AND_LEAVE, /* has a daemon that it leaves to its own end */
    NEST_AND_DIE,   /* has a child that must end with it */
    SLEEP,          /* until it is ended */
    IGNORE,         /* the same, and ignores SIGTERM */
    KINDS
} kind_t;

enum { CODE_WRONG = 251 }; /* of a child that saw something wrong */

typedef struct work_t {
    kind_t kind;
    int code;
    unsigned pause; /* microseconds */
    int method;
    int sanitized;
    int servers_die; /* the fork server is killed now and then */
    unsigned long long seed;
} work_t;

static int work(mproc_call_t *call);

static void sleep_on(void)
{
    for (;;)
        sleep(600);
}

/** Choose what a child is to do. */
static work_t choose_work(unsigned long long *random, int most, int method)
{
    work_t chosen;
    memset(&chosen, 0, sizeof chosen);
    chosen.kind = (kind_t)(next_random(random) % (unsigned)most);
    chosen.code = (int)(next_random(random) % 250);
    chosen.pause = (unsigned)(next_random(random) % 3000);
    chosen.seed = next_random(random);
    chosen.method = method;
    chosen.sanitized = slowdown() > 1;
    /* What ends the whole process is nothing for threads. */
    if (method == MPROC_THREAD && chosen.kind != SHORT && chosen.kind != NEST)
        chosen.kind = RETURN;
    /* A leak check in a forked child does not see what other threads of its creator hold. */
    if (chosen.sanitized && method == MPROC_FORK && chosen.kind == EXIT)
        chosen.kind = EXIT_AT_ONCE;
    return chosen;
}

static mproc_process_opts_t options_for(const work_t *chosen)
{
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = (mproc_start_method_t)chosen->method;
    opts.data = chosen;
    opts.size = sizeof *chosen;
    return opts;
}

static int method_below(const work_t *of, unsigned long long *random)
{
    static const mproc_start_method_t methods[] = {MPROC_FORKSERVER, MPROC_FORK, MPROC_SPAWN, MPROC_THREAD};
    /* ThreadSanitizer has no threads in forked children of several threads. */
    return (int)methods[next_random(random) % (of->method == MPROC_FORK ? 3 : 4)];
}

/** Whether an exit code is one that a child which nobody disturbed can have. */
static int is_its_own(const work_t *of, int code)
{
    if (code == -9 && of->method == MPROC_FORKSERVER && of->servers_die)
        return 1;
    switch (of->kind) {
    case CRASH:
        return code == -11;
    case ABORT:
        return code == -6;
    case NEST_AND_DIE:
        return code == -9;
    case SLEEP:
    case IGNORE:
        return 0;
    default:
        return code == of->code;
    }
}

static int nest(const work_t *own)
{
    unsigned long long random = own->seed;
    for (int i = 0; i < 2; i++) {
        mproc_process_t *process;
        int code = -1000;
        work_t below = choose_work(&random, NEST, method_below(own, &random));
        below.servers_die = own->servers_die; /* said to the first process only */
        const mproc_process_opts_t opts = options_for(&below);
        apr_status_t status = mproc_process_start(&process, work, &opts);
        if (status == MPROC_ESTARTUP && own->servers_die)
            continue;
        if (status == APR_SUCCESS)
            status = mproc_process_finish(process, &code);
        if (status == APR_SUCCESS && is_its_own(&below, code))
            continue;
        fprintf(stderr, "chaos: in a child by %d: a child by %d of kind %d ended with %d: %s\n", own->method,
                below.method, (int)below.kind, code, mproc_last_error()->text);
        return CODE_WRONG;
    }
    return own->code;
}

/** Start one that sleeps. */
static int leave_one(const work_t *own, int daemon)
{
    unsigned long long random = own->seed;
    mproc_process_t *process;
    work_t below = *own;
    below.kind = SLEEP;
    do {
        below.method = method_below(own, &random);
    } while (below.method == MPROC_THREAD);
    mproc_process_opts_t opts = options_for(&below);
    opts.daemon = daemon;
    const apr_status_t status = mproc_process_start(&process, work, &opts);
    if (status != APR_SUCCESS && !(status == MPROC_ESTARTUP && own->servers_die)) {
        fprintf(stderr, "chaos: in a child by %d: %s\n", own->method, mproc_last_error()->text);
        return CODE_WRONG;
    }
    if (!daemon)
        raise(SIGKILL);
    return own->code;
}

static int fork_alone(const work_t *own)
{
    const pid_t pid = fork();
    if (pid == 0) {
        usleep(own->pause * 5);
        _exit(0);
    }
    return own->code;
}

static int work(mproc_call_t *call)
{
    const work_t *own = mproc_call_data(call, sizeof *own);
    if (!own)
        return CODE_WRONG;
    switch (own->kind) {
    case SHORT:
        usleep(own->pause);
        break;
    case EXIT:
        exit(own->code);
    case EXIT_AT_ONCE:
        _exit(own->code);
    case CRASH:
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        break;
    case ABORT:
        signal(SIGABRT, SIG_DFL);
        abort();
    case CLOSE_ALL:
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        break;
    case FORK:
        return fork_alone(own);
    case NEST:
        return nest(own);
    case NEST_AND_LEAVE:
        return leave_one(own, 1);
    case NEST_AND_DIE:
        return leave_one(own, 0);
    case IGNORE:
        signal(SIGTERM, SIG_IGN);
        sleep_on();
        break;
    case SLEEP:
        sleep_on();
        break;
    default:
        break;
    }
    return own->code;
}

/* ---- What threads do with them ----------------------------------------------------------------------------------- */

enum { MOST_THREADS = 16, SLOTS = 8 };

/** A child. Its thread starts and closes it; others meddle. */
typedef struct slot_t {
    _Atomic(mproc_process_t *) process;
    _Atomic unsigned signals; /* that were sent to it, by number */
    work_t work;
} slot_t;

typedef struct worker_t {
    pthread_t thread;
    unsigned long long random;
    _Atomic(const char *) doing; /* for the watchdog */
    slot_t slots[SLOTS];
    int ended; /* children that it saw the end of */
} worker_t;

static worker_t workers[MOST_THREADS];
static int worker_count = 4;
static int kill_servers;
static _Atomic int stop, failures;

static void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fault(const char *format, ...)
{
    va_list values;
    if (atomic_fetch_add(&failures, 1) > 20)
        return;
    va_start(values, format);
    printf("FAULT: ");
    vprintf(format, values);
    printf("\n");
    fflush(stdout);
    va_end(values);
}

static void expect_success(apr_status_t status, const char *what, const work_t *of)
{
    if (status != APR_SUCCESS)
        fault("%s, method %d, kind %d: %d, %s", what, of->method, (int)of->kind, status, mproc_last_error()->text);
}

/** One of several statuses; the list ends with -1. */
static void expect_one_of(apr_status_t status, const char *what, const work_t *of, const apr_status_t *allowed)
{
    for (; *allowed != -1; allowed++)
        if (status == *allowed)
            return;
    fault("%s, method %d, kind %d: %d, %s", what, of->method, (int)of->kind, status, mproc_last_error()->text);
}

static void check_code(const slot_t *slot, int code)
{
    const unsigned signals = atomic_load(&slot->signals);
    if (is_its_own(&slot->work, code) || (code < 0 && code > -32 && (signals >> -code & 1)))
        return;
    fault("method %d, kind %d, code %d, signals %#x: ended with %d", slot->work.method, (int)slot->work.kind,
          slot->work.code, signals, code);
}

static void begin(worker_t *self, slot_t *slot)
{
    static const mproc_start_method_t methods[] = {MPROC_FORKSERVER, MPROC_FORK, MPROC_SPAWN, MPROC_THREAD};
    mproc_process_t *process = NULL;
    slot->work = choose_work(&self->random, KINDS, (int)methods[next_random(&self->random) % 4]);
    slot->work.servers_die = kill_servers;
    mproc_process_opts_t opts = options_for(&slot->work);
    opts.daemon = slot->work.method != MPROC_THREAD && next_random(&self->random) % 2;
    atomic_store(&slot->signals, 0);
    apr_status_t status;
    if (next_random(&self->random) % 2) {
        status = mproc_process_start(&process, work, &opts);
    } else {
        status = mproc_process_create(&process, work, &opts);
        if (status == APR_SUCCESS && next_random(&self->random) % 8 == 0) {
            expect_success(mproc_process_close(process), "close of one that was not started", &slot->work);
            return;
        }
        if (status == APR_SUCCESS)
            status = mproc_process_launch(process);
        if (status != APR_SUCCESS)
            mproc_process_close(process);
    }
    if (status == APR_SUCCESS)
        atomic_store(&slot->process, process);
    else if (status != MPROC_ESTARTUP || !kill_servers)
        expect_success(status, "start", &slot->work);
}

/** It has ended: its exit code is told, and its handle closed. */
static void end(worker_t *self, slot_t *slot)
{
    mproc_process_t *process = atomic_load(&slot->process);
    int code = -1000;
    if (next_random(&self->random) % 2) {
        expect_success(mproc_process_finish(process, &code), "finish", &slot->work);
    } else {
        expect_success(mproc_process_exitcode(process, &code), "exitcode", &slot->work);
        expect_success(mproc_process_close(process), "close", &slot->work);
    }
    check_code(slot, code);
    atomic_store(&slot->process, NULL);
    self->ended++;
}

/** Send a signal to somebody's child: who has sent what is noted before. */
static void send_signal(worker_t *self, slot_t *slot, mproc_process_t *process)
{
    static const apr_status_t allowed[] = {APR_SUCCESS, MPROC_ECLOSED, APR_ENOTIMPL, -1};
    switch (next_random(&self->random) % 4) {
    case 0:
        atomic_fetch_or(&slot->signals, 1u << SIGTERM);
        expect_one_of(mproc_process_terminate(process), "terminate", &slot->work, allowed);
        break;
    case 1:
        atomic_fetch_or(&slot->signals, 1u << SIGKILL);
        expect_one_of(mproc_process_kill(process), "kill", &slot->work, allowed);
        break;
    case 2:
        atomic_fetch_or(&slot->signals, 1u << SIGINT);
        expect_one_of(mproc_process_interrupt(process), "interrupt", &slot->work, allowed);
        break;
    default:
        atomic_fetch_or(&slot->signals, 1u << SIGTERM | 1u << SIGKILL);
        expect_one_of(mproc_process_stop(process, (apr_interval_time_t)(next_random(&self->random) % 2000)), "stop",
                      &slot->work, allowed);
        break;
    }
}

/** Ask about a child of any thread: the answer can be anything, but not what cannot be. */
static void ask(worker_t *self, const slot_t *slot, mproc_process_t *process)
{
    static const apr_status_t allowed[] = {APR_SUCCESS, APR_TIMEUP, MPROC_ECLOSED, MPROC_ESTATE, -1};
    mproc_process_t *children[4];
    size_t count;
    int code;
    switch (next_random(&self->random) % 5) {
    case 0:
        mproc_process_is_alive(process);
        break;
    case 1:
        expect_one_of(mproc_process_join(process, (apr_interval_time_t)(next_random(&self->random) % 2000)), "join",
                      &slot->work, allowed);
        break;
    case 2:
        expect_one_of(mproc_process_exitcode(process, &code), "exitcode", &slot->work, allowed);
        break;
    case 3:
        expect_success(mproc_active_children(children, 4, &count), "active_children", &slot->work);
        break;
    default:
        mproc_process_pid(process);
        break;
    }
}

/** The thread's own child: it may have ended, and then it must have ended well. */
static void look_after(worker_t *self, slot_t *slot)
{
    static const apr_status_t allowed[] = {APR_SUCCESS, APR_TIMEUP, -1};
    mproc_process_t *process = atomic_load(&slot->process);
    mproc_os_handle_t sentinel;
    apr_status_t status = APR_TIMEUP;
    switch (next_random(&self->random) % 5) {
    case 0:
        status = mproc_process_join(process, (apr_interval_time_t)(next_random(&self->random) % 3000));
        expect_one_of(status, "join", &slot->work, allowed);
        break;
    case 1:
        expect_success(mproc_process_sentinel(process, &sentinel), "sentinel", &slot->work);
        if (poll(&(struct pollfd){.fd = (int)sentinel, .events = POLLIN}, 1, (int)(next_random(&self->random) % 3)) >
            0) {
            status = mproc_process_join(process, MPROC_SECONDS(20) * slowdown());
            expect_success(status, "join of what its sentinel says has ended", &slot->work);
        }
        break;
    case 2:
        status = mproc_process_close(process);
        if (status == APR_SUCCESS) {
            atomic_store(&slot->process, NULL);
            self->ended++;
            return;
        }
        if (status != MPROC_ESTATE)
            fault("close: %d, %s", status, mproc_last_error()->text);
        break;
    default:
        send_signal(self, slot, process);
        return;
    }
    if (status == APR_SUCCESS)
        end(self, slot);
}

static void step(worker_t *self)
{
    slot_t *slot = &self->slots[next_random(&self->random) % SLOTS];
    const slot_t *other =
        &workers[next_random(&self->random) % (unsigned)worker_count].slots[next_random(&self->random) % SLOTS];
    mproc_process_t *process = atomic_load(&other->process);
    if (!atomic_load(&slot->process)) {
        atomic_store(&self->doing, "starting");
        begin(self, slot);
    } else if (next_random(&self->random) % 3) {
        atomic_store(&self->doing, "looking after its own");
        look_after(self, slot);
    } else if (process && next_random(&self->random) % 8 == 0) {
        atomic_store(&self->doing, "signalling another's");
        send_signal(self, (slot_t *)(uintptr_t)other, process);
    } else if (process) {
        atomic_store(&self->doing, "asking about another's");
        ask(self, other, process);
    }
}

static void *live(void *data)
{
    worker_t *self = data;
    while (!atomic_load(&stop))
        step(self);
    atomic_store(&self->doing, "ending its own");
    for (int i = 0; i < SLOTS; i++) {
        slot_t *slot = &self->slots[i];
        mproc_process_t *process = atomic_load(&slot->process);
        if (!process)
            continue;
        if (slot->work.kind == SLEEP || slot->work.kind == IGNORE || next_random(&self->random) % 2) {
            atomic_fetch_or(&slot->signals, 1u << SIGKILL);
            mproc_process_kill(process);
        }
        expect_success(mproc_process_join(process, MPROC_SECONDS(30) * slowdown()), "last join", &slot->work);
        end(self, slot);
    }
    atomic_store(&self->doing, "nothing any more");
    return NULL;
}

/* ---- The run ----------------------------------------------------------------------------------------------------- */

static void on_alarm(int sig)
{
    (void)sig;
    static const char text[] = "FAULT: it hangs; the threads are:\n";
    if (write(1, text, sizeof text - 1) < 0)
        _exit(3);
    for (int i = 0; i < worker_count; i++) {
        const char *doing = atomic_load(&workers[i].doing);
        if (doing && (write(1, doing, strlen(doing)) < 0 || write(1, "\n", 1) < 0))
            _exit(3);
    }
    abort();
}

/** Count the other processes of this group, which is ours alone; zombies too. */
static int count_family(void)
{
    DIR *folder = opendir("/proc");
    int count = 0;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const int pid = atoi(entry->d_name);
        count += pid > 0 && pid != getpid() && getpgid(pid) == getpgrp();
    }
    closedir(folder);
    return count;
}

/** Start and join one by each method: what is there afterwards is what there is at rest. */
static void warm_up(void)
{
    unsigned long long random = 1;
    for (int method = MPROC_FORKSERVER; method <= MPROC_THREAD; method++) {
        mproc_process_t *process;
        work_t chosen = choose_work(&random, 1, method);
        const mproc_process_opts_t opts = options_for(&chosen);
        apr_status_t status = mproc_process_start(&process, work, &opts);
        expect_success(status == APR_SUCCESS ? mproc_process_finish(process, NULL) : status, "first start", &chosen);
    }
}

/** See that what was at rest before is all there is. */
static void check_rest(int descriptors, int threads, int servers_descriptors)
{
    size_t count = 0;
    mproc_active_children(NULL, 0, &count);
    if (count != 0)
        fault("%d children are active", (int)count);
    /* A thread's number is free a moment after it was joined. */
    for (int i = 0; i < 1000 && count_threads() != threads; i++)
        usleep(5000);
    if (count_threads() != threads)
        fault("%d threads, and not %d", count_threads(), threads);
    warm_up();
    if (count_descriptors() != descriptors)
        fault("%d descriptors, and not %d", count_descriptors(), descriptors);
    const int server = server_of(getpid());
    if (!server || !has_children_within(server, 0, 10))
        fault("the fork server (%d) has %d children", server, children_of(server, NULL, 0));
    if (!has_descriptors_within(server, servers_descriptors, 10))
        fault("the fork server has %d descriptors, and not %d", descriptors_of(server), servers_descriptors);
    mproc_terminate();
    if (children_of(getpid(), NULL, 0) != 0)
        fault("%d children are left", children_of(getpid(), NULL, 0));
    /* Those that children forked by themselves need a moment. */
    for (int i = 0; i < 2000 && count_family() > 0; i++)
        usleep(5000);
    if (count_family() > 0)
        fault("%d processes are left", count_family());
}

/** Stop the threads when it is time, and disturb them until then. */
static void *conduct(void *data)
{
    const apr_time_t until = apr_time_now() + apr_time_from_sec(*(const int *)data);
    while (apr_time_now() < until) {
        const int server = kill_servers ? server_of(getpid()) : 0;
        if (server > 0)
            kill(server, SIGKILL);
        usleep(20000);
    }
    atomic_store(&stop, 1);
    return NULL;
}

static void run(int seconds, unsigned long long seed)
{
    pthread_t conductor;
    int ended = 0;
    for (int i = 0; i < worker_count; i++)
        workers[i].random = seed + (unsigned long long)i;
    pthread_create(&conductor, NULL, conduct, &seconds);
    for (int i = 1; i < worker_count; i++)
        pthread_create(&workers[i].thread, NULL, live, &workers[i]);
    /* Children of the main thread are tied to it in another way than those of others. */
    live(&workers[0]);
    pthread_join(conductor, NULL);
    for (int i = 0; i < worker_count; i++) {
        if (i > 0)
            pthread_join(workers[i].thread, NULL);
        ended += workers[i].ended;
    }
    printf("%d children\n", ended);
    if (ended < worker_count)
        fault("that is not enough to show anything");
}

int main(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS) {
        fprintf(stderr, "chaos: %s\n", mproc_last_error()->text);
        return 2;
    }
    if (argc > 1 && strcmp(argv[argc - 1], "--kill-servers") == 0) {
        kill_servers = 1;
        argc--;
    }
    const int seconds = argc > 1 ? atoi(argv[1]) : 60;
    const unsigned long long seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (unsigned long long)apr_time_now();
    if (argc > 3)
        worker_count = atoi(argv[3]);
    if (seconds < 1 || worker_count < 1 || worker_count > MOST_THREADS) {
        fprintf(stderr, "usage: chaos [SECONDS [SEED [THREADS, at most %d]]] [--kill-servers]\n", MOST_THREADS);
        return 2;
    }
    /* A group of its own: who is in it belongs to the family, also who was forked by a child itself. */
    setpgid(0, 0);
    printf("seed %llu, %d threads, %d s%s\n", seed, worker_count, seconds, kill_servers ? ", servers are killed" : "");
    fflush(stdout);
    signal(SIGALRM, on_alarm);
    alarm((unsigned)(seconds + 45 * slowdown()));
    warm_up();
    const int descriptors = count_descriptors();
    const int threads = count_threads();
    const int servers_descriptors = descriptors_of(server_of(getpid()));
    run(seconds, seed);
    check_rest(descriptors, threads, servers_descriptors);
    printf("%d faults\n", atomic_load(&failures));
    return atomic_load(&failures) > 0;
}
