/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "harness.h"
#include "sys.h"

mproc_start_method_t method_under_test(void)
{
    const char *name = getenv("MPROC_TEST_METHOD");
    mproc_start_method_t method = MPROC_DEFAULT;
    if (name)
        assert_success(mproc_start_method_parse(&method, name));
    return method == MPROC_DEFAULT ? mproc_get_start_method() : method;
}

void skip_under(mproc_start_method_t method, const char *reason)
{
    if (method_under_test() == method)
        skip_because(reason);
}

int has_fork(void)
{
    mproc_start_method_t method;
    return mproc_start_method_parse(&method, "fork") == APR_SUCCESS;
}

mproc_process_opts_t method_options(void)
{
    mproc_process_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.start_method = method_under_test();
    return opts;
}

mproc_process_t *start(mproc_target_t target, mproc_process_opts_t opts)
{
    mproc_process_t *process = NULL;
    if (opts.start_method != MPROC_THREAD && getenv("MPROC_TEST_NO_PROCESSES"))
        skip_because("processes cannot be started here");
    assert_success(mproc_process_start(&process, target, &opts));
    assert_non_null(process);
    return process;
}

int finish(mproc_process_t *process)
{
    int exitcode = -1000;
    assert_success(mproc_process_join(process, MPROC_SECONDS(30) * slowdown()));
    assert_success(mproc_process_exitcode(process, &exitcode));
    assert_success(mproc_process_close(process));
    return exitcode;
}

void expect_waited(apr_time_t begin, apr_interval_time_t timeout)
{
    const apr_interval_time_t taken = apr_time_now() - begin;
    if (taken < timeout - 1000 || taken > timeout + MPROC_SECONDS(10) * slowdown())
        fail_msg("a timeout of %d ms took %d ms", (int)apr_time_as_msec(timeout), (int)apr_time_as_msec(taken));
}

void expect_soon(apr_time_t begin)
{
    const apr_interval_time_t taken = apr_time_now() - begin;
    if (taken > MPROC_SECONDS(4) * slowdown())
        fail_msg("that took %d ms", (int)apr_time_as_msec(taken));
}

apr_pool_t *test_pool(void)
{
    static apr_pool_t *pool;
    if (!pool)
        apr_pool_create(&pool, NULL);
    return pool;
}

void make_pipe(apr_file_t **reader, apr_file_t **writer)
{
    assert_int_equal(apr_file_pipe_create_ex(reader, writer, APR_FULL_BLOCK, test_pool()), APR_SUCCESS);
}

mproc_os_handle_t handle_of(apr_file_t *file)
{
    apr_os_file_t native;
    apr_os_file_get(&native, file);
    return (mproc_os_handle_t)native;
}

mproc_process_t *start_given(apr_file_t *file, mproc_target_t target, mproc_process_opts_t opts)
{
    const mproc_os_handle_t handle = handle_of(file);
    opts.handles = &handle;
    opts.handle_count = 1;
    mproc_process_t *process = start(target, opts);
    apr_file_close(file);
    return process;
}

mproc_process_t *start_writing(apr_file_t **reader, mproc_target_t target, mproc_process_opts_t opts)
{
    apr_file_t *writer;
    make_pipe(reader, &writer);
    return start_given(writer, target, opts);
}

apr_file_t *file_of(mproc_os_handle_t handle, apr_pool_t *pool)
{
    apr_os_file_t native = (apr_os_file_t)handle;
    apr_file_t *file = NULL;
    apr_os_pipe_put_ex(&file, &native, 1, pool);
    return file;
}

int write_and_close(mproc_os_handle_t handle, const char *text)
{
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    apr_status_t status = apr_file_write_full(file_of(handle, pool), text, strlen(text), NULL);
    apr_pool_destroy(pool);
    return status == APR_SUCCESS ? 0 : 1;
}

