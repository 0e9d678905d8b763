/* SPDX-License-Identifier: Apache-2.0 */
/* Options under every start method: what surrounds a child is what it was given, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/support.h"

/** Start a target that writes into the pipe which is its first handle, and read all of it. */
static void ask(char *text, size_t size, mproc_target_t target, mproc_process_opts_t opts)
{
    apr_file_t *reader;
    mproc_process_t *process = start_writing(&reader, target, opts);
    read_all(reader, text, size);
    apr_file_close(reader);
    assert_int_equal(finish(process), 0);
}

static const char not_by_thread[] = "a thread shares it with its process";

/* ---- Working folder ---------------------------------------------------------------------------------------------- */

static int tell_folder(mproc_call_t *call)
{
    char *path;
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    if (apr_filepath_get(&path, APR_FILEPATH_TRUENAME, pool) != APR_SUCCESS)
        return 1;
    return write_and_close(mproc_call_handle(call, 0), path);
}

static char *here(void)
{
    char *path;
    assert_int_equal(apr_filepath_get(&path, APR_FILEPATH_TRUENAME, test_pool()), APR_SUCCESS);
    return path;
}

static void test_directory(void **state)
{
    char text[1024];
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_opts_t opts = method_options();
    char *own = here();
    ask(text, sizeof text, tell_folder, opts);
    assert_string_equal(text, own);
    assert_int_equal(apr_dir_make_recursive("folder/below", APR_OS_DEFAULT, test_pool()), APR_SUCCESS);
    opts.directory = "folder/below";
    ask(text, sizeof text, tell_folder, opts);
    assert_non_null(strstr(text, "below"));
    opts.directory = own;
    ask(text, sizeof text, tell_folder, opts);
    assert_string_equal(text, own);
    /* It is the creator's at the time of the start, not at the time when something was started first. */
    assert_int_equal(apr_filepath_set("folder", test_pool()), APR_SUCCESS);
    opts.directory = NULL;
    ask(text, sizeof text, tell_folder, opts);
    assert_string_equal(text, here());
    assert_string_not_equal(text, own);
}

static int return_zero(mproc_call_t *call)
{
    return call ? 0 : 1;
}

static void test_directory_refused(void **state)
{
    char path[512];
    mproc_process_t *process;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    apr_file_close(make_file(path, sizeof path));
    mproc_process_opts_t opts = method_options();
    opts.directory = "no/such/folder";
    assert_failure(mproc_process_start(&process, return_zero, &opts), APR_ENOENT);
    assert_null(process);
    assert_error_names("working folder");
    opts.directory = path;
    assert_failure(mproc_process_start(&process, return_zero, &opts), APR_ENOTDIR);
    assert_null(process);
    opts.directory = NULL;
    assert_int_equal(finish(start(return_zero, opts)), 0);
    apr_file_remove(path, test_pool());
}

/* ---- Environment ------------------------------------------------------------------------------------------------- */

/** Tell the values of the variables that are named in the arguments. */
static int tell_variables(mproc_call_t *call)
{
    char text[1024] = "";
    for (size_t i = 0; i < mproc_call_arg_count(call); i++) {
        const char *value = getenv(mproc_call_string(call, i));
        strcat(strcat(text, value ? value : "(unset)"), ";");
    }
    return write_and_close(mproc_call_handle(call, 0), text);
}

static void test_environment(void **state)
{
    char text[1024];
    static const char *const changes[] = {"MPROC_TEST_B=changed", "MPROC_TEST_C", "MPROC_TEST_D=x=y",
                                          "MPROC_TEST_D=last", NULL};
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_arg_t names[4];
    for (int i = 0; i < 4; i++) {
        static char name[4][16];
        snprintf(name[i], sizeof name[i], "MPROC_TEST_%c", 'A' + i);
        names[i] = mproc_arg_string(NULL, name[i]);
    }
    mproc_process_opts_t opts = method_options();
    opts.args = names;
    opts.arg_count = 4;
    /* A first child, so that what is set below is set after a fork server has started. */
    ask(text, sizeof text, tell_variables, opts);
    assert_string_equal(text, "(unset);(unset);(unset);(unset);");
    apr_env_set("MPROC_TEST_A", "a", test_pool());
    apr_env_set("MPROC_TEST_B", "b", test_pool());
    apr_env_set("MPROC_TEST_C", "c", test_pool());
    ask(text, sizeof text, tell_variables, opts);
    assert_string_equal(text, "a;b;c;(unset);");
    opts.environment_changes = changes;
    ask(text, sizeof text, tell_variables, opts);
    assert_string_equal(text, "a;changed;(unset);last;");
}

