/* SPDX-License-Identifier: Apache-2.0 */
/* External programs on Unix: signals, closed streams, permissions, what the system is left with. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"
#include "unix/processes.h"

#define PROGRAM(...) ((const char *const[]){PROGRAM_COMMANDS, __VA_ARGS__, NULL})
#define SHELL(command) ((const char *const[]){"/bin/sh", "-c", command, NULL})

static void expect_code(const char *const *args, int expected)
{
    int exitcode;
    assert_success(mproc_subprocess_call(&exitcode, args, NULL, patience()));
    assert_int_equal(exitcode, expected);
}

/** What this process ignores or blocks the program does not: SIGPIPE, and each signal that is blocked. */
static void test_signals_are_restored(void **state)
{
    sigset_t set, before;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &before);
    expect_code(SHELL("kill -PIPE $$; exit 3"), -SIGPIPE);
    expect_code(SHELL("kill -TERM $$; exit 3"), -SIGTERM);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* Writing to a program that has ended does not end this one. */
    signal(SIGPIPE, SIG_DFL);
    mproc_subprocess_opts_t opts = {0};
    opts.input = "x";
    opts.input_size = 1;
    assert_success(mproc_subprocess_call(NULL, SHELL("exec <&-; sleep 0.1"), &opts, patience()));
}

/** What a program writes when its time is up and it is asked to end, more than a pipe holds, is not lost. */
static void test_last_words(void **state)
{
    enum { SIZE = 300000 };
    static const char command[] =
        "trap 'head -c 300000 /dev/zero; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_output = mproc_stdio_pipe();
    opts.grace = patience();
    assert_failure(mproc_subprocess_run(&done, SHELL(command), &opts, MPROC_SECONDS(1)), APR_TIMEUP);
    assert_int_equal(done.exitcode, 7);
    assert_int_equal(done.output_size, SIZE + strlen("ready\n"));
    mproc_completed_clear(&done);
}

/** Without standard streams of its own, a process can run programs, and their pipes are not mixed up. */
static int run_without_streams(mproc_call_t *call)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)call;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    opts.input = "in";
    opts.input_size = 2;
    opts.standard_output = opts.standard_error = mproc_stdio_pipe();
    if (mproc_subprocess_run(&done, SHELL("cat; echo err >&2"), &opts, patience()) != APR_SUCCESS)
        return 1;
    const int is_right = strcmp(done.output, "in") == 0 && strcmp(done.error_output, "err\n") == 0;
    mproc_completed_clear(&done);
    opts.input = NULL;
    opts.input_size = 0;
    opts.standard_error = mproc_stdio_of_kind(MPROC_STDIO_INHERIT);
    if (mproc_subprocess_run(&done, PROGRAM("--count"), &opts, patience()) != APR_SUCCESS)
        return 2;
    const int has_none = strcmp(done.output, "0") == 0 || strcmp(done.output, "-1") == 0;
    mproc_completed_clear(&done);
    return is_right && has_none ? 0 : 3;
}

static void test_closed_streams(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    for (int i = 0; i < 2; i++) {
        opts.start_method = i ? MPROC_FORK : MPROC_SPAWN;
        assert_int_equal(finish(start(run_without_streams, opts)), 0);
    }
}

/** A stream that exec would close is closed to the program, which has the null device then. */
static int run_with_closing_input(mproc_call_t *call)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)call;
    fcntl(0, F_SETFD, FD_CLOEXEC);
    opts.standard_output = mproc_stdio_pipe();
    if (mproc_subprocess_run(&done, SHELL("cat && echo empty"), &opts, patience()) != APR_SUCCESS)
        return 1;
    const int is_right = strcmp(done.output, "empty\n") == 0;
    mproc_completed_clear(&done);
    return is_right ? 0 : 2;
}

static void test_closing_stream(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    opts.start_method = MPROC_SPAWN;
    assert_int_equal(finish(start(run_with_closing_input, opts)), 0);
}

