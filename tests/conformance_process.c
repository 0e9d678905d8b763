/* SPDX-License-Identifier: Apache-2.0 */
/* Processes under every start method: who they are, what they are given, how they are joined. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"

/* ---- Exit codes -------------------------------------------------------------------------------------------------- */

static int return_data(mproc_call_t *call)
{
    const int *code = mproc_call_data(call, sizeof *code);
    return code ? *code : 99;
}

static int exit_with_data(mproc_call_t *call)
{
    exit(return_data(call));
}

static int exitcode_of(mproc_target_t target, int code)
{
    mproc_process_opts_t opts = method_options();
    opts.data = &code;
    opts.size = sizeof code;
    return finish(start(target, opts));
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(exitcode_of(return_data, 0), 0);
    assert_int_equal(exitcode_of(return_data, 1), 1);
    assert_int_equal(exitcode_of(return_data, 42), 42);
    assert_int_equal(exitcode_of(return_data, 255), 255);
    assert_int_equal(exitcode_of(return_data, 256), 0);
    assert_int_equal(exitcode_of(return_data, -1), 255);
}

static void test_exit_called(void **state)
{
    (void)state;
    skip_under(MPROC_THREAD, "exit in a thread ends the program");
    assert_int_equal(exitcode_of(exit_with_data, 0), 0);
    assert_int_equal(exitcode_of(exit_with_data, 7), 7);
    assert_int_equal(exitcode_of(exit_with_data, 300), 44);
}

/* ---- Who is who -------------------------------------------------------------------------------------------------- */

typedef struct identity_t {
    int pid, ppid, parent_pid, parent_alive, daemon;
    mproc_start_method_t method;
    char name[64], parent_name[64];
} identity_t;

static void describe_myself(identity_t *me)
{
    mproc_process_t *parent = mproc_parent_process();
    mproc_process_t *self = mproc_current_process();
    memset(me, 0, sizeof *me);
    me->pid = mproc_getpid();
    me->ppid = mproc_getppid();
    me->parent_pid = mproc_process_pid(parent);
    me->parent_alive = mproc_process_is_alive(parent);
    me->daemon = mproc_process_is_daemon(self);
    me->method = mproc_process_start_method(self);
    snprintf(me->name, sizeof me->name, "%s", mproc_process_name(self));
    snprintf(me->parent_name, sizeof me->parent_name, "%s", mproc_process_name(parent));
}

static int write_bytes(mproc_os_handle_t handle, const void *data, size_t size)
{
    char text[1024];
    char *at = text;
    for (size_t i = 0; i < size && at < text + sizeof text - 3; i++)
        at += sprintf(at, "%02x", ((const unsigned char *)data)[i]);
    return write_and_close(handle, text);
}

static void read_bytes(apr_file_t *file, void *data, size_t size)
{
    char text[1024];
    read_all(file, text, sizeof text);
    assert_int_equal(strlen(text), size * 2);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        ((unsigned char *)data)[i] = (unsigned char)byte;
    }
}

static int tell_identity(mproc_call_t *call)
{
    identity_t me;
    describe_myself(&me);
    return write_bytes(mproc_call_handle(call, 0), &me, sizeof me);
}

/** Start a child that tells about itself, and listen. */
static mproc_process_t *ask_identity(identity_t *child, mproc_process_opts_t opts)
{
    apr_file_t *reader;
    mproc_process_t *process = start_writing(&reader, tell_identity, opts);
    read_bytes(reader, child, sizeof *child);
    apr_file_close(reader);
    return process;
}

static void test_identity(void **state)
{
    identity_t child;
    (void)state;
    mproc_process_opts_t opts = method_options();
    opts.name = "worker";
    opts.daemon = 1;
    mproc_process_t *process = ask_identity(&child, opts);
    assert_int_equal(child.pid, mproc_process_pid(process));
    if (method_under_test() == MPROC_THREAD)
        assert_int_equal(child.pid, mproc_getpid());
    else
        assert_int_not_equal(child.pid, mproc_getpid());
    assert_int_equal(child.ppid, mproc_getpid());
    assert_int_equal(child.parent_pid, mproc_getpid());
    assert_true(child.parent_alive);
    assert_true(child.daemon);
    assert_int_equal(child.method, method_under_test());
    assert_string_equal(child.name, "worker");
    assert_string_equal(child.parent_name, "MainProcess");
    assert_string_equal(mproc_process_name(process), "worker");
    assert_int_equal(finish(process), 0);
}