void read_all(apr_file_t *file, char *text, size_t size)
{
    size_t length = 0;
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS && length + 1 < size) {
        apr_size_t more = size - 1 - length;
        status = apr_file_read(file, text + length, &more);
        length += status == APR_SUCCESS ? more : 0;
    }
    text[length] = '\0';
}

apr_file_t *make_file(char *path, size_t size)
{
    const char *folder;
    apr_file_t *file;
    assert_int_equal(apr_temp_dir_get(&folder, test_pool()), APR_SUCCESS);
    snprintf(path, size, "%s/mproc-test-XXXXXX", folder);
    assert_int_equal(apr_file_mktemp(&file, path, APR_READ | APR_WRITE | APR_CREATE | APR_EXCL, test_pool()),
                     APR_SUCCESS);
    return file;
}

void read_file(const char *path, char *text, size_t size)
{
    apr_file_t *file;
    assert_int_equal(apr_file_open(&file, path, APR_READ | APR_BINARY, 0, test_pool()), APR_SUCCESS);
    read_all(file, text, size);
    apr_file_close(file);
}

void run_program(run_t *run, const char *program, const char *const *arguments, int seconds)
{
    char path[512];
    apr_procattr_t *attributes;
    apr_proc_t process;
    int code = 0;
    apr_exit_why_e why = APR_PROC_EXIT;
    memset(run, 0, sizeof *run);
    /* A file and no pipe: processes that the program leaves behind would hold a pipe open. */
    apr_file_t *output = make_file(path, sizeof path);
    assert_int_equal(apr_procattr_create(&attributes, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV), APR_SUCCESS);
    assert_int_equal(apr_procattr_child_out_set(attributes, output, NULL), APR_SUCCESS);
    assert_int_equal(apr_procattr_child_err_set(attributes, output, NULL), APR_SUCCESS);
    assert_int_equal(apr_proc_create(&process, program, arguments, NULL, attributes, test_pool()), APR_SUCCESS);
    const apr_time_t end = apr_time_now() + apr_time_from_sec(seconds) * slowdown();
    while (apr_proc_wait(&process, &code, &why, APR_NOWAIT) != APR_CHILD_DONE) {
        if (apr_time_now() > end) {
            run->timed_out = 1;
            apr_proc_kill(&process, APR_KILL_ALWAYS);
            apr_proc_wait(&process, &code, &why, APR_WAIT);
            break;
        }
        apr_sleep(2000);
    }
    run->exitcode = code;
    run->by_signal = why != APR_PROC_EXIT;
    apr_file_close(output);
    read_file(path, run->output, sizeof run->output);
    apr_file_remove(path, test_pool());
}

int lives(int pid)
{
    sys_process_t *process;
    if (sys_process_open(&process, pid, 0) != APR_SUCCESS)
        return 0;
    const int alive = sys_wait(sys_process_sentinel(process), 0) != APR_SUCCESS;
    sys_process_close(process);
    return alive;
}

int is_gone_within(int pid, int seconds)
{
    const apr_time_t end = apr_time_now() + apr_time_from_sec(seconds) * slowdown();
    while (lives(pid)) {
        if (apr_time_now() > end)
            return 0;
        apr_sleep(2000);
    }
    return 1;
}

void kill_by_pid(int pid)
{
    sys_process_t *process;
    assert_int_equal(sys_process_open(&process, pid, 0), APR_SUCCESS);
    assert_int_equal(sys_process_signal(process, SYS_KILL), APR_SUCCESS);
    sys_process_close(process);
    assert_true(is_gone_within(pid, 20));
}

void expect_descriptors(int expected)
{
    /* The system's own threads close some on Windows, a moment later, and have some themselves: a leak is many. */
    const int slack = has_fork() ? 0 : 32;
    const apr_time_t end = apr_time_now() + apr_time_from_sec(10);
    int now = count_descriptors();
    while (abs(now - expected) > slack && apr_time_now() < end) {
        apr_sleep(apr_time_from_msec(5));
        now = count_descriptors();
    }
    assert_in_range(now, expected > slack ? expected - slack : 0, expected + slack);
}
