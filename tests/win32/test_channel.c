/* SPDX-License-Identifier: Apache-2.0 */
/* White box: channels, with this process at both ends, and threads that end in between. */
#include "win32/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/random.h"
#include "support/support.h"

enum { SECOND = 1000000, MANY = 70, PIECE = 10000 };

static sys_time_t later(void)
{
    return sys_now() + (sys_time_t)40 * SECOND * slowdown();
}

static unsigned char expected_byte(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void make(sys_channel_t **channel, HANDLE *theirs, int is_input)
{
    sys_handle_t handle;
    assert_int_equal(sys_channel_create(channel, &handle, is_input), APR_SUCCESS);
    *theirs = (HANDLE)handle;
}

/** Wait for a channel, or look whether it is ready. */
static apr_status_t wait_until(sys_channel_t *channel, sys_time_t deadline)
{
    sys_wait_t item = {.kind = SYS_WAIT_CHANNEL, .object = channel};
    size_t ready;
    const apr_status_t status = sys_wait_any(&item, 1, &ready, deadline);
    assert_int_equal(ready, status == APR_SUCCESS);
    assert_int_equal(item.is_ready, status == APR_SUCCESS);
    return status;
}

/** Write until there is no room: how much that was. */
static size_t fill(sys_channel_t *channel)
{
    unsigned char bytes[PIECE];
    size_t total = 0;
    for (;;) {
        size_t done;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = expected_byte(total + i);
        const apr_status_t status = sys_channel_write(channel, bytes, sizeof bytes, &done);
        total += done;
        if (status == APR_EAGAIN)
            return total;
        assert_int_equal(status, APR_SUCCESS);
        assert_in_range(done, 1, sizeof bytes);
    }
}

/** Read what a program would, and check that it is what fill() wrote from some place on. */
static void expect_bytes(HANDLE theirs, size_t from, size_t size)
{
    unsigned char bytes[3000];
    while (size > 0) {
        DWORD got = 0;
        const DWORD now = size < sizeof bytes ? (DWORD)size : (DWORD)sizeof bytes;
        assert_true(ReadFile(theirs, bytes, now, &got, NULL));
        assert_true(got > 0);
        for (DWORD i = 0; i < got; i++)
            assert_int_equal(bytes[i], expected_byte(from + i));
        from += got;
        size -= got;
    }
}

static void expect_end(HANDLE theirs)
{
    char byte;
    DWORD got;
    assert_false(ReadFile(theirs, &byte, 1, &got, NULL));
    assert_int_equal(GetLastError(), ERROR_BROKEN_PIPE);
    CloseHandle(theirs);
}

static void put_text(HANDLE theirs, const char *text)
{
    DWORD done;
    assert_true(WriteFile(theirs, text, (DWORD)strlen(text), &done, NULL));
    assert_int_equal(done, strlen(text));
}

static void expect_text(sys_channel_t *channel, const char *text)
{
    char buffer[100] = "";
    size_t got;
    assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
    assert_int_equal(sys_channel_read(channel, buffer, sizeof buffer, &got), APR_SUCCESS);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(buffer, text, got);
}

static void run_thread(LPTHREAD_START_ROUTINE function, void *data)
{
    HANDLE thread = CreateThread(NULL, 0, function, data, 0, NULL);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
    CloseHandle(thread);
}

static void test_reading(void **state)
{
    sys_channel_t *channel;
    HANDLE theirs;
    char byte;
    size_t got = 1;
    (void)state;
    make(&channel, &theirs, 0);
    assert_int_equal(wait_until(channel, 0), APR_TIMEUP);
    assert_int_equal(sys_channel_read(channel, &byte, 1, &got), APR_EAGAIN);
    assert_int_equal(got, 0);
    put_text(theirs, "abc");
    assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
    assert_int_equal(sys_channel_read(channel, &byte, 1, &got), APR_SUCCESS);
    assert_int_equal(byte, 'a');
    expect_text(channel, "bc");
    assert_int_equal(wait_until(channel, sys_now() + SECOND / 50), APR_TIMEUP);
    put_text(theirs, "last");
    CloseHandle(theirs);
    expect_text(channel, "last");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
        assert_int_equal(sys_channel_read(channel, &byte, 1, &got), APR_EOF);
    }
    sys_channel_close(channel);
    sys_channel_close(NULL);
}

/** A program can write nothing, which is no end. */
static void test_nothing_is_written(void **state)
{
    sys_channel_t *channel;
    HANDLE theirs;
    char byte;
    size_t got;
    (void)state;
    make(&channel, &theirs, 0);
    for (int i = 0; i < 2; i++) {
        put_text(theirs, "");
        assert_int_equal(sys_channel_read(channel, &byte, 1, &got), APR_EAGAIN);
        put_text(theirs, "");
        assert_int_equal(wait_until(channel, 0), APR_TIMEUP);
        put_text(theirs, "x");
        expect_text(channel, "x");
    }
    CloseHandle(theirs);
    sys_channel_close(channel);
}

