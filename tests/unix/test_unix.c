/* SPDX-License-Identifier: Apache-2.0 */
/* What only Unix has: limits, files that go away, signals, other people's forks, a killed fork server. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_thread_proc.h>

#include "handle.h"
#include "process_object.h"
#include "support/harness.h"
#include "support/support.h"
#include "trace.h"

static const char *const methods[] = {"forkserver", "fork", "spawn"};
enum { METHODS = 3 };

static int return_six(mproc_call_t *call)
{
    return call ? 6 : 0;
}

static mproc_process_opts_t options_for(int method)
{
    mproc_process_opts_t opts = {0};
    assert_success(mproc_start_method_parse(&opts.start_method, methods[method]));
    return opts;
}

/** A shell command whose output must hold a text; `%s` stands for the start method. */
static void expect_from_shell(const char *command, const char *expected)
{
    for (int i = 0; i < METHODS; i++) {
        char line[2048];
        run_t run;
        const char *arguments[] = {"/bin/sh", "-c", line, NULL};
        snprintf(line, sizeof line, "MPROC_METHOD=%s; %s", methods[i], command);
        run_program(&run, arguments[0], arguments, 60);
        if (!strstr(run.output, expected))
            fail_msg("%s\nexit code %d, and not '%s' but:\n%s", line, run.exitcode, expected, run.output);
    }
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

static void test_no_descriptors_left(void **state)
{
    struct rlimit limit, before;
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        mproc_process_t *process;
        mproc_process_opts_t opts = options_for(i);
        assert_int_equal(finish(start(return_six, opts)), 6);
        const int used = count_descriptors();
        const int first_free = dup(0);
        close(first_free);
        getrlimit(RLIMIT_NOFILE, &before);
        int failures = 0;
        /* Each number of descriptors that is too small fails cleanly at another place. */
        for (int more = 0; more < 16; more++) {
            limit = before;
            limit.rlim_cur = (rlim_t)(first_free + more);
            setrlimit(RLIMIT_NOFILE, &limit);
            apr_status_t status = mproc_process_start(&process, return_six, &opts);
            setrlimit(RLIMIT_NOFILE, &before);
            if (status == APR_SUCCESS) {
                assert_int_equal(finish(process), 6);
            } else {
                assert_int_equal(status, APR_EMFILE);
                assert_null(process);
                failures++;
            }
            assert_int_equal(count_descriptors(), used);
        }
        assert_true(failures > 0);
        assert_int_equal(finish(start(return_six, opts)), 6);
    }
}

/** Whether a creator lives cannot be seen for a while: that does not mean that it has ended. */
static int look_without_descriptors(mproc_call_t *call)
{
    struct rlimit limit, before;
    mproc_os_handle_t sentinel;
    mproc_process_t *creator = mproc_parent_process();
    const int first_free = dup(0);
    (void)call;
    close(first_free);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)first_free;
    setrlimit(RLIMIT_NOFILE, &limit);
    const int is_right = mproc_process_is_alive(creator) && mproc_process_join(creator, 0) == APR_EMFILE &&
                         mproc_process_sentinel(creator, &sentinel) == APR_EMFILE && mproc_getppid() != 0;
    setrlimit(RLIMIT_NOFILE, &before);
    if (!is_right || mproc_process_join(creator, 0) != APR_TIMEUP)
        return 1;
    return mproc_process_sentinel(creator, &sentinel) == APR_SUCCESS ? 0 : 2;
}

static void test_no_descriptors_to_watch_the_creator(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++)
        assert_int_equal(finish(start(look_without_descriptors, options_for(i))), 0);
}

static int try_without_processes(mproc_call_t *call)
{
    const int method = *(int *)mproc_call_data(call, sizeof(int));
    const struct rlimit none = {1, 1};
    mproc_process_t *process;
    mproc_process_opts_t opts = {0};
    mproc_start_method_parse(&opts.start_method, methods[method]);
    /* The fork server of this process is there first: its forks are refused by its own limit. */
    if (setgid(65534) != 0 || setuid(65534) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0)
        return 77;
    apr_status_t status = mproc_process_start(&process, return_six, &opts);
    if (status != APR_EAGAIN || process || !mproc_last_error()->text[0])
        return 1;
    /* A thread counts as well. What was refused can be launched again, with all that it was given. */
    const mproc_os_handle_t handle = 1;
    opts.start_method = MPROC_THREAD;
    opts.handles = &handle;
    opts.handle_count = 1;
    if (mproc_process_create(&process, return_six, &opts) != APR_SUCCESS)
        return 2;
    const int used = count_descriptors();
    for (int i = 0; i < 2; i++)
        if (mproc_process_launch(process) != APR_EAGAIN || mproc_process_is_alive(process) ||
            count_descriptors() != used)
            return 3;
    return mproc_process_close(process) == APR_SUCCESS && count_descriptors() == used - 1 ? 0 : 4;
}

