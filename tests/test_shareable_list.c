/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in shared memory: what they keep, what they refuse, and what a segment that is no list does to them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
#include "support/support.h"

static const char *make_name(char name[64], const char *suffix)
{
    snprintf(name, 64, "mproc-test-%d%s", mproc_getpid(), suffix);
    mproc_shm_unlink(name);
    return name;
}

static mproc_shareable_list_t *make(const char *name, const mproc_item_t *items, size_t count)
{
    mproc_shareable_list_t *list;
    assert_success(mproc_shareable_list_create(&list, name, items, count, NULL));
    return list;
}

static mproc_shareable_list_t *open_it(const char *name)
{
    mproc_shareable_list_t *list;
    assert_success(mproc_shareable_list_open(&list, name, NULL));
    return list;
}

static void remove_it(mproc_shareable_list_t *list)
{
    char name[256];
    snprintf(name, sizeof name, "%s", mproc_shareable_list_name(list));
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
    assert_failure(mproc_shareable_list_open(&list, name, NULL), APR_ENOENT);
}

/** See that an item is what it should be. */
static void expect_item(mproc_shareable_list_t *list, size_t index, mproc_item_t expected)
{
    static char buffer[10000];
    mproc_item_t item;
    assert_success(mproc_shareable_list_get(list, index, &item, buffer, sizeof buffer));
    assert_int_equal(item.type, expected.type);
    assert_int_equal(item.boolean, expected.boolean);
    assert_true(item.integer == expected.integer);
    assert_true(item.real == expected.real || (isnan(item.real) && isnan(expected.real)));
    assert_int_equal(item.size, expected.size);
    if (expected.size > 0)
        assert_memory_equal(item.data, expected.data, expected.size);
    if (item.type == MPROC_ITEM_STR)
        assert_int_equal(((const char *)item.data)[item.size], 0);
}

/** All kinds of items, with edges. */
static size_t all_items(mproc_item_t items[32])
{
    static char many[5000];
    size_t count = 0;
    memset(many, 'm', sizeof many);
    items[count++] = mproc_item_none();
    items[count++] = mproc_item_bool(1);
    items[count++] = mproc_item_bool(0);
    items[count++] = mproc_item_int(0);
    items[count++] = mproc_item_int(-1);
    items[count++] = mproc_item_int(INT64_MAX);
    items[count++] = mproc_item_int(INT64_MIN);
    items[count++] = mproc_item_float(0);
    items[count++] = mproc_item_float(-1.5e300);
    items[count++] = mproc_item_float(INFINITY);
    items[count++] = mproc_item_str("");
    items[count++] = mproc_item_str("seven b");
    items[count++] = mproc_item_str("eight by");
    items[count++] = mproc_item_str("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d");
    items[count++] = mproc_item_bytes(NULL, 0);
    items[count++] = mproc_item_bytes("\0\xff\0x", 4);
    items[count++] = mproc_item_bytes(many, 5000);
    items[count++] = mproc_item_bytes(many, 255);
    items[count++] = mproc_item_bytes(many, 4095);
    items[count++] = mproc_item_bytes(many, 4096);
    items[count++] = mproc_item_bytes(many, 4097);
    return count;
}

/* ---- Ordinary use ------------------------------------------------------------------------------------------------ */

static void test_all_types(void **state)
{
    char name[64];
    mproc_item_t items[32];
    const size_t count = all_items(items);
    (void)state;
    mproc_shareable_list_t *list = make(make_name(name, ""), items, count);
    mproc_shareable_list_t *other = open_it(name);
    assert_string_equal(mproc_shareable_list_name(list), name);
    assert_int_equal(mproc_shareable_list_length(list), count);
    assert_int_equal(mproc_shareable_list_length(other), count);
    for (size_t i = 0; i < count; i++) {
        expect_item(list, i, items[i]);
        expect_item(other, i, items[i]);
    }
    /* Each set anew, to the same, by the other one. */
    for (size_t i = 0; i < count; i++)
        assert_success(mproc_shareable_list_set(other, i, items[i]));
    for (size_t i = 0; i < count; i++)
        expect_item(list, i, items[i]);
    assert_success(mproc_shareable_list_close(other));
    remove_it(list);
}