/** A process whose folder is gone can run programs elsewhere. */
static int run_from_nowhere(mproc_call_t *call)
{
    char folder[] = "/tmp/mproc-gone-XXXXXX";
    const char *const by_name[] = {"true", NULL}, *const by_path[] = {"/bin/sh", "-c", "true", NULL};
    const char *const relative[] = {"./true", NULL};
    const char *const changes[] = {"PATH=/usr/bin:/bin", NULL}, *const with_own[] = {"PATH=/usr/bin::/bin", NULL};
    mproc_subprocess_opts_t opts = {0};
    (void)call;
    if (!mkdtemp(folder) || chdir(folder) != 0 || rmdir(folder) != 0)
        return 1;
    opts.directory = "/";
    opts.environment_changes = changes;
    if (mproc_subprocess_check_call(by_name, &opts, patience()) != APR_SUCCESS ||
        mproc_subprocess_check_call(by_path, &opts, patience()) != APR_SUCCESS)
        return 2;
    if (mproc_subprocess_check_call(relative, &opts, patience()) != APR_ENOENT)
        return 3;
    opts.environment_changes = with_own;
    return mproc_subprocess_check_call(by_name, &opts, patience()) == APR_ENOENT ? 0 : 4;
}

static void test_no_folder(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    opts.start_method = MPROC_SPAWN;
    assert_int_equal(finish(start(run_from_nowhere, opts)), 0);
}

static void test_script(void **state)
{
    char path[512];
    mproc_subprocess_t *subprocess;
    (void)state;
    apr_file_t *file = make_file(path, sizeof path);
    apr_file_puts("#!/bin/sh\nexit 6\n", file);
    apr_file_close(file);
    const char *const args[] = {path, NULL};
    assert_failure(mproc_subprocess_start(&subprocess, args, NULL), APR_EACCES);
    assert_error_names(path);
    chmod(path, 0700);
    expect_code(args, 6);
    /* What is no program is a failure of the system's own. */
    assert_int_equal(apr_file_open(&file, path, APR_WRITE | APR_TRUNCATE, 0, test_pool()), APR_SUCCESS);
    apr_file_puts("no program\n", file);
    apr_file_close(file);
    assert_int_not_equal(mproc_subprocess_start(&subprocess, args, NULL), APR_SUCCESS);
    assert_error_names(path);
    apr_file_remove(path, test_pool());
}

/** Along PATH a file that may not be executed is passed over, and told of if there is no other. */
static void test_passed_over(void **state)
{
    char folder[] = "/tmp/mproc-path-XXXXXX";
    const char *const args[] = {"true", NULL};
    const char *changes[] = {NULL, NULL};
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    const char *path = apr_pstrcat(test_pool(), folder, "/true", NULL);
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    opts.environment_changes = changes;
    changes[0] = apr_pstrcat(test_pool(), "PATH=", folder, ":/nowhere:/usr/bin:/bin", NULL);
    assert_success(mproc_subprocess_check_call(args, &opts, patience()));
    changes[0] = apr_pstrcat(test_pool(), "PATH=", folder, ":/nowhere", NULL);
    assert_failure(mproc_subprocess_check_call(args, &opts, patience()), APR_EACCES);
    unlink(path);
    rmdir(folder);
}

static void test_yes_and_head(void **state)
{
    const char *const yes[] = {"yes", NULL};
    const char *const head[] = {"head", "-n", "2", NULL};
    const char *const *commands[] = {yes, head};
    int exitcodes[2];
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_output = mproc_stdio_pipe();
    assert_success(mproc_subprocess_pipeline(&done, exitcodes, commands, 2, &opts, patience()));
    assert_string_equal(done.output, "y\ny\n");
    assert_int_equal(exitcodes[0], -SIGPIPE);
    mproc_completed_clear(&done);
}

/** Files that are made for a program are as others. */
static void test_permissions_of_files(void **state)
{
    char path[512];
    struct stat info;
    (void)state;
    const mode_t mask = umask(027);
    apr_file_close(make_file(path, sizeof path));
    for (int i = 0; i < 2; i++) {
        mproc_subprocess_opts_t opts = {0};
        opts.standard_output = i ? mproc_stdio_append(path) : mproc_stdio_file(path);
        unlink(path);
        assert_success(mproc_subprocess_call(NULL, SHELL("echo"), &opts, patience()));
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0640);
    }
    unlink(path);
    umask(mask);
}

/** A process without any environment can run programs. */
static void test_no_environment(void **state)
{
    extern char **environ;
    char **const own = environ;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    environ = NULL;
    const apr_status_t status = mproc_subprocess_call(NULL, (const char *const[]){"true", NULL}, &opts, patience());
    environ = own;
    assert_int_equal(status, APR_SUCCESS);
}

/** Start a program, and wait until it is ready. */
static mproc_subprocess_t *begin_ready(const char *const *args)
{
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    char *line;
    opts.standard_output = mproc_stdio_pipe();
    assert_success(mproc_subprocess_start(&subprocess, args, &opts));
    assert_success(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()));
    mproc_free(line);
    return subprocess;
}