static void test_fork_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip_because("only root can become an ordinary user");
    for (int i = 0; i < METHODS; i++) {
        mproc_process_opts_t opts = {0};
        opts.start_method = MPROC_FORK; /* has no fork server of its own yet */
        opts.data = &i;
        opts.size = sizeof i;
        assert_int_equal(finish(start(try_without_processes, opts)), 0);
    }
}

static void test_file_size_limit(void **state)
{
    struct rlimit limit, before;
    char *data = calloc(1, 1 << 20);
    mproc_process_t *process;
    (void)state;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 100000;
    mproc_process_opts_t opts = options_for(2);
    opts.data = data;
    opts.size = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &limit);
    apr_status_t status = mproc_process_start(&process, return_six, &opts);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, EFBIG);
    assert_int_equal(finish(start(return_six, opts)), 6);
    free(data);
}

/* ---- The program's file ------------------------------------------------------------------------------------------ */

static void test_program_deleted(void **state)
{
    (void)state;
    expect_from_shell("cp " PROGRAM_PROBE
                      " ./gone && ./gone $MPROC_METHOD delete 2>&1; test ! -e ./gone || echo still there",
                      "exit code 6");
}

static void test_program_replaced(void **state)
{
    (void)state;
    expect_from_shell("cp " PROGRAM_PROBE
                      " ./changed && cp /bin/false ./other && ./changed $MPROC_METHOD replace ./other 2>&1; "
                      "rm -f changed",
                      "exit code 6");
}

/** The loader of this program's kind, or NULL. */
static const char *find_loader(void)
{
    static const char *const loaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
                                          "/lib/ld-musl-x86_64.so.1"};
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++)
        if (access(loaders[i], X_OK) == 0)
            return loaders[i];
    return NULL;
}

static void test_started_by_loader(void **state)
{
    char command[1024];
    (void)state;
    if (!find_loader())
        skip_because("no loader is known here");
    snprintf(command, sizeof command, "%s %s $MPROC_METHOD 2>&1", find_loader(), PROGRAM_PROBE);
    expect_from_shell(command, "exit code 6");
    snprintf(command, sizeof command, "cp %s ./loaded && %s ./loaded $MPROC_METHOD 2>&1", PROGRAM_PROBE, find_loader());
    expect_from_shell(command, "exit code 6");
}

static void test_no_proc(void **state)
{
    run_t run;
    const char *arguments[] = {"/bin/sh", "-c", "unshare -m umount -l /proc", NULL};
    (void)state;
    if (slowdown() > 1)
        skip_because("sanitizers and emulators need /proc themselves");
    run_program(&run, arguments[0], arguments, 10);
    if (run.exitcode != 0)
        skip_because("/proc cannot be unmounted here");
    expect_from_shell("unshare -m sh -c \"umount -l /proc && " PROGRAM_PROBE " $MPROC_METHOD\" 2>&1", "exit code 6");
}

static void test_closed_standard_streams(void **state)
{
    (void)state;
    expect_from_shell(PROGRAM_PROBE " $MPROC_METHOD <&- 2>&-", "exit code 6");
    expect_from_shell(PROGRAM_PROBE " $MPROC_METHOD <&- >&- 2>&-; echo ended with $?", "ended with 0");
    expect_from_shell(PROGRAM_PROBE " $MPROC_METHOD >/dev/full 2>&1; echo ended with $?", "ended with 0");
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

static void test_ignored_sigchld(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < METHODS; i++)
        for (int j = 0; j < 20; j++)
            assert_int_equal(finish(start(return_six, options_for(i))), 6);
}

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    (void)sig;
    caught++;
}

static void test_waits_go_on_after_signals(void **state)
{
    struct sigaction action;
    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = catch_signal;
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval often = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < METHODS; i++)
        for (int j = 0; j < 50; j++)
            assert_int_equal(finish(start(return_six, options_for(i))), 6);
    assert_true(caught > 0);
}

/* ---- Fork, ours and others' -------------------------------------------------------------------------------------- */

