/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R12: Ctrl-C and SIGTERM for the whole process group of a terminal end a family in order, with at most one line. What
 * a terminal does to a program with a pool of workers. And what it shows of progress.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/support.h"

enum { MEMBERS = 5 };

typedef struct terminal_t {
    int master;
    pid_t root;
    char text[8192]; /* all that was shown */
    size_t length;
    int pids[MEMBERS];
} terminal_t;

/** Make a terminal: the name of its other end. */
static const char *make_terminal(terminal_t *terminal)
{
    memset(terminal, 0, sizeof *terminal);
    terminal->master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal->master >= 0);
    assert_int_equal(grantpt(terminal->master), 0);
    assert_int_equal(unlockpt(terminal->master), 0);
    return ptsname(terminal->master);
}

/** In a forked child: have the terminal, in a session of its own. */
static void enter_terminal(const terminal_t *terminal, const char *name)
{
    setsid();
    const int slave = open(name, O_RDWR);
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++)
        dup2(slave, fd);
    close(slave);
    close(terminal->master);
}

/** Run a program with a terminal of its own. */
static void open_terminal(terminal_t *terminal, const char *const *args)
{
    const char *name = make_terminal(terminal);
    fflush(NULL);
    terminal->root = fork();
    if (terminal->root > 0)
        return;
    enter_terminal(terminal, name);
    execv(args[0], (char *const *)(uintptr_t)args);
    _exit(126);
}

/** Read what is shown for a while; 0 when the terminal's last user is gone. */
static int look(terminal_t *terminal, int milliseconds)
{
    struct pollfd item = {.fd = terminal->master, .events = POLLIN};
    if (poll(&item, 1, milliseconds) <= 0)
        return 1;
    const ssize_t more =
        read(terminal->master, terminal->text + terminal->length, sizeof terminal->text - 1 - terminal->length);
    if (more <= 0)
        return 0;
    terminal->length += (size_t)more;
    terminal->text[terminal->length] = '\0';
    return 1;
}

static void wait_until_complete(terminal_t *terminal)
{
    for (int i = 0; i < 3000 * slowdown(); i++) {
        int count = 0;
        for (const char *at = terminal->text; (at = strstr(at, "child ")) != NULL && count < MEMBERS; at += 6)
            if (strchr(at, '\n'))
                terminal->pids[count++] = atoi(at + 6);
        if (count == MEMBERS)
            return;
        look(terminal, 10);
    }
    fail_msg("the family did not come together:\n%s", terminal->text);
}

static int count_lines(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void check_end(const char *method, int by_key)
{
    terminal_t terminal;
    int status;
    const char *const args[] = {PROGRAM_FAMILY, method, NULL};
    open_terminal(&terminal, args);
    wait_until_complete(&terminal);
    const size_t before = terminal.length;
    if (by_key)
        assert_int_equal(write(terminal.master, "\003", 1), 1);
    else
        assert_int_equal(kill(-terminal.root, SIGTERM), 0);
    const int sig = by_key ? SIGINT : SIGTERM;
    assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig);
    for (int i = 0; i < MEMBERS; i++)
        if (!is_gone_within(terminal.pids[i], 10))
            fail_msg("%s: pid %d outlived its family", method, terminal.pids[i]);
    for (int i = 0; i < 100 && look(&terminal, 20); i++) {}
    if (count_lines(terminal.text + before) > 1)
        fail_msg("%s: more than a line was shown:\n%s", method, terminal.text + before);
    close(terminal.master);
}

static void test_interrupt_by_key(void **state)
{
    (void)state;
    check_end("forkserver", 1);
    check_end("fork", 1);
    check_end("spawn", 1);
}

static void test_termination_of_the_group(void **state)
{
    (void)state;
    check_end("forkserver", 0);
    check_end("fork", 0);
    check_end("spawn", 0);
}

/* ---- Pools of workers -------------------------------------------------------------------------------------------- */

/** How many processes of a session live; -1 if there is no /proc that says so. */
static int count_session(pid_t session)
{
    DIR *folder = opendir("/proc");
    int count = 0, known = 0;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300], text[512];
        int of = 0;
        char how = 'Z';
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        const char *end = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
        fclose(file);
        if (!end || sscanf(end + 1, " %c %*d %*d %d", &how, &of) != 2)
            continue;
        known++;
        count += of == session && how != 'Z';
    }
    closedir(folder);
    return known ? count : -1;
}

