/* SPDX-License-Identifier: Apache-2.0 */
/* Python at the other end: multiprocessing.connection, on sockets that it inherits, connects to, listens at. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/** What all scripts begin with: messages whose bytes follow from their size. */
static const char preamble[] = "import sys, os\n"
                               "from multiprocessing.connection import Connection, Client, Listener\n"
                               "def make(n):\n"
                               "    return (b'0123456789abcdef' * (n // 16 + 1))[:n]\n";

static void need_python(void)
{
    run_t run;
    const char *arguments[] = {"/bin/sh", "-c", "python3 -c 'import multiprocessing.connection; print(\"there\")'",
                               NULL};
    run_program(&run, arguments[0], arguments, 30);
    if (!strstr(run.output, "there"))
        skip_because("there is no python3 here");
}

/** Run a script; it has one descriptor of ours, which it finds as sys.argv[1], and a word as sys.argv[2]. */
static pid_t run_python(const char *script, int fd, const char *word)
{
    char number[16];
    char text[4096];
    snprintf(text, sizeof text, "%s%s", preamble, script);
    snprintf(number, sizeof number, "%d", fd);
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (fd >= 0)
        fcntl(fd, F_SETFD, 0);
    execlp("python3", "python3", "-c", text, number, word, (char *)NULL);
    _exit(127);
}

static void expect_exit(pid_t pid, int code)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

/** A connection whose other end is a script's. */
static pid_t start_python(mproc_conn_t **conn, const char *script)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    assert_success(mproc_conn_open(conn, ends[0], NULL));
    const pid_t pid = run_python(script, ends[1], "");
    close(ends[1]);
    return pid;
}

static unsigned char *make(size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)"0123456789abcdef"[i % 16];
    return bytes;
}

static void send_made(mproc_conn_t *conn, size_t size)
{
    unsigned char *bytes = make(size);
    assert_success(mproc_conn_send(conn, bytes, size, MPROC_FOREVER));
    free(bytes);
}

static void expect_made(mproc_conn_t *conn, size_t size)
{
    void *data;
    size_t got;
    assert_success(mproc_conn_recv(conn, &data, &got, MPROC_FOREVER));
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++)
        if (((unsigned char *)data)[i] != (unsigned char)"0123456789abcdef"[i % 16])
            fail_msg("byte %zu of %zu is another", i, size);
    mproc_free(data);
}

static const char echo_script[] = "conn = Connection(int(sys.argv[1]))\n"
                                  "while True:\n"
                                  "    try:\n"
                                  "        data = conn.recv_bytes()\n"
                                  "    except EOFError:\n"
                                  "        sys.exit(5)\n"
                                  "    if data != make(len(data)):\n"
                                  "        sys.exit(6)\n"
                                  "    conn.send_bytes(data)\n";

/* Python sends messages of more than 16 KiB in two pieces. */
static const size_t sizes[] = {0, 1, 15, 4096, 16384, 16385, 100000, 3 << 20};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void test_inherited_both_ways(void **state)
{
    mproc_conn_t *conn;
    (void)state;
    need_python();
    const pid_t pid = start_python(&conn, echo_script);
    for (int i = 0; i < SIZES; i++) {
        send_made(conn, sizes[i]);
        expect_made(conn, sizes[i]);
    }
    assert_success(mproc_conn_close(conn)); /* it sees the end */
    expect_exit(pid, 5);
}

static void test_python_ends(void **state)
{
    static const char script[] = "conn = Connection(int(sys.argv[1]))\n"
                                 "for n in (10, 0, 70000):\n"
                                 "    conn.send_bytes(make(n))\n";
    mproc_conn_t *conn;
    void *data;
    size_t size;
    (void)state;
    need_python();
    const pid_t pid = start_python(&conn, script);
    expect_made(conn, 10);
    expect_made(conn, 0);
    expect_made(conn, 70000);
    assert_failure(mproc_conn_recv(conn, &data, &size, MPROC_FOREVER), APR_EOF);
    assert_failure(mproc_conn_send(conn, "x", 1, MPROC_FOREVER), APR_EPIPE);
    expect_exit(pid, 0);
    assert_success(mproc_conn_close(conn));
}