static void test_typed(void **state)
{
    const mproc_item_t items[] = {mproc_item_none(),     mproc_item_bool(7),     mproc_item_int(42),
                                  mproc_item_float(2.5), mproc_item_str("text"), mproc_item_bytes("by\0tes", 6)};
    enum { COUNT = sizeof items / sizeof items[0] };
    (void)state;
    mproc_shareable_list_t *list = make(NULL, items, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        int boolean = 9;
        int64_t integer = 9;
        double real = 9;
        char text[8] = "9";
        size_t length = 9;
        const apr_status_t other = MPROC_ETYPE;
        const mproc_item_type_t type = items[i].type;
        apr_status_t status = mproc_shareable_list_get_bool(list, i, &boolean);
        assert_failure(status, type == MPROC_ITEM_BOOL ? APR_SUCCESS : other);
        assert_int_equal(boolean, type == MPROC_ITEM_BOOL);
        status = mproc_shareable_list_get_int(list, i, &integer);
        assert_failure(status, type == MPROC_ITEM_INT ? APR_SUCCESS : other);
        assert_int_equal(integer, type == MPROC_ITEM_INT ? 42 : 0);
        status = mproc_shareable_list_get_float(list, i, &real);
        assert_failure(status, type == MPROC_ITEM_FLOAT ? APR_SUCCESS : other);
        assert_true(real == (type == MPROC_ITEM_FLOAT ? 2.5 : 0));
        status = mproc_shareable_list_get_str(list, i, text, sizeof text);
        assert_failure(status, type == MPROC_ITEM_STR ? APR_SUCCESS : other);
        assert_string_equal(text, type == MPROC_ITEM_STR ? "text" : "");
        status = mproc_shareable_list_get_bytes(list, i, text, sizeof text, &length);
        assert_failure(status, type == MPROC_ITEM_BYTES ? APR_SUCCESS : other);
        assert_int_equal(length, type == MPROC_ITEM_BYTES ? 6 : 0);
    }
    remove_it(list);
}

static void test_small_buffers(void **state)
{
    const mproc_item_t items[] = {mproc_item_str("12345678"), mproc_item_bytes("abc", 3), mproc_item_str("")};
    char text[9] = "xxxxxxxx";
    mproc_item_t item;
    size_t length;
    (void)state;
    mproc_shareable_list_t *list = make(NULL, items, 3);
    assert_failure(mproc_shareable_list_get_str(list, 0, text, 8), MPROC_ETOOBIG);
    assert_string_equal(text, "");
    assert_success(mproc_shareable_list_get_str(list, 0, text, 9));
    assert_string_equal(text, "12345678");
    assert_success(mproc_shareable_list_get_str(list, 2, text, 1));
    assert_string_equal(text, "");
    assert_failure(mproc_shareable_list_get_str(list, 2, text, 0), APR_EINVAL);
    assert_failure(mproc_shareable_list_get(list, 0, &item, text, 7), MPROC_ETOOBIG);
    assert_int_equal(item.type, MPROC_ITEM_STR);
    assert_int_equal(item.size, 8);
    assert_null(item.data);
    /* Without its zero it fits. */
    memset(text, 'x', 9);
    assert_success(mproc_shareable_list_get(list, 0, &item, text, 8));
    assert_memory_equal(text, "12345678x", 9);
    assert_failure(mproc_shareable_list_get_bytes(list, 1, NULL, 0, &length), MPROC_ETOOBIG);
    assert_int_equal(length, 3);
    assert_success(mproc_shareable_list_get_bytes(list, 1, text, 3, &length));
    assert_memory_equal(text, "abc", 3);
    /* Another type is another type, however small the buffer. */
    assert_failure(mproc_shareable_list_get_bytes(list, 0, NULL, 0, &length), MPROC_ETYPE);
    assert_int_equal(length, 0);
    remove_it(list);
}

/** What is too long for its slot leaves everything as it was. */
static void test_too_long(void **state)
{
    const mproc_item_t items[] = {mproc_item_str("seven b"), mproc_item_str("eight by"), mproc_item_int(5),
                                  mproc_item_with_room(mproc_item_str(""), 100),
                                  mproc_item_with_room(mproc_item_none(), 20)};
    static char many[120];
    (void)state;
    memset(many, 'm', sizeof many);
    mproc_shareable_list_t *list = make(NULL, items, 5);
    const size_t rooms[] = {8, 16, 8, 104, 24};
    for (size_t i = 0; i < 5; i++) {
        mproc_item_t before = items[i];
        before.room = 0;
        assert_failure(mproc_shareable_list_set(list, i, mproc_item_bytes(many, rooms[i] + 1)), MPROC_ETOOBIG);
        expect_item(list, i, before);
        assert_failure(mproc_shareable_list_set(list, i, mproc_item_bytes(many, SIZE_MAX)), MPROC_ETOOBIG);
        expect_item(list, i, before);
    }
    for (size_t i = 0; i < 5; i++)
        assert_success(mproc_shareable_list_set(list, i, mproc_item_bytes(many, rooms[i])));
    for (size_t i = 0; i < 5; i++)
        expect_item(list, i, mproc_item_bytes(many, rooms[i]));
    remove_it(list);
}