static int nest(mproc_call_t *call)
{
    mproc_process_opts_t opts;
    mproc_process_t *process;
    int exitcode = 0;
    memset(&opts, 0, sizeof opts);
    const mproc_os_handle_t handle = mproc_call_handle(call, 0);
    opts.start_method = mproc_process_start_method(mproc_current_process());
    opts.handles = &handle;
    opts.handle_count = 1;
    if (mproc_process_start(&process, tell_identity, &opts) != APR_SUCCESS ||
        mproc_process_finish(process, &exitcode) != APR_SUCCESS || exitcode != 0)
        return 1;
    return write_and_close(handle, "");
}

static void test_names_of_nested_children(void **state)
{
    identity_t child, grandchild;
    apr_file_t *reader;
    (void)state;
    mproc_process_t *first = ask_identity(&child, method_options());
    assert_string_equal(child.name, "Process-1");
    mproc_process_t *second = start_writing(&reader, nest, method_options());
    read_bytes(reader, &grandchild, sizeof grandchild);
    assert_string_equal(grandchild.name, "Process-2:1");
    assert_string_equal(grandchild.parent_name, "Process-2");
    assert_int_equal(grandchild.ppid, mproc_process_pid(second));
    assert_true(grandchild.parent_alive);
    assert_int_equal(finish(first), 0);
    assert_int_equal(finish(second), 0);
}

static void test_parent_of_first_process(void **state)
{
    (void)state;
    assert_null(mproc_parent_process());
    assert_int_equal(mproc_last_error()->status, APR_ENOENT);
    assert_string_equal(mproc_process_name(mproc_current_process()), "MainProcess");
    assert_int_equal(mproc_process_pid(mproc_current_process()), mproc_getpid());
    assert_true(mproc_process_is_alive(mproc_current_process()));
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

typedef struct config_t {
    double gain;
    int64_t count;
    char text[24];
} config_t;

static int check_data(mproc_call_t *call)
{
    const config_t *config = mproc_call_data(call, sizeof *config);
    size_t size = 0;
    if (!config || config->gain != 1.5 || config->count != -7 || strcmp(config->text, "some text") != 0)
        return 1;
    if (mproc_call_bytes(call, &size) != config || size != sizeof *config || (uintptr_t)config % 16 != 0)
        return 2;
    if (mproc_call_data(call, sizeof *config - 1) || mproc_last_error()->status != MPROC_ESIZE)
        return 3;
    return mproc_call_arg_count(call) == 0 && mproc_call_handle_count(call) == 0 ? 0 : 4;
}

static void test_data(void **state)
{
    config_t config = {1.5, -7, "some text"};
    (void)state;
    mproc_process_opts_t opts = method_options();
    opts.data = &config;
    opts.size = sizeof config;
    mproc_process_t *process = start(check_data, opts);
    memset(&config, 0, sizeof config); /* it was copied */
    assert_int_equal(finish(process), 0);
}

static int check_args(mproc_call_t *call)
{
    size_t size = 0;
    const char *bytes = mproc_call_arg(call, 1, &size);
    if (mproc_call_arg_count(call) != 4 || strcmp(mproc_call_string(call, 0), "bob") != 0)
        return 1;
    if (size != 3 || memcmp(bytes, "a\0b", 3) != 0 || mproc_call_string(call, 1) ||
        mproc_last_error()->status != MPROC_ESIZE)
        return 2;
    if (strcmp(mproc_call_named_string(call, "colour"), "blue") != 0 || strcmp(mproc_call_string(call, 2), "blue") != 0)
        return 3;
    if (!mproc_call_named(call, "nothing", &size) || size != 0)
        return 4;
    if (mproc_call_named(call, "absent", &size) || mproc_last_error()->status != APR_ENOENT || size != 0)
        return 5;
    if (mproc_call_arg(call, 4, NULL) || mproc_last_error()->status != APR_EINVAL)
        return 6;
    if (mproc_call_bytes(call, &size) || mproc_call_data(call, 1))
        return 7;
    return 0;
}

static void test_args(void **state)
{
    const mproc_arg_t args[] = {mproc_arg_string(NULL, "bob"), mproc_arg_bytes(NULL, "a\0b", 3),
                                mproc_arg_string("colour", "blue"), mproc_arg_bytes("nothing", NULL, 0)};
    (void)state;
    mproc_process_opts_t opts = method_options();
    opts.args = args;
    opts.arg_count = sizeof args / sizeof args[0];
    assert_int_equal(finish(start(check_args, opts)), 0);
}

static int check_large(mproc_call_t *call)
{
    size_t size;
    const unsigned char *bytes = mproc_call_bytes(call, &size);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(i * 7 + i / 4096))
            return 1;
    return size == (size_t)64 << 20 ? 0 : 2;
}

