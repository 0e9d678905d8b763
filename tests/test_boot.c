/* SPDX-License-Identifier: Apache-2.0 */
/*
 * White box: blocks that were damaged on their way. A child either refuses one, or whatever it then reads through its
 * call lies inside the block and is aligned as promised. The copies have exactly their size, so that AddressSanitizer
 * sees each byte that is read beyond.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "call.h"
#include "environment.h"
#include "support/harness.h"
#include "support/support.h"

/* What boot_create() promises of each piece, and malloc of the copies: any type can lie there. */
enum { ALIGNMENT = 16, SEED = 20260101 };

/* How many damaged blocks were refused and how many taken: a test that sees only one kind shows nothing. */
static unsigned refused, taken;

static sys_block_t block;
static volatile unsigned sink;

static uint64_t random_state = SEED;

/** splitmix64: the same numbers on every platform. */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** A block with a piece of every kind, in memory of exactly its size. */
static int make_block(void **state)
{
    static const mproc_os_handle_t handles[] = {3, 4, 5};
    static const int cpus[] = {0, 1};
    static const char *const environment[] = {"A=1", "LONGER=some value", NULL};
    mproc_arg_t args[] = {mproc_arg_string("first", "a string"), mproc_arg_bytes(NULL, NULL, 0),
                          mproc_arg_bytes("bytes", "\1\2\3", 3)};
    static sys_place_t place = {.offset = 0x1234, .is_program = 1, .id_size = 20, .path = "/some/module.so"};
    mproc_process_opts_t opts;
    sys_block_t made;
    (void)state;
    memset(&opts, 0, sizeof opts);
    opts.data = "data of the target";
    opts.size = 19;
    opts.args = args;
    opts.arg_count = sizeof args / sizeof args[0];
    opts.handles = handles;
    opts.handle_count = sizeof handles / sizeof handles[0];
    opts.cpus = cpus;
    opts.cpu_count = sizeof cpus / sizeof cpus[0];
    const boot_contents_t contents = {&opts, &place, environment, NULL, 0};
    assert_success(boot_create(&made, &contents, 0));
    boot_t *boot = boot_of(&made);
    boot->method = MPROC_SPAWN;
    memcpy(boot->name, "Process-1", 10);
    memcpy(boot->creator_name, "MainProcess", 12);
    memcpy(boot->identity, "1", 2);
    block.size = (size_t)boot->size;
    block.data = malloc(block.size);
    assert_non_null(block.data);
    memcpy(block.data, made.data, block.size);
    sys_block_close(&made);
    return 0;
}

/** Read all of a piece that was got from the block. */
static void touch(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    if (!data)
        return;
    assert_true(bytes >= block.data + sizeof(boot_t) && bytes <= block.data + block.size);
    assert_true(size <= (size_t)(block.data + block.size - bytes));
    assert_int_equal((bytes - block.data) % ALIGNMENT, 0);
    for (size_t i = 0; i < size; i++)
        sink += bytes[i];
}

static void touch_string(const char *string)
{
    if (string)
        touch(string, strlen(string) + 1);
}

/** Do with a block what a child and its target do. */
static void use(void)
{
    static sys_place_t place;
    boot_t *boot = boot_of(&block);
    mproc_call_t call = {.boot = boot};
    size_t size;
    touch(mproc_call_data(&call, 19), 19);
    void *data = mproc_call_bytes(&call, &size);
    touch(data, size);
    /* An index beyond the end is refused; where a count is large, its first and last are enough. */
    const size_t count = mproc_call_arg_count(&call);
    for (size_t i = 0; i < count; i++) {
        data = mproc_call_arg(&call, i, &size);
        touch(data, size);
        touch_string(mproc_call_string(&call, i));
    }
    assert_null(mproc_call_arg(&call, count, NULL));
    data = mproc_call_named(&call, "bytes", &size);
    touch(data, size);
    touch_string(mproc_call_named_string(&call, "first"));
    const size_t handles = mproc_call_handle_count(&call);
    for (size_t i = 0; i < handles; i++)
        sink += (unsigned)mproc_call_handle(&call, i);
    assert_true(mproc_call_handle(&call, handles) == MPROC_NO_HANDLE);
    touch(boot_at(boot, boot->handles), (size_t)boot->handles.size);
    touch(boot_at(boot, boot->cpus), (size_t)boot->cpus.size);
    char *strings = boot_at(boot, boot->environment);
    char **list = strings ? environment_list(strings, (size_t)boot->environment.size) : NULL;
    for (size_t i = 0; list && list[i]; i++)
        sink += (unsigned)strlen(list[i]);
    free(list);
    boot_get_place(boot, &place);
    assert_true(place.is_program || place.path);
    touch_string(place.path);
    sink += (unsigned)place.id[0];
    assert_true(place.id_size <= sizeof place.id && boot->authkey_size <= sizeof boot->authkey);
    sink += (unsigned)strlen(boot->name) + (unsigned)strlen(boot->creator_name) + (unsigned)strlen(boot->identity);
    /* Any other target than a place in a module is an address, which holds in its creator only. */
    assert_true(boot->method == MPROC_SPAWN || boot->method == MPROC_FORKSERVER);
}