static void *APR_THREAD_FUNC block_in_stdin(apr_thread_t *self, void *data)
{
    char line[16];
    (void)self;
    return fgets(line, sizeof line, stdin) ? data : NULL;
}

static void test_fork_while_a_thread_reads(void **state)
{
    int ends[2];
    apr_thread_t *thread;
    apr_status_t status;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], 0);
    apr_thread_create(&thread, NULL, block_in_stdin, NULL, test_pool());
    apr_sleep(50000);
    assert_int_equal(finish(start(return_six, options_for(1))), 6);
    assert_int_equal(write(ends[1], "\n", 1), 1);
    apr_thread_join(&status, thread);
}

/** Flushed before the fork, output is not written twice. */
static void test_fork_writes_nothing_twice(void **state)
{
    char path[512], text[64];
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "once");
    assert_int_equal(finish(start(return_six, options_for(1))), 6);
    fclose(file);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "once");
    apr_file_remove(path, test_pool());
}

static int sleep_on(mproc_call_t *call)
{
    (void)call;
    sleep(600);
    return 0;
}

/** Start a child and wait for its end, in a thread or a process where nothing can be asserted. */
static int can_have_children(const mproc_process_opts_t *opts)
{
    mproc_process_t *process;
    int code = 0;
    return mproc_process_start(&process, return_six, opts) == APR_SUCCESS &&
           mproc_process_finish(process, &code) == APR_SUCCESS && code == 6;
}

/** What a copy tells of its creator's child, -1 if something went wrong, and of itself. */
typedef struct told_t {
    int child;
    int copy;
} told_t;

/** A copy that somebody else's fork made can have children of its own, and those of its creator are not its own. */
static void live_as_copy(mproc_process_t *others, int pid, const mproc_process_opts_t *opts, int writer)
{
    told_t told = {pid, getpid()};
    if (mproc_process_kill(others) != MPROC_EFOREIGN || !can_have_children(opts))
        told.child = -1;
    if (write(writer, &told, sizeof told) == sizeof told)
        sleep(600);
    _exit(0);
}

/** In a new process: start a child and make a copy. */
static void live_as_root(int method, int writer)
{
    mproc_process_t *process = NULL;
    const mproc_process_opts_t opts = options_for(method);
    mproc_process_start(&process, sleep_on, &opts);
    const int pid = mproc_process_pid(process);
    if (fork() == 0)
        live_as_copy(process, pid, &opts, writer);
    sleep(600);
    _exit(0);
}

/** A copy must not keep its creator's children alive, or end them. */
static void test_foreign_fork(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        int ends[2];
        told_t told = {-1, -1};
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        const pid_t root = fork();
        if (root == 0)
            live_as_root(i, ends[1]);
        assert_int_equal(read(ends[0], &told, sizeof told), sizeof told);
        close(ends[0]);
        close(ends[1]);
        const int child_lived = told.child > 0 && lives(told.child);
        kill(root, SIGKILL);
        assert_int_equal(waitpid(root, NULL, 0), root);
        const int child_ended = told.child > 0 && is_gone_within(told.child, 10);
        const int copy_lived = told.copy > 0 && lives(told.copy);
        if (copy_lived)
            kill(told.copy, SIGKILL);
        assert_true(child_lived && child_ended && copy_lived);
    }
}

/** A child copies itself by fork: the copy is nobody's child, and asks nobody else's sentinel. */
static int copy_oneself(mproc_call_t *call)
{
    int status = -1;
    const int creator = mproc_process_pid(mproc_parent_process());
    (void)call;
    if (mproc_process_join(mproc_parent_process(), 0) != APR_TIMEUP)
        return 1;
    fflush(NULL);
    const pid_t self = getpid();
    const pid_t copy = fork();
    if (copy == 0) {
        const int is_right = mproc_parent_process() == NULL && mproc_last_error()->status == APR_ENOENT &&
                             mproc_getppid() == self && mproc_process_pid(mproc_current_process()) == getpid();
        _exit(is_right ? 0 : 1);
    }
    if (waitpid(copy, &status, 0) != copy || status != 0)
        return 2;
    return mproc_getppid() == creator ? 0 : 3;
}

static void test_copy_of_a_child(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++)
        assert_int_equal(finish(start(copy_oneself, options_for(i))), 0);
}

static atomic_int threads_go_on;
static atomic_int threads_failures;

static void *APR_THREAD_FUNC start_on(apr_thread_t *self, void *data)
{
    (void)self;
    while (atomic_load(&threads_go_on))
        if (!can_have_children(data))
            atomic_fetch_add(&threads_failures, 1);
    return NULL;
}

