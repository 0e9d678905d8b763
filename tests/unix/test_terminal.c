/* SPDX-License-Identifier: Apache-2.0 */
/* R12: Ctrl-C and SIGTERM for the whole process group of a terminal end a family in order, with at most one line. */
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

/** Run a family with a terminal of its own. */
static void open_terminal(terminal_t *terminal, const char *method)
{
    memset(terminal, 0, sizeof *terminal);
    terminal->master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal->master >= 0);
    assert_int_equal(grantpt(terminal->master), 0);
    assert_int_equal(unlockpt(terminal->master), 0);
    const char *name = ptsname(terminal->master);
    fflush(NULL);
    terminal->root = fork();
    if (terminal->root > 0)
        return;
    setsid();
    const int slave = open(name, O_RDWR);
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++)
        dup2(slave, fd);
    close(slave);
    close(terminal->master);
    execl(PROGRAM_FAMILY, PROGRAM_FAMILY, method, (char *)NULL);
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
    open_terminal(&terminal, method);
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

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupt_by_key),
        cmocka_unit_test(test_termination_of_the_group),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