static void test_large_data(void **state)
{
    const size_t size = (size_t)64 << 20;
    unsigned char *data = malloc(size);
    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 7 + i / 4096);
    mproc_process_opts_t opts = method_options();
    opts.data = data;
    opts.size = size;
    mproc_process_t *process = start(check_large, opts);
    free(data);
    assert_int_equal(finish(process), 0);
}

/* ---- Joining ----------------------------------------------------------------------------------------------------- */

/** Run until something comes through the pipe that was given. */
static int wait_for_a_byte(mproc_call_t *call)
{
    char byte;
    apr_pool_t *pool;
    apr_size_t length = 1;
    apr_pool_create(&pool, NULL);
    apr_file_read(file_of(mproc_call_handle(call, 0), pool), &byte, &length);
    apr_pool_destroy(pool);
    return 5;
}

/** Start a child that runs until it is let go. */
static mproc_process_t *start_waiting(apr_file_t **hold, mproc_process_opts_t opts)
{
    apr_file_t *reader;
    make_pipe(&reader, hold);
    return start_given(reader, wait_for_a_byte, opts);
}

static void let_go(apr_file_t *hold)
{
    assert_int_equal(apr_file_putc('x', hold), APR_SUCCESS);
    apr_file_close(hold);
}

static void test_join_times_out(void **state)
{
    apr_file_t *hold;
    int exitcode = 77;
    (void)state;
    mproc_process_t *process = start_waiting(&hold, method_options());
    assert_failure(mproc_process_join(process, 0), APR_TIMEUP);
    assert_error_names("Process-1");
    assert_failure(mproc_process_join(process, MPROC_MILLISECONDS(30)), APR_TIMEUP);
    assert_true(mproc_process_is_alive(process));
    assert_failure(mproc_process_exitcode(process, &exitcode), MPROC_ESTATE);
    assert_int_equal(exitcode, 77);
    assert_failure(mproc_process_close(process), MPROC_ESTATE);
    let_go(hold);
    assert_success(mproc_process_join(process, MPROC_FOREVER));
    assert_success(mproc_process_join(process, 0));
    assert_false(mproc_process_is_alive(process));
    assert_int_equal(finish(process), 5);
}

typedef struct joiner_t {
    mproc_process_t *process;
    apr_status_t status;
} joiner_t;

static void *APR_THREAD_FUNC join_there(apr_thread_t *self, void *data)
{
    joiner_t *joiner = data;
    (void)self;
    joiner->status = mproc_process_join(joiner->process, MPROC_SECONDS(30));
    return NULL;
}

static void test_several_threads_join(void **state)
{
    enum { JOINERS = 4 };
    joiner_t joiners[JOINERS];
    apr_thread_t *threads[JOINERS];
    apr_status_t status;
    apr_file_t *hold;
    (void)state;
    mproc_process_t *process = start_waiting(&hold, method_options());
    for (int i = 0; i < JOINERS; i++) {
        joiners[i] = (joiner_t){process, APR_EGENERAL};
        assert_int_equal(apr_thread_create(&threads[i], NULL, join_there, &joiners[i], test_pool()), APR_SUCCESS);
    }
    let_go(hold);
    for (int i = 0; i < JOINERS; i++) {
        apr_thread_join(&status, threads[i]);
        assert_int_equal(joiners[i].status, APR_SUCCESS);
    }
    assert_int_equal(finish(process), 5);
}