/** Python waits for ours as for its own, and limits what it takes. */
static void test_python_polls(void **state)
{
    static const char script[] = "from multiprocessing.connection import wait\n"
                                 "conn = Connection(int(sys.argv[1]))\n"
                                 "if conn.poll(0.01): sys.exit(1)\n"
                                 "conn.send_bytes(b'')\n"
                                 "if wait([conn], 20) != [conn]: sys.exit(2)\n"
                                 "if conn.recv_bytes() != b'': sys.exit(3)\n"
                                 "buffer = bytearray(100)\n"
                                 "if conn.recv_bytes_into(buffer) != 50: sys.exit(4)\n"
                                 "try:\n"
                                 "    conn.recv_bytes(10)\n"
                                 "except OSError:\n"
                                 "    sys.exit(7)\n";
    mproc_conn_t *conn;
    (void)state;
    need_python();
    const pid_t pid = start_python(&conn, script);
    expect_made(conn, 0);
    send_made(conn, 0);
    send_made(conn, 50);
    send_made(conn, 11);
    expect_exit(pid, 7);
    assert_success(mproc_conn_close(conn));
}

static void test_python_client(void **state)
{
    static const char script[] = "conn = Client(sys.argv[2], 'AF_UNIX')\n"
                                 "conn.send_bytes(make(4096))\n"
                                 "data = conn.recv_bytes()\n"
                                 "conn.close()\n"
                                 "sys.exit(8 if data == make(3 << 20) else 1)\n";
    mproc_listener_t *listener;
    mproc_conn_t *conn;
    mproc_peer_t peer;
    void *data;
    size_t size;
    (void)state;
    need_python();
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    const pid_t pid = run_python(script, -1, mproc_listener_address(listener));
    assert_success(mproc_listener_accept(listener, &conn, patience()));
    assert_success(mproc_conn_peer(conn, &peer));
    assert_true(peer.is_same_user && (peer.pid == 0 || peer.pid == pid));
    expect_made(conn, 4096);
    send_made(conn, 3 << 20);
    assert_failure(mproc_conn_recv(conn, &data, &size, patience()), APR_EOF);
    expect_exit(pid, 8);
    assert_success(mproc_conn_close(conn));
    assert_success(mproc_listener_close(listener));
}

static void test_python_listener(void **state)
{
    static const char script[] = "listener = Listener(sys.argv[2], 'AF_UNIX')\n"
                                 "conn = listener.accept()\n"
                                 "conn.send_bytes(conn.recv_bytes() + make(16))\n"
                                 "try:\n"
                                 "    conn.recv_bytes()\n"
                                 "except EOFError:\n"
                                 "    sys.exit(9)\n";
    char folder[] = "/tmp/mproc-test-XXXXXX";
    char path[64];
    mproc_conn_t *conn;
    (void)state;
    need_python();
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    const pid_t pid = run_python(script, -1, path);
    assert_success(mproc_connect(&conn, path, NULL, patience())); /* it may not be there yet */
    send_made(conn, 16000);
    expect_made(conn, 16016);
    assert_success(mproc_conn_close(conn));
    expect_exit(pid, 9);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

/** Lengths of 64 bits: they begin at 2 GiB, so this takes memory; MPROC_TEST_PYTHON_MEBIBYTES=2100 asks for it. */
static void test_long_lengths(void **state)
{
    const size_t size = (size_t)setting("MPROC_TEST_PYTHON_MEBIBYTES", 8) << 20;
    mproc_conn_t *conn;
    (void)state;
    need_python();
    const pid_t pid = start_python(&conn, echo_script);
    send_made(conn, size);
    expect_made(conn, size);
    assert_success(mproc_conn_close(conn));
    expect_exit(pid, 5);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited_both_ways), cmocka_unit_test(test_python_ends),
        cmocka_unit_test(test_python_polls),        cmocka_unit_test(test_python_client),
        cmocka_unit_test(test_python_listener),     cmocka_unit_test(test_long_lengths),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