static void test_whole_environment(void **state)
{
    char text[1024];
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    /* What a system needs to start programs at all is kept. */
    const char *const kept[] = {"SYSTEMROOT", "PATH", "WINEPREFIX", "LD_LIBRARY_PATH", NULL};
    const char *environment[8];
    size_t count = 0;
    for (size_t i = 0; kept[i]; i++)
        if (getenv(kept[i]))
            environment[count++] = apr_pstrcat(test_pool(), kept[i], "=", getenv(kept[i]), NULL);
    environment[count++] = "MPROC_TEST_X=\xc3\xa4\xe2\x82\xac";
    environment[count] = NULL;
    apr_env_set("MPROC_TEST_Y", "y", test_pool());
    const mproc_arg_t names[] = {mproc_arg_string(NULL, "MPROC_TEST_Y"), mproc_arg_string(NULL, "MPROC_TEST_X")};
    mproc_process_opts_t opts = method_options();
    opts.args = names;
    opts.arg_count = has_fork() ? 2 : 1; /* getenv speaks another character set elsewhere */
    opts.environment = environment;
    ask(text, sizeof text, tell_variables, opts);
    assert_string_equal(text, has_fork() ? "(unset);\xc3\xa4\xe2\x82\xac;" : "(unset);");
}

/* ---- Standard streams -------------------------------------------------------------------------------------------- */

static int speak(mproc_call_t *call)
{
    (void)call;
    printf("to stdout\n");
    fflush(stdout);
    fprintf(stderr, "to stderr\n");
    printf("buffered"); /* flushed at the end */
    return 0;
}

static void test_output_to_handle(void **state)
{
    char path[512], text[256];
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    apr_file_t *file = make_file(path, sizeof path);
    mproc_process_opts_t opts = method_options();
    opts.standard_output = mproc_stdio_handle(handle_of(file));
    opts.standard_error = mproc_stdio_stdout();
    mproc_process_t *process = start(speak, opts);
    apr_file_close(file);
    assert_int_equal(finish(process), 0);
    read_file(path, text, sizeof text);
    assert_non_null(strstr(text, "to stdout"));
    assert_non_null(strstr(text, "to stderr"));
    assert_non_null(strstr(text, "buffered"));
    apr_file_remove(path, test_pool());
}

static void test_output_ends_with_child(void **state)
{
    char text[256];
    apr_file_t *reader, *writer;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    make_pipe(&reader, &writer);
    mproc_process_opts_t opts = method_options();
    opts.standard_output = mproc_stdio_handle(handle_of(writer));
    opts.standard_error = mproc_stdio_null();
    mproc_process_t *process = start(speak, opts);
    apr_file_close(writer);
    read_all(reader, text, sizeof text); /* would not end if anything else had the pipe open */
    assert_non_null(strstr(text, "to stdout"));
    assert_null(strstr(text, "to stderr"));
    apr_file_close(reader);
    assert_int_equal(finish(process), 0);
}

static int read_input(mproc_call_t *call)
{
    char text[64] = "";
    (void)call;
    return fgets(text, sizeof text, stdin) ? (int)strlen(text) : 0;
}

static void test_input(void **state)
{
    apr_file_t *reader, *writer;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_opts_t opts = method_options();
    opts.standard_input = mproc_stdio_null();
    assert_int_equal(finish(start(read_input, opts)), 0);
    make_pipe(&reader, &writer);
    apr_file_puts("12345", writer);
    apr_file_close(writer);
    opts.standard_input = mproc_stdio_handle(handle_of(reader));
    mproc_process_t *process = start(read_input, opts);
    apr_file_close(reader);
    assert_int_equal(finish(process), 5);
}