static void destroy_nothing(void *object)
{
    (void)object;
}

/** The lock of handles is held for a few instructions only: this has it taken most of the time. */
static void *APR_THREAD_FUNC open_handles_on(apr_thread_t *self, void *data)
{
    (void)self;
    while (atomic_load(&threads_go_on))
        handle_close(handle_open(HANDLE_PROCESS, data, destroy_nothing), HANDLE_PROCESS);
    return NULL;
}

/** Whatever other threads are doing in the library, a copy finds its locks free and its tables in one piece. */
static void test_foreign_fork_while_threads_start(void **state)
{
    enum { THREADS = 3, FORKS = 40 };
    (void)state;
    if (slowdown() > 1)
        skip_because("a sanitizer's own memory may be locked in a child that is forked beside other threads");
    for (int i = 0; i < METHODS; i++) {
        apr_thread_t *threads[THREADS];
        apr_status_t status;
        int failures = 0;
        mproc_process_opts_t opts = options_for(i);
        atomic_store(&threads_go_on, 1);
        for (int j = 0; j < THREADS; j++)
            apr_thread_create(&threads[j], NULL, j == 0 ? open_handles_on : start_on, &opts, test_pool());
        for (int j = 0; j < FORKS; j++) {
            int end = -1;
            const pid_t copy = fork();
            if (copy == 0)
                _exit(can_have_children(&opts) ? 0 : 1);
            waitpid(copy, &end, 0);
            failures += end != 0;
        }
        atomic_store(&threads_go_on, 0);
        for (int j = 0; j < THREADS; j++)
            apr_thread_join(&status, threads[j]);
        assert_int_equal(failures, 0);
    }
    assert_int_equal(atomic_load(&threads_failures), 0);
}

/* ---- The fork server --------------------------------------------------------------------------------------------- */

static int tell_server(mproc_call_t *call)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)getppid());
    write_and_close(mproc_call_handle(call, 0), text);
    return sleep_on(call);
}

/** Start a child by the fork server, and tell the server's process id. */
static mproc_process_t *start_and_find_server(pid_t *server)
{
    char text[16] = "";
    apr_file_t *reader;
    mproc_process_t *process = start_writing(&reader, tell_server, options_for(0));
    read_all(reader, text, sizeof text);
    apr_file_close(reader);
    *server = atoi(text);
    assert_true(*server > 1 && *server != getpid());
    return process;
}

static void test_terminated_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++)
        for (int j = 0; j < 300; j++) {
            mproc_process_t *process = start(sleep_on, options_for(i));
            assert_success(mproc_process_terminate(process));
            assert_int_equal(finish(process), -15);
        }
}

static void test_fork_server_killed(void **state)
{
    pid_t first, second;
    (void)state;
    mproc_process_t *process = start_and_find_server(&first);
    kill(first, SIGKILL);
    assert_int_equal(finish(process), -9);
    assert_true(is_gone_within(first, 10));
    process = start_and_find_server(&second);
    assert_int_not_equal(first, second);
    assert_success(mproc_process_stop(process, MPROC_SECONDS(10)));
    assert_int_equal(finish(process), -15);
    assert_success(mproc_terminate());
    assert_true(is_gone_within(second, 10));
}

static void test_fork_server_stopped(void **state)
{
    pid_t server;
    mproc_process_t *other;
    (void)state;
    mproc_process_opts_t opts = options_for(0);
    mproc_process_t *process = start_and_find_server(&server);
    process_startup_timeout = MPROC_MILLISECONDS(300);
    kill(server, SIGSTOP);
    assert_failure(mproc_process_start(&other, return_six, &opts), APR_TIMEUP);
    assert_failure(mproc_process_join(process, MPROC_MILLISECONDS(20)), APR_TIMEUP);
    kill(server, SIGCONT);
    process_startup_timeout = MPROC_SECONDS(30);
    assert_int_equal(finish(start(return_six, opts)), 6);
    assert_success(mproc_process_kill(process));
    assert_int_equal(finish(process), -9);
}

