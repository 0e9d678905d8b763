/* SPDX-License-Identifier: Apache-2.0 */
/* White box: what only Windows has of streams and listeners. */
#include "win32/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/support.h"

enum { SECOND = 1000000, BOTH = SYS_STREAM_IN | SYS_STREAM_OUT };

static sys_time_t soon(void)
{
    return sys_now() + SECOND / 20;
}

static sys_time_t later(void)
{
    return sys_now() + (sys_time_t)40 * SECOND * slowdown();
}

static void make_pair(sys_stream_t *ends[2])
{
    assert_int_equal(sys_stream_pair(&ends[0], &ends[1], 0), APR_SUCCESS);
}

static void close_pair(sys_stream_t *ends[2])
{
    sys_stream_close(ends[0]);
    sys_stream_close(ends[1]);
}

static apr_status_t send_bytes(sys_stream_t *stream, const void *data, size_t size, sys_time_t deadline)
{
    const sys_message_t message = {.pieces = {data}, .sizes = {size}};
    return sys_stream_send(stream, &message, deadline, SYS_NO_HANDLE);
}

static void send_text(sys_stream_t *stream, const char *text)
{
    assert_int_equal(send_bytes(stream, text, strlen(text), later()), APR_SUCCESS);
}

static void expect_text_until(sys_stream_t *stream, const char *text, sys_time_t deadline)
{
    char buffer[100] = "";
    sys_next_t next;
    size_t done;
    assert_int_equal(sys_stream_next(stream, &next, deadline, SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(next.size, strlen(text));
    assert_int_equal(next.is_marked, 0);
    assert_int_equal(sys_stream_read(stream, buffer, strlen(text), &done, deadline, SYS_NO_HANDLE), APR_SUCCESS);
    assert_string_equal(buffer, text);
    assert_int_equal(sys_stream_end_message(stream, NULL), APR_SUCCESS);
}

static void expect_text(sys_stream_t *stream, const char *text)
{
    expect_text_until(stream, text, later());
}

static void expect_nothing(sys_stream_t *stream, apr_status_t status)
{
    sys_next_t next;
    assert_int_equal(sys_stream_next(stream, &next, 0, SYS_NO_HANDLE), status);
}

static HANDLE start_thread(LPTHREAD_START_ROUTINE function, void *data)
{
    HANDLE thread = CreateThread(NULL, 0, function, data, 0, NULL);
    assert_non_null(thread);
    return thread;
}

static DWORD end_thread(HANDLE thread)
{
    DWORD code = 99;
    assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
    GetExitCodeThread(thread, &code);
    CloseHandle(thread);
    return code;
}

static apr_status_t wait_for_stream(sys_stream_t *stream, sys_time_t deadline)
{
    size_t ready;
    sys_wait_t item = {.kind = SYS_WAIT_STREAM, .object = stream};
    const apr_status_t status = sys_wait_any(&item, 1, &ready, deadline);
    assert_int_equal(ready, status == APR_SUCCESS);
    assert_int_equal(item.is_ready, status == APR_SUCCESS);
    return status;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

static void test_messages_both_ways(void **state)
{
    sys_stream_t *ends[2];
    (void)state;
    make_pair(ends);
    for (int i = 0; i < 2; i++) {
        expect_nothing(ends[1 - i], APR_TIMEUP);
        send_text(ends[i], "hello");
        send_text(ends[i], "world");
        expect_text_until(ends[1 - i], "hello", 0);
        expect_text_until(ends[1 - i], "world", 0);
        expect_nothing(ends[1 - i], APR_TIMEUP);
    }
    close_pair(ends);
    assert_int_equal(sys_stream_pair(&ends[0], &ends[1], 1), APR_SUCCESS);
    assert_int_equal(sys_stream_directions(ends[0]), SYS_STREAM_IN);
    assert_int_equal(sys_stream_directions(ends[1]), SYS_STREAM_OUT);
    send_text(ends[1], "one way");
    expect_text(ends[0], "one way");
    close_pair(ends);
}

static void test_pieces_are_joined(void **state)
{
    sys_stream_t *ends[2];
    const sys_message_t message = {.pieces = {"left ", "right"}, .sizes = {5, 5}};
    (void)state;
    make_pair(ends);
    assert_int_equal(sys_stream_send(ends[0], &message, later(), SYS_NO_HANDLE), APR_SUCCESS);
    expect_text(ends[1], "left right");
    close_pair(ends);
}

/** Looking for a message takes an empty one away: it must come back, once, and in its place. */
static void test_empty_messages_keep_their_place(void **state)
{
    sys_stream_t *ends[2];
    (void)state;
    make_pair(ends);
    send_text(ends[0], "");
    send_text(ends[0], "a");
    send_text(ends[0], "");
    send_text(ends[0], "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_for_stream(ends[1], 0), APR_SUCCESS);
    assert_true(sys_stream_is_ready(ends[1]));
    expect_text(ends[1], "");
    assert_int_equal(wait_for_stream(ends[1], later()), APR_SUCCESS);
    expect_text(ends[1], "a");
    expect_text(ends[1], "");
    assert_int_equal(wait_for_stream(ends[1], later()), APR_SUCCESS);
    expect_text(ends[1], "");
    assert_int_equal(wait_for_stream(ends[1], soon()), APR_TIMEUP);
    expect_nothing(ends[1], APR_TIMEUP);
    close_pair(ends);
}

static DWORD WINAPI receive_many(void *data)
{
    sys_next_t next;
    for (int i = 0; i < 1000; i++) {
        size_t done;
        char byte = 0;
        if (sys_stream_next(data, &next, later(), SYS_NO_HANDLE) != APR_SUCCESS || next.size != (uint64_t)(i % 3 == 0))
            return 1;
        if (next.size &&
            (sys_stream_read(data, &byte, 1, &done, later(), SYS_NO_HANDLE) != APR_SUCCESS || byte != (char)i))
            return 2;
        sys_stream_end_message(data, NULL);
    }
    return 0;
}

static _Atomic int is_over;

static DWORD WINAPI wait_often(void *data)
{
    while (!is_over) {
        size_t ready;
        sys_wait_t item = {.kind = SYS_WAIT_STREAM, .object = data};
        const apr_status_t status = sys_wait_any(&item, 1, &ready, sys_now() + 5000);
        if (status != APR_SUCCESS && status != APR_TIMEUP)
            return 1;
    }
    return 0;
}

/** Those who wait for a message do not take it from the one who receives. */
static void test_waiting_beside_a_receiver(void **state)
{
    sys_stream_t *ends[2];
    (void)state;
    make_pair(ends);
    HANDLE waiters[3];
    for (int i = 0; i < 3; i++)
        waiters[i] = start_thread(wait_often, ends[1]);
    HANDLE receiver = start_thread(receive_many, ends[1]);
    for (int i = 0; i < 1000; i++) {
        const char byte = (char)i;
        assert_int_equal(send_bytes(ends[0], &byte, i % 3 == 0, later()), APR_SUCCESS);
        if (i % 50 == 0)
            Sleep(1); /* sometimes all of them wait */
    }
    assert_int_equal(end_thread(receiver), 0);
    is_over = 1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(end_thread(waiters[i]), 0);
    expect_nothing(ends[1], APR_TIMEUP);
    close_pair(ends);
}

typedef struct bulk_t {
    sys_stream_t *stream;
    unsigned char *data;
    size_t size;
} bulk_t;

static DWORD WINAPI send_bulk(void *data)
{
    const bulk_t *bulk = data;
    return send_bytes(bulk->stream, bulk->data, bulk->size, SYS_NEVER) != APR_SUCCESS;
}

/** Send a message of a size, and receive it in pieces of another. */
static void pass(size_t size, size_t piece)
{
    sys_stream_t *ends[2];
    sys_next_t next;
    size_t done, at = 0;
    make_pair(ends);
    bulk_t bulk = {ends[0], calloc(1, size), size};
    unsigned char *buffer = malloc(piece);
    assert_non_null(bulk.data);
    for (size_t i = 0; i < size; i += 4093)
        bulk.data[i] = (unsigned char)(i * 7 + 1);
    HANDLE sender = start_thread(send_bulk, &bulk);
    assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_true(next.size == size);
    assert_int_equal(next.is_marked, 0);
    for (; at < size; at += done) {
        const size_t wanted = size - at < piece ? size - at : piece;
        assert_int_equal(sys_stream_read(ends[1], buffer, wanted, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
        assert_int_equal(done, wanted);
        assert_memory_equal(buffer, bulk.data + at, wanted);
    }
    assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
    assert_int_equal(end_thread(sender), 0);
    send_text(ends[0], "after");
    expect_text(ends[1], "after");
    free(bulk.data);
    free(buffer);
    close_pair(ends);
}

static void test_messages_of_many_sizes(void **state)
{
    static const size_t sizes[] = {1, 4095, 65535, 65536, 65537, 1 << 20, 1 << 24, (1 << 24) + 1, 40000000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pass(sizes[i], sizes[i]);
        pass(sizes[i], 300000);
    }
    pass((1 << 24) + 1, 8192);
}

/** The system's messages have 32-bit sizes, ours have not. */
static void test_message_beyond_four_gibibytes(void **state)
{
    (void)state;
    if (!getenv("MPROC_TEST_HUGE"))
        skip_because("MPROC_TEST_HUGE is not set: 5 GiB go through a pipe");
    pass((size_t)5 << 30, 1 << 20);
}

/** What looks like our own form is passed as it is. */
static void test_message_that_looks_like_a_head(void **state)
{
    sys_stream_t *ends[2];
    sys_next_t next;
    size_t done;
    unsigned char data[200], back[200];
    (void)state;
    make_pair(ends);
    for (size_t size = WIN32_MAGIC_SIZE - 1; size < sizeof data; size += 46) {
        for (size_t first = 0; first <= size; first += 5) {
            memset(data, 0xff, sizeof data);
            memcpy(data, win32_magic, WIN32_MAGIC_SIZE);
            const sys_message_t message = {.pieces = {data, data + first}, .sizes = {first, size - first}};
            assert_int_equal(sys_stream_send(ends[0], &message, later(), SYS_NO_HANDLE), APR_SUCCESS);
            assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
            assert_int_equal(next.size, size);
            assert_int_equal(next.is_marked, 0);
            assert_int_equal(sys_stream_read(ends[1], back, size, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
            assert_memory_equal(back, data, size);
            assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
        }
    }
    close_pair(ends);
}

/** What begins as a head and is none. */
static void test_damaged_heads(void **state)
{
    win32_head_t head = {.size = 5, .sender = GetCurrentProcessId(), .is_marked = 1, .handle_count = 1};
    (void)state;
    memcpy(head.magic, win32_magic, sizeof head.magic);
    for (int i = 0; i < 5; i++) {
        sys_stream_t *ends[2];
        sys_next_t next;
        win32_head_t bad = head;
        DWORD size = sizeof bad, written;
        make_pair(ends);
        bad.size = i == 0 ? UINT64_MAX : bad.size;
        bad.handle_count = i == 1 ? SYS_ATTACHED_MAX + 1 : i == 2 ? 2 : i == 3 ? 0 : 1;
        bad.is_marked = i != 4;
        size -= i == 3; /* not all of it */
        OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
        WriteFile((HANDLE)sys_stream_handle(ends[0]), &bad, size, NULL, &overlapped);
        assert_true(GetOverlappedResult((HANDLE)sys_stream_handle(ends[0]), &overlapped, &written, TRUE));
        CloseHandle(overlapped.hEvent);
        for (int again = 0; again < 2; again++)
            assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), MPROC_EPROTOCOL);
        close_pair(ends);
    }
}

/* ---- Ends, and time ---------------------------------------------------------------------------------------------- */

static void test_what_was_sent_outlives_its_sender(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        sys_stream_t *ends[2];
        make_pair(ends);
        send_text(ends[i], "first");
        send_text(ends[i], "");
        send_text(ends[i], "last");
        sys_stream_close(ends[i]);
        assert_int_equal(wait_for_stream(ends[1 - i], 0), APR_SUCCESS);
        expect_text_until(ends[1 - i], "first", 0);
        expect_text_until(ends[1 - i], "", 0);
        expect_text_until(ends[1 - i], "last", 0);
        assert_int_equal(wait_for_stream(ends[1 - i], 0), APR_SUCCESS);
        expect_nothing(ends[1 - i], APR_EOF);
        expect_nothing(ends[1 - i], APR_EOF);
        assert_int_equal(send_bytes(ends[1 - i], "x", 1, later()), APR_EPIPE);
        sys_stream_close(ends[1 - i]);
    }
}

static void test_full_pipe(void **state)
{
    static char data[10000];
    sys_stream_t *ends[2];
    sys_next_t next;
    int sent = 0;
    (void)state;
    make_pair(ends);
    while (send_bytes(ends[0], data, sizeof data, 0) == APR_SUCCESS)
        sent++;
    assert_true(sent > 0 && sent < 1000);
    assert_int_equal(send_bytes(ends[0], data, sizeof data, soon()), APR_TIMEUP);
    sys_event_t stop;
    assert_int_equal(sys_event_create(&stop), APR_SUCCESS);
    sys_event_set(&stop);
    const sys_message_t message = {.pieces = {data}, .sizes = {sizeof data}};
    assert_int_equal(sys_stream_send(ends[0], &message, SYS_NEVER, stop.sentinel), APR_EINTR);
    assert_int_equal(sys_stream_next(ends[0], &next, SYS_NEVER, stop.sentinel), APR_EINTR);
    sys_event_reset(&stop);
    assert_int_equal(sys_stream_next(ends[0], &next, soon(), stop.sentinel), APR_TIMEUP);
    assert_int_equal(sys_wait(stop.sentinel, 0), APR_TIMEUP);
    sys_event_close(&stop);
    assert_false(sys_stream_has_rest(ends[0]));
    /* Those that failed have left nothing. */
    for (int i = 0; i < sent; i++) {
        size_t done;
        assert_int_equal(sys_stream_next(ends[1], &next, 0, SYS_NO_HANDLE), APR_SUCCESS);
        assert_int_equal(next.size, sizeof data);
        assert_int_equal(sys_stream_read(ends[1], data, sizeof data, &done, 0, SYS_NO_HANDLE), APR_SUCCESS);
        assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
    }
    expect_nothing(ends[1], APR_TIMEUP);
    close_pair(ends);
}

/** A long message whose time is up is finished by the next call. */
static void test_rest_of_a_long_message(void **state)
{
    const size_t size = 20 << 20;
    unsigned char *data = calloc(1, size), *back = calloc(1, size);
    sys_stream_t *ends[2];
    sys_next_t next;
    size_t done;
    (void)state;
    make_pair(ends);
    for (size_t i = 0; i < size; i += 1000)
        data[i] = (unsigned char)(i / 1000);
    assert_int_equal(send_bytes(ends[0], data, size, soon()), MPROC_EUNFINISHED);
    assert_true(sys_stream_has_rest(ends[0]));
    assert_int_equal(send_bytes(ends[0], "next", 4, 0), APR_TIMEUP);
    assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(next.size, size);
    size_t at = 0;
    for (int i = 0; at < size; i++, at += done) {
        const apr_status_t status = sys_stream_read(ends[1], back + at, size - at, &done, soon(), SYS_NO_HANDLE);
        assert_true(status == APR_TIMEUP || at + done == size);
        const apr_status_t flushed = sys_stream_flush(ends[0], soon(), SYS_NO_HANDLE);
        assert_true(flushed == APR_TIMEUP || flushed == APR_SUCCESS);
        if (i > 3) {
            /* The rest at once. */
            bulk_t bulk = {ends[0], data, 10};
            HANDLE sender = start_thread(send_bulk, &bulk);
            at += done;
            assert_int_equal(sys_stream_read(ends[1], back + at, size - at, &done, later(), SYS_NO_HANDLE),
                             APR_SUCCESS);
            assert_int_equal(end_thread(sender), 0);
        }
    }
    assert_memory_equal(back, data, size);
    assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
    assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(next.size, 10);
    assert_int_equal(sys_stream_read(ends[1], back, 10, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
    /* And one whose sender goes away. */
    assert_int_equal(send_bytes(ends[0], data, size, 0), MPROC_EUNFINISHED);
    assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    sys_stream_close(ends[0]);
    assert_int_equal(sys_stream_read(ends[1], back, size, &done, later(), SYS_NO_HANDLE), MPROC_ETRUNCATED);
    assert_int_equal(sys_stream_read(ends[1], back, 1, &done, later(), SYS_NO_HANDLE), MPROC_ETRUNCATED);
    sys_stream_close(ends[1]);
    free(data);
    free(back);
}

/** A sender who tries and gives up never leaves half of a message to a receiver. */
static DWORD WINAPI try_often(void *data)
{
    const bulk_t *bulk = data;
    int sent = 0;
    for (int i = 0; i < 3000 && sent < 200; i++) {
        memset(bulk->data, sent + 1, bulk->size);
        sent += send_bytes(bulk->stream, bulk->data, bulk->size, 0) == APR_SUCCESS;
    }
    const sys_message_t end = {.sizes = {0}};
    sys_stream_send(bulk->stream, &end, later(), SYS_NO_HANDLE);
    return (DWORD)sent;
}

static void test_messages_that_are_taken_back(void **state)
{
    const size_t size = 200000;
    unsigned char *data = malloc(size), *back = malloc(size);
    sys_stream_t *ends[2];
    sys_next_t next;
    size_t done;
    int received = 0;
    (void)state;
    make_pair(ends);
    bulk_t bulk = {ends[0], data, size};
    HANDLE sender = start_thread(try_often, &bulk);
    for (;; received++) {
        assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
        if (next.size == 0)
            break;
        assert_int_equal(next.size, size);
        assert_int_equal(sys_stream_read(ends[1], back, size, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
        assert_int_equal(back[0], (unsigned char)(received + 1));
        assert_int_equal(back[size - 1], (unsigned char)(received + 1));
        assert_int_equal(sys_stream_end_message(ends[1], NULL), APR_SUCCESS);
    }
    assert_int_equal(end_thread(sender), received);
    close_pair(ends);
    free(data);
    free(back);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static apr_status_t send_handles(sys_stream_t *stream, const sys_handle_t *handles, size_t count, size_t size)
{
    unsigned char *data = calloc(1, size + 1);
    const sys_message_t message = {
        .pieces = {data}, .sizes = {size}, .is_marked = 1, .handles = handles, .handle_count = count};
    const apr_status_t status = sys_stream_send(stream, &message, later(), SYS_NO_HANDLE);
    free(data);
    return status;
}

static apr_status_t receive_handles(sys_stream_t *stream, sys_handle_t *handles, size_t count, size_t size)
{
    sys_next_t next;
    size_t done;
    unsigned char *data = malloc(size + 1);
    assert_int_equal(sys_stream_next(stream, &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(next.is_marked, 1);
    assert_int_equal(next.handle_count, count);
    assert_int_equal(next.size, size);
    assert_int_equal(sys_stream_read(stream, data, size, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
    free(data);
    return sys_stream_end_message(stream, handles);
}

/** Count what is open, by trying: Wine does not tell. */
static int count_handles(void)
{
    int count = 0;
    for (intptr_t handle = 4; handle < 16384; handle += 4) {
        DWORD flags;
        count += GetHandleInformation((HANDLE)handle, &flags) != 0;
    }
    return count;
}

static void test_handles_move(void **state)
{
    sys_stream_t *ends[2];
    sys_handle_t handles[SYS_ATTACHED_MAX], got[SYS_ATTACHED_MAX];
    DWORD flags;
    (void)state;
    make_pair(ends);
    send_text(ends[0], "so that all is made that is made once");
    expect_text(ends[1], "so that all is made that is made once");
    for (size_t i = 0; i < SYS_ATTACHED_MAX; i++)
        handles[i] = (sys_handle_t)CreateEventW(NULL, TRUE, FALSE, NULL);
    for (size_t count = 0; count <= SYS_ATTACHED_MAX; count += 32) {
        assert_int_equal(send_handles(ends[0], handles, count, count * 100), APR_SUCCESS);
        assert_int_equal(receive_handles(ends[1], got, count, count * 100), APR_SUCCESS);
        for (size_t i = 0; i < count; i++) {
            SetEvent((HANDLE)handles[i]);
            assert_int_equal(WaitForSingleObject((HANDLE)got[i], 0), WAIT_OBJECT_0);
            ResetEvent((HANDLE)handles[i]);
            assert_true(GetHandleInformation((HANDLE)got[i], &flags));
            assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
            sys_handle_close(got[i]);
        }
    }
    /* One that is not open, and messages that cannot be sent: no duplicate stays. */
    sys_handle_t bad[] = {handles[0], 0x123454};
    int before = count_handles();
    assert_int_not_equal(send_handles(ends[0], bad, 2, 0), APR_SUCCESS);
    assert_int_equal(count_handles(), before);
    sys_stream_close(ends[1]);
    before = count_handles();
    assert_int_equal(send_handles(ends[0], handles, 3, 0), APR_EPIPE);
    assert_int_equal(send_handles(ends[0], handles, 3, 100000), APR_EPIPE);
    assert_int_equal(count_handles(), before);
    sys_stream_close(ends[0]);
}

static int send_event_from_child(mproc_call_t *call)
{
    sys_stream_t *stream;
    if (sys_stream_open(&stream, (sys_handle_t)mproc_call_handle(call, 0), BOTH) != APR_SUCCESS)
        return 1;
    const sys_handle_t event = (sys_handle_t)CreateEventW(NULL, TRUE, TRUE, NULL);
    if (send_handles(stream, &event, 1, 3) != APR_SUCCESS)
        return 2;
    /* The first stays until the handle has been fetched. */
    sys_next_t next;
    if (mproc_call_arg_count(call) == 0)
        return sys_stream_next(stream, &next, later(), SYS_NO_HANDLE) == APR_EOF ? 0 : 3;
    return 0;
}

static void test_handles_of_another_process(void **state)
{
    (void)state;
    /* It is there; it is gone; it is gone, but somebody keeps its number. */
    for (int is_gone = 0; is_gone < 3; is_gone++) {
        sys_stream_t *ends[2];
        sys_handle_t got;
        HANDLE kept = NULL;
        make_pair(ends);
        mproc_os_handle_t handle = (mproc_os_handle_t)sys_stream_handle(ends[1]);
        const mproc_arg_t argument = mproc_arg_string(NULL, "go");
        const mproc_process_opts_t opts = {
            .handles = &handle, .handle_count = 1, .args = &argument, .arg_count = (size_t)(is_gone > 0)};
        mproc_process_t *child = start(send_event_from_child, opts);
        sys_stream_close(ends[1]);
        if (is_gone == 2)
            kept = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)mproc_process_pid(child));
        if (is_gone)
            assert_int_equal(finish(child), 0);
        assert_int_equal(receive_handles(ends[0], &got, 1, 3), is_gone ? MPROC_EGONE : APR_SUCCESS);
        if (!is_gone) {
            assert_int_equal(WaitForSingleObject((HANDLE)got, 0), WAIT_OBJECT_0);
            sys_handle_close(got);
        }
        if (is_gone)
            expect_nothing(ends[0], APR_EOF);
        if (kept)
            CloseHandle(kept);
        sys_stream_close(ends[0]);
        if (!is_gone)
            assert_int_equal(finish(child), 0);
    }
}

/** A process that has the number of the sender, but is another one, is left alone. */
static void test_handles_of_a_later_process(void **state)
{
    sys_stream_t *ends[2];
    sys_handle_t got = SYS_NO_HANDLE;
    DWORD flags, written;
    struct {
        win32_head_t head;
        uint64_t handle;
    } message = {{.sender = GetCurrentProcessId(), .is_marked = 1, .handle_count = 1}, 0};
    (void)state;
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    memcpy(message.head.magic, win32_magic, WIN32_MAGIC_SIZE);
    message.handle = (uint64_t)(uintptr_t)event;
    make_pair(ends);
    for (int is_right = 0; is_right < 2; is_right++) {
        if (is_right)
            assert_int_equal(sys_birth(&message.head.sender_birth, sys_getpid()), APR_SUCCESS);
        WriteFile((HANDLE)sys_stream_handle(ends[0]), &message, sizeof message, NULL, &overlapped);
        assert_true(GetOverlappedResult((HANDLE)sys_stream_handle(ends[0]), &overlapped, &written, TRUE));
        assert_int_equal(receive_handles(ends[1], &got, 1, 0), is_right ? APR_SUCCESS : MPROC_EGONE);
        if (!is_right)
            assert_true(GetHandleInformation(event, &flags));
    }
    sys_handle_close(got);
    CloseHandle(overlapped.hEvent);
    close_pair(ends);
}

/** What a connection that moves has read of a message goes with it. */
static void test_message_is_handed_over(void **state)
{
    sys_stream_t *ends[2], *moved;
    sys_handle_t unused[SYS_PACKED_HANDLES_MAX], got[1], copy, event;
    size_t handle_count, done;
    char bytes[4096], text[10];
    sys_next_t next;
    (void)state;
    make_pair(ends);
    assert_int_equal(sys_stream_pack(ends[1], NULL, 0, unused, &handle_count), 0);
    event = (sys_handle_t)CreateEventW(NULL, TRUE, TRUE, NULL);
    const sys_message_t message = {
        .pieces = {"abcdef"}, .sizes = {6}, .is_marked = 1, .handles = &event, .handle_count = 1};
    assert_int_equal(sys_stream_send(ends[0], &message, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(sys_stream_next(ends[1], &next, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(sys_stream_read(ends[1], text, 2, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
    const size_t size = sys_stream_pack(ends[1], NULL, 0, unused, &handle_count);
    assert_true(size > 4 && size <= sizeof bytes);
    assert_int_equal(sys_stream_pack(ends[1], bytes, sizeof bytes, unused, &handle_count), size);
    assert_int_equal(handle_count, 0);
    assert_int_equal(sys_handle_duplicate(&copy, sys_stream_handle(ends[1])), APR_SUCCESS);
    sys_stream_close(ends[1]);
    assert_int_equal(sys_stream_open(&moved, copy, BOTH), APR_SUCCESS);
    assert_int_equal(sys_stream_unpack(moved, bytes, size - 1, 2, unused, 1), APR_EINVAL);
    assert_int_equal(sys_stream_unpack(moved, bytes, size, 3, unused, 0), APR_EINVAL);
    assert_int_equal(sys_stream_unpack(moved, bytes, size, 2, unused, 0), APR_SUCCESS);
    assert_int_equal(sys_stream_next(moved, &next, 0, SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(next.size, 6);
    assert_int_equal(next.left, 4);
    assert_int_equal(sys_stream_read(moved, text, 4, &done, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_memory_equal(text, "cdef", 4);
    assert_int_equal(sys_stream_end_message(moved, got), APR_SUCCESS);
    assert_int_equal(WaitForSingleObject((HANDLE)got[0], 0), WAIT_OBJECT_0);
    sys_handle_close(got[0]);
    sys_handle_close(event);
    sys_stream_close(ends[0]);
    sys_stream_close(moved);
}

static DWORD WINAPI wait_once(void *data)
{
    return wait_for_stream(data, later()) != APR_SUCCESS;
}

/** Whoever waits here does not take from the one that the stream goes to; and it may stay after all. */
static void test_waiting_ends_before_a_handover(void **state)
{
    sys_stream_t *ends[2];
    sys_handle_t unused[SYS_PACKED_HANDLES_MAX];
    size_t handle_count;
    sys_next_t next;
    (void)state;
    make_pair(ends);
    HANDLE waiter = start_thread(wait_once, ends[1]);
    Sleep(50);
    assert_int_equal(sys_stream_pack(ends[1], NULL, 0, unused, &handle_count), 0);
    send_text(ends[0], "");
    assert_int_equal(WaitForSingleObject(waiter, 50), WAIT_TIMEOUT);
    sys_stream_keep(ends[1]);
    assert_int_equal(end_thread(waiter), 0);
    assert_true(sys_stream_pack(ends[1], NULL, 0, unused, &handle_count) > 0);
    assert_int_equal(wait_for_stream(ends[1], soon()), APR_TIMEUP);
    sys_stream_keep(ends[1]);
    assert_int_equal(wait_for_stream(ends[1], 0), APR_SUCCESS);
    expect_text_until(ends[1], "", 0);
    assert_int_equal(sys_stream_next(ends[1], &next, 0, SYS_NO_HANDLE), APR_TIMEUP);
    assert_int_equal(wait_for_stream(ends[1], soon()), APR_TIMEUP);
    /* One that was taken before goes along. */
    send_text(ends[0], "");
    assert_int_equal(wait_for_stream(ends[1], 0), APR_SUCCESS);
    assert_true(sys_stream_pack(ends[1], NULL, 0, unused, &handle_count) > 0);
    close_pair(ends);
}

/** The end does not overtake a last empty message that somebody who waits has just taken. */
static void test_last_message_is_empty(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        sys_stream_t *ends[2];
        make_pair(ends);
        HANDLE waiter = start_thread(wait_once, ends[1]);
        Sleep((DWORD)(i % 3));
        send_text(ends[0], "");
        sys_stream_close(ends[0]);
        expect_text(ends[1], "");
        expect_nothing(ends[1], APR_EOF);
        assert_int_equal(end_thread(waiter), 0);
        sys_stream_close(ends[1]);
    }
}

/* ---- The program's own handles ----------------------------------------------------------------------------------- */

static void test_handles_that_are_no_streams(void **state)
{
    sys_stream_t *stream;
    HANDLE reader, writer;
    char name[100];
    (void)state;
    assert_int_equal(sys_stream_open(&stream, SYS_NO_HANDLE, 0), APR_EBADF);
    assert_int_equal(sys_stream_open(&stream, 0x123454, 0), APR_EBADF);
    assert_null(stream);
    HANDLE event = CreateEventW(NULL, TRUE, TRUE, NULL);
    assert_int_equal(sys_stream_open(&stream, (sys_handle_t)event, 0), APR_EINVAL);
    assert_true(CreatePipe(&reader, &writer, NULL, 0));
    assert_int_equal(sys_stream_open(&stream, (sys_handle_t)reader, 0), APR_EINVAL);
    const SOCKET udp = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sys_stream_open(&stream, (sys_handle_t)udp, 0), APR_EINVAL);
    closesocket(udp);
    /* Messages, but calls that wait for good. */
    snprintf(name, sizeof name, "\\\\.\\pipe\\mproc-test-%d", sys_getpid());
    HANDLE server =
        CreateNamedPipeA(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED, PIPE_TYPE_MESSAGE, 1, 4096, 4096, 0, NULL);
    HANDLE client = CreateFileA(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(server != INVALID_HANDLE_VALUE && client != INVALID_HANDLE_VALUE);
    assert_int_equal(sys_stream_open(&stream, (sys_handle_t)client, 0), APR_EINVAL);
    CloseHandle(client);
    CloseHandle(server);
    CloseHandle(reader);
    CloseHandle(writer);
    CloseHandle(event);
}

static void test_directions_are_found(void **state)
{
    sys_stream_t *ends[2], *streams[2];
    (void)state;
    for (int one_way = 0; one_way < 2; one_way++) {
        assert_int_equal(sys_stream_pair(&ends[0], &ends[1], one_way), APR_SUCCESS);
        for (int i = 0; i < 2; i++) {
            sys_handle_t copy;
            assert_int_equal(sys_handle_duplicate(&copy, sys_stream_handle(ends[i])), APR_SUCCESS);
            assert_int_equal(sys_stream_open(&streams[i], copy, 0), APR_SUCCESS);
            assert_int_equal(sys_stream_directions(streams[i]), sys_stream_directions(ends[i]));
        }
        send_text(streams[1], "found");
        expect_text(streams[0], "found");
        close_pair(streams);
        close_pair(ends);
    }
}

/* ---- Listeners --------------------------------------------------------------------------------------------------- */

static sys_listener_t *listen_anywhere(int any_user)
{
    sys_listener_t *listener;
    assert_int_equal(sys_listener_create(&listener, NULL, 0, any_user), APR_SUCCESS);
    return listener;
}

/** A program that uses the system's calls alone, as Python's `Client` does. */
static DWORD WINAPI be_a_stranger(void *data)
{
    DWORD size, mode = PIPE_READMODE_MESSAGE;
    char text[100] = "";
    HANDLE pipe = CreateFileA(data, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE || !SetNamedPipeHandleState(pipe, &mode, NULL, NULL))
        return 1;
    if (!WriteFile(pipe, "from the stranger", 17, &size, NULL) || !WriteFile(pipe, "", 0, &size, NULL))
        return 2;
    if (!ReadFile(pipe, text, sizeof text, &size, NULL) || size != 15 || strcmp(text, "to the stranger") != 0)
        return 3;
    if (!ReadFile(pipe, text, sizeof text, &size, NULL) || size != 0)
        return 4;
    /* A part of a message, and the rest. */
    if (ReadFile(pipe, text, 3, &size, NULL) || GetLastError() != ERROR_MORE_DATA ||
        !ReadFile(pipe, text + 3, sizeof text - 3, &size, NULL) || memcmp(text, "abcdef", 6) != 0)
        return 5;
    CloseHandle(pipe);
    return 0;
}

static void test_stranger_at_the_other_end(void **state)
{
    sys_listener_t *listener = listen_anywhere(0);
    sys_stream_t *stream;
    int pid = 0, is_same_user = 0;
    (void)state;
    HANDLE stranger = start_thread(be_a_stranger, (void *)(uintptr_t)sys_listener_address(listener));
    assert_int_equal(sys_listener_accept(listener, &stream, later(), SYS_NO_HANDLE), APR_SUCCESS);
    assert_int_equal(sys_stream_peer(stream, &pid, &is_same_user), APR_SUCCESS);
    assert_int_equal(pid, sys_getpid());
    assert_true(is_same_user);
    expect_text(stream, "from the stranger");
    expect_text(stream, "");
    send_text(stream, "to the stranger");
    send_text(stream, "");
    send_text(stream, "abcdef");
    assert_int_equal(end_thread(stranger), 0);
    sys_stream_close(stream);
    sys_listener_close(listener);
}

static void test_names_are_exclusive(void **state)
{
    sys_listener_t *listener, *second;
    sys_stream_t *stream;
    char name[60];
    (void)state;
    snprintf(name, sizeof name, "test-%d", sys_getpid());
    assert_int_equal(sys_stream_connect(&stream, name, 0), APR_ENOENT);
    assert_int_equal(sys_stream_connect(&stream, name, soon()), APR_ENOENT);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(sys_listener_create(&listener, name, 2, 0), APR_SUCCESS);
        assert_int_equal(sys_listener_create(&second, name, 0, 0), APR_EEXIST);
        assert_null(second);
        assert_int_equal(sys_listener_create(&second, sys_listener_address(listener), 0, 0), APR_EEXIST);
        assert_int_equal(sys_listener_accept(listener, &stream, 0, SYS_NO_HANDLE), APR_TIMEUP);
        sys_listener_close(listener);
    }
    assert_int_equal(sys_stream_connect(&stream, name, 0), APR_ENOENT);
    assert_int_equal(sys_listener_create(&listener, "/tmp/elsewhere", 0, 0), APR_EINVAL);
    assert_int_equal(sys_listener_create(&listener, "\\\\.\\pipe\\", 0, 0), APR_EINVAL);
    assert_int_equal(sys_listener_create(&listener, "\\\\elsewhere\\pipe\\x", 0, 0), APR_EINVAL);
    char address[400] = "\\\\.\\pipe\\";
    memset(address + strlen(address), 'x', 300);
    assert_int_equal(sys_listener_create(&listener, address, 0, 0), APR_ENAMETOOLONG);
}

/** The system keeps a name as long as a connection is open; we do not. */
static void test_name_is_free_while_connections_are_open(void **state)
{
    sys_listener_t *listener;
    sys_stream_t *callers[2], *accepted[2], *none;
    char name[60], address[300];
    (void)state;
    snprintf(name, sizeof name, "Test-%d", sys_getpid());
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sys_listener_create(&listener, name, 1, i), APR_SUCCESS);
        assert_int_equal(sys_stream_connect(&callers[i], name, later()), APR_SUCCESS);
        assert_int_equal(sys_stream_connect(&none, name, 0), APR_TIMEUP);
        assert_int_equal(sys_listener_accept(listener, &accepted[i], later(), SYS_NO_HANDLE), APR_SUCCESS);
        snprintf(address, sizeof address, "%s", sys_listener_address(listener));
        sys_listener_close(listener);
        assert_int_equal(sys_stream_connect(&none, name, 0), APR_ENOENT);
        assert_int_equal(sys_stream_connect(&none, address, soon()), APR_ENOENT);
    }
    for (int i = 0; i < 2; i++) {
        send_text(callers[i], i ? "second" : "first");
        expect_text(accepted[i], i ? "second" : "first");
        sys_stream_close(callers[i]);
        sys_stream_close(accepted[i]);
    }
}

static void test_callers_wait_in_order(void **state)
{
    sys_listener_t *listener;
    sys_stream_t *callers[6], *accepted;
    (void)state;
    for (int any_user = 0; any_user < 2; any_user++) {
        assert_int_equal(sys_listener_create(&listener, NULL, 5, any_user), APR_SUCCESS);
        const char *address = sys_listener_address(listener);
        for (int i = 0; i < 5; i++) {
            char text[2] = {(char)('a' + i), 0};
            assert_int_equal(sys_stream_connect(&callers[i], address, 0), APR_SUCCESS);
            send_text(callers[i], text);
        }
        /* There is no room for more. */
        assert_int_equal(sys_stream_connect(&callers[5], address, 0), APR_TIMEUP);
        assert_int_equal(sys_stream_connect(&callers[5], address, soon()), APR_TIMEUP);
        for (int i = 0; i < 5; i++) {
            char text[2] = {(char)('a' + i), 0};
            size_t ready;
            sys_wait_t item = {.kind = SYS_WAIT_LISTENER, .object = listener};
            assert_int_equal(sys_wait_any(&item, 1, &ready, later()), APR_SUCCESS);
            assert_int_equal(item.is_ready, 1);
            assert_int_equal(sys_listener_accept(listener, &accepted, 0, SYS_NO_HANDLE), APR_SUCCESS);
            expect_text(accepted, text);
            send_text(accepted, "seen");
            sys_stream_close(accepted);
            expect_text(callers[i], "seen");
            expect_nothing(callers[i], APR_EOF);
            sys_stream_close(callers[i]);
        }
        /* One that has gone again has left a message. */
        assert_int_equal(sys_stream_connect(&callers[0], address, 0), APR_SUCCESS);
        send_text(callers[0], "gone");
        sys_stream_close(callers[0]);
        assert_int_equal(sys_listener_accept(listener, &accepted, later(), SYS_NO_HANDLE), APR_SUCCESS);
        expect_text(accepted, "gone");
        sys_stream_close(accepted);
        /* One that nobody accepts sees the end. */
        assert_int_equal(sys_stream_connect(&callers[0], address, 0), APR_SUCCESS);
        sys_listener_close(listener);
        expect_nothing(callers[0], APR_EOF);
        sys_stream_close(callers[0]);
    }
}

static DWORD WINAPI make_listener(void *data)
{
    return sys_listener_create(data, NULL, 3, 0) != APR_SUCCESS;
}

static DWORD WINAPI accept_some(void *data)
{
    sys_stream_t *stream;
    DWORD accepted = 0;
    while (sys_listener_accept(data, &stream, sys_now() + 3 * SECOND, SYS_NO_HANDLE) == APR_SUCCESS) {
        send_bytes(stream, "x", 1, later());
        sys_stream_close(stream);
        accepted++;
    }
    return accepted;
}

/** What a thread has begun to wait for ends with the thread: the listener goes on. */
static void test_listener_outlives_its_threads(void **state)
{
    sys_listener_t *listener;
    sys_stream_t *stream;
    DWORD accepted = 0;
    HANDLE threads[3];
    (void)state;
    assert_int_equal(end_thread(start_thread(make_listener, &listener)), 0);
    Sleep(20);
    for (int i = 0; i < 3; i++)
        threads[i] = start_thread(accept_some, listener);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(sys_stream_connect(&stream, sys_listener_address(listener), later()), APR_SUCCESS);
        expect_text(stream, "x");
        sys_stream_close(stream);
    }
    for (int i = 0; i < 3; i++)
        accepted += end_thread(threads[i]);
    assert_int_equal(accepted, 60);
    sys_listener_close(listener);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

enum { EVENTS = 200, STREAMS = 50 };

static DWORD WINAPI set_later(void *data)
{
    Sleep(50);
    SetEvent(data);
    return 0;
}

static void test_many_things_at_once(void **state)
{
    static sys_wait_t items[EVENTS + STREAMS + 3];
    sys_stream_t *ends[STREAMS][2];
    sys_listener_t *listener = listen_anywhere(0);
    size_t count = 0, ready;
    (void)state;
    for (int i = 0; i < EVENTS; i++)
        items[count++] = (sys_wait_t){SYS_WAIT_HANDLE, (sys_handle_t)CreateEventW(NULL, i % 2, FALSE, NULL), NULL, 0};
    for (int i = 0; i < STREAMS; i++) {
        make_pair(ends[i]);
        items[count++] = (sys_wait_t){SYS_WAIT_STREAM, SYS_NO_HANDLE, ends[i][0], 0};
    }
    items[count++] = (sys_wait_t){SYS_WAIT_NOTHING, SYS_NO_HANDLE, NULL, 0};
    items[count++] = (sys_wait_t){SYS_WAIT_LISTENER, SYS_NO_HANDLE, listener, 0};
    assert_int_equal(sys_wait_any(items, count, &ready, 0), APR_TIMEUP);
    assert_int_equal(sys_wait_any(items, count, &ready, soon()), APR_TIMEUP);
    assert_int_equal(ready, 0);
    for (int i = 0; i < EVENTS; i += 37) {
        HANDLE thread = start_thread(set_later, (HANDLE)items[i].handle);
        assert_int_equal(sys_wait_any(items, count, &ready, later()), APR_SUCCESS);
        assert_int_equal(ready, 1);
        assert_int_equal(items[i].is_ready, 1);
        items[i].is_ready = 0;
        end_thread(thread);
        /* One that resets itself has done so once. */
        assert_int_equal(WaitForSingleObject((HANDLE)items[i].handle, 0), i % 2 ? WAIT_OBJECT_0 : WAIT_TIMEOUT);
        ResetEvent((HANDLE)items[i].handle);
    }
    /* Several at once, of all kinds. */
    for (int i = 0; i < STREAMS; i += 7)
        send_text(ends[i][1], i % 2 ? "" : "text");
    SetEvent((HANDLE)items[3].handle);
    SetEvent((HANDLE)items[EVENTS - 1].handle);
    sys_stream_t *caller;
    assert_int_equal(sys_stream_connect(&caller, sys_listener_address(listener), 0), APR_SUCCESS);
    assert_int_equal(sys_wait_any(items, count, &ready, later()), APR_SUCCESS);
    assert_int_equal(ready, 8 + 2 + 1);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(items[EVENTS + i].is_ready, i % 7 == 0);
        if (i % 7 == 0)
            expect_text_until(ends[i][0], i % 2 ? "" : "text", 0);
        expect_nothing(ends[i][0], APR_TIMEUP);
        close_pair(ends[i]);
    }
    for (int i = 0; i < EVENTS; i++)
        CloseHandle((HANDLE)items[i].handle);
    sys_stream_close(caller);
    sys_listener_close(listener);
}

static void use_all_once(void)
{
    sys_stream_t *ends[2], *accepted;
    size_t ready;
    sys_listener_t *listener = listen_anywhere(1);
    make_pair(ends);
    sys_wait_t items[70] = {{SYS_WAIT_STREAM, SYS_NO_HANDLE, ends[0], 0},
                            {SYS_WAIT_LISTENER, SYS_NO_HANDLE, listener, 0}};
    for (int i = 2; i < 70; i++)
        items[i] = items[i % 2];
    assert_int_equal(sys_wait_any(items, 2, &ready, soon()), APR_TIMEUP);
    assert_int_equal(sys_wait_any(items, 70, &ready, soon()), APR_TIMEUP);
    send_text(ends[1], "used");
    assert_int_equal(sys_wait_any(items, 70, &ready, later()), APR_SUCCESS);
    assert_int_equal(ready, 35);
    expect_text(ends[0], "used");
    close_pair(ends);
    assert_int_equal(sys_stream_connect(&ends[0], sys_listener_address(listener), 0), APR_SUCCESS);
    assert_int_equal(sys_listener_accept(listener, &accepted, later(), SYS_NO_HANDLE), APR_SUCCESS);
    send_text(accepted, "used");
    expect_text(ends[0], "used");
    sys_stream_close(accepted);
    sys_stream_close(ends[0]);
    sys_listener_close(listener);
    assert_int_equal(sys_stream_connect(&ends[0], "nobody-listens-here", 0), APR_ENOENT);
}

static void test_nothing_is_left_open(void **state)
{
    (void)state;
    use_all_once();
    use_all_once();
    const int before = count_handles();
    for (int i = 0; i < 5; i++)
        use_all_once();
    /* The system's own threads come and go. */
    assert_in_range(count_handles(), before - 3, before + 3);
}

static void test_things_that_cannot_be_waited_for(void **state)
{
    size_t ready;
    HANDLE fine = CreateEventW(NULL, TRUE, FALSE, NULL);
    (void)state;
    sys_wait_t items[] = {{SYS_WAIT_HANDLE, (sys_handle_t)fine, NULL, 0},
                          {SYS_WAIT_HANDLE, 0x123454, NULL, 0},
                          {SYS_WAIT_HANDLE, SYS_NO_HANDLE, NULL, 0},
                          {SYS_WAIT_SOCKET, 0x123454, NULL, 0}};
    assert_int_equal(sys_wait_any(items, 4, &ready, later()), APR_SUCCESS);
    assert_int_equal(ready, 3);
    assert_int_equal(items[0].is_ready, 0);
    for (int i = 1; i < 4; i++)
        assert_int_equal(items[i].is_ready, -1);
    CloseHandle(fine);
}

static DWORD WINAPI connect_later(void *data)
{
    const SOCKET caller = socket(AF_INET, SOCK_STREAM, 0);
    Sleep(50);
    if (connect(caller, data, sizeof(struct sockaddr_in)) != 0)
        return 1;
    Sleep(50);
    send(caller, "x", 1, 0);
    Sleep(50);
    closesocket(caller);
    return 0;
}

static void wait_for_socket(SOCKET socket, int is_to_wait)
{
    size_t ready;
    sys_wait_t item = {.kind = SYS_WAIT_SOCKET, .handle = (sys_handle_t)socket};
    if (is_to_wait)
        assert_int_equal(sys_wait_any(&item, 1, &ready, 0), APR_TIMEUP);
    assert_int_equal(sys_wait_any(&item, 1, &ready, later()), APR_SUCCESS);
    assert_int_equal(item.is_ready, 1);
    assert_int_equal(ready, 1);
}

static void test_sockets(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof address;
    char byte;
    (void)state;
    const SOCKET door = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&address, &size), 0);
    HANDLE caller = start_thread(connect_later, &address);
    wait_for_socket(door, 1);
    const SOCKET accepted = accept(door, NULL, NULL);
    assert_true(accepted != INVALID_SOCKET);
    wait_for_socket(accepted, 1);
    assert_int_equal(recv(accepted, &byte, 1, 0), 1);
    wait_for_socket(accepted, 0);
    assert_int_equal(recv(accepted, &byte, 1, 0), 0);
    assert_int_equal(end_thread(caller), 0);
    closesocket(accepted);
    closesocket(door);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_both_ways),
        cmocka_unit_test(test_pieces_are_joined),
        cmocka_unit_test(test_empty_messages_keep_their_place),
        cmocka_unit_test(test_waiting_beside_a_receiver),
        cmocka_unit_test(test_messages_of_many_sizes),
        cmocka_unit_test(test_message_beyond_four_gibibytes),
        cmocka_unit_test(test_message_that_looks_like_a_head),
        cmocka_unit_test(test_damaged_heads),
        cmocka_unit_test(test_what_was_sent_outlives_its_sender),
        cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_rest_of_a_long_message),
        cmocka_unit_test(test_messages_that_are_taken_back),
        cmocka_unit_test(test_handles_move),
        cmocka_unit_test(test_handles_of_another_process),
        cmocka_unit_test(test_handles_of_a_later_process),
        cmocka_unit_test(test_message_is_handed_over),
        cmocka_unit_test(test_waiting_ends_before_a_handover),
        cmocka_unit_test(test_last_message_is_empty),
        cmocka_unit_test(test_handles_that_are_no_streams),
        cmocka_unit_test(test_directions_are_found),
        cmocka_unit_test(test_stranger_at_the_other_end),
        cmocka_unit_test(test_names_are_exclusive),
        cmocka_unit_test(test_name_is_free_while_connections_are_open),
        cmocka_unit_test(test_callers_wait_in_order),
        cmocka_unit_test(test_listener_outlives_its_threads),
        cmocka_unit_test(test_many_things_at_once),
        cmocka_unit_test(test_nothing_is_left_open),
        cmocka_unit_test(test_things_that_cannot_be_waited_for),
        cmocka_unit_test(test_sockets),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
