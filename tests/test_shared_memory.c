/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of shared memory by name, and processes that have nothing else in common. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/objects.h"
#include "support/random.h"
#include "support/support.h"

/** A name that no other run of these tests has, and that is free. */
static const char *make_name(char name[64], const char *suffix)
{
    snprintf(name, 64, "mproc-test-%d%s", mproc_getpid(), suffix);
    mproc_shm_unlink(name);
    return name;
}

static mproc_shm_t *make(const char *name, size_t size)
{
    mproc_shm_t *shm;
    assert_success(mproc_shm_create(&shm, name, size, NULL));
    return shm;
}

static mproc_shm_t *open_it(const char *name)
{
    mproc_shm_t *shm;
    assert_success(mproc_shm_open(&shm, name, NULL));
    return shm;
}

static void expect_none(const char *name)
{
    mproc_shm_t *shm = (mproc_shm_t *)&shm;
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_ENOENT);
    assert_null(shm);
    assert_error_names(name);
}

/** Whether a name goes with its last user, and not when it is unlinked. */
static int names_go_by_themselves(void)
{
    char name[64];
    mproc_shm_t *shm = make(make_name(name, "-goes"), 1);
    assert_success(mproc_shm_close(shm));
    return mproc_shm_open(&shm, name, NULL) == APR_ENOENT || (mproc_shm_close(shm), mproc_shm_unlink(name), 0);
}

static void run_stranger(int expected, const char *order, const char *name, const char *size)
{
    run_t run;
    const char *arguments[] = {PROGRAM_STRANGER, order, name, size, NULL};
    run_program(&run, PROGRAM_STRANGER, arguments, 60 * slowdown());
    if (run.exitcode != expected)
        fail_msg("'%s' of a stranger ended with %d: %s", order, run.exitcode, run.output);
}

/** Start a stranger that stays, and wait until it has the segment. */
static mproc_subprocess_t *start_stranger(const char *order, const char *name, const char *size)
{
    const char *const args[] = {PROGRAM_STRANGER, order, name, size, NULL};
    mproc_subprocess_opts_t opts = {0};
    mproc_subprocess_t *stranger;
    char *line;
    size_t length;
    opts.standard_input = opts.standard_output = mproc_stdio_pipe();
    assert_success(mproc_subprocess_start(&stranger, args, &opts));
    assert_success(mproc_subprocess_read_line(stranger, MPROC_OUTPUT, &line, &length, patience()));
    assert_true(length >= 5 && memcmp(line, "there", 5) == 0);
    mproc_free(line);
    return stranger;
}

static void kill_stranger(mproc_subprocess_t *stranger)
{
    assert_success(mproc_subprocess_kill(stranger));
    assert_success(mproc_subprocess_wait(stranger, patience()));
    assert_success(mproc_subprocess_close(stranger));
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void refuse_everywhere(mproc_shm_t *shm, apr_status_t expected)
{
    char bytes[4];
    assert_null(mproc_shm_data(shm));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_shm_size(shm), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_null(mproc_shm_name(shm));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_failure(mproc_shm_read(shm, 0, bytes, 4), expected);
    assert_failure(mproc_shm_write(shm, 0, "four", 4), expected);
}

static void test_bad_handles(void **state)
{
    int thing = 0;
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_shm_close(NULL));
    refuse_everywhere((mproc_shm_t *)&thing, MPROC_ECLOSED);
    mproc_shm_t *shm = make(NULL, 10);
    assert_success(mproc_shm_unlink(mproc_shm_name(shm)));
    assert_success(mproc_shm_close(shm));
    refuse_everywhere(shm, MPROC_ECLOSED);
    assert_failure(mproc_shm_close(shm), MPROC_ECLOSED);
}

static void test_bad_names(void **state)
{
    static const char *const bad[] = {"", ".", "..", "/", "/name", "fol/der", "fol\\der", "..\\x", "../x"};
    char name[300];
    mproc_shm_t *shm;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        shm = (mproc_shm_t *)&shm;
        assert_failure(mproc_shm_create(&shm, bad[i], 1, NULL), APR_EINVAL);
        assert_null(shm);
        shm = (mproc_shm_t *)&shm;
        assert_failure(mproc_shm_open(&shm, bad[i], NULL), APR_EINVAL);
        assert_null(shm);
        assert_failure(mproc_shm_unlink(bad[i]), APR_EINVAL);
    }
    assert_failure(mproc_shm_open(&shm, NULL, NULL), APR_EINVAL);
    assert_failure(mproc_shm_unlink(NULL), APR_EINVAL);
    memset(name, 'n', sizeof name);
    name[251] = '\0';
    assert_failure(mproc_shm_create(&shm, name, 1, NULL), APR_ENAMETOOLONG);
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_ENAMETOOLONG);
    assert_failure(mproc_shm_unlink(name), APR_ENAMETOOLONG);
}

