/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that sends what no peer should: frames that lie, break off, bring descriptors that they do not speak of or
 * tables that are damaged. Whatever it sends, each call returns, no descriptor is left, and nothing is read that is not
 * there (that AddressSanitizer sees).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "processes.h"
#include "support/harness.h"
#include "support/support.h"

enum { ROUNDS = 3000, FRAME_MAX = 640, PASSED_MAX = 5, RECORD = 32, TABLE = 16 };

static unsigned long long seed;

static unsigned pick(unsigned end)
{
    return (unsigned)(next_random(&seed) >> 16) % end;
}

/* ---- The peer ---------------------------------------------------------------------------------------------------- */

static void put_number(unsigned char *to, unsigned long long number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, number >>= 8)
        to[i] = (unsigned char)number;
}

static void put_noise(unsigned char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)pick(256);
}

/** A frame as Python sends it, sometimes cut off. */
static size_t make_plain(unsigned char *frame)
{
    const unsigned size = pick(300);
    put_number(frame, size, 4);
    put_noise(frame + 4, size);
    return 4 + (pick(4) ? size : pick(size + 1));
}

/** One with a length of 64 bits, sometimes one that cannot be. */
static size_t make_long(unsigned char *frame)
{
    const unsigned size = pick(60);
    memset(frame, 0xff, 4);
    put_number(frame + 4, size, 8);
    if (pick(4) == 0)
        frame[4] = (unsigned char)pick(256);
    put_noise(frame + 12, size);
    return 12 + size;
}

/** A table of connections as it lies in memory, with numbers that are right, near by, or anything. */
static void make_table(unsigned char *table)
{
    const unsigned long long size = pick(3) ? TABLE + RECORD * pick(3) : pick(200);
    const unsigned counts[2] = {pick(3), pick(4)};
    memcpy(table, &size, 8);
    memcpy(table + 8, counts, 8);
    for (unsigned char *record = table + TABLE; record < table + TABLE + 2 * RECORD; record += RECORD) {
        const unsigned long long sizes[3] = {pick(2) ? 0 : pick(1000), pick(3) ? 0 : pick(100),
                                             pick(3) ? 0 : pick(100)};
        const unsigned ways[2] = {pick(5), pick(3)};
        memcpy(record, sizes, sizeof sizes);
        memcpy(record + sizeof sizes, ways, sizeof ways);
    }
}

/** One as mproc sends it with attachments. */
static size_t make_marked(unsigned char *frame, unsigned passed)
{
    const unsigned size = TABLE + RECORD * pick(3);
    memset(frame, 0, FRAME_MAX);
    put_number(frame, 0xfffffffe, 4);
    put_number(frame + 4, size, 8);
    put_number(frame + 12, pick(3) ? passed : pick(6), 4);
    make_table(frame + 16);
    return pick(5) ? 16 + size : pick(16 + size);
}

/** Send bytes together with some descriptors, of which some are the peer's own socket. */
static void send_passing(int fd, const unsigned char *bytes, size_t size, unsigned passed)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control;
    int fds[PASSED_MAX];
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    for (unsigned i = 0; i < passed; i++)
        fds[i] = pick(3) ? dup(fd) : open("/dev/null", O_RDWR);
    if (passed > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(passed * sizeof(int));
        memset(&control, 0, sizeof control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(passed * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, passed * sizeof(int));
    }
    if (size > 0 && sendmsg(fd, &message, MSG_DONTWAIT) < 0)
        fail_msg("the socket is full or gone");
    for (unsigned i = 0; i < passed; i++)
        close(fds[i]);
}

static void misbehave(int fd)
{
    unsigned char frame[FRAME_MAX];
    const unsigned passed = pick(4) ? 0 : pick(PASSED_MAX + 1);
    size_t size;
    switch (pick(7)) {
    case 0:
        size = pick(40);
        put_noise(frame, size);
        break;
    case 1:
        size = make_long(frame);
        break;
    case 2:
    case 3:
        size = make_plain(frame);
        break;
    default:
        size = make_marked(frame, passed);
    }
    send_passing(fd, frame, size, passed);
}

/* ---- The receiver ------------------------------------------------------------------------------------------------ */

/** Receive with attachments, and use what came. */
static void receive_with(mproc_conn_t *conn)
{
    void *data;
    size_t size;
    mproc_conn_t *conns[4];
    mproc_os_handle_t handles[4];
    mproc_attachments_t attachments = {conns, pick(5), handles, pick(5)};
    if (mproc_conn_recv_with(conn, &data, &size, &attachments, 0) != APR_SUCCESS)
        return;
    mproc_free(data);
    for (size_t i = 0; i < attachments.conn_count; i++) {
        if (mproc_conn_recv(conns[i], &data, &size, 0) == APR_SUCCESS)
            mproc_free(data);
        assert_success(mproc_conn_close(conns[i]));
    }
    for (size_t i = 0; i < attachments.handle_count; i++)
        close((int)handles[i]);
}

static void receive_somehow(mproc_conn_t *conn)
{
    void *data;
    size_t size;
    char buffer[64];
    switch (pick(5)) {
    case 0:
        if (mproc_conn_recv(conn, &data, &size, 0) == APR_SUCCESS)
            mproc_free(data);
        break;
    case 1:
        mproc_conn_recv_into(conn, buffer, sizeof buffer, &size, 0);
        break;
    case 2:
        mproc_conn_discard(conn, 0);
        break;
    default:
        receive_with(conn);
    }
}

/** Send a connection to this process itself, with all that was read ahead in it. */
static mproc_conn_t *move(mproc_conn_t *conn)
{
    mproc_conn_t *carrier[2];
    mproc_conn_t *moved = conn;
    assert_success(mproc_pipe(&carrier[0], &carrier[1], NULL));
    if (mproc_conn_send_conn(carrier[0], conn, 0) == APR_SUCCESS)
        assert_success(mproc_conn_recv_conn(carrier[1], &moved, 0));
    for (int i = 0; i < 2; i++)
        assert_success(mproc_conn_close(carrier[i]));
    return moved;
}

static void test_hostile_frames(void **state)
{
    (void)state;
    seed = choose_seed();
    int before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        mproc_conn_t *conn;
        const mproc_conn_opts_t opts = {.max_size = pick(3) ? 0 : 100};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_success(mproc_conn_open(&conn, ends[1], &opts));
        for (unsigned step = 1 + pick(6); step > 0; step--) {
            misbehave(ends[0]);
            if (pick(2))
                receive_somehow(conn);
            if (pick(9) == 0)
                conn = move(conn);
        }
        close(ends[0]);
        for (int i = 0; i < 8; i++)
            receive_somehow(conn);
        assert_success(mproc_conn_close(conn));
        /* The first rounds get what the library keeps. */
        if (round == 50)
            before = count_descriptors();
    }
    assert_int_equal(count_descriptors(), before);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_frames),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