/** See that nothing of a session is left: no worker, no fork server. */
static void expect_nothing_left(pid_t session)
{
    const apr_time_t end = apr_time_now() + MPROC_SECONDS(10) * slowdown();
    while (count_session(session) > 0) {
        if (apr_time_now() > end)
            fail_msg("%d processes are left", count_session(session));
        apr_sleep(5000);
    }
}

/** Wait until something is shown. */
static void await_text(terminal_t *terminal, const char *text)
{
    const apr_time_t end = apr_time_now() + MPROC_SECONDS(30) * slowdown();
    while (!strstr(terminal->text, text)) {
        if (apr_time_now() > end)
            fail_msg("'%s' was not shown, but:\n%s", text, terminal->text);
        look(terminal, 10);
    }
}

static const char *const methods[] = {"forkserver", "fork", "spawn"};

enum { METHODS = 3 };

/** Ctrl-C is the owner's affair: its workers work on, and when it ends them nothing is left, and a line was shown. */
static void test_interrupted_pool(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        terminal_t terminal;
        int status;
        const char *const args[] = {PROGRAM_WORKERS, methods[i], "1000000", "handle", NULL};
        open_terminal(&terminal, args);
        await_text(&terminal, "begun\r\n");
        const size_t before = terminal.length;
        for (int k = 0; k < 3; k++) {
            assert_int_equal(write(terminal.master, "\003", 1), 1);
            look(&terminal, 20);
        }
        await_text(&terminal, "interrupted");
        assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
        for (int k = 0; k < 100 && look(&terminal, 20); k++) {}
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 3 || !strstr(terminal.text, "interrupted: shielded, in order"))
            fail_msg("%s: %x\n%s", methods[i], (unsigned)status, terminal.text);
        assert_int_equal(count_lines(terminal.text + before), 1);
        expect_nothing_left(terminal.root);
        close(terminal.master);
    }
}

/** Who does not hear Ctrl-C dies of it, and its workers with it. */
static void test_interrupted_owner(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        terminal_t terminal;
        int status;
        const char *const args[] = {PROGRAM_WORKERS, methods[i], "1000000", NULL};
        open_terminal(&terminal, args);
        await_text(&terminal, "begun\r\n");
        const size_t before = terminal.length;
        assert_int_equal(write(terminal.master, "\003", 1), 1);
        assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
        expect_nothing_left(terminal.root);
        for (int k = 0; k < 100 && look(&terminal, 20); k++) {}
        assert_int_equal(count_lines(terminal.text + before), 0);
        close(terminal.master);
    }
}

/** The terminal goes away. */
static void test_hung_up(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        terminal_t terminal;
        int status;
        const char *const args[] = {PROGRAM_WORKERS, methods[i], "1000000", i % 2 ? "handle" : NULL, NULL};
        open_terminal(&terminal, args);
        await_text(&terminal, "begun\r\n");
        close(terminal.master);
        assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
        expect_nothing_left(terminal.root);
    }
}

/** Be a shell: run a program as a job of its own, in the foreground, and tell each change of its state. */
static void be_shell(const char *const *args, int tell)
{
    int status;
    signal(SIGTTOU, SIG_IGN);
    const pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        execv(args[0], (char *const *)(uintptr_t)args);
        _exit(126);
    }
    setpgid(job, job);
    tcsetpgrp(0, job);
    if (write(tell, &job, sizeof job) != sizeof job)
        _exit(1);
    while (waitpid(job, &status, WUNTRACED) == job)
        if (write(tell, &status, sizeof status) != sizeof status || WIFEXITED(status) || WIFSIGNALED(status))
            break;
    _exit(0);
}

/** Run a program as a job of a shell: its process group. */
static pid_t open_job(terminal_t *terminal, const char *const *args, int *told)
{
    int ends[2];
    pid_t job = 0;
    const char *name = make_terminal(terminal);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    terminal->root = fork();
    if (terminal->root == 0) {
        enter_terminal(terminal, name);
        close(ends[0]);
        be_shell(args, ends[1]);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &job, sizeof job), sizeof job);
    *told = ends[0];
    return job;
}