/** Every type can follow every other one. */
static void test_types_change(void **state)
{
    mproc_item_t values[32];
    const size_t count = all_items(values);
    const mproc_item_t slots[] = {mproc_item_int(1), mproc_item_with_room(mproc_item_str("one"), 5000)};
    (void)state;
    mproc_shareable_list_t *list = make(NULL, slots, 2);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            assert_success(mproc_shareable_list_set(list, 1, values[i]));
            assert_success(mproc_shareable_list_set(list, 1, values[j]));
            expect_item(list, 1, values[j]);
            if (values[i].size > 8 || values[j].size > 8)
                continue;
            assert_success(mproc_shareable_list_set(list, 0, values[i]));
            assert_success(mproc_shareable_list_set(list, 0, values[j]));
            expect_item(list, 0, values[j]);
        }
    }
    remove_it(list);
}

static void test_find(void **state)
{
    const mproc_item_t items[] = {mproc_item_int(1),      mproc_item_bool(1),       mproc_item_float(1),
                                  mproc_item_str("1"),    mproc_item_bytes("1", 1), mproc_item_int(1),
                                  mproc_item_none(),      mproc_item_float(NAN),    mproc_item_float(-0.0),
                                  mproc_item_str("text"), mproc_item_str("text")};
    enum { COUNT = sizeof items / sizeof items[0] };
    static const size_t counts[COUNT] = {2, 1, 1, 1, 1, 2, 1, 0, 1, 2, 2};
    static const size_t firsts[COUNT] = {0, 1, 2, 3, 4, 0, 6, 0, 8, 9, 9};
    static char many[9000];
    size_t found;
    (void)state;
    mproc_shareable_list_t *list = make(NULL, items, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_success(mproc_shareable_list_count(list, items[i], &found));
        assert_int_equal(found, counts[i]);
        assert_failure(mproc_shareable_list_index(list, items[i], &found), counts[i] ? APR_SUCCESS : APR_ENOENT);
        assert_int_equal(found, firsts[i]);
    }
    assert_success(mproc_shareable_list_count(list, mproc_item_float(0.0), &found));
    assert_int_equal(found, 1);
    assert_failure(mproc_shareable_list_index(list, mproc_item_str("tex"), &found), APR_ENOENT);
    assert_failure(mproc_shareable_list_index(list, mproc_item_str("texts"), &found), APR_ENOENT);
    assert_failure(mproc_shareable_list_index(list, mproc_item_str("texx"), &found), APR_ENOENT);
    remove_it(list);
    /* Long ones are compared to their end. */
    memset(many, 'm', sizeof many);
    const mproc_item_t long_one = mproc_item_bytes(many, sizeof many);
    list = make(NULL, &long_one, 1);
    assert_success(mproc_shareable_list_index(list, long_one, &found));
    many[8999] = 'n';
    assert_failure(mproc_shareable_list_index(list, long_one, &found), APR_ENOENT);
    remove_it(list);
}

static void test_empty(void **state)
{
    char name[64];
    mproc_item_t item;
    size_t found;
    (void)state;
    mproc_shareable_list_t *list = make(make_name(name, ""), NULL, 0);
    mproc_shareable_list_t *other = open_it(name);
    assert_int_equal(mproc_shareable_list_length(other), 0);
    assert_int_equal(mproc_last_error()->status, APR_SUCCESS);
    assert_failure(mproc_shareable_list_get(other, 0, &item, NULL, 0), APR_EINVAL);
    assert_success(mproc_shareable_list_count(other, mproc_item_none(), &found));
    assert_int_equal(found, 0);
    assert_failure(mproc_shareable_list_index(other, mproc_item_none(), &found), APR_ENOENT);
    assert_success(mproc_shareable_list_close(other));
    remove_it(list);
}