static void test_program_handle(void **state)
{
    sys_channel_t *channel;
    HANDLE theirs;
    DWORD flags;
    (void)state;
    for (int is_input = 0; is_input < 2; is_input++) {
        make(&channel, &theirs, is_input);
        assert_true(GetHandleInformation(theirs, &flags));
        assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
        assert_int_equal(GetFileType(theirs), FILE_TYPE_PIPE);
        CloseHandle(theirs);
        sys_channel_close(channel);
    }
}

static void test_writing(void **state)
{
    sys_channel_t *channel;
    HANDLE theirs;
    size_t done = 1;
    (void)state;
    make(&channel, &theirs, 1);
    assert_int_equal(wait_until(channel, 0), APR_SUCCESS);
    assert_int_equal(sys_channel_write(channel, "", 0, &done), APR_SUCCESS);
    assert_int_equal(done, 0);
    size_t total = fill(channel);
    assert_true(total >= WIN32_PIPE_BUFFER);
    assert_int_equal(wait_until(channel, sys_now() + SECOND / 50), APR_TIMEUP);
    expect_bytes(theirs, 0, total);
    assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
    total = fill(channel);
    expect_bytes(theirs, 0, total);
    sys_channel_close(channel);
    expect_end(theirs);
}

static DWORD WINAPI put_later(void *theirs)
{
    Sleep(100);
    put_text(theirs, "late");
    return 0;
}

static DWORD WINAPI take_later(void *theirs)
{
    Sleep(100);
    expect_bytes(theirs, 0, WIN32_PIPE_BUFFER / 2);
    return 0;
}

/** Whoever waits is woken. */
static void test_waiting(void **state)
{
    (void)state;
    for (int is_input = 0; is_input < 2; is_input++) {
        sys_channel_t *channel;
        HANDLE theirs;
        make(&channel, &theirs, is_input);
        if (is_input)
            fill(channel);
        HANDLE thread = CreateThread(NULL, 0, is_input ? take_later : put_later, theirs, 0, NULL);
        assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
        assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
        CloseHandle(thread);
        if (!is_input)
            expect_text(channel, "late");
        CloseHandle(theirs);
        sys_channel_close(channel);
    }
}

static void test_closed_while_it_writes(void **state)
{
    (void)state;
    const int before = count_descriptors();
    for (int i = 0; i < 40; i++) {
        sys_channel_t *channel;
        HANDLE theirs;
        make(&channel, &theirs, 1);
        const size_t total = fill(channel);
        sys_channel_close(channel);
        expect_bytes(theirs, 0, total);
        expect_end(theirs);
    }
    expect_descriptors(before);
}

/** What nobody reads is closed when the last who could is gone, or when the library ends. */
static void test_closed_and_never_read(void **state)
{
    enum { HALF = 60 };
    (void)state;
    sys_channel_t *channel;
    static HANDLE theirs[2 * HALF];
    const int before = count_descriptors();
    for (int i = 0; i < 2 * HALF; i++) {
        make(&channel, &theirs[i], 1);
        fill(channel);
        sys_channel_close(channel);
    }
    for (int i = 0; i < HALF; i++)
        CloseHandle(theirs[i]);
    /* Of the others there are three each: ours, theirs, and an event. */
    expect_descriptors(before + 3 * HALF);
    sys_stream_shutdown();
    expect_descriptors(before + HALF);
    for (int i = HALF; i < 2 * HALF; i++) {
        expect_bytes(theirs[i], 0, PIECE); /* what is in the pipe stays there */
        CloseHandle(theirs[i]);
    }
}

static void test_reader_is_gone(void **state)
{
    sys_channel_t *channel;
    HANDLE theirs;
    size_t done;
    (void)state;
    make(&channel, &theirs, 1);
    CloseHandle(theirs);
    assert_int_equal(sys_channel_write(channel, "x", 1, &done), APR_EPIPE);
    assert_int_equal(done, 0);
    assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
    sys_channel_close(channel);

    make(&channel, &theirs, 1);
    fill(channel);
    CloseHandle(theirs);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
        assert_int_equal(sys_channel_write(channel, "x", 1, &done), APR_EPIPE);
    }
    sys_channel_close(channel);
}

static DWORD WINAPI fill_and_end(void *channel)
{
    return fill(channel) == 0;
}

static DWORD WINAPI fill_close_and_end(void *channel)
{
    fill(channel);
    sys_channel_close(channel);
    return 0;
}

static size_t count_writable(void)
{
    sys_channel_t *channel;
    HANDLE theirs;
    make(&channel, &theirs, 1);
    const size_t total = fill(channel);
    CloseHandle(theirs);
    sys_channel_close(channel);
    return total;
}