/** Ctrl-Z stops owner, workers and fork server wherever they are; when they go on nothing is missing. */
static void test_stopped_and_continued(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        terminal_t terminal;
        int told;
        int status = 0;
        const char *const args[] = {PROGRAM_WORKERS, methods[i], "4000", NULL};
        const pid_t job = open_job(&terminal, args, &told);
        await_text(&terminal, "begun\r\n");
        for (int k = 0; k < 3; k++) {
            assert_int_equal(write(terminal.master, "\032", 1), 1);
            assert_int_equal(read(told, &status, sizeof status), sizeof status);
            assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
            for (int n = 0; n < 5; n++)
                look(&terminal, 20);
            assert_null(strstr(terminal.text, "done"));
            assert_int_equal(kill(-job, SIGCONT), 0);
            look(&terminal, 50);
        }
        await_text(&terminal, "done");
        assert_int_equal(read(told, &status, sizeof status), sizeof status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%s: %x\n%s", methods[i], (unsigned)status, terminal.text);
        assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
        expect_nothing_left(terminal.root);
        close(told);
        close(terminal.master);
    }
}

/** A terminal that goes away while its job is stopped: the job goes on, to its end. */
static void test_hung_up_while_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        terminal_t terminal;
        int told;
        int status = 0;
        const char *const args[] = {PROGRAM_WORKERS, methods[i], "1000000", NULL};
        open_job(&terminal, args, &told);
        await_text(&terminal, "begun\r\n");
        assert_int_equal(write(terminal.master, "\032", 1), 1);
        assert_int_equal(read(told, &status, sizeof status), sizeof status);
        assert_true(WIFSTOPPED(status));
        close(terminal.master);
        close(told);
        assert_int_equal(waitpid(terminal.root, &status, 0), terminal.root);
        expect_nothing_left(terminal.root);
    }
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

static void set_width(FILE *slave, unsigned short columns)
{
    const struct winsize size = {.ws_row = 25, .ws_col = columns};
    assert_int_equal(ioctl(fileno(slave), TIOCSWINSZ, &size), 0);
}

/** See that just this was shown since the last time. */
static void expect_shown(terminal_t *terminal, const char *expected)
{
    for (int i = 0; i < 3000 && terminal->length < strlen(expected); i++)
        look(terminal, 10);
    look(terminal, 50);
    assert_string_equal(terminal->text, expected);
    terminal->length = 0;
    terminal->text[0] = '\0';
}

static void test_bar(void **state)
{
    terminal_t terminal;
    mproc_progress_t progress = {.done = 1, .total = 4, .rate = 2, .elapsed = 500000, .left = 1500000};
    (void)state;
    FILE *const slave = fopen(make_terminal(&terminal), "r+");
    assert_non_null(slave);
    set_width(slave, 55);
    mproc_progress_bar(slave, &progress);
    expect_shown(&terminal, "\r[====>             ] 1/4  25%  2.00/s  0:00  0:02 left");
    /* Not more than ten times a second. */
    progress.done = 2;
    progress.elapsed = 599000;
    mproc_progress_bar(slave, &progress);
    progress.elapsed = 600000;
    set_width(slave, 45);
    mproc_progress_bar(slave, &progress);
    expect_shown(&terminal, "\r2/4  50%  2.00/s  0:00  0:02 left           ");
    mproc_progress_clear(slave);
    expect_shown(&terminal, "\r                                            \r");
    /* The end is shown always, and the cursor goes below it: the terminal adds the first of the two. */
    progress = (mproc_progress_t){.done = 4, .total = 4, .elapsed = 600000, .is_over = 1};
    set_width(slave, 40);
    mproc_progress_bar(slave, &progress);
    expect_shown(&terminal, "\r[=============] 4/4  100%  6.67/s  0:00\r\n");
    /* A terminal that does not know how wide it is. */
    set_width(slave, 0);
    progress.is_over = 0;
    mproc_progress_bar(slave, &progress);
    for (int i = 0; i < 3000 && terminal.length < 80; i++)
        look(&terminal, 10);
    look(&terminal, 50);
    assert_int_equal(terminal.length, 80);
    fclose(slave);
    close(terminal.master);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupt_by_key),
        cmocka_unit_test(test_termination_of_the_group),
        cmocka_unit_test(test_interrupted_pool),
        cmocka_unit_test(test_interrupted_owner),
        cmocka_unit_test(test_hung_up),
        cmocka_unit_test(test_stopped_and_continued),
        cmocka_unit_test(test_hung_up_while_stopped),
        cmocka_unit_test(test_bar),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