/** Names that are long, or not only of letters. */
static void test_good_names(void **state)
{
    static const char *const good[] = {"x.y", ".hidden", "with space", "caf\xc3\xa9", "a:b*?\"<>|", "\n", "..."};
    char name[64];
    mproc_shm_t *shm, *again;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        shm = make(make_name(name, good[i]), 1);
        assert_string_equal(mproc_shm_name(shm), name);
        again = open_it(name);
        assert_success(mproc_shm_unlink(name));
        assert_success(mproc_shm_close(shm));
        assert_success(mproc_shm_close(again));
    }
    make_name(name, "-");
    for (size_t length = strlen(name); length < MPROC_SHM_NAME_MAX; length++)
        memcpy(name + length, "x", 2);
    assert_int_equal(strlen(name), MPROC_SHM_NAME_MAX);
    mproc_shm_unlink(name);
    shm = make(name, 1);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

static void test_bad_arguments(void **state)
{
    char name[64];
    char bytes[8];
    mproc_shm_t *shm = (mproc_shm_t *)&shm;
    (void)state;
    make_name(name, "");
    assert_failure(mproc_shm_create(NULL, name, 1, NULL), APR_EINVAL);
    assert_failure(mproc_shm_open(NULL, name, NULL), APR_EINVAL);
    assert_failure(mproc_shm_create(&shm, name, 0, NULL), APR_EINVAL);
    assert_null(shm);
    expect_none(name);
    const struct {
        mproc_shm_opts_t opts;
        int newer;
    } larger = {{0}, 0};
    assert_failure(mproc_shm_create_sized(&shm, name, 1, &larger.opts, sizeof larger), MPROC_EBUILD);
    assert_failure(mproc_shm_open_sized(&shm, name, &larger.opts, sizeof larger), MPROC_EBUILD);
    shm = make(NULL, 8);
    const size_t size = mproc_shm_size(shm);
    assert_success(mproc_shm_read(shm, size, NULL, 0));
    assert_success(mproc_shm_write(shm, size, NULL, 0));
    assert_failure(mproc_shm_read(shm, 0, NULL, 1), APR_EINVAL);
    assert_failure(mproc_shm_write(shm, 0, NULL, 1), APR_EINVAL);
    assert_failure(mproc_shm_read(shm, size + 1, bytes, 0), APR_EINVAL);
    assert_failure(mproc_shm_read(shm, size - 1, bytes, 2), APR_EINVAL);
    assert_failure(mproc_shm_write(shm, SIZE_MAX, bytes, 8), APR_EINVAL);
    assert_failure(mproc_shm_read(shm, 1, bytes, SIZE_MAX), APR_EINVAL);
    assert_success(mproc_shm_unlink(mproc_shm_name(shm)));
    assert_success(mproc_shm_close(shm));
}

/** More than there can be leaves no name. */
static void test_too_large(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 2 - 65536};
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    make_name(name, "");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        shm = (mproc_shm_t *)&shm;
        assert_failure(mproc_shm_create(&shm, name, sizes[i], NULL), APR_ENOMEM);
        assert_null(shm);
        expect_none(name);
    }
}

/* ---- Ordinary use ------------------------------------------------------------------------------------------------ */

static void test_two_handles(void **state)
{
    enum { SIZE = 10000 };
    char name[64];
    unsigned char bytes[SIZE];
    (void)state;
    mproc_shm_t *first = make(make_name(name, ""), SIZE);
    assert_string_equal(mproc_shm_name(first), name);
    assert_int_equal(mproc_shm_size(first), SIZE);
    unsigned char *data = mproc_shm_data(first);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(data[i], 0);
    mproc_shm_t *second = open_it(name);
    assert_true(mproc_shm_size(second) >= SIZE);
    assert_ptr_not_equal(mproc_shm_data(second), data);
    fill_bytes(data, SIZE, 1);
    assert_true(are_bytes(mproc_shm_data(second), SIZE, 1));
    assert_success(mproc_shm_read(second, 0, bytes, SIZE));
    assert_true(are_bytes(bytes, SIZE, 1));
    fill_bytes(bytes, SIZE, 2);
    assert_success(mproc_shm_write(second, 0, bytes, SIZE));
    assert_true(are_bytes(data, SIZE, 2));
    assert_success(mproc_shm_write(first, SIZE - 3, "end", 3));
    assert_success(mproc_shm_read(second, SIZE - 4, bytes, 4));
    assert_memory_equal(bytes + 1, "end", 3);
    /* The first one to close it takes it from nobody. */
    assert_success(mproc_shm_close(first));
    assert_memory_equal((char *)mproc_shm_data(second) + SIZE - 3, "end", 3);
    assert_success(mproc_shm_close(second));
    assert_success(mproc_shm_unlink(name));
    expect_none(name);
}