static void test_many_items(void **state)
{
    enum { MANY = 20000 };
    char name[64];
    int64_t number;
    mproc_item_t *items = malloc(MANY * sizeof *items);
    (void)state;
    assert_non_null(items);
    for (int i = 0; i < MANY; i++)
        items[i] = mproc_item_int(i * 3);
    mproc_shareable_list_t *list = make(make_name(name, ""), items, MANY);
    mproc_shareable_list_t *other = open_it(name);
    for (int i = 0; i < MANY; i += 77) {
        assert_success(mproc_shareable_list_get_int(other, (size_t)i, &number));
        assert_int_equal(number, i * 3);
    }
    assert_success(mproc_shareable_list_close(other));
    remove_it(list);
    free(items);
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

static void refuse_everywhere(mproc_shareable_list_t *list, apr_status_t expected)
{
    mproc_item_t item;
    int boolean;
    int64_t integer;
    double real;
    char text[4];
    size_t size;
    assert_null(mproc_shareable_list_name(list));
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_shareable_list_length(list), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_failure(mproc_shareable_list_get(list, 0, &item, NULL, 0), expected);
    assert_failure(mproc_shareable_list_get_bool(list, 0, &boolean), expected);
    assert_failure(mproc_shareable_list_get_int(list, 0, &integer), expected);
    assert_failure(mproc_shareable_list_get_float(list, 0, &real), expected);
    assert_failure(mproc_shareable_list_get_str(list, 0, text, 4), expected);
    assert_failure(mproc_shareable_list_get_bytes(list, 0, text, 4, &size), expected);
    assert_failure(mproc_shareable_list_set(list, 0, mproc_item_none()), expected);
    assert_failure(mproc_shareable_list_index(list, mproc_item_none(), &size), expected);
    assert_failure(mproc_shareable_list_count(list, mproc_item_none(), &size), expected);
}

static void test_bad_handles(void **state)
{
    int thing = 0;
    mproc_shm_t *shm;
    const mproc_item_t one = mproc_item_int(1);
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_shareable_list_close(NULL));
    refuse_everywhere((mproc_shareable_list_t *)&thing, MPROC_ECLOSED);
    mproc_shareable_list_t *list = make(NULL, &one, 1);
    /* A segment is no list, and a list no segment. */
    assert_success(mproc_shm_open(&shm, mproc_shareable_list_name(list), NULL));
    refuse_everywhere((mproc_shareable_list_t *)shm, MPROC_ECLOSED);
    assert_null(mproc_shm_data((mproc_shm_t *)list));
    assert_failure(mproc_shm_close((mproc_shm_t *)list), MPROC_ECLOSED);
    assert_success(mproc_shm_close(shm));
    remove_it(list);
    refuse_everywhere(list, MPROC_ECLOSED);
    assert_failure(mproc_shareable_list_close(list), MPROC_ECLOSED);
}

