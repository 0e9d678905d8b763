/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "random.h"
#include "support.h"

void make_conns(mproc_conn_t **first, mproc_conn_t **second)
{
    assert_success(mproc_pipe(first, second, NULL));
}

void close_both(mproc_conn_t *first, mproc_conn_t *second)
{
    assert_success(mproc_conn_close(first));
    assert_success(mproc_conn_close(second));
}

int count_after_waiting(void)
{
    mproc_conn_t *carrier, *other, *moved, *left;
    make_conns(&carrier, &other);
    make_conns(&moved, &left);
    assert_success(mproc_conn_send_conn(carrier, moved, 0));
    assert_success(mproc_conn_recv_conn(other, &moved, patience()));
    close_both(moved, left);
    close_both(carrier, other);
    mproc_wait(NULL, 0, 1);
    return count_descriptors();
}

void fill_bytes(void *data, size_t size, uint64_t seed)
{
    unsigned char *at = data;
    unsigned long long state = seed;
    for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
        const uint64_t word = next_random(&state);
        memcpy(at + done, &word, size - done < sizeof word ? size - done : sizeof word);
    }
}

int are_bytes(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *at = data;
    unsigned long long state = seed;
    for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
        const uint64_t word = next_random(&state);
        if (memcmp(at + done, &word, size - done < sizeof word ? size - done : sizeof word) != 0)
            return 0;
    }
    return 1;
}

/** FNV-1a over words. */
static uint64_t sum_of(const stamp_t *stamp, const unsigned char *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325u ^ stamp->sender ^ (uint64_t)stamp->number << 32 ^ stamp->size;
    for (; size >= sizeof(uint64_t); bytes += sizeof(uint64_t), size -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        sum = (sum ^ word) * 0x100000001b3u;
        sum ^= sum >> 29;
    }
    for (; size > 0; size--)
        sum = (sum ^ *bytes++) * 0x100000001b3u;
    return sum;
}

void make_message(void *message, size_t size, uint32_t sender, uint32_t number)
{
    unsigned char *bytes = message;
    stamp_t stamp = {size, 0, sender, number};
    fill_bytes(bytes + sizeof stamp, size - sizeof stamp, (uint64_t)sender << 32 | number);
    stamp.sum = sum_of(&stamp, bytes + sizeof stamp, size - sizeof stamp);
    memcpy(bytes, &stamp, sizeof stamp);
}

int is_whole(stamp_t *stamp, const void *message, size_t size)
{
    if (size < sizeof *stamp)
        return 0;
    memcpy(stamp, message, sizeof *stamp);
    return stamp->size == size &&
           stamp->sum == sum_of(stamp, (const unsigned char *)message + sizeof *stamp, size - sizeof *stamp);
}

apr_status_t send_bytes(mproc_conn_t *conn, size_t size, uint64_t seed, apr_interval_time_t timeout)
{
    void *data = malloc(size ? size : 1);
    if (!data)
        return APR_ENOMEM;
    fill_bytes(data, size, seed);
    const apr_status_t status = mproc_conn_send(conn, data, size, timeout);
    free(data);
    return status;
}

apr_status_t expect_bytes(mproc_conn_t *conn, size_t size, uint64_t seed, apr_interval_time_t timeout)
{
    void *data;
    size_t got;
    apr_status_t status = mproc_conn_recv(conn, &data, &got, timeout);
    if (status != APR_SUCCESS)
        return status;
    if (got != size || !are_bytes(data, size, seed) || ((char *)data)[size] != '\0')
        status = MPROC_ESIZE;
    mproc_free(data);
    return status;
}

void expect_end(mproc_conn_t *conn)
{
    void *data;
    size_t size;
    assert_failure(mproc_conn_recv(conn, &data, &size, patience()), APR_EOF);
    assert_null(data);
    assert_success(mproc_conn_poll(conn, 0)); /* an end counts as something to receive */
    assert_failure(mproc_conn_recv(conn, &data, &size, 0), APR_EOF);
    assert_failure(mproc_conn_send(conn, "x", 1, patience()), APR_EPIPE);
    assert_success(mproc_conn_close(conn));
}

int goes_in_parts(void)
{
    mproc_conn_t *first, *second;
    make_conns(&first, &second);
    const apr_status_t status = send_bytes(first, HUGE_SIZE, 1, 0);
    assert_true(status == APR_TIMEUP || status == MPROC_EUNFINISHED);
    close_both(first, second);
    return status == MPROC_EUNFINISHED;
}

void need_parts(void)
{
    if (!goes_in_parts())
        skip_because("a message goes whole or not at all here");
}

apr_interval_time_t patience(void)
{
    return MPROC_SECONDS(20) * slowdown();
}

long long setting(const char *name, long long usual)
{
    const char *value = getenv(name);
    return value && *value ? strtoll(value, NULL, 10) : usual;
}

static void *APR_THREAD_FUNC run_later(apr_thread_t *self, void *data)
{
    const later_t *later = data;
    (void)self;
    apr_sleep((apr_interval_time_t)later->milliseconds * 1000);
    later->act(later->context);
    return NULL;
}

void begin_later(later_t *later, int milliseconds, void (*act)(void *), void *context)
{
    later->milliseconds = milliseconds;
    later->act = act;
    later->context = context;
    apr_pool_create(&later->pool, NULL); /* its own: other threads may begin some, too */
    assert_int_equal(apr_thread_create(&later->thread, NULL, run_later, later, later->pool), APR_SUCCESS);
}

void end_later(later_t *later)
{
    apr_status_t status;
    apr_thread_join(&status, later->thread);
    apr_pool_destroy(later->pool);
}

void close_conn(void *conn)
{
    mproc_conn_close(conn);
}

void close_listener(void *listener)
{
    mproc_listener_close(listener);
}