/* ---- CPUs -------------------------------------------------------------------------------------------------------- */

static int count_cpus(mproc_call_t *call)
{
    (void)call;
    return mproc_cpu_count();
}

static void test_cpus(void **state)
{
    mproc_process_t *process;
    int cpu = 0;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    mproc_process_opts_t opts = method_options();
    opts.cpus = &cpu;
    opts.cpu_count = 1;
    if (mproc_process_create(&process, count_cpus, &opts) == APR_ENOTIMPL)
        skip_because("a process cannot be bound to a CPU here");
    assert_success(mproc_process_close(process));
    assert_int_equal(finish(start(count_cpus, opts)), 1);
    cpu = 100000;
    assert_failure(mproc_process_start(&process, count_cpus, &opts), APR_EINVAL);
    assert_error_names("100000");
    cpu = -1;
    assert_failure(mproc_process_start(&process, count_cpus, &opts), APR_EINVAL);
    cpu = 0;
    opts.cpu_count = 0;
    assert_failure(mproc_process_start(&process, count_cpus, &opts), APR_EINVAL);
}

/* ---- Exactly what it was given ----------------------------------------------------------------------------------- */

/** Tell which descriptors are open. */
static int tell_descriptors(mproc_call_t *call)
{
    char text[1024];
    snprintf(text, sizeof text, "%d", count_descriptors());
    return write_and_close(mproc_call_handle(call, 0), text);
}

/** What a child has open that was given one handle. */
static int descriptors_in_child(void)
{
    char text[1024];
    ask(text, sizeof text, tell_descriptors, method_options());
    return atoi(text);
}

static void test_exactly_its_descriptors(void **state)
{
    apr_file_t *strays[20];
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    if (count_descriptors() < 0)
        skip_because("open descriptors cannot be counted here");
    const int before = descriptors_in_child();
    for (int i = 0; i < 20; i += 2)
        make_pipe(&strays[i], &strays[i + 1]);
    for (int i = 0; i < 20; i++)
        apr_file_inherit_set(strays[i]);
    /* A forked child has what its creator has, but a clean one does not. */
    const int expected = method_under_test() == MPROC_FORK ? before + 20 : before;
    assert_int_equal(descriptors_in_child(), expected);
    /* Other children of ours are not its business in any case. */
    mproc_process_t *others[5];
    mproc_process_opts_t opts = method_options();
    for (int i = 0; i < 5; i++)
        others[i] = start(return_zero, opts);
    assert_int_equal(descriptors_in_child(), expected);
    for (int i = 0; i < 5; i++)
        assert_int_equal(finish(others[i]), 0);
    /* A program has many of its own on Windows. */
    if (method_under_test() != MPROC_FORK && has_fork())
        assert_in_range(before, 4, 6); /* three streams, the handle, and what the library itself holds */
}

typedef struct starter_t {
    apr_thread_t *thread;
    int rounds;
    int wrong;
} starter_t;

/** Start children one after the other, each with a pipe of its own, and see that each pipe ends with its child. */
static void *APR_THREAD_FUNC start_and_listen(apr_thread_t *self, void *data)
{
    starter_t *starter = data;
    apr_pool_t *pool;
    (void)self;
    apr_pool_create(&pool, NULL);
    for (int i = 0; i < starter->rounds; i++) {
        char text[64];
        apr_file_t *reader, *writer;
        mproc_process_t *process;
        int exitcode = -1;
        mproc_process_opts_t opts = method_options();
        if (apr_file_pipe_create_ex(&reader, &writer, APR_FULL_BLOCK, pool) != APR_SUCCESS)
            break;
        opts.standard_output = mproc_stdio_handle(handle_of(writer));
        opts.standard_error = mproc_stdio_null();
        if (mproc_process_start(&process, speak, &opts) != APR_SUCCESS) {
            starter->wrong++;
            continue;
        }
        apr_file_close(writer);
        read_all(reader, text, sizeof text);
        apr_file_close(reader);
        starter->wrong += mproc_process_finish(process, &exitcode) != APR_SUCCESS || exitcode != 0 ||
                          strstr(text, "to stdout") == NULL;
    }
    apr_pool_destroy(pool);
    return NULL;
}