static int use_creators_list(mproc_call_t *call)
{
    mproc_shareable_list_t *list = *(mproc_shareable_list_t **)mproc_call_data(call, sizeof list);
    if (mproc_shareable_list_set(list, 0, mproc_item_none()) != MPROC_EFOREIGN)
        return 1;
    return mproc_shareable_list_close(list) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_inherited_by_fork(void **state)
{
    mproc_process_opts_t opts = {0};
    const mproc_item_t one = mproc_item_int(1);
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    mproc_shareable_list_t *list = make(NULL, &one, 1);
    assert_success(mproc_shm_unlink(mproc_shareable_list_name(list)));
    opts.start_method = MPROC_FORK;
    opts.data = &list;
    opts.size = sizeof list;
    assert_int_equal(finish(start(use_creators_list, opts)), 0);
    expect_item(list, 0, one);
    assert_success(mproc_shareable_list_close(list));
}

static void test_bad_arguments(void **state)
{
    char name[64];
    const mproc_item_t one = mproc_item_int(1);
    mproc_shareable_list_t *list = (mproc_shareable_list_t *)&list;
    (void)state;
    make_name(name, "");
    assert_failure(mproc_shareable_list_create(NULL, name, &one, 1, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_open(NULL, name, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_create(&list, name, NULL, 1, NULL), APR_EINVAL);
    assert_null(list);
    assert_failure(mproc_shareable_list_create(&list, "a/b", &one, 1, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_open(&list, NULL, NULL), APR_EINVAL);
    const struct {
        mproc_shm_opts_t opts;
        int newer;
    } larger = {{0}, 0};
    assert_failure(mproc_shareable_list_create_sized(&list, name, &one, 1, &larger.opts, sizeof larger), MPROC_EBUILD);
    assert_failure(mproc_shareable_list_open_sized(&list, name, &larger.opts, sizeof larger), MPROC_EBUILD);
    assert_failure(mproc_shareable_list_open(&list, name, NULL), APR_ENOENT);
    list = make(name, &one, 1);
    mproc_shareable_list_t *second = (mproc_shareable_list_t *)&second;
    assert_failure(mproc_shareable_list_create(&second, name, &one, 1, NULL), APR_EEXIST);
    assert_null(second);
    assert_failure(mproc_shareable_list_get(list, 0, NULL, NULL, 0), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_bool(list, 0, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_int(list, 0, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_float(list, 0, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_str(list, 0, NULL, 8), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_bytes(list, 0, NULL, 0, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_index(list, one, NULL), APR_EINVAL);
    assert_failure(mproc_shareable_list_count(list, one, NULL), APR_EINVAL);
    int64_t number;
    assert_failure(mproc_shareable_list_get_int(list, 1, &number), APR_EINVAL);
    assert_failure(mproc_shareable_list_get_int(list, SIZE_MAX, &number), APR_EINVAL);
    assert_failure(mproc_shareable_list_set(list, 1, one), APR_EINVAL);
    remove_it(list);
}

/** What no list can keep: refused when it is made, set, or looked for. */
static void test_bad_items(void **state)
{
    static const char *const not_utf8[] = {
        "\xff",         "\x80",         "caf\xc3",          "\xc0\xaf",         "\xc1\xbf",
        "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xe2\x82",     "\xe2\x28\xa1", "ok\xf0\x9f\x90"};
    enum { COUNT = sizeof not_utf8 / sizeof not_utf8[0] };
    char name[64];
    mproc_item_t bad[COUNT + 8];
    size_t count = 0;
    size_t found;
    mproc_shareable_list_t *list;
    (void)state;
    make_name(name, "");
    for (; count < COUNT; count++)
        bad[count] = mproc_item_str(not_utf8[count]);
    bad[count++] = mproc_item_bytes("ends\0", 5);
    bad[count++] = mproc_item_bytes("\0", 1);
    bad[count++] = mproc_item_bytes(NULL, 1);
    bad[count] = mproc_item_none();
    bad[count++].type = (mproc_item_type_t)6;
    bad[count] = mproc_item_none();
    bad[count++].type = (mproc_item_type_t)-1;
    const mproc_item_t room = mproc_item_with_room(mproc_item_str("kept"), 100);
    mproc_shareable_list_t *kept = make(NULL, &room, 1);
    for (size_t i = 0; i < count; i++) {
        list = (mproc_shareable_list_t *)&list;
        assert_failure(mproc_shareable_list_create(&list, name, &bad[i], 1, NULL), APR_EINVAL);
        assert_null(list);
        assert_failure(mproc_shareable_list_open(&list, name, NULL), APR_ENOENT);
        assert_failure(mproc_shareable_list_set(kept, 0, bad[i]), APR_EINVAL);
        assert_failure(mproc_shareable_list_index(kept, bad[i], &found), APR_EINVAL);
        expect_item(kept, 0, mproc_item_str("kept"));
    }
    remove_it(kept);
    /* As large as can be, and larger. */
    char *large = malloc(MPROC_ITEM_SIZE_MAX + 1);
    assert_non_null(large);
    memset(large, 'l', MPROC_ITEM_SIZE_MAX + 1);
    bad[0] = mproc_item_bytes(large, MPROC_ITEM_SIZE_MAX + 1);
    bad[1] = mproc_item_with_room(mproc_item_int(1), MPROC_ITEM_SIZE_MAX + 1);
    assert_failure(mproc_shareable_list_create(&list, name, &bad[0], 1, NULL), MPROC_ETOOBIG);
    assert_failure(mproc_shareable_list_create(&list, name, &bad[1], 1, NULL), MPROC_ETOOBIG);
    bad[0].size--;
    list = make(name, bad, 1);
    char *copy = calloc(1, MPROC_ITEM_SIZE_MAX);
    assert_non_null(copy);
    assert_success(mproc_shareable_list_get_bytes(list, 0, copy, MPROC_ITEM_SIZE_MAX, &found));
    assert_int_equal(found, MPROC_ITEM_SIZE_MAX);
    assert_memory_equal(copy, large, MPROC_ITEM_SIZE_MAX);
    remove_it(list);
    free(copy);
    free(large);
}

/* ---- Layouts ----------------------------------------------------------------------------------------------------- */

/** The bytes that Python 3.11 makes of [None, True, 7, 0.5, "ab", b"12345678"], but for its order of bytes. */
typedef struct layout_t {
    int64_t count;
    int64_t offsets[7];
    int64_t slots[8];
    char formats[6][8];
    char codes[6];
} layout_t;

static layout_t known_layout(void)
{
    layout_t layout;
    const double half = 0.5;
    memset(&layout, 0, sizeof layout);
    layout.count = 6;
    static const int64_t offsets[] = {0, 8, 16, 24, 32, 40, 56};
    memcpy(layout.offsets, offsets, sizeof offsets);
    ((char *)&layout.slots[1])[7] = 1;
    layout.slots[2] = 7;
    memcpy(&layout.slots[3], &half, sizeof half);
    memcpy(&layout.slots[4], "ab", 2);
    memcpy(&layout.slots[5], "12345678", 8);
    static const char formats[6][9] = {"xxxxxx?x", "xxxxxxx?", "q", "d", "8s", "16s"};
    static const char codes[] = {3, 0, 0, 0, 1, 2};
    for (int i = 0; i < 6; i++)
        memcpy(layout.formats[i], formats[i], strlen(formats[i]));
    memcpy(layout.codes, codes, sizeof codes);
    return layout;
}

enum { KNOWN_SIZE = 8 + 7 * 8 + 56 + 6 * 8 + 6 };

static const mproc_item_t *known_items(void)
{
    static mproc_item_t items[6];
    items[0] = mproc_item_none();
    items[1] = mproc_item_bool(1);
    items[2] = mproc_item_int(7);
    items[3] = mproc_item_float(0.5);
    items[4] = mproc_item_str("ab");
    items[5] = mproc_item_bytes("12345678", 8);
    return items;
}

/** The layout as it lies in memory: its slots take 56 bytes of the 64 that there are. */
static void pack(unsigned char bytes[KNOWN_SIZE], const layout_t *layout)
{
    memcpy(bytes, layout, 64 + 56);
    memcpy(bytes + 120, layout->formats, 48);
    memcpy(bytes + 168, layout->codes, 6);
}

static void test_known_bytes(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    unsigned char bytes[KNOWN_SIZE];
    const layout_t layout = known_layout();
    (void)state;
    pack(bytes, &layout);
    mproc_shareable_list_t *list = make(make_name(name, ""), known_items(), 6);
    assert_success(mproc_shm_open(&shm, name, NULL));
    assert_true(mproc_shm_size(shm) >= KNOWN_SIZE);
    assert_memory_equal(mproc_shm_data(shm), bytes, KNOWN_SIZE);
    assert_success(mproc_shm_close(shm));
    remove_it(list);
    /* And the other way round. */
    assert_success(mproc_shm_create(&shm, name, KNOWN_SIZE, NULL));
    memcpy(mproc_shm_data(shm), bytes, KNOWN_SIZE);
    list = open_it(name);
    for (size_t i = 0; i < 6; i++)
        expect_item(list, i, known_items()[i]);
    assert_success(mproc_shm_close(shm));
    remove_it(list);
}

/** What Python 3.8 has made: sizes instead of offsets. */
static void test_layout_of_sizes(void **state)
{
    static const int64_t words[] = {6, 8, 8, 8, 8, 8, 16};
    char name[64];
    mproc_shm_t *shm;
    unsigned char bytes[KNOWN_SIZE];
    const layout_t layout = known_layout();
    (void)state;
    pack(bytes, &layout);
    assert_success(mproc_shm_create(&shm, make_name(name, ""), KNOWN_SIZE - 8, NULL));
    unsigned char *data = mproc_shm_data(shm);
    memcpy(data, words, 56);
    memcpy(data + 56, bytes + 64, KNOWN_SIZE - 64);
    mproc_shareable_list_t *list = open_it(name);
    assert_int_equal(mproc_shareable_list_length(list), 6);
    for (size_t i = 0; i < 6; i++)
        expect_item(list, i, known_items()[i]);
    assert_success(mproc_shareable_list_set(list, 4, mproc_item_str("new")));
    assert_memory_equal(data + 56 + 32, "new\0\0\0\0", 8);
    assert_success(mproc_shareable_list_close(list));
    /* It ends where it must, and no slot is empty. */
    ((int64_t *)(void *)data)[6] = 0;
    assert_failure(mproc_shareable_list_open(&list, name, NULL), MPROC_ECORRUPT);
    ((int64_t *)(void *)data)[6] = 65536;
    assert_failure(mproc_shareable_list_open(&list, name, NULL), MPROC_ECORRUPT);
    /* A size below zero would lead back to where it began. */
    for (int i = 1; i <= 6; i++) {
        memcpy(data, words, 56);
        ((int64_t *)(void *)data)[i] = -8;
        assert_failure(mproc_shareable_list_open(&list, name, NULL), MPROC_ECORRUPT);
    }
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

/** Sizes that are not padded are exact, whatever the last byte. */
static void test_exact_sizes(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    mproc_shareable_list_t *list = make(make_name(name, ""), known_items(), 6);
    assert_success(mproc_shm_open(&shm, name, NULL));
    char *data = mproc_shm_data(shm);
    memcpy(data + 120 + 5 * 8, "10s\0\0\0\0", 8);
    expect_item(list, 5, mproc_item_bytes("12345678\0\0", 10));
    memcpy(data + 120 + 5 * 8, "0s\0\0\0\0\0", 8);
    expect_item(list, 5, mproc_item_bytes(NULL, 0));
    assert_success(mproc_shm_close(shm));
    remove_it(list);
}

/* ---- Hostile segments -------------------------------------------------------------------------------------------- */

/** Write a number to a known list, and see what it says to be opened. */
static void expect_refused(mproc_shm_t *shm, size_t offset, uint64_t number)
{
    mproc_shareable_list_t *list = (mproc_shareable_list_t *)&list;
    unsigned char *data = mproc_shm_data(shm);
    uint64_t before;
    memcpy(&before, data + offset, 8);
    memcpy(data + offset, &number, 8);
    assert_failure(mproc_shareable_list_open(&list, mproc_shm_name(shm), NULL), MPROC_ECORRUPT);
    assert_null(list);
    memcpy(data + offset, &before, 8);
}

static void test_false_offsets(void **state)
{
    static const uint64_t numbers[] = {1u << 20,        UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63,
                                       UINT64_MAX / 17, UINT32_MAX, UINT64_MAX / 8, SIZE_MAX / 8 + 1};
    char name[64];
    mproc_shm_t *shm;
    mproc_shareable_list_t *list;
    (void)state;
    list = make(make_name(name, ""), known_items(), 6);
    assert_success(mproc_shm_open(&shm, name, NULL));
    const int before = count_descriptors();
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        expect_refused(shm, 0, numbers[i]);
        expect_refused(shm, 8, numbers[i]); /* a size of Python 3.8's */
        for (size_t offset = 16; offset <= 56; offset += 8)
            expect_refused(shm, offset, numbers[i]);
    }
    expect_refused(shm, 16, 25);                       /* not in order */
    expect_refused(shm, 56, mproc_shm_size(shm) - 70); /* without room for what comes behind the slots */
    if (before >= 0)
        expect_descriptors(before);
    /* Who has it open does not look there again. */
    memset(mproc_shm_data(shm), 0xff, 64);
    assert_int_equal(mproc_shareable_list_length(list), 6);
    for (size_t i = 0; i < 6; i++)
        expect_item(list, i, known_items()[i]);
    assert_success(mproc_shm_close(shm));
    remove_it(list);
    /* Too small for a number. */
    assert_success(mproc_shm_create(&shm, name, 7, NULL));
    const apr_status_t status = mproc_shareable_list_open(&list, name, NULL);
    if (status != APR_SUCCESS)
        assert_failure(status, MPROC_ECORRUPT);
    if (status == APR_SUCCESS) /* rounded up to a page, it is an empty list */
        assert_success(mproc_shareable_list_close(list));
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

static void test_false_formats(void **state)
{
    static const char bad[][9] = {"",      "s",       "17s",      "9999999s", "99999999", "-8s",  "+8s",  " 8s",
                                  "8",     "8sx",     "8S",       "qq",       "Q",        "x",    "dddd", "?",
                                  "8s\0s", "xxxxxxx", "xxxxxxxx", "\xff\xff", "0x8s",     "1e1s", "8.s"};
    char name[64];
    mproc_shm_t *shm;
    mproc_item_t item;
    char buffer[64];
    (void)state;
    mproc_shareable_list_t *list = make(make_name(name, ""), known_items(), 6);
    assert_success(mproc_shm_open(&shm, name, NULL));
    unsigned char *data = mproc_shm_data(shm);
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
            memcpy(data + 120 + i * 8, bad[j], 8);
            assert_failure(mproc_shareable_list_get(list, i, &item, buffer, sizeof buffer), MPROC_ECORRUPT);
            assert_int_equal(item.type, MPROC_ITEM_NONE);
            size_t found;
            assert_failure(mproc_shareable_list_count(list, mproc_item_int(7), &found), MPROC_ECORRUPT);
        }
        /* To set it repairs it. */
        assert_success(mproc_shareable_list_set(list, i, known_items()[i]));
        expect_item(list, i, known_items()[i]);
    }
    for (size_t i = 0; i < 6; i++) {
        const unsigned char right = data[168 + i];
        for (int code = 0; code < 256; code++) {
            const int is_right = code == right || (i >= 4 && (code == 1 || code == 2));
            data[168 + i] = (unsigned char)code;
            assert_failure(mproc_shareable_list_get(list, i, &item, buffer, sizeof buffer),
                           is_right ? APR_SUCCESS : MPROC_ECORRUPT);
        }
        data[168 + i] = right;
    }
    /* A str that is not UTF-8, as Python could cut one in two. */
    data[64 + 32] = 0xe9;
    assert_failure(mproc_shareable_list_get_str(list, 4, buffer, sizeof buffer), MPROC_ECORRUPT);
    assert_string_equal(buffer, "");
    assert_success(mproc_shm_close(shm));
    remove_it(list);
}

/** Slots of sizes that no list has. */
static void test_false_slots(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    mproc_item_t item;
    mproc_shareable_list_t *list;
    (void)state;
    list = make(make_name(name, ""), known_items(), 6);
    assert_success(mproc_shm_open(&shm, name, NULL));
    assert_success(mproc_shareable_list_close(list));
    expect_refused(shm, 16, 0); /* item 0 has no room at all */
    uint64_t *words = mproc_shm_data(shm);
    words[2] = 1; /* item 0 has too little room, and item 1 too much */
    words[3] = 18;
    list = open_it(name);
    assert_failure(mproc_shareable_list_get(list, 0, &item, NULL, 0), MPROC_ECORRUPT);
    assert_failure(mproc_shareable_list_set(list, 0, mproc_item_int(1)), MPROC_ECORRUPT);
    assert_success(mproc_shareable_list_set(list, 1, mproc_item_bytes("seventeen letters", 17)));
    expect_item(list, 1, mproc_item_bytes("seventeen letters", 17));
    assert_failure(mproc_shareable_list_set(list, 2, mproc_item_int(1)), MPROC_ECORRUPT); /* of 6 bytes */
    assert_success(mproc_shm_close(shm));
    remove_it(list);
}

/** Look at all of a list that may be anything. */
static void look_at_all(mproc_shareable_list_t *list)
{
    static char buffer[4096];
    mproc_item_t item;
    size_t found;
    const size_t count = mproc_shareable_list_length(list);
    for (size_t i = 0; i < count && i < 100; i++) {
        const apr_status_t status = mproc_shareable_list_get(list, i, &item, buffer, sizeof buffer);
        if (status != APR_SUCCESS && status != MPROC_ECORRUPT && status != MPROC_ETOOBIG)
            fail_msg("get: %d %s", status, mproc_last_error()->text);
        assert_true(status != APR_SUCCESS || (unsigned)item.type <= MPROC_ITEM_BYTES);
    }
    mproc_shareable_list_index(list, mproc_item_str("nowhere"), &found);
    if (count > 0) {
        mproc_shareable_list_set(list, count - 1, mproc_item_int(5));
        mproc_shareable_list_set(list, count / 2, mproc_item_str("text"));
    }
}

/** Random changes of a list, before it is opened and while it is. */
static void test_random_corruption(void **state)
{
    char name[64];
    unsigned char good[512];
    mproc_item_t items[32];
    const size_t all = all_items(items);
    const long long rounds = setting("MPROC_TEST_CORRUPTIONS", 3000);
    unsigned long long seed = choose_seed();
    mproc_shm_t *shm;
    size_t opened = 0;
    (void)state;
    memset(good, 0, sizeof good);
    mproc_shareable_list_t *list = make(make_name(name, ""), items, all < 14 ? all : 14);
    assert_success(mproc_shm_open(&shm, name, NULL));
    const size_t size = mproc_shm_size(shm) < sizeof good ? mproc_shm_size(shm) : sizeof good;
    memcpy(good, mproc_shm_data(shm), size);
    assert_success(mproc_shm_close(shm));
    remove_it(list);
    assert_success(mproc_shm_create(&shm, name, size, NULL));
    unsigned char *data = mproc_shm_data(shm);
    for (long long round = 0; round < rounds; round++) {
        memcpy(data, good, size);
        for (unsigned long long i = 1 + next_random(&seed) % 4; i > 0; i--) {
            const unsigned long long random = next_random(&seed);
            const size_t at = (size_t)(random >> 8) % size;
            /* Small numbers and all ones are the likely ones to be believed. */
            data[at] = random % 3 == 0 ? (unsigned char)(random >> 40) : random % 3 == 1 ? 0xff : random >> 40 & 0x1f;
        }
        if (mproc_shareable_list_open(&list, name, NULL) != APR_SUCCESS) {
            assert_int_equal(mproc_last_error()->status, MPROC_ECORRUPT);
            continue;
        }
        opened++;
        look_at_all(list);
        for (int i = 0; i < 20; i++)
            data[next_random(&seed) % size] = (unsigned char)next_random(&seed);
        look_at_all(list);
        assert_success(mproc_shareable_list_close(list));
    }
    printf("%lld rounds, %zu of them with something to open\n", rounds, opened);
    assert_true(opened > 0 && (long long)opened < rounds);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types),
        cmocka_unit_test(test_typed),
        cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_types_change),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_many_items),
        cmocka_unit_test(test_bad_handles),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_bad_items),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_layout_of_sizes),
        cmocka_unit_test(test_exact_sizes),
        cmocka_unit_test(test_false_offsets),
        cmocka_unit_test(test_false_formats),
        cmocka_unit_test(test_false_slots),
        cmocka_unit_test(test_random_corruption),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