/** The system stops what a thread has begun that ends: the program gets all the same, with nobody's help. */
static void test_writer_thread_ends(void **state)
{
    (void)state;
    const size_t total = count_writable();
    unsigned long long seed = choose_seed();
    for (int i = 0; i < 60; i++) {
        sys_channel_t *channel;
        HANDLE theirs;
        make(&channel, &theirs, 1);
        /* Some of it is read before, up to what makes room for the rest. */
        const size_t early = next_random(&seed) % 3 ? next_random(&seed) % WIN32_PIPE_BUFFER : 0;
        run_thread(i % 2 ? fill_and_end : fill_close_and_end, channel);
        expect_bytes(theirs, 0, early);
        expect_bytes(theirs, early, total - early);
        if (i % 2) {
            assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
            run_thread(fill_and_end, channel);
            expect_bytes(theirs, 0, early);
            sys_channel_close(channel);
            expect_bytes(theirs, early, total - early);
        }
        expect_end(theirs);
    }
}

typedef struct sleeper_t {
    sys_channel_t *channel;
    HANDLE has_begun;
    HANDLE may_end;
} sleeper_t;

static DWORD WINAPI read_and_sleep(void *data)
{
    sleeper_t *sleeper = data;
    char byte;
    size_t got;
    const apr_status_t status = sys_channel_read(sleeper->channel, &byte, 1, &got);
    SetEvent(sleeper->has_begun);
    WaitForSingleObject(sleeper->may_end, INFINITE);
    return status != APR_EAGAIN;
}

/** What is there is found at once, although another thread has begun to read it and does not get to be told. */
static void test_reader_thread_is_stopped(void **state)
{
    (void)state;
    sleeper_t sleeper = {NULL, CreateEventW(NULL, FALSE, FALSE, NULL), CreateEventW(NULL, FALSE, FALSE, NULL)};
    for (int i = 0; i < 20; i++) {
        HANDLE theirs;
        char bytes[10];
        size_t got;
        make(&sleeper.channel, &theirs, 0);
        HANDLE thread = CreateThread(NULL, 0, read_and_sleep, &sleeper, 0, NULL);
        assert_int_equal(WaitForSingleObject(sleeper.has_begun, 50000), WAIT_OBJECT_0);
        SuspendThread(thread);
        put_text(theirs, "there");
        if (i % 2)
            assert_int_equal(wait_until(sleeper.channel, 0), APR_SUCCESS);
        assert_int_equal(sys_channel_read(sleeper.channel, bytes, sizeof bytes, &got), APR_SUCCESS);
        assert_int_equal(got, 5);
        assert_memory_equal(bytes, "there", got);
        CloseHandle(theirs);
        assert_int_equal(sys_channel_read(sleeper.channel, bytes, sizeof bytes, &got), APR_EOF);
        sys_channel_close(sleeper.channel);
        ResumeThread(thread);
        SetEvent(sleeper.may_end);
        assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
        CloseHandle(thread);
    }
    CloseHandle(sleeper.has_begun);
    CloseHandle(sleeper.may_end);
}

typedef struct writer_t {
    HANDLE theirs;
    volatile LONG has_written;
} writer_t;

static DWORD WINAPI put_and_tell(void *data)
{
    writer_t *writer = data;
    put_text(writer->theirs, "written");
    InterlockedExchange(&writer->has_written, 1);
    return 0;
}

/** What was written before a look is found by it, also by a thread that has not waited since it began to read. */
static void test_written_before_a_look(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        sys_channel_t *channel;
        writer_t writer = {NULL, 0};
        char bytes[10];
        size_t got;
        make(&channel, &writer.theirs, 0);
        assert_int_equal(sys_channel_read(channel, bytes, sizeof bytes, &got), APR_EAGAIN);
        HANDLE thread = CreateThread(NULL, 0, put_and_tell, &writer, 0, NULL);
        while (!writer.has_written)
            YieldProcessor();
        assert_int_equal(sys_channel_read(channel, bytes, sizeof bytes, &got), APR_SUCCESS);
        assert_int_equal(got, 7);
        assert_int_equal(sys_channel_read(channel, bytes, sizeof bytes, &got), APR_EAGAIN);
        assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
        CloseHandle(thread);
        CloseHandle(writer.theirs);
        sys_channel_close(channel);
    }
}

static DWORD WINAPI read_nothing(void *channel)
{
    char byte;
    size_t got;
    return sys_channel_read(channel, &byte, 1, &got) != APR_EAGAIN;
}

