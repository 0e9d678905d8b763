/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python at the other end: multiprocessing.connection, on sockets that it inherits, connects to, listens at; and
 * multiprocessing.shared_memory, by names.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
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

/* ---- Shared memory ----------------------------------------------------------------------------------------------- */

/** What scripts about shared memory begin with: Python must not unlink what it only has open. */
#define SHARED_MEMORY                                                                                                  \
    "from multiprocessing import resource_tracker\n"                                                                   \
    "from multiprocessing.shared_memory import SharedMemory, ShareableList\n"                                          \
    "def leave(shm):\n"                                                                                                \
    "    resource_tracker.unregister(shm._name, 'shared_memory')\n"                                                    \
    "    shm.close()\n"                                                                                                \
    "name = sys.argv[2]\n"

static const char *make_name(char name[64])
{
    snprintf(name, 64, "mproc-test-%d", mproc_getpid());
    mproc_shm_unlink(name);
    return name;
}

/** Run a script about a name to its end. */
static void run_about(const char *script, const char *name)
{
    need_python();
    expect_exit(run_python(script, -1, name), 0);
}

static void test_python_opens_segment(void **state)
{
    static const char script[] = SHARED_MEMORY "shm = SharedMemory(name=name)\n"
                                               "assert shm.name == name and shm.size >= 10001\n"
                                               "assert sys.platform != 'linux' or shm.size == 10001\n"
                                               "assert bytes(shm.buf[:10001]) == make(10001)\n"
                                               "shm.buf[10000] = 255\n"
                                               "leave(shm)\n"
                                               "try:\n"
                                               "    SharedMemory(name=name, create=True, size=1)\n"
                                               "except FileExistsError:\n"
                                               "    sys.exit(0)\n"
                                               "sys.exit(1)\n";
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    assert_success(mproc_shm_create(&shm, make_name(name), 10001, NULL));
    unsigned char *bytes = make(10001);
    memcpy(mproc_shm_data(shm), bytes, 10001);
    free(bytes);
    run_about(script, name);
    assert_int_equal(((unsigned char *)mproc_shm_data(shm))[10000], 255);
    /* It is still there. */
    assert_success(mproc_shm_close(shm));
    assert_success(mproc_shm_open(&shm, name, NULL));
    assert_success(mproc_shm_close(shm));
    assert_success(mproc_shm_unlink(name));
}

static void test_python_makes_segment(void **state)
{
    static const char script[] = SHARED_MEMORY "shm = SharedMemory(name=name, create=True, size=20001)\n"
                                               "shm.buf[:20001] = make(20001)\n"
                                               "leave(shm)\n";
    static const char unlinking[] = SHARED_MEMORY "shm = SharedMemory(name=name)\n"
                                                  "shm.unlink()\n"
                                                  "shm.close()\n";
    char name[64];
    mproc_shm_t *shm, *other;
    mproc_shm_opts_t opts = {0};
    (void)state;
    run_about(script, make_name(name));
    opts.min_size = 20001;
    assert_success(mproc_shm_open(&shm, name, &opts));
    unsigned char *bytes = make(20001);
    assert_memory_equal(mproc_shm_data(shm), bytes, 20001);
    assert_failure(mproc_shm_create(&other, name, 1, NULL), APR_EEXIST);
    /* What Python unlinks is gone here, and stays with those who have it. */
    run_about(unlinking, name);
    assert_failure(mproc_shm_open(&other, name, NULL), APR_ENOENT);
    assert_memory_equal(mproc_shm_data(shm), bytes, 20001);
    free(bytes);
    assert_success(mproc_shm_close(shm));
}

/** A new name of ours is one for Python. */
static void test_python_opens_new_name(void **state)
{
    static const char script[] = SHARED_MEMORY "shm = SharedMemory(name=name)\n"
                                               "shm.buf[0] = 7\n"
                                               "leave(shm)\n";
    mproc_shm_t *shm;
    (void)state;
    assert_success(mproc_shm_create(&shm, NULL, 1, NULL));
    run_about(script, mproc_shm_name(shm));
    assert_int_equal(*(char *)mproc_shm_data(shm), 7);
    assert_success(mproc_shm_unlink(mproc_shm_name(shm)));
    assert_success(mproc_shm_close(shm));
}

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