static void test_many_at_once(void **state)
{
    enum { CHILDREN = 40 };
    mproc_process_t *processes[CHILDREN];
    mproc_process_t *active[CHILDREN];
    size_t count = 99;
    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        mproc_process_opts_t opts = method_options();
        opts.data = &i;
        opts.size = sizeof i;
        processes[i] = start(return_data, opts);
    }
    assert_success(mproc_active_children(active, CHILDREN, &count));
    assert_in_range(count, 0, CHILDREN);
    for (int i = CHILDREN - 1; i >= 0; i--)
        assert_int_equal(finish(processes[i]), i);
    assert_success(mproc_active_children(active, CHILDREN, &count));
    assert_int_equal(count, 0);
}

static void test_active_children(void **state)
{
    apr_file_t *hold;
    mproc_process_t *active[2] = {NULL, NULL};
    size_t count;
    (void)state;
    mproc_process_t *process = start_waiting(&hold, method_options());
    assert_success(mproc_active_children(active, 2, &count));
    assert_int_equal(count, 1);
    assert_ptr_equal(active[0], process);
    assert_success(mproc_active_children(NULL, 0, &count));
    assert_int_equal(count, 1);
    let_go(hold);
    assert_int_equal(finish(process), 5);
    assert_success(mproc_active_children(active, 2, &count));
    assert_int_equal(count, 0);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static void test_create_then_launch(void **state)
{
    mproc_process_t *process;
    mproc_os_handle_t sentinel;
    int code = 3;
    int exitcode = -1;
    (void)state;
    mproc_process_opts_t opts = method_options();
    opts.data = &code;
    opts.size = sizeof code;
    assert_success(mproc_process_create(&process, return_data, &opts));
    assert_int_equal(mproc_process_pid(process), 0);
    assert_false(mproc_process_is_alive(process));
    assert_failure(mproc_process_join(process, 0), MPROC_ESTATE);
    assert_failure(mproc_process_terminate(process), MPROC_ESTATE);
    assert_failure(mproc_process_sentinel(process, &sentinel), MPROC_ESTATE);
    assert_success(mproc_process_set_name(process, "renamed"));
    assert_success(mproc_process_set_daemon(process, 1));
    assert_string_equal(mproc_process_name(process), "renamed");
    assert_success(mproc_process_run(process, &exitcode));
    assert_int_equal(exitcode, 3);
    assert_success(mproc_process_launch(process));
    assert_failure(mproc_process_launch(process), MPROC_ESTATE);
    assert_failure(mproc_process_run(process, &exitcode), MPROC_ESTATE);
    assert_failure(mproc_process_set_name(process, "late"), MPROC_ESTATE);
    assert_failure(mproc_process_set_daemon(process, 0), MPROC_ESTATE);
    assert_int_not_equal(mproc_process_pid(process), 0);
    assert_int_equal(finish(process), 3);
}

/** Use up what was given: spoil the data, and close the handle after a word. */
static int use_up(mproc_call_t *call)
{
    int *data = mproc_call_data(call, sizeof *data);
    const int found = *data;
    *data = -1;
    return write_and_close(mproc_call_handle(call, 0), "used") == 0 ? found : 99;
}

static void test_run_leaves_all_for_the_launch(void **state)
{
    apr_file_t *reader, *writer;
    mproc_process_t *process;
    char text[64];
    int data = 21;
    int exitcode = -1;
    (void)state;
    assert_int_equal(exitcode_of(return_data, 1), 1); /* some descriptors come with the first child, and stay */
    make_pipe(&reader, &writer);
    const mproc_os_handle_t handle = handle_of(writer);
    const int before = count_descriptors();
    mproc_process_opts_t opts = method_options();
    opts.data = &data;
    opts.size = sizeof data;
    opts.handles = &handle;
    opts.handle_count = 1;
    assert_success(mproc_process_create(&process, use_up, &opts));
    const int created = count_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_success(mproc_process_run(process, &exitcode));
        assert_int_equal(exitcode, 21);
        assert_int_equal(count_descriptors(), created);
    }
    assert_success(mproc_process_launch(process));
    assert_int_equal(finish(process), 21);
    assert_int_equal(count_descriptors(), before);
    apr_file_close(writer);
    read_all(reader, text, sizeof text);
    assert_string_equal(text, "usedusedusedused");
    apr_file_close(reader);
}