static void test_reader_thread_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        sys_channel_t *channel;
        HANDLE theirs;
        make(&channel, &theirs, 0);
        run_thread(read_nothing, channel);
        if (i % 2)
            assert_int_equal(wait_until(channel, 0), APR_TIMEUP);
        put_text(theirs, "one");
        expect_text(channel, "one");
        run_thread(read_nothing, channel);
        put_text(theirs, "two");
        CloseHandle(theirs);
        expect_text(channel, "two");
        sys_channel_close(channel);
    }
}

typedef struct reader_t {
    HANDLE theirs;
    size_t size;
    unsigned long long seed;
} reader_t;

static DWORD WINAPI read_at_random(void *data)
{
    reader_t *reader = data;
    for (size_t done = 0; done < reader->size;) {
        const size_t left = reader->size - done;
        size_t now = next_random(&reader->seed) % 100000;
        now = now < left ? now : left;
        expect_bytes(reader->theirs, done, now);
        done += now;
        if (next_random(&reader->seed) % 8 == 0)
            Sleep(1);
    }
    return 0;
}

typedef struct piece_t {
    sys_channel_t *channel;
    const unsigned char *data;
    size_t size;
    size_t done;
} piece_t;

static DWORD WINAPI write_piece(void *data)
{
    piece_t *piece = data;
    return sys_channel_write(piece->channel, piece->data, piece->size, &piece->done) != APR_SUCCESS;
}

/** Much data, each piece by another thread that ends, while somebody reads. */
static void test_many_threads_write_in_turn(void **state)
{
    enum { SIZE = 8 << 20 };
    (void)state;
    unsigned char *bytes = malloc(SIZE);
    sys_channel_t *channel;
    reader_t reader = {.size = SIZE, .seed = choose_seed()};
    unsigned long long seed = reader.seed + 1;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = expected_byte(i);
    make(&channel, &reader.theirs, 1);
    HANDLE thread = CreateThread(NULL, 0, read_at_random, &reader, 0, NULL);
    for (size_t done = 0; done < SIZE;) {
        const size_t left = SIZE - done;
        const size_t now = 1 + next_random(&seed) % 200000;
        piece_t piece = {channel, bytes + done, now < left ? now : left, 0};
        assert_int_equal(wait_until(channel, later()), APR_SUCCESS);
        run_thread(write_piece, &piece);
        assert_true(piece.done > 0);
        done += piece.done;
    }
    sys_channel_close(channel);
    assert_int_equal(WaitForSingleObject(thread, 50000), WAIT_OBJECT_0);
    CloseHandle(thread);
    expect_end(reader.theirs);
    free(bytes);
}

static void test_many_at_once(void **state)
{
    static sys_channel_t *channels[MANY];
    static HANDLE theirs[MANY];
    sys_wait_t items[MANY];
    size_t ready;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        make(&channels[i], &theirs[i], i % 2);
        if (i % 2)
            fill(channels[i]);
        items[i] = (sys_wait_t){.kind = SYS_WAIT_CHANNEL, .object = channels[i]};
    }
    assert_int_equal(sys_wait_any(items, MANY, &ready, sys_now() + SECOND / 50), APR_TIMEUP);
    put_text(theirs[MANY - 2], "x");
    assert_int_equal(sys_wait_any(items, MANY, &ready, later()), APR_SUCCESS);
    assert_int_equal(ready, 1);
    assert_int_equal(items[MANY - 2].is_ready, 1);
    expect_text(channels[MANY - 2], "x");
    items[MANY - 2].is_ready = 0;
    CloseHandle(theirs[1]);
    assert_int_equal(sys_wait_any(items, MANY, &ready, later()), APR_SUCCESS);
    assert_int_equal(ready, 1);
    assert_int_equal(items[1].is_ready, 1);
    for (int i = 0; i < MANY; i++) {
        if (i != 1)
            CloseHandle(theirs[i]);
        sys_channel_close(channels[i]);
    }
}

static void test_nothing_is_left_open(void **state)
{
    (void)state;
    int before = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) {
            sys_channel_t *channel;
            HANDLE theirs;
            make(&channel, &theirs, i % 2);
            if (i % 2)
                fill(channel);
            else
                wait_until(channel, 0);
            if (i % 4 < 2)
                CloseHandle(theirs);
            sys_channel_close(channel);
            if (i % 4 >= 2)
                CloseHandle(theirs);
        }
        if (round == 0)
            before = count_descriptors();
    }
    expect_descriptors(before);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_nothing_is_written),
        cmocka_unit_test(test_program_handle),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_closed_while_it_writes),
        cmocka_unit_test(test_closed_and_never_read),
        cmocka_unit_test(test_reader_is_gone),
        cmocka_unit_test(test_writer_thread_ends),
        cmocka_unit_test(test_written_before_a_look),
        cmocka_unit_test(test_reader_thread_ends),
        cmocka_unit_test(test_reader_thread_is_stopped),
        cmocka_unit_test(test_many_threads_write_in_turn),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_nothing_is_left_open),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