#define GROUP(how) ((const char *const[]){PROGRAM_GROUP, how, NULL})

/** Where a program belongs: to a group and a session of its own, or to its creator's. */
static int belongs(mproc_group_t group, int detached, int has_group, int has_session)
{
    int pgrp, session;
    char *line;
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    opts.group = group;
    opts.detached = detached;
    opts.standard_output = mproc_stdio_pipe();
    if (mproc_subprocess_start(&subprocess, GROUP("--tell"), &opts) != APR_SUCCESS ||
        mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()) != APR_SUCCESS)
        return 0;
    const int pid = mproc_subprocess_pid(subprocess);
    const int is_told = sscanf(line, "%d %d", &pgrp, &session) == 2;
    mproc_free(line);
    mproc_subprocess_finish(subprocess, NULL);
    return is_told && pgrp == (has_group ? pid : getpgrp()) && session == (has_session ? pid : getsid(0));
}

static int run_groups(mproc_call_t *call)
{
    (void)call;
    if (!belongs(MPROC_GROUP_DEFAULT, 0, 1, 0) || !belongs(MPROC_GROUP_OWN, 0, 1, 0) ||
        !belongs(MPROC_GROUP_CREATOR, 0, 0, 0) || !belongs(MPROC_GROUP_DEFAULT, 1, 1, 1))
        return 1;
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0 || setsid() < 0)
        return 2;
    const int slave = open(ptsname(terminal), O_RDWR);
    if (slave < 0 || dup2(slave, 0) != 0)
        return 3;
    /* It can read the terminal only as one of this process's group. */
    return belongs(MPROC_GROUP_DEFAULT, 0, 0, 0) && belongs(MPROC_GROUP_OWN, 0, 1, 0) ? 0 : 4;
}

static void test_groups(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    opts.start_method = MPROC_SPAWN;
    opts.standard_input = mproc_stdio_null();
    assert_int_equal(finish(start(run_groups, opts)), 0);
}

/** Nobody at the other end of a named pipe is no reason to wait, and its readers and writers wait as usual. */
static void test_named_pipes(void **state)
{
    char path[512];
    int exitcode;
    mproc_subprocess_opts_t reading = {0}, writing = {0}, piped = {0};
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    reading.standard_input = writing.standard_output = mproc_stdio_file(path);
    assert_success(mproc_subprocess_call(&exitcode, SHELL("cat"), &reading, patience()));
    assert_int_equal(exitcode, 0);
    assert_failure(mproc_subprocess_call(&exitcode, SHELL("echo"), &writing, patience()), ENXIO);
    const int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    writing.standard_input = reading.standard_input;
    piped.standard_input = piped.standard_output = piped.standard_error = mproc_stdio_pipe();
    for (int i = 0; i < 2; i++) {
        assert_success(mproc_subprocess_call(&exitcode, GROUP("--nonblocking"), i ? &piped : &writing, patience()));
        assert_int_equal(exitcode, 0);
    }
    close(reader);
    unlink(path);
}

/** Those in the group that do not want to end are killed when the program has ended. */
static void test_stubborn_child(void **state)
{
    char *line;
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_output = mproc_stdio_pipe();
    assert_success(mproc_subprocess_start(&subprocess,
                                          SHELL("(trap '' TERM; echo; sleep 600; sleep 600) & echo $!; wait"), &opts));
    int pid = 0;
    for (int i = 0; i < 2; i++) {
        assert_success(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()));
        pid = *line ? atoi(line) : pid;
        mproc_free(line);
    }
    assert_true(lives(pid));
    assert_success(mproc_subprocess_stop(subprocess, patience()));
    assert_true(is_gone_within(pid, 20));
    assert_success(mproc_subprocess_close(subprocess));
}

/** One that has left its group is ended all the same. */
static void test_program_leaves_group(void **state)
{
    int exitcode;
    (void)state;
    mproc_subprocess_t *subprocess = begin_ready(GROUP("--leave"));
    assert_success(mproc_subprocess_stop(subprocess, MPROC_MILLISECONDS(50)));
    assert_success(mproc_subprocess_exitcode(subprocess, &exitcode));
    assert_int_equal(exitcode, -SIGKILL);
    assert_success(mproc_subprocess_close(subprocess));
}