static void test_new_names(void **state)
{
    enum { MANY = 50 };
    mproc_shm_t *shms[MANY];
    (void)state;
    const int before = count_descriptors();
    for (int i = 0; i < MANY; i++) {
        shms[i] = make(NULL, 100);
        assert_true(strlen(mproc_shm_name(shms[i])) <= MPROC_SHM_NAME_MAX);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(mproc_shm_name(shms[i]), mproc_shm_name(shms[j]));
        *(int *)mproc_shm_data(shms[i]) = i;
    }
    for (int i = 0; i < MANY; i++) {
        char name[64];
        mproc_shm_t *again = open_it(mproc_shm_name(shms[i]));
        assert_int_equal(*(int *)mproc_shm_data(again), i);
        snprintf(name, sizeof name, "%s", mproc_shm_name(shms[i]));
        assert_success(mproc_shm_close(again));
        assert_success(mproc_shm_unlink(name));
        assert_success(mproc_shm_close(shms[i]));
        expect_none(name);
    }
    if (before >= 0)
        expect_descriptors(before);
}

static void test_exists(void **state)
{
    char name[64];
    mproc_shm_t *second = (mproc_shm_t *)&second;
    (void)state;
    mproc_shm_t *first = make(make_name(name, ""), 5);
    memcpy(mproc_shm_data(first), "kept", 5);
    assert_failure(mproc_shm_create(&second, name, 100, NULL), APR_EEXIST);
    assert_null(second);
    assert_error_names(name);
    assert_string_equal(mproc_shm_data(first), "kept");
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(first));
    /* Now it is free. */
    first = make(name, 100);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(first));
}

static void test_min_size(void **state)
{
    char name[64];
    mproc_shm_opts_t opts = {0};
    mproc_shm_t *opened;
    (void)state;
    mproc_shm_t *shm = make(make_name(name, ""), 70000);
    const int before = count_descriptors();
    opts.min_size = 70000;
    assert_success(mproc_shm_open(&opened, name, &opts));
    const size_t size = mproc_shm_size(opened);
    assert_true(size >= 70000 && size < 70000 + 65536);
    assert_success(mproc_shm_close(opened));
    opts.min_size = size + 1;
    opened = (mproc_shm_t *)&opened;
    assert_failure(mproc_shm_open(&opened, name, &opts), MPROC_ESIZE);
    assert_null(opened);
    if (before >= 0)
        expect_descriptors(before);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

/** Who has it keeps it, and the name is free for another one. */
static void test_unlink(void **state)
{
    char name[64];
    (void)state;
    make_name(name, "");
    if (names_go_by_themselves()) {
        /* It does nothing, however often. */
        assert_success(mproc_shm_unlink(name));
        mproc_shm_t *shm = make(name, 10);
        assert_success(mproc_shm_unlink(name));
        assert_success(mproc_shm_unlink(name));
        assert_success(mproc_shm_close(open_it(name)));
        assert_success(mproc_shm_close(shm));
        expect_none(name);
        return;
    }
    assert_failure(mproc_shm_unlink(name), APR_ENOENT);
    assert_error_names(name);
    mproc_shm_t *first = make(name, 10);
    memcpy(mproc_shm_data(first), "first", 6);
    mproc_shm_t *also = open_it(name);
    assert_success(mproc_shm_unlink(name));
    assert_failure(mproc_shm_unlink(name), APR_ENOENT);
    expect_none(name);
    mproc_shm_t *second = make(name, 10);
    memcpy(mproc_shm_data(second), "second", 7);
    assert_string_equal(mproc_shm_data(also), "first");
    assert_success(mproc_shm_close(first));
    assert_success(mproc_shm_close(also));
    assert_success(mproc_shm_close(second));
    /* Also when nobody has it open. */
    assert_success(mproc_shm_unlink(name));
    expect_none(name);
}

static void test_closed_with_pool(void **state)
{
    char name[64];
    apr_pool_t *pool;
    mproc_shm_opts_t opts = {0};
    mproc_shm_t *shm, *other;
    (void)state;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    opts.pool = pool;
    assert_success(mproc_shm_create(&shm, make_name(name, ""), 10, &opts));
    assert_success(mproc_shm_open(&other, name, &opts));
    mproc_shm_t *kept = open_it(name);
    assert_success(mproc_shm_close(other));
    apr_pool_clear(pool);
    assert_failure(mproc_shm_close(shm), MPROC_ECLOSED);
    assert_failure(mproc_shm_close(other), MPROC_ECLOSED);
    /* The name stays. */
    assert_success(mproc_shm_close(open_it(name)));
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(kept));
    apr_pool_destroy(pool);
}