static void test_finish_in_one(void **state)
{
    mproc_process_t *process;
    int code = 11;
    int exitcode = -1;
    (void)state;
    mproc_process_opts_t opts = method_options();
    opts.data = &code;
    opts.size = sizeof code;
    process = start(return_data, opts);
    assert_success(mproc_process_finish(process, &exitcode));
    assert_int_equal(exitcode, 11);
    assert_failure(mproc_process_finish(process, &exitcode), MPROC_ECLOSED);
    process = start(return_data, opts);
    assert_success(mproc_process_finish(process, NULL));
}

static int tell_key(mproc_call_t *call)
{
    unsigned char key[MPROC_AUTHKEY_MAX];
    size_t length = 0;
    if (mproc_process_authkey(mproc_current_process(), key, sizeof key, &length) != APR_SUCCESS)
        return 1;
    return write_bytes(mproc_call_handle(call, 0), key, length);
}

static void check_key(const void *key, size_t size, const void *own_key)
{
    apr_file_t *reader, *writer;
    unsigned char childs[MPROC_AUTHKEY_MAX];
    mproc_process_t *process;
    make_pipe(&reader, &writer);
    const mproc_os_handle_t handle = handle_of(writer);
    mproc_process_opts_t opts = method_options();
    opts.handles = &handle;
    opts.handle_count = 1;
    assert_success(mproc_process_create(&process, tell_key, &opts));
    if (own_key)
        assert_success(mproc_process_set_authkey(process, own_key, size));
    assert_success(mproc_process_launch(process));
    apr_file_close(writer);
    read_bytes(reader, childs, size);
    apr_file_close(reader);
    assert_memory_equal(childs, key, size);
    assert_int_equal(finish(process), 0);
}

static void test_authkey(void **state)
{
    unsigned char key[64];
    size_t length = 0;
    (void)state;
    assert_failure(mproc_process_authkey(mproc_current_process(), key, 3, &length), MPROC_ESIZE);
    assert_int_equal(length, 32);
    assert_success(mproc_process_authkey(mproc_current_process(), key, sizeof key, &length));
    assert_int_equal(length, 32);
    check_key(key, 32, NULL);
    assert_success(mproc_process_set_authkey(mproc_current_process(), "peekaboo", 8));
    check_key("peekaboo", 8, NULL);
    if (method_under_test() != MPROC_THREAD)
        check_key("its own", 7, "its own");
}

static void test_pool_ends_process(void **state)
{
    apr_pool_t *pool;
    apr_file_t *hold;
    (void)state;
    skip_under(MPROC_THREAD, "a thread cannot be ended from outside");
    apr_pool_create(&pool, NULL);
    mproc_process_opts_t opts = method_options();
    opts.pool = pool;
    mproc_process_t *process = start_waiting(&hold, opts);
    const int pid = mproc_process_pid(process);
    apr_pool_destroy(pool);
    assert_failure(mproc_process_join(process, 0), MPROC_ECLOSED);
    assert_false(lives(pid));
    apr_file_close(hold);
    /* Closed before its pool is: the pool has nothing to do. */
    apr_pool_create(&pool, NULL);
    opts.pool = pool;
    process = start_waiting(&hold, opts);
    assert_success(mproc_process_stop(process, 0));
    assert_success(mproc_process_close(process));
    apr_pool_destroy(pool);
    apr_file_close(hold);
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(exitcode_of(return_data, 1), 1);
    const int before = count_descriptors();
    if (before < 0)
        skip_because("open descriptors cannot be counted here");
    for (int i = 0; i < 30; i++)
        assert_int_equal(exitcode_of(return_data, i), i);
    assert_int_equal(count_descriptors(), before);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_exit_called),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_names_of_nested_children),
        cmocka_unit_test(test_parent_of_first_process),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_args),
        cmocka_unit_test(test_large_data),
        cmocka_unit_test(test_join_times_out),
        cmocka_unit_test(test_several_threads_join),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_active_children),
        cmocka_unit_test(test_create_then_launch),
        cmocka_unit_test(test_run_leaves_all_for_the_launch),
        cmocka_unit_test(test_finish_in_one),
        cmocka_unit_test(test_authkey),
        cmocka_unit_test(test_pool_ends_process),
        cmocka_unit_test(test_nothing_is_left),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