/** Check a damaged block, and use it if it is taken. */
static void check_and_use(void)
{
    const apr_status_t status = boot_check(&block);
    if (status == APR_SUCCESS) {
        taken++;
        use();
        return;
    }
    assert_true(status == MPROC_EINIT || status == MPROC_EBUILD);
    assert_int_equal(mproc_last_error()->status, status);
    refused++;
}

static void check_counts(void)
{
    assert_true(refused > 0 && taken > 0);
}

static void test_whole(void **state)
{
    (void)state;
    assert_success(boot_check(&block));
    use();
}

static void test_each_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < block.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            block.data[i] ^= (unsigned char)(1 << bit);
            check_and_use();
            block.data[i] ^= (unsigned char)(1 << bit);
        }
    check_counts();
    assert_success(boot_check(&block));
}

static void test_each_byte(void **state)
{
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    (void)state;
    for (size_t i = 0; i < block.size; i++) {
        const unsigned char before = block.data[i];
        for (size_t v = 0; v < sizeof values; v++) {
            block.data[i] = values[v];
            check_and_use();
        }
        block.data[i] = before;
    }
    check_counts();
}

/** Cut to each size: with the header's size as it was, and with one that says what is left. */
static void test_each_size(void **state)
{
    const sys_block_t whole = block;
    (void)state;
    for (size_t size = 1; size < whole.size; size++) {
        block.size = size;
        block.data = malloc(size);
        assert_non_null(block.data);
        memcpy(block.data, whole.data, size);
        check_and_use();
        if (size >= sizeof(boot_t)) {
            assert_int_equal(boot_check(&block), MPROC_EBUILD);
            boot_of(&block)->size = size;
            check_and_use();
        }
        free(block.data);
    }
    block = whole;
    assert_true(refused > 0);
}

/** A number near what pieces have to do with, or any. */
static uint64_t number_for(unsigned which)
{
    const uint64_t numbers[] = {0,
                                1,
                                8,
                                16,
                                64,
                                sizeof(boot_t) - 1,
                                sizeof(boot_t),
                                sizeof(boot_t) + 1,
                                (sizeof(boot_t) + 63) & ~(uint64_t)63,
                                block.size - 64,
                                block.size - 1,
                                block.size,
                                block.size + 1,
                                UINT32_MAX,
                                (uint64_t)UINT32_MAX + 1,
                                UINT64_MAX / 2,
                                UINT64_MAX / 2 + 1,
                                UINT64_MAX - block.size,
                                UINT64_MAX - 63,
                                UINT64_MAX};
    enum { NUMBERS = sizeof numbers / sizeof numbers[0] };
    return which < NUMBERS ? numbers[which] : next_random();
}

enum { NUMBERS = 24 }; /* the last ones are random */

static void test_each_piece(void **state)
{
    boot_t *boot = boot_of(&block);
    boot_arg_t *args = boot_at(boot, boot->args);
    boot_piece_t *const pieces[] = {&boot->target_path, &boot->data,        &boot->args,   &boot->handles,
                                    &boot->cpus,        &boot->environment, &args[0].name, &args[0].data,
                                    &args[1].name,      &args[1].data,      &args[2].name, &args[2].data};
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        const boot_piece_t before = *pieces[i];
        for (unsigned offset = 0; offset <= NUMBERS; offset++)
            for (unsigned size = 0; size <= NUMBERS; size++) {
                /* One more than there are numbers: as it was. */
                pieces[i]->offset = offset < NUMBERS ? number_for(offset) : before.offset;
                pieces[i]->size = size < NUMBERS ? number_for(size) : before.size;
                check_and_use();
            }
        *pieces[i] = before;
    }
    check_counts();
}