/** The end of the library closes what is open, and leaves the name. */
static void test_closed_by_terminate(void **state)
{
    char name[64];
    mproc_shm_t *shm = make(make_name(name, ""), 10);
    const mproc_item_t item = mproc_item_int(1);
    mproc_shareable_list_t *list;
    (void)state;
    assert_success(mproc_shareable_list_create(&list, NULL, &item, 1, NULL));
    assert_success(mproc_shm_unlink(mproc_shareable_list_name(list)));
    assert_success(mproc_terminate());
    refuse_everywhere(shm, MPROC_ECLOSED);
    assert_failure(mproc_shm_close(shm), MPROC_ECLOSED);
    assert_failure(mproc_shareable_list_close(list), MPROC_ECLOSED);
    assert_failure(mproc_shm_open(&shm, name, NULL), MPROC_EINIT);
    assert_success(mproc_shm_unlink(name));
}

/* ---- Other processes --------------------------------------------------------------------------------------------- */

static void test_strangers(void **state)
{
    enum { SIZE = 100000 };
    char name[64];
    (void)state;
    mproc_shm_t *shm = make(make_name(name, ""), SIZE);
    unsigned char *data = mproc_shm_data(shm);
    for (int i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 7 + 1);
    run_stranger(0, "add", name, "100000");
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(data[i], (unsigned char)(i * 7 + 2));
    run_stranger(3, "add", name, "100000");
    /* One that ends without closing it has not removed it. */
    run_stranger(0, "leave", name, NULL);
    run_stranger(0, "leave", name, NULL);
    assert_success(mproc_shm_close(open_it(name)));
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
    expect_none(name);
}

/** What others that open it do, and how they end, is nothing to who has it. */
static void test_opener_killed(void **state)
{
    char name[64];
    (void)state;
    mproc_shm_t *shm = make(make_name(name, ""), 5);
    memcpy(mproc_shm_data(shm), "here", 5);
    for (int i = 0; i < 3; i++) {
        mproc_subprocess_t *stranger = start_stranger("hold", name, NULL);
        kill_stranger(stranger);
        mproc_shm_t *again = open_it(name);
        assert_string_equal(mproc_shm_data(again), "here");
        assert_success(mproc_shm_close(again));
    }
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
    expect_none(name);
}

/** A segment outlives who has made it, while it is open; and if it has a life of its own, until it is unlinked. */
static void test_maker_ends(void **state)
{
    char name[64];
    (void)state;
    make_name(name, "");
    const int go = names_go_by_themselves();
    mproc_subprocess_t *maker = start_stranger("fill", name, "4096");
    mproc_shm_t *shm = open_it(name);
    kill_stranger(maker);
    *(char *)mproc_shm_data(shm) = 'x';
    mproc_shm_t *again = open_it(name);
    assert_int_equal(*(char *)mproc_shm_data(again), 'x');
    assert_success(mproc_shm_close(again));
    assert_success(mproc_shm_close(shm));
    /* By nature a name of a system that keeps names stays, until somebody removes it. */
    if (!go)
        assert_success(mproc_shm_close(open_it(name)));
    assert_success(mproc_shm_unlink(name));
    expect_none(name);
    if (!go) {
        run_stranger(0, "make", name, "1000");
        run_stranger(1, "make", name, "1000");
        shm = open_it(name);
        assert_int_equal(((unsigned char *)mproc_shm_data(shm))[999], (unsigned char)(999 * 7 + 2));
        assert_success(mproc_shm_close(shm));
        assert_success(mproc_shm_unlink(name));
    }
}