static void test_threads_start_at_once(void **state)
{
    enum { THREADS = 8 };
    starter_t starters[THREADS];
    apr_status_t status;
    (void)state;
    skip_under(MPROC_THREAD, not_by_thread);
    /* Forked children inherit whatever pipes other threads have open just then: it is what fork means. */
    skip_under(MPROC_FORK, "a forked child inherits what other threads have open");
    assert_int_equal(finish(start(return_zero, method_options())), 0); /* some come with the first child, and stay */
    const int before = count_descriptors();
    for (int i = 0; i < THREADS; i++) {
        starters[i] = (starter_t){NULL, 15, 0};
        assert_int_equal(apr_thread_create(&starters[i].thread, NULL, start_and_listen, &starters[i], test_pool()),
                         APR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++) {
        apr_thread_join(&status, starters[i].thread);
        assert_int_equal(starters[i].wrong, 0);
    }
    assert_int_equal(count_descriptors(), before);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void refuse(mproc_process_opts_t opts, apr_status_t expected)
{
    mproc_process_t *process = (mproc_process_t *)&opts;
    assert_failure(mproc_process_start(&process, return_zero, &opts), expected);
    assert_null(process);
}

static void test_bad_options(void **state)
{
    const mproc_os_handle_t closed = 9999;
    mproc_arg_t arg = {NULL, NULL, 5};
    char byte = 0;
    (void)state;
    mproc_process_opts_t good = method_options();
    mproc_process_opts_t bad = good;
    bad.data = &byte;
    refuse(bad, APR_EINVAL);
    bad.data = NULL;
    bad.size = 5;
    refuse(bad, APR_EINVAL);
    bad.data = &byte;
    bad.size = SIZE_MAX - 4;
    refuse(bad, MPROC_ESIZE);
    /* Half of the address space: of 32 bits that much can be had, and would be filled. */
    bad.size = SIZE_MAX / 2 - 100000;
    if (sizeof bad.size > 4)
        refuse(bad, APR_ENOMEM);
    bad = good;
    bad.arg_count = 1;
    refuse(bad, APR_EINVAL);
    bad.args = &arg;
    refuse(bad, APR_EINVAL);
    bad = good;
    bad.handles = &closed;
    bad.handle_count = 1;
    refuse(bad, APR_EBADF);
    bad.handle_count = MPROC_HANDLES_MAX + 1;
    refuse(bad, APR_EINVAL);
    bad = good;
    bad.start_method = (mproc_start_method_t)77;
    refuse(bad, APR_EINVAL);
    bad = good;
    bad.name = "";
    refuse(bad, APR_EINVAL);
    bad = good;
    bad.standard_input = mproc_stdio_stdout();
    refuse(bad, APR_EINVAL);
    assert_int_equal(finish(start(return_zero, good)), 0);
}

static void test_thread_has_no_own_surroundings(void **state)
{
    const char *const environment[] = {"A=B", NULL};
    const int cpu = 0;
    (void)state;
    mproc_process_opts_t good = method_options();
    good.start_method = MPROC_THREAD;
    mproc_process_opts_t bad = good;
    bad.directory = ".";
    refuse(bad, APR_ENOTIMPL);
    bad = good;
    bad.environment = environment;
    refuse(bad, APR_ENOTIMPL);
    bad = good;
    bad.environment_changes = environment;
    refuse(bad, APR_ENOTIMPL);
    bad = good;
    bad.cpus = &cpu;
    bad.cpu_count = 1;
    refuse(bad, APR_ENOTIMPL);
    bad = good;
    bad.standard_output = mproc_stdio_null();
    refuse(bad, APR_ENOTIMPL);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_refused),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_whole_environment),
        cmocka_unit_test(test_output_to_handle),
        cmocka_unit_test(test_output_ends_with_child),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_exactly_its_descriptors),
        cmocka_unit_test(test_threads_start_at_once),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_thread_has_no_own_surroundings),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