/** Strings behind the header that end nowhere, or have no room for an end. */
static void test_strings_without_end(void **state)
{
    boot_t *boot = boot_of(&block);
    boot_arg_t *args = boot_at(boot, boot->args);
    boot_piece_t *const strings[] = {&boot->target_path, &boot->environment, &args[0].name, &args[2].name};
    (void)state;
    for (int i = 0; i < 4; i++) {
        char *last = (char *)boot_at(boot, *strings[i]) + strings[i]->size - 1;
        const uint64_t size = strings[i]->size;
        *last = 'x';
        assert_int_equal(boot_check(&block), MPROC_EINIT);
        *last = '\0';
        strings[i]->size = 0;
        assert_int_equal(boot_check(&block), MPROC_EINIT);
        strings[i]->size = size;
        assert_int_equal(boot_check(&block), APR_SUCCESS);
    }
}

/** Strings of the header that end nowhere, and sizes that are larger than what they measure. */
static void test_full_arrays(void **state)
{
    boot_t *boot = boot_of(&block);
    char *const strings[] = {boot->name, boot->creator_name, boot->identity};
    static const size_t sizes[] = {sizeof boot->name, sizeof boot->creator_name, sizeof boot->identity};
    (void)state;
    for (int i = 0; i < 3; i++) {
        char before[BOOT_NAME_MAX];
        memcpy(before, strings[i], sizes[i]);
        memset(strings[i], 'x', sizes[i]);
        assert_int_equal(boot_check(&block), MPROC_EINIT);
        strings[i][sizes[i] - 1] = '\0';
        assert_int_equal(boot_check(&block), APR_SUCCESS);
        memcpy(strings[i], before, sizes[i]);
    }
    boot->authkey_size = MPROC_AUTHKEY_MAX + 1;
    assert_int_equal(boot_check(&block), MPROC_EINIT);
    boot->authkey_size = MPROC_AUTHKEY_MAX;
    assert_int_equal(boot_check(&block), APR_SUCCESS);
    boot->target_id_size = SYS_IMAGE_ID_MAX + 1;
    assert_int_equal(boot_check(&block), MPROC_EINIT);
}

/** A report that begins where there is rubbish must not run over its end. */
static void test_report_over_rubbish(void **state)
{
    boot_t *boot = boot_of(&block);
    (void)state;
    memset(boot->report.failure_text, 'x', sizeof boot->report.failure_text);
    boot->slots[0] = 42;
    assert_null(mproc_call_data(NULL, 1)); /* some failure */
    boot_report_failure(&boot->report);
    assert_int_equal(boot->report.failure, APR_EINVAL);
    assert_string_equal(boot->report.failure_text, mproc_last_error()->text);
    assert_int_equal(boot->slots[0], 42);
}

/** Several damages at once, anywhere. */
static void test_random_damage(void **state)
{
    enum { ROUNDS = 100000 };
    unsigned char *before = malloc(block.size);
    (void)state;
    assert_non_null(before);
    memcpy(before, block.data, block.size);
    printf("seed %d\n", SEED);
    for (int round = 0; round < ROUNDS; round++) {
        const unsigned damages = 1 + (unsigned)(next_random() % 6);
        for (unsigned i = 0; i < damages; i++) {
            const uint64_t value = number_for((unsigned)(next_random() % NUMBERS));
            const size_t size = (size_t)1 << next_random() % 4;
            const size_t at = (size_t)(next_random() % (block.size / size)) * size;
            memcpy(block.data + at, &value, size);
        }
        check_and_use();
        memcpy(block.data, before, block.size);
    }
    free(before);
    check_counts();
}

/** Nothing but noise behind the first words: no piece of it may be believed. */
static void test_noise(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = offsetof(boot_t, report); i < block.size; i++)
            block.data[i] = (unsigned char)next_random();
        check_and_use();
    }
    assert_true(refused > 0);
}

static int free_block(void **state)
{
    (void)state;
    free(block.data);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_each_bit, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_each_byte, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_each_size, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_each_piece, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_strings_without_end, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_full_arrays, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_report_over_rubbish, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_random_damage, make_block, free_block),
        cmocka_unit_test_setup_teardown(test_noise, make_block, free_block),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