static int stop_as_nobody(mproc_call_t *call)
{
    (void)call;
    mproc_subprocess_t *subprocess = begin_ready(GROUP("--mixed"));
    if (setuid(65534) != 0)
        return 1;
    if (mproc_subprocess_terminate(subprocess) != APR_EACCES || mproc_subprocess_kill(subprocess) != APR_EACCES)
        return 2;
    const apr_time_t before = apr_time_now();
    if (mproc_subprocess_stop(subprocess, MPROC_MILLISECONDS(50)) != APR_EACCES)
        return 3;
    return apr_time_now() - before < MPROC_SECONDS(10) ? 0 : 4;
}

/** One that may not be ended is not waited for, even if another of its group was killed. */
static void test_forbidden(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    if (getuid() != 0)
        skip_because("only root can become an ordinary user");
    opts.start_method = MPROC_FORK;
    assert_int_equal(finish(start(stop_as_nobody, opts)), 0);
}

/** At the end all are asked once, and their graces run side by side. */
static void test_ends_at_once(void **state)
{
    enum { COUNT = 4 };
    char path[512], text[100];
    const char *changes[2] = {NULL, NULL};
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    changes[0] = apr_pstrcat(test_pool(), "FILE=", path, NULL);
    opts.standard_output = mproc_stdio_pipe();
    opts.environment_changes = changes;
    opts.grace = MPROC_SECONDS(1) * slowdown();
    for (int i = 0; i < COUNT; i++) {
        mproc_subprocess_t *subprocess;
        char *line;
        assert_success(mproc_subprocess_start(
            &subprocess, SHELL("trap 'printf x >> \"$FILE\"' TERM; echo; while :; do sleep 0.1; done"), &opts));
        assert_success(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()));
        mproc_free(line);
    }
    const apr_time_t before = apr_time_now();
    assert_success(mproc_terminate());
    const apr_time_t taken = apr_time_now() - before;
    assert_success(mproc_initialize(0, NULL));
    assert_true(taken >= opts.grace && taken < COUNT * opts.grace);
    /* The tests' pool went with the library. */
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    unlink(path);
    assert_string_equal(text, "xxxx");
}

/** One in the background that writes for ever does not keep a run from its end. */
static void test_background_writer(void **state)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_output = opts.standard_error = mproc_stdio_pipe();
    opts.output_max = 1000;
    assert_success(mproc_subprocess_run(&done, SHELL("yes & echo $! >&2"), &opts, patience()));
    /* The pipe is closed by then, so that it ends by itself. */
    assert_true(is_gone_within(atoi(done.error_output), 20));
    mproc_completed_clear(&done);
}

/** No zombie stays of programs that ended, that failed to start, or that were detached and closed. */
static void test_no_zombies(void **state)
{
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    const char *const missing[] = {"/no-such-program", NULL};
    (void)state;
    need_proc();
    const int children = children_of(getpid(), NULL, 0);
    for (int i = 0; i < 50; i++) {
        expect_code(PROGRAM("--exit", "2"), 2);
        assert_failure(mproc_subprocess_start(&subprocess, missing, NULL), APR_ENOENT);
        opts.detached = 1;
        assert_success(mproc_subprocess_start(&subprocess, PROGRAM("--exit", "0"), &opts));
        assert_success(mproc_subprocess_close(subprocess));
    }
    /* The detached ones may still run when the next one starts, and are seen later. */
    const apr_time_t end = apr_time_now() + patience();
    while (children_of(getpid(), NULL, 0) != children && apr_time_now() < end)
        expect_code(PROGRAM("--exit", "2"), 2);
    assert_int_equal(children_of(getpid(), NULL, 0), children);
}

/** Nor of one that nobody has started another after, when the library ends. */
static void test_no_zombie_at_end(void **state)
{
    siginfo_t info;
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.detached = 1;
    assert_success(mproc_subprocess_start(&subprocess, PROGRAM("--sleep", "1"), &opts));
    const pid_t pid = mproc_subprocess_pid(subprocess);
    assert_success(mproc_subprocess_close(subprocess));
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_success(mproc_terminate());
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_success(mproc_initialize(0, NULL));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_are_restored),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_closed_streams),
        cmocka_unit_test(test_closing_stream),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_passed_over),
        cmocka_unit_test(test_yes_and_head),
        cmocka_unit_test(test_permissions_of_files),
        cmocka_unit_test(test_no_environment),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_named_pipes),
        cmocka_unit_test(test_stubborn_child),
        cmocka_unit_test(test_program_leaves_group),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_ends_at_once),
        cmocka_unit_test(test_background_writer),
        cmocka_unit_test(test_no_zombies),
        cmocka_unit_test(test_no_zombie_at_end),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