static void test_fork_server_survives_the_terminals_signals(void **state)
{
    pid_t server;
    (void)state;
    mproc_process_t *process = start_and_find_server(&server);
    kill(server, SIGINT);
    kill(server, SIGTERM);
    kill(server, SIGHUP);
    assert_int_equal(finish(start(return_six, options_for(0))), 6);
    assert_true(mproc_process_is_alive(process));
    assert_success(mproc_process_terminate(process)); /* but its children have those signals' meaning back */
    assert_int_equal(finish(process), -15);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

/** Whatever the event is made of: the program has closed its descriptor, and what it opened then has the number. */
static void check_replaced(int setter, int other)
{
    sys_event_t event;
    struct stat before, after;
    assert_int_equal(sys_event_adopt(&event, setter), APR_SUCCESS);
    assert_true(sys_event_is_intact(&event));
    assert_int_equal(dup2(other, (int)event.setter), (int)event.setter);
    assert_false(sys_event_is_intact(&event));
    /* What has the number now is not the library's to close. */
    const int fd = (int)event.setter;
    assert_int_equal(fstat(fd, &before), 0);
    sys_event_close(&event);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    close(fd);
}

static void test_event_whose_number_is_another_file(void **state)
{
    int ends[2], others[2];
    sys_event_t event;
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sys_event_create(&event), APR_SUCCESS);
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pipe(others), 0);
        FILE *const file = tmpfile();
        assert_non_null(file);
        const int files[] = {fileno(file), others[1]};
        check_replaced(i < 2 ? dup((int)event.setter) : ends[1], files[i % 2]);
        assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
        assert_int_equal(sys_wait(event.sentinel, 0), APR_TIMEUP);
        sys_event_close(&event);
        fclose(file);
        for (int k = 0; k < 2; k++)
            close(others[k]);
        close(ends[0]);
    }
    /* Events may have all in common but themselves. */
    sys_event_t other;
    assert_int_equal(sys_event_create(&event), APR_SUCCESS);
    assert_int_equal(sys_event_create(&other), APR_SUCCESS);
    sys_event_know(&event);
    check_replaced(dup((int)event.setter), (int)other.setter);
    assert_true(sys_event_is_intact(&event));
    assert_true(sys_event_is_intact(&other));
    sys_event_close(&event);
    sys_event_close(&other);
}

/* ---- Traces ------------------------------------------------------------------------------------------------------ */

/** A task closes all descriptors, and opens files of its own: the trace goes on, and they stay as they are. */
static void test_trace_without_descriptors(void **state)
{
    enum { FILES = 60 };
    char path[1024];
    char text[4096];
    FILE *files[FILES];
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    setenv("MPROC_TRACE", path, 1);
    trace_begin();
    assert_true(trace_is_on());
    for (int i = 0; i < 2; i++) {
        trace_instant("Pool-1", 1, "before");
        for (int fd = 3; fd < 3 + FILES; fd++)
            close(fd);
        for (int k = 0; k < FILES && i == 0; k++)
            assert_non_null(files[k] = tmpfile());
        trace_instant("Pool-1", 1, "after");
        trace_flush();
        for (int k = 0; k < FILES && i == 0; k++) {
            assert_int_equal(lseek(fileno(files[k]), 0, SEEK_END), 0);
            fclose(files[k]);
        }
    }
    trace_end();
    FILE *const file = fopen(path, "r");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    int count = 0;
    for (const char *at = text; (at = strstr(at, "\"ph\":\"i\",\"s\":\"t\"")) != NULL; at++)
        count++;
    assert_int_equal(count, 4);
    assert_non_null(strstr(text, "\n]\n"));
    remove(path);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_descriptors_left),
        cmocka_unit_test(test_no_descriptors_to_watch_the_creator),
        cmocka_unit_test(test_fork_refused),
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_program_deleted),
        cmocka_unit_test(test_program_replaced),
        cmocka_unit_test(test_started_by_loader),
        cmocka_unit_test(test_no_proc),
        cmocka_unit_test(test_closed_standard_streams),
        cmocka_unit_test(test_ignored_sigchld),
        cmocka_unit_test(test_waits_go_on_after_signals),
        cmocka_unit_test(test_fork_while_a_thread_reads),
        cmocka_unit_test(test_fork_writes_nothing_twice),
        cmocka_unit_test(test_foreign_fork),
        cmocka_unit_test(test_foreign_fork_while_threads_start),
        cmocka_unit_test(test_copy_of_a_child),
        cmocka_unit_test(test_terminated_at_once),
        cmocka_unit_test(test_fork_server_killed),
        cmocka_unit_test(test_fork_server_stopped),
        cmocka_unit_test(test_fork_server_survives_the_terminals_signals),
        cmocka_unit_test(test_event_whose_number_is_another_file),
        cmocka_unit_test(test_trace_without_descriptors),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