static void expect_text(mproc_shareable_list_t *list, size_t index, const char *expected)
{
    char text[64];
    assert_success(mproc_shareable_list_get_str(list, index, text, sizeof text));
    assert_string_equal(text, expected);
}

static void expect_bytes_at(mproc_shareable_list_t *list, size_t index, const void *expected, size_t size)
{
    char bytes[64];
    size_t length;
    assert_success(mproc_shareable_list_get_bytes(list, index, bytes, sizeof bytes, &length));
    assert_int_equal(length, size);
    assert_memory_equal(bytes, expected, size);
}

static void test_python_opens_list(void **state)
{
    static const char script[] = SHARED_MEMORY
        "l = ShareableList(name=name)\n"
        "want = [None, True, False, -5, 2**63 - 1, 1.5, '', 'text', 'caf\\u00e9 \\U0001f40d', b'', b'a\\0b']\n"
        "got = list(l)\n"
        "if got != want or [type(x) for x in got] != [type(x) for x in want]: sys.exit(repr(got))\n"
        "l[0] = True; l[1] = 'now'; l[3] = 77; l[5] = None; l[7] = b'12345678'; l[9] = '\\u20ac'\n"
        "try:\n"
        "    l[7] = '123456789'\n"
        "    sys.exit(2)\n"
        "except ValueError:\n"
        "    leave(l.shm)\n";
    const mproc_item_t items[] = {
        mproc_item_none(),         mproc_item_bool(1),         mproc_item_bool(0),
        mproc_item_int(-5),        mproc_item_int(INT64_MAX),  mproc_item_float(1.5),
        mproc_item_str(""),        mproc_item_str("text"),     mproc_item_str("caf\xc3\xa9 \xf0\x9f\x90\x8d"),
        mproc_item_bytes(NULL, 0), mproc_item_bytes("a\0b", 3)};
    char name[64];
    mproc_shareable_list_t *list;
    int boolean;
    int64_t integer;
    mproc_item_t item;
    (void)state;
    assert_success(mproc_shareable_list_create(&list, make_name(name), items, sizeof items / sizeof items[0], NULL));
    run_about(script, name);
    assert_success(mproc_shareable_list_get_bool(list, 0, &boolean));
    assert_int_equal(boolean, 1);
    expect_text(list, 1, "now");
    assert_success(mproc_shareable_list_get_int(list, 3, &integer));
    assert_int_equal(integer, 77);
    assert_success(mproc_shareable_list_get(list, 5, &item, NULL, 0));
    assert_int_equal(item.type, MPROC_ITEM_NONE);
    expect_bytes_at(list, 7, "12345678", 8);
    expect_text(list, 9, "\xe2\x82\xac");
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

static void test_python_makes_list(void **state)
{
    static const char script[] =
        SHARED_MEMORY "l = ShareableList([None, True, -7, 0.25, 'text', b'\\xff\\0x', '', 'x' * 8], name=name)\n"
                      "leave(l.shm)\n";
    static const char check[] =
        SHARED_MEMORY "l = ShareableList(name=name)\n"
                      "want = ['12345678', 9, b'by', None, 'caf\\u00e9', b'x', False, 'sixteen letters.']\n"
                      "got = list(l)\n"
                      "if got != want or [type(x) for x in got] != [type(x) for x in want]: sys.exit(repr(got))\n"
                      "leave(l.shm)\n";
    char name[64];
    mproc_shareable_list_t *list;
    mproc_item_t item;
    int boolean;
    int64_t integer;
    double real;
    (void)state;
    run_about(script, make_name(name));
    assert_success(mproc_shareable_list_open(&list, name, NULL));
    assert_int_equal(mproc_shareable_list_length(list), 8);
    assert_success(mproc_shareable_list_get(list, 0, &item, NULL, 0));
    assert_int_equal(item.type, MPROC_ITEM_NONE);
    assert_success(mproc_shareable_list_get_bool(list, 1, &boolean));
    assert_int_equal(boolean, 1);
    assert_success(mproc_shareable_list_get_int(list, 2, &integer));
    assert_int_equal(integer, -7);
    assert_success(mproc_shareable_list_get_float(list, 3, &real));
    assert_true(real == 0.25);
    expect_text(list, 4, "text");
    expect_bytes_at(list, 5, "\xff\0x", 3);
    expect_text(list, 6, "");
    expect_text(list, 7, "xxxxxxxx");
    const mproc_item_t news[] = {mproc_item_str("12345678"),
                                 mproc_item_int(9),
                                 mproc_item_bytes("by", 2),
                                 mproc_item_none(),
                                 mproc_item_str("caf\xc3\xa9"),
                                 mproc_item_bytes("x", 1),
                                 mproc_item_bool(0),
                                 mproc_item_str("sixteen letters.")};
    for (size_t i = 0; i < 8; i++)
        assert_success(mproc_shareable_list_set(list, i, news[i]));
    run_about(check, name);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

/** A value that any list can keep; it is ASCII, as Python has less room for other text than that takes. */
static mproc_item_t random_item(unsigned long long *seed, char text[40])
{
    const size_t size = (size_t)(next_random(seed) % 40);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + next_random(seed) % 26);
    switch (next_random(seed) % 6) {
    case 0:
        return mproc_item_none();
    case 1:
        return mproc_item_bool((int)(next_random(seed) & 1));
    case 2:
        return mproc_item_int((int64_t)next_random(seed));
    case 3:
        return mproc_item_float((double)next_random(seed) / 3);
    case 4: {
        mproc_item_t item = mproc_item_bytes(text, size);
        item.type = MPROC_ITEM_STR;
        return item;
    }
    default:
        return mproc_item_bytes(text, size);
    }
}

/** The same lists are the same bytes, when they are made, and when each item has got the value of another one. */
static void test_same_bytes_as_python(void **state)
{
    static const char script[] = SHARED_MEMORY "a = ShareableList(name=name)\n"
                                               "values = list(a)\n"
                                               "b = ShareableList(values, name=name + '-b')\n"
                                               "c = ShareableList(values, name=name + '-c')\n"
                                               "for i in range(len(c)):\n"
                                               "    try:\n"
                                               "        c[i] = values[(i * 7 + 3) % len(c)]\n"
                                               "    except ValueError:\n"
                                               "        pass\n"
                                               "for l in (a, b, c): leave(l.shm)\n";
    enum { COUNT = 500 };
    static mproc_item_t items[COUNT];
    static char texts[COUNT][40];
    char name[64];
    char other[80];
    unsigned long long seed = choose_seed();
    mproc_shareable_list_t *list;
    mproc_shm_t *ours, *theirs;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        items[i] = random_item(&seed, texts[i]);
    assert_success(mproc_shareable_list_create(&list, make_name(name), items, COUNT, NULL));
    assert_success(mproc_shm_open(&ours, name, NULL));
    run_about(script, name);
    for (int c = 0; c < 2; c++) {
        snprintf(other, sizeof other, "%s-%c", name, 'b' + c);
        assert_success(mproc_shm_open(&theirs, other, NULL));
        assert_int_equal(mproc_shm_size(ours), mproc_shm_size(theirs));
        assert_memory_equal(mproc_shm_data(ours), mproc_shm_data(theirs), mproc_shm_size(ours));
        assert_success(mproc_shm_unlink(other));
        assert_success(mproc_shm_close(theirs));
        for (size_t i = 0; i < COUNT && c == 0; i++) {
            const apr_status_t status = mproc_shareable_list_set(list, i, items[(i * 7 + 3) % COUNT]);
            assert_true(status == APR_SUCCESS || status == MPROC_ETOOBIG);
        }
    }
    assert_success(mproc_shm_close(ours));
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited_both_ways),   cmocka_unit_test(test_python_ends),
        cmocka_unit_test(test_python_polls),          cmocka_unit_test(test_python_client),
        cmocka_unit_test(test_python_listener),       cmocka_unit_test(test_long_lengths),
        cmocka_unit_test(test_python_opens_segment),  cmocka_unit_test(test_python_makes_segment),
        cmocka_unit_test(test_python_opens_new_name), cmocka_unit_test(test_python_opens_list),
        cmocka_unit_test(test_python_makes_list),     cmocka_unit_test(test_same_bytes_as_python),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