/** Makers that are killed at random instants: what they leave is a segment, an empty one, or nothing. */
static void test_makers_killed(void **state)
{
    enum { KILLS = 30 };
    char name[64];
    unsigned long long seed = choose_seed();
    (void)state;
    make_name(name, "");
    for (int i = 0; i < KILLS; i++) {
        const char *const args[] = {PROGRAM_STRANGER, "fill", name, "3000000", NULL};
        mproc_subprocess_t *maker;
        mproc_subprocess_opts_t opts = {0};
        mproc_shm_t *shm;
        opts.standard_output = mproc_stdio_null();
        assert_success(mproc_subprocess_start(&maker, args, &opts));
        apr_sleep((apr_interval_time_t)(next_random(&seed) % 12000));
        kill_stranger(maker);
        const apr_status_t status = mproc_shm_open(&shm, name, NULL);
        if (status == APR_SUCCESS)
            assert_success(mproc_shm_close(shm));
        else
            assert_true(status == APR_ENOENT || status == MPROC_ESTATE);
        const apr_status_t removed = mproc_shm_unlink(name);
        assert_true(removed == APR_SUCCESS || (removed == APR_ENOENT && status == APR_ENOENT));
        expect_none(name);
    }
}

static int use_creators_segment(mproc_call_t *call)
{
    mproc_shm_t *shm = *(mproc_shm_t **)mproc_call_data(call, sizeof shm);
    if (mproc_shm_data(shm) || mproc_last_error()->status != MPROC_EFOREIGN)
        return 1;
    return mproc_shm_close(shm) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_inherited_by_fork(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    mproc_shm_t *shm = make(NULL, 10);
    opts.start_method = MPROC_FORK;
    opts.data = &shm;
    opts.size = sizeof shm;
    assert_int_equal(finish(start(use_creators_segment, opts)), 0);
    memcpy(mproc_shm_data(shm), "still", 6);
    assert_success(mproc_shm_unlink(mproc_shm_name(shm)));
    assert_success(mproc_shm_close(shm));
}

/** A child that opens it by its name, under the default method. */
static int open_in_child(mproc_call_t *call)
{
    mproc_shm_t *shm;
    if (mproc_shm_open(&shm, mproc_call_string(call, 0), NULL) != APR_SUCCESS)
        return 1;
    *(int *)mproc_shm_data(shm) += 1;
    return 0;
}

static void test_child(void **state)
{
    mproc_process_opts_t opts = {0};
    (void)state;
    mproc_shm_t *shm = make(NULL, sizeof(int));
    const mproc_arg_t name = mproc_arg_string(NULL, mproc_shm_name(shm));
    opts.args = &name;
    opts.arg_count = 1;
    assert_int_equal(finish(start(open_in_child, opts)), 0);
    assert_int_equal(finish(start(open_in_child, opts)), 0);
    assert_int_equal(*(int *)mproc_shm_data(shm), 2);
    assert_success(mproc_shm_unlink(mproc_shm_name(shm)));
    assert_success(mproc_shm_close(shm));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

typedef struct contest_t {
    const char *name;
    _Atomic int made;
} contest_t;

static int contend(int number, void *context)
{
    contest_t *contest = context;
    mproc_shm_t *shm;
    for (int i = 0; i < 200; i++) {
        const apr_status_t status = mproc_shm_create(&shm, contest->name, 64, NULL);
        if (status == APR_SUCCESS) {
            /* Nobody else has it, as it is exclusive. */
            if (atomic_fetch_add(&contest->made, 1) != 0)
                return 1;
            *(int *)mproc_shm_data(shm) = number;
            atomic_fetch_sub(&contest->made, 1);
            if (mproc_shm_unlink(contest->name) != APR_SUCCESS || mproc_shm_close(shm) != APR_SUCCESS)
                return 1;
        } else if (status != APR_EEXIST) {
            return 1;
        }
        const apr_status_t opened = mproc_shm_open(&shm, contest->name, NULL);
        if (opened == APR_SUCCESS && mproc_shm_close(shm) != APR_SUCCESS)
            return 1;
        if (opened != APR_SUCCESS && opened != APR_ENOENT && opened != MPROC_ESTATE)
            return 1;
    }
    return 0;
}

static void test_threads(void **state)
{
    char name[64];
    contest_t contest = {make_name(name, ""), 0};
    (void)state;
    assert_int_equal(run_threads(4, contend, &contest), 0);
    expect_none(name);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_handles),       cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_good_names),        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_too_large),         cmocka_unit_test(test_two_handles),
        cmocka_unit_test(test_new_names),         cmocka_unit_test(test_exists),
        cmocka_unit_test(test_min_size),          cmocka_unit_test(test_unlink),
        cmocka_unit_test(test_closed_with_pool),  cmocka_unit_test(test_closed_by_terminate),
        cmocka_unit_test(test_strangers),         cmocka_unit_test(test_opener_killed),
        cmocka_unit_test(test_maker_ends),        cmocka_unit_test(test_makers_killed),
        cmocka_unit_test(test_inherited_by_fork), cmocka_unit_test(test_child),
        cmocka_unit_test(test_threads),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
