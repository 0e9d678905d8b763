/* SPDX-License-Identifier: Apache-2.0 */
/* White box: what external programs get on Windows, and how they end. */
#include "win32/win32.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <apr_env.h>
#include <apr_file_info.h>

#include "support/harness.h"
#include "support/random.h"
#include "support/support.h"

#include "error.h"

enum { SECOND = 1000000, OUTPUT = 1 << 16 };

static char output[OUTPUT];
static char errors[OUTPUT];

static sys_time_t later(void)
{
    return sys_now() + (sys_time_t)40 * SECOND * slowdown();
}

/* ---- Running programs -------------------------------------------------------------------------------------------- */

/** A program to be started, its standard streams the null device unless a test says otherwise. */
static sys_program_t describe(const char *const *args)
{
    sys_program_t program = {.args = args, .file = args[0]};
    for (int i = 0; i < 3; i++)
        program.stdio[i].kind = SYS_STDIO_NULL;
    return program;
}

static sys_process_t *start_program(sys_program_t *program)
{
    sys_process_t *process;
    const apr_status_t status = sys_program_start(&process, program);
    if (status != APR_SUCCESS)
        print_error("%d: %s\n", status, program->failed ? program->failed : "");
    assert_int_equal(status, APR_SUCCESS);
    assert_null(program->failed);
    return process;
}

static void expect_refusal(sys_program_t *program, apr_status_t status, const char *failed)
{
    sys_process_t *process;
    const apr_status_t found = sys_program_start(&process, program);
    if (mproc_canonical(found) != status)
        print_error("%s: %d (%s)\n", program->file, found, program->failed ? program->failed : "");
    assert_int_equal(mproc_canonical(found), status);
    assert_null(process);
    assert_non_null(program->failed);
    assert_non_null(strstr(program->failed, failed));
}

/** Wait for the end of a program, and close it: its exit code. */
static int end_program(sys_process_t *process)
{
    sys_exit_t end;
    assert_int_equal(sys_wait(sys_process_sentinel(process), later()), APR_SUCCESS);
    assert_int_equal(sys_process_reap(&end, process), APR_SUCCESS);
    assert_int_equal(end.known, SYS_END_KNOWN);
    sys_process_close(process);
    return end.code;
}

/** Read what is there; 0 at the end. */
static int read_more(sys_channel_t *channel, char *text, size_t *length)
{
    size_t got;
    const apr_status_t status = sys_channel_read(channel, text + *length, OUTPUT - 1 - *length, &got);
    *length += got;
    text[*length] = '\0';
    if (status != APR_EOF)
        assert_true(status == APR_SUCCESS || status == APR_EAGAIN);
    return status != APR_EOF;
}

/** Run a program with pipes for both outputs, read them to their ends: its exit code. */
static int run(sys_program_t *program)
{
    sys_channel_t *channels[2];
    char *texts[2] = {output, errors};
    size_t lengths[2] = {0, 0};
    sys_wait_t items[2];
    size_t ready;
    for (int i = 0; i < 2; i++) {
        program->stdio[i + 1].kind = SYS_STDIO_HANDLE;
        assert_int_equal(sys_channel_create(&channels[i], &program->stdio[i + 1].handle, 0), APR_SUCCESS);
        items[i] = (sys_wait_t){.kind = SYS_WAIT_CHANNEL, .object = channels[i]};
        texts[i][0] = '\0';
    }
    sys_process_t *process = start_program(program);
    for (int i = 0; i < 2; i++)
        sys_handle_close(program->stdio[i + 1].handle);
    while (items[0].kind != SYS_WAIT_NOTHING || items[1].kind != SYS_WAIT_NOTHING) {
        assert_int_equal(sys_wait_any(items, 2, &ready, later()), APR_SUCCESS);
        for (int i = 0; i < 2; i++) {
            if (items[i].is_ready && !read_more(channels[i], texts[i], &lengths[i]))
                items[i].kind = SYS_WAIT_NOTHING;
            items[i].is_ready = 0;
        }
    }
    sys_channel_close(channels[0]);
    sys_channel_close(channels[1]);
    return end_program(process);
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

enum { ARGS_MAX = 40, TEXT_MAX = 64 };

/** Start the program that prints its arguments, with these, and compare. */
static void expect_arguments(const char *const *arguments, size_t count)
{
    const char *args[ARGS_MAX + 3] = {PROGRAM_ARGS, "first"};
    static char expected[OUTPUT];
    char *to = expected + sprintf(expected, "6669727374\n");
    for (size_t i = 0; i < count; i++) {
        args[i + 2] = arguments[i];
        for (const char *at = arguments[i]; *at; at++)
            to += sprintf(to, "%02x", (unsigned char)*at);
        *to++ = '\n';
    }
    *to = '\0';
    args[count + 2] = NULL;
    sys_program_t program = describe(args);
    assert_int_equal(run(&program), 0);
    assert_string_equal(output, expected);
    assert_string_equal(errors, "");
}

static void test_arguments_arrive(void **state)
{
    static const char *const arguments[] = {
        "",
        "plain",
        " ",
        "\t",
        "two words",
        "\"",
        "\"quoted\"",
        "a\"b",
        "\\",
        "\\\\",
        "\\\"",
        "\\\\\"",
        "\\\\\\\" \\",
        "end\\",
        "with space\\",
        "with space\\\\",
        "C:\\folder\\file",
        "C:\\folder with space\\",
        "\\\\server\\share",
        "line\nline",
        "\r\n",
        "\v\f\b\x01\x7f",
        "'single' 'quotes'",
        "*",
        "*.c ?.h [a-z]",
        "%PATH% !PATH! ^& | < > ( ) ; , =",
        "/switch:on",
        "--option=value with space",
        "\xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac",
        "\xf0\x9f\x98\x80\xf0\x9d\x84\x9e",
        "\xc2\xa0\xe3\x80\x80",
        "\xef\xbc\x82",
        "",
    };
    (void)state;
    expect_arguments(arguments, sizeof arguments / sizeof arguments[0]);
    expect_arguments(NULL, 0);
}

static void test_random_arguments(void **state)
{
    static const char *const pieces[] = {"\\",   "\"",   " ", "\t", "\n",       "a",
                                         "\\\\", "\\\"", "'", "*",  "\xc3\xa4", "\xf0\x9f\x98\x80"};
    unsigned long long seed = choose_seed();
    (void)state;
    for (int round = 0; round < 25; round++) {
        char texts[ARGS_MAX][TEXT_MAX];
        const char *arguments[ARGS_MAX];
        const size_t count = next_random(&seed) % ARGS_MAX;
        for (size_t i = 0; i < count; i++) {
            texts[i][0] = '\0';
            arguments[i] = texts[i];
            for (unsigned long long left = next_random(&seed) % 12; left > 0; left--)
                strcat(texts[i], pieces[next_random(&seed) % (sizeof pieces / sizeof pieces[0])]);
        }
        expect_arguments(arguments, count);
    }
}

static void test_first_argument(void **state)
{
    static const char *const names[] = {"name", "two words", "", "C:\\folder with space\\x", "tab\tline\n"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *args[] = {names[i], "--name", NULL};
        char expected[100];
        char *to = expected;
        for (const char *at = names[i]; *at; at++)
            to += sprintf(to, "%02x", (unsigned char)*at);
        strcpy(to, "\n");
        sys_program_t program = describe(args);
        program.file = PROGRAM_ARGS;
        const int code = run(&program);
        if (code)
            print_error("%s: %s", names[i], errors);
        assert_int_equal(code, 0);
        assert_string_equal(output, expected);
    }
}

static void test_arguments_that_cannot_be(void **state)
{
    static const char *const bad[] = {"\xff", "\xc3", "\xed\xa0\x80", "ok\x80", "\xf8\x88\x80\x80\x80"};
    const char *args[] = {PROGRAM_ARGS, NULL, NULL};
    sys_program_t program = describe(args);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        args[1] = bad[i];
        expect_refusal(&program, APR_EINVAL, "an argument");
    }
    args[1] = NULL;
    args[0] = "a\"b";
    program.file = PROGRAM_ARGS;
    expect_refusal(&program, APR_EINVAL, "the first argument");
    args[0] = NULL;
    expect_refusal(&program, APR_EINVAL, "the arguments");
}

static void test_longest_arguments(void **state)
{
    enum { UNITS = 32766 };
    char *text = malloc(2 * UNITS);
    const char *args[] = {"x", text, NULL};
    sys_program_t program = describe(args);
    program.file = PROGRAM_ARGS;
    (void)state;
    /* Two units for the first and the space. */
    memset(text, 'a', UNITS);
    text[UNITS - 2] = '\0';
    assert_int_equal(run(&program), 0);
    assert_int_equal(strlen(output), 2 * (UNITS - 2) < OUTPUT - 1 ? 2 * (UNITS - 2) + 1 : OUTPUT - 1);
    strcat(text, "a");
    expect_refusal(&program, E2BIG, "the arguments");
    free(text);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static unsigned char expected_byte(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

/** Send as much as goes: 0 when all has gone. */
static int send_more(sys_channel_t *channel, size_t *sent, size_t size)
{
    static unsigned char bytes[70000];
    size_t done;
    const size_t now = size - *sent < sizeof bytes ? size - *sent : sizeof bytes;
    for (size_t i = 0; i < now; i++)
        bytes[i] = expected_byte(*sent + i);
    assert_int_equal(sys_channel_write(channel, bytes, now, &done), APR_SUCCESS);
    *sent += done;
    return *sent < size;
}

/** Take what is there: 0 at the end. */
static int take_more(sys_channel_t *channel, size_t *taken)
{
    static unsigned char bytes[50000];
    size_t got;
    const apr_status_t status = sys_channel_read(channel, bytes, sizeof bytes, &got);
    if (status == APR_EOF)
        return 0;
    assert_int_equal(status, APR_SUCCESS);
    for (size_t i = 0; i < got; i++)
        assert_int_equal(bytes[i], expected_byte(*taken + i));
    *taken += got;
    return 1;
}

/** Much data through a program that sends it back. */
static void test_both_ways(void **state)
{
    enum { SIZE = 6000001 };
    const char *const args[] = {PROGRAM_ARGS, "--echo", NULL};
    sys_program_t program = describe(args);
    sys_channel_t *to, *from;
    size_t sent = 0, taken = 0, ready;
    (void)state;
    assert_int_equal(sys_channel_create(&to, &program.stdio[0].handle, 1), APR_SUCCESS);
    assert_int_equal(sys_channel_create(&from, &program.stdio[1].handle, 0), APR_SUCCESS);
    program.stdio[0].kind = program.stdio[1].kind = SYS_STDIO_HANDLE;
    sys_process_t *process = start_program(&program);
    sys_handle_close(program.stdio[0].handle);
    sys_handle_close(program.stdio[1].handle);
    sys_wait_t items[] = {{.kind = SYS_WAIT_CHANNEL, .object = to},
                          {.kind = SYS_WAIT_CHANNEL, .object = from},
                          {.kind = SYS_WAIT_HANDLE, .handle = sys_process_sentinel(process)}};
    while (items[1].kind != SYS_WAIT_NOTHING || items[2].kind != SYS_WAIT_NOTHING) {
        assert_int_equal(sys_wait_any(items, 3, &ready, later()), APR_SUCCESS);
        if (items[0].is_ready && !send_more(to, &sent, SIZE)) {
            items[0].kind = SYS_WAIT_NOTHING;
            sys_channel_close(to);
        }
        if (items[1].is_ready && !take_more(from, &taken))
            items[1].kind = SYS_WAIT_NOTHING;
        if (items[2].is_ready)
            items[2].kind = SYS_WAIT_NOTHING;
        items[0].is_ready = items[1].is_ready = items[2].is_ready = 0;
    }
    assert_int_equal(sent, SIZE);
    assert_int_equal(taken, SIZE);
    sys_channel_close(from);
    assert_int_equal(end_program(process), 0);
}

static void test_both_outputs(void **state)
{
    const char *const args[] = {PROGRAM_ARGS, "--both", "60000", NULL};
    sys_program_t program = describe(args);
    (void)state;
    assert_int_equal(run(&program), 0);
    for (size_t i = 0; i < 60000; i++) {
        assert_int_equal((unsigned char)output[i], i % 251);
        assert_int_equal((unsigned char)errors[i], i % 251);
    }
    assert_int_equal(output[60000] | errors[60000], 0);
}

static void read_and_remove(const char *path, char *text)
{
    read_file(path, text, OUTPUT);
    remove(path);
}

static void test_files(void **state)
{
    static char text[OUTPUT];
    char path[512];
    const char *args[] = {PROGRAM_ARGS, "--echo", NULL};
    sys_program_t program = describe(args);
    DWORD done;
    sys_handle_t other;
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    for (int i = 0; i < 3; i++) {
        /* Replaced, replaced, and something added to it. */
        args[1] = i < 2 ? "a" : "b";
        program.stdio[1].kind = SYS_STDIO_HANDLE;
        assert_int_equal(sys_file_open(&program.stdio[1].handle, path, i < 2 ? SYS_OPEN_WRITE : SYS_OPEN_APPEND),
                         APR_SUCCESS);
        assert_true(GetHandleInformation((HANDLE)program.stdio[1].handle, &done));
        assert_int_equal(done & HANDLE_FLAG_INHERIT, 0);
        assert_int_equal(end_program(start_program(&program)), 0);
        sys_handle_close(program.stdio[1].handle);
    }
    read_file(path, text, sizeof text);
    assert_string_equal(text, "61\n62\n");
    /* Two who append do not overwrite each other. */
    assert_int_equal(sys_file_open(&program.stdio[1].handle, path, SYS_OPEN_APPEND), APR_SUCCESS);
    assert_int_equal(sys_file_open(&other, path, SYS_OPEN_APPEND), APR_SUCCESS);
    assert_true(WriteFile((HANDLE)other, "x\n", 2, &done, NULL));
    assert_int_equal(end_program(start_program(&program)), 0);
    assert_true(WriteFile((HANDLE)other, "y\n", 2, &done, NULL));
    sys_handle_close(other);
    sys_handle_close(program.stdio[1].handle);
    /* And now it is read. */
    args[1] = "--echo";
    assert_int_equal(sys_file_open(&program.stdio[0].handle, path, SYS_OPEN_READ), APR_SUCCESS);
    program.stdio[0].kind = SYS_STDIO_HANDLE;
    assert_int_equal(run(&program), 0);
    sys_handle_close(program.stdio[0].handle);
    assert_string_equal(output, "61\n62\nx\n62\ny\n");
    read_and_remove(path, text);
    assert_int_equal(mproc_canonical(sys_file_open(&other, path, SYS_OPEN_READ)), APR_ENOENT);
    assert_int_equal(other, SYS_NO_HANDLE);
    assert_int_equal(mproc_canonical(sys_file_open(&other, "\xff", SYS_OPEN_READ)), APR_EINVAL);
}

static void test_streams(void **state)
{
    const char *both[] = {PROGRAM_ARGS, "--both", "3", NULL};
    const char *const echo[] = {PROGRAM_ARGS, "--echo", NULL};
    sys_program_t program = describe(both);
    sys_channel_t *channel;
    size_t length = 0;
    (void)state;
    /* Both into one. */
    assert_int_equal(sys_channel_create(&channel, &program.stdio[1].handle, 0), APR_SUCCESS);
    program.stdio[1].kind = SYS_STDIO_HANDLE;
    program.stdio[2].kind = SYS_STDIO_STDOUT;
    sys_process_t *process = start_program(&program);
    sys_handle_close(program.stdio[1].handle);
    while (read_more(channel, output, &length))
        Sleep(1);
    assert_int_equal(length, 6);
    assert_memory_equal(output, "\0\1\2\0\1\2", 6);
    sys_channel_close(channel);
    assert_int_equal(end_program(process), 0);
    /* Nothing to read; what is written goes nowhere. */
    program = describe(echo);
    assert_int_equal(run(&program), 0);
    assert_string_equal(output, "");
    program = describe(both);
    assert_int_equal(end_program(start_program(&program)), 0);
    program.stdio[2].kind = SYS_STDIO_STDOUT;
    assert_int_equal(end_program(start_program(&program)), 0);
    /* A handle that is none. */
    program.stdio[1] = (sys_stdio_t){SYS_STDIO_HANDLE, 0x123450};
    expect_refusal(&program, APR_EBADF, "a standard stream");
    program.stdio[1].handle = SYS_NO_HANDLE;
    expect_refusal(&program, APR_EBADF, "a standard stream");
}

/** Read what there is: 0 if that was all for now. */
static void read_all_there(sys_channel_t *channel, size_t *total, int *is_at_end)
{
    static char scrap[OUTPUT];
    apr_status_t status = APR_SUCCESS;
    while (status == APR_SUCCESS) {
        size_t got;
        status = sys_channel_read(channel, scrap, sizeof scrap, &got);
        *total += got;
    }
    *is_at_end = status == APR_EOF;
    assert_true(status == APR_EAGAIN || status == APR_EOF);
}

/** When a program has ended, all that it has written is there: nobody has to wait for the pipe's end. */
static void test_all_is_there_at_the_end(void **state)
{
    enum { SIZE = 69999 };
    const char *const args[] = {PROGRAM_ARGS, "--both", "69999", NULL};
    (void)state;
    for (int i = 0; i < 60; i++) {
        sys_program_t program = describe(args);
        sys_channel_t *channels[2];
        size_t totals[2] = {0, 0}, ready;
        int is_at_end[2] = {0, 0};
        for (int j = 0; j < 2; j++) {
            program.stdio[j + 1].kind = SYS_STDIO_HANDLE;
            assert_int_equal(sys_channel_create(&channels[j], &program.stdio[j + 1].handle, 0), APR_SUCCESS);
        }
        sys_process_t *process = start_program(&program);
        for (int j = 0; j < 2; j++)
            sys_handle_close(program.stdio[j + 1].handle);
        for (int has_ended = 0; !has_ended;) {
            has_ended = sys_wait(sys_process_sentinel(process), 0) == APR_SUCCESS;
            sys_wait_t items[3] = {{.kind = SYS_WAIT_HANDLE, .handle = sys_process_sentinel(process)}};
            size_t used = 1;
            for (int j = 0; j < 2; j++) {
                if (!is_at_end[j])
                    read_all_there(channels[j], &totals[j], &is_at_end[j]);
                if (!is_at_end[j])
                    items[used++] = (sys_wait_t){.kind = SYS_WAIT_CHANNEL, .object = channels[j]};
            }
            if (!has_ended)
                assert_int_equal(sys_wait_any(items, used, &ready, later()), APR_SUCCESS);
        }
        assert_int_equal(totals[0], SIZE);
        assert_int_equal(totals[1], SIZE);
        for (int j = 0; j < 2; j++)
            sys_channel_close(channels[j]);
        assert_int_equal(end_program(process), 0);
    }
}

/** One program's output is another's input. */
static void test_pipe_between_programs(void **state)
{
    const char *const both[] = {PROGRAM_ARGS, "--both", "60000", NULL};
    const char *const echo[] = {PROGRAM_ARGS, "--echo", NULL};
    sys_program_t first = describe(both);
    sys_program_t second = describe(echo);
    sys_handle_t ends[2];
    DWORD flags;
    (void)state;
    assert_int_equal(sys_pipe(ends), APR_SUCCESS);
    for (int i = 0; i < 2; i++) {
        assert_true(GetHandleInformation((HANDLE)ends[i], &flags));
        assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
    }
    first.stdio[1] = (sys_stdio_t){SYS_STDIO_HANDLE, ends[1]};
    second.stdio[0] = (sys_stdio_t){SYS_STDIO_HANDLE, ends[0]};
    sys_process_t *process = start_program(&first);
    sys_handle_close(ends[1]);
    assert_int_equal(run(&second), 0);
    sys_handle_close(ends[0]);
    assert_int_equal(end_program(process), 0);
    for (size_t i = 0; i < 60000; i++)
        assert_int_equal((unsigned char)output[i], i % 251);
    assert_int_equal(output[60000], 0);
}

/** This process's own streams, whether they can be inherited or not, and where it has none. */
static void test_inherited_streams(void **state)
{
    static char text[OUTPUT];
    char path[512];
    sys_handle_t handle;
    const char *const args[] = {PROGRAM_ARGS, "x", NULL};
    const char *const echo[] = {PROGRAM_ARGS, "--echo", NULL};
    sys_program_t program = describe(args);
    HANDLE before[2] = {GetStdHandle(STD_INPUT_HANDLE), GetStdHandle(STD_OUTPUT_HANDLE)};
    (void)state;
    apr_file_close(make_file(path, sizeof path));
    assert_int_equal(sys_file_open(&handle, path, SYS_OPEN_APPEND), APR_SUCCESS);
    program.stdio[1].kind = SYS_STDIO_INHERIT;
    SetStdHandle(STD_OUTPUT_HANDLE, (HANDLE)handle);
    const int first = end_program(start_program(&program));
    SetHandleInformation((HANDLE)handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    const int second = end_program(start_program(&program));
    SetStdHandle(STD_OUTPUT_HANDLE, before[1]);
    sys_handle_close(handle);
    read_and_remove(path, text);
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    assert_string_equal(text, "78\n78\n");
    program = describe(echo);
    program.stdio[0].kind = SYS_STDIO_INHERIT;
    SetStdHandle(STD_INPUT_HANDLE, NULL);
    const int third = run(&program);
    SetStdHandle(STD_INPUT_HANDLE, before[0]);
    assert_int_equal(third, 0);
    assert_int_equal(sys_has_terminal(), GetFileType(before[0]) == FILE_TYPE_CHAR && sys_has_terminal());
}

/* ---- Environment and folder -------------------------------------------------------------------------------------- */

static void test_environment(void **state)
{
    const char *const args[] = {PROGRAM_ARGS, "--env", NULL};
    const char *const environment[] = {"zero=0", "Name=\xe2\x82\xac", "=C:=C:\\", "empty=", NULL};
    sys_program_t program = describe(args);
    (void)state;
    program.environment = environment;
    assert_int_equal(run(&program), 0);
    assert_non_null(strstr(output, "zero=0\n"));
    assert_non_null(strstr(output, "Name=\xe2\x82\xac\n"));
    assert_non_null(strstr(output, "empty=\n"));
    assert_non_null(strstr(output, "SystemRoot="));
    assert_null(strstr(output, "PATH="));
    SetEnvironmentVariableW(L"OWN_VARIABLE", L"own");
    program.environment = NULL;
    assert_int_equal(run(&program), 0);
    assert_non_null(strstr(output, "OWN_VARIABLE=own\n"));
}

static char folder[512];

/** Make a folder of this test's own, with a space in its name. */
static const char *make_folder(void)
{
    const char *temporary;
    assert_int_equal(apr_temp_dir_get(&temporary, test_pool()), APR_SUCCESS);
    /* Process ids come again, and a test that failed leaves its folder. */
    apr_status_t status = APR_EEXIST;
    for (int i = 0; APR_STATUS_IS_EEXIST(status); i++) {
        snprintf(folder, sizeof folder, "%s/mproc test %d.%d & more", temporary, sys_getpid(), i);
        status = apr_dir_make(folder, APR_OS_DEFAULT, test_pool());
    }
    assert_int_equal(status, APR_SUCCESS);
    return folder;
}

/** A path in the folder; valid until the tenth call after this. */
static const char *in_folder(const char *name)
{
    static char paths[10][600];
    static int next;
    char *path = paths[next++ % 10];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    apr_file_t *file;
    assert_int_equal(
        apr_file_open(&file, path, APR_WRITE | APR_CREATE | APR_TRUNCATE | APR_BINARY, APR_OS_DEFAULT, test_pool()),
        APR_SUCCESS);
    assert_int_equal(apr_file_write_full(file, text, strlen(text), NULL), APR_SUCCESS);
    apr_file_close(file);
}

static void copy_program(const char *name)
{
    assert_int_equal(apr_file_copy(PROGRAM_ARGS, in_folder(name), APR_FILE_SOURCE_PERMS, test_pool()), APR_SUCCESS);
}

static void remove_folder(const char *const *names)
{
    for (; *names; names++)
        apr_file_remove(in_folder(*names), test_pool());
    /* A program's console can be there for a moment longer than the program. */
    apr_status_t status;
    const sys_time_t end = sys_now() + 10 * SECOND;
    while ((status = apr_dir_remove(folder, test_pool())) != APR_SUCCESS && sys_now() < end)
        Sleep(10);
    assert_int_equal(status, APR_SUCCESS);
}

static void test_working_folder(void **state)
{
    static const char *const names[] = {"file", NULL};
    const char *const args[] = {PROGRAM_ARGS, "--cwd", NULL};
    sys_program_t program = describe(args);
    (void)state;
    program.directory = make_folder();
    assert_int_equal(run(&program), 0);
    assert_non_null(strstr(output, strrchr(folder, '/') + 1));
    program.directory = in_folder("none");
    expect_refusal(&program, APR_ENOENT, "the working folder");
    write_text(in_folder("file"), "x");
    program.directory = in_folder("file");
    expect_refusal(&program, APR_ENOTDIR, "the working folder");
    program.directory = "";
    expect_refusal(&program, APR_ENOENT, "the working folder");
    remove_folder(names);
}

/* ---- Finding programs -------------------------------------------------------------------------------------------- */

static void expect_exit(sys_program_t *program, const char *file, int code)
{
    program->file = file;
    assert_int_equal(end_program(start_program(program)), code);
}

static void test_found_by_path(void **state)
{
    static const char *const names[] = {"copy.exe", "copy.1.exe", "text", "text.exe", "bare", NULL};
    const char *const args[] = {"x", "--exit", "7", NULL};
    sys_program_t program = describe(args);
    (void)state;
    make_folder();
    copy_program("copy.exe");
    copy_program("copy.1.exe");
    copy_program("bare");
    write_text(in_folder("text"), "no program");
    write_text(in_folder("text.exe"), "no program");
    expect_exit(&program, in_folder("copy.exe"), 7);
    expect_exit(&program, in_folder("copy"), 7);
    expect_exit(&program, in_folder("COPY.EXE"), 7);
    expect_exit(&program, in_folder("copy.1"), 7);
    expect_exit(&program, in_folder("bare"), 7);
    program.file = in_folder("none");
    expect_refusal(&program, APR_ENOENT, "the program");
    program.file = in_folder("none/copy.exe");
    expect_refusal(&program, APR_ENOENT, "the program");
    program.file = in_folder("text");
    expect_refusal(&program, APR_EACCES, "the program");
    program.file = in_folder("text.exe");
    expect_refusal(&program, APR_EACCES, "the program");
    program.file = folder;
    expect_refusal(&program, APR_EACCES, "the program");
    program.file = in_folder("");
    expect_refusal(&program, APR_EACCES, "the program");
    program.file = "";
    expect_refusal(&program, APR_ENOENT, "the program");
    program.file = in_folder("what?*<>|\"");
    expect_refusal(&program, APR_ENOENT, "the program");
    program.file = "\xff";
    expect_refusal(&program, APR_EINVAL, "the program");
    /* A path starts from here, and not from the program's folder. */
    assert_int_equal(apr_filepath_set(folder, test_pool()), APR_SUCCESS);
    program.directory = "C:\\";
    expect_exit(&program, ".\\copy", 7);
    expect_exit(&program, "./copy.exe", 7);
    assert_int_equal(apr_filepath_set("..", test_pool()), APR_SUCCESS);
    remove_folder(names);
}

static void test_found_along_path(void **state)
{
    static const char *const names[] = {"found.exe", "tool", "tool.cmd", "sub/only.exe", NULL};
    const char *const args[] = {"x", "--exit", "7", NULL};
    static char path[2000], extensions[2000];
    const char *environment[] = {path, NULL, NULL};
    sys_program_t program = describe(args);
    (void)state;
    make_folder();
    assert_int_equal(apr_dir_make(in_folder("sub"), APR_OS_DEFAULT, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_dir_make(in_folder("sub/found.exe"), APR_OS_DEFAULT, test_pool()), APR_SUCCESS);
    copy_program("found.exe");
    copy_program("sub/only.exe");
    write_text(in_folder("tool"), "#!/bin/sh\nexit 1\n");
    write_text(in_folder("tool.cmd"), "@exit /b 3\r\n");
    program.environment = environment;
    /* The folder by that name is no program; quotation marks around a folder are no part of it. */
    snprintf(path, sizeof path, "pAtH=;;C:\\none;\"%s\\sub\";\"%s\"", folder, folder);
    expect_exit(&program, "found", 7);
    expect_exit(&program, "found.exe", 7);
    expect_exit(&program, "only", 7);
    /* What has an extension goes before what has none. */
    expect_exit(&program, "tool", 3);
    snprintf(extensions, sizeof extensions, "PATHEXT=.VBS;.EXE");
    environment[1] = extensions;
    expect_exit(&program, "found", 7);
    program.file = "tool";
    expect_refusal(&program, APR_EACCES, "the program");
    snprintf(path, sizeof path, "PATH=%s\\sub", folder);
    program.file = "found";
    expect_refusal(&program, APR_EACCES, "the program");
    /* Neither here, nor in this program's folder, nor without a PATH. */
    assert_int_equal(apr_filepath_set(folder, test_pool()), APR_SUCCESS);
    snprintf(path, sizeof path, "PATH=;C:\\none;;");
    expect_refusal(&program, APR_ENOENT, "the program");
    program.file = "test_program.exe";
    expect_refusal(&program, APR_ENOENT, "the program");
    environment[0] = "other=x";
    program.file = "found";
    expect_refusal(&program, APR_ENOENT, "the program");
    /* Without an environment of its own, along ours. */
    program.environment = NULL;
    expect_refusal(&program, APR_ENOENT, "the program");
    snprintf(path, sizeof path, "%s", folder);
    assert_int_equal(apr_env_set("PATH", path, test_pool()), APR_SUCCESS);
    expect_exit(&program, "found", 7);
    assert_int_equal(apr_filepath_set("..", test_pool()), APR_SUCCESS);
    assert_int_equal(apr_dir_remove(in_folder("sub/found.exe"), test_pool()), APR_SUCCESS);
    apr_file_remove(in_folder("sub/only.exe"), test_pool());
    assert_int_equal(apr_dir_remove(in_folder("sub"), test_pool()), APR_SUCCESS);
    remove_folder(names);
}

/* ---- Batch files ------------------------------------------------------------------------------------------------- */

static void test_batch_files(void **state)
{
    static const char *const names[] = {"batch.cmd", "other.bat", "100% cpu.bat", NULL};
    static const char *const bad[] = {"a\"b", "%PATH%",     "!x!", "a^b", "a&b",   "a|b",  "a<b",
                                      "a>b",  "line\nline", "\r",  "\t",  "a b\\", "\x7f", "\" & calc & \"",
                                      "100%", "%~d0"};
    const char *args[] = {"x", "plain", "two words", "", "C:\\dir\\", "(a,b;c=d)", "\xc3\xa4-1*", NULL};
    sys_program_t program = describe(args);
    (void)state;
    make_folder();
    write_text(in_folder("batch.cmd"), "@echo off\r\necho [%~1][%~2][%~3][%~4][%~5]\r\nexit /b 5\r\n");
    write_text(in_folder("other.bat"), "@echo off\r\n\"" PROGRAM_ARGS "\" %*\r\n");
    write_text(in_folder("100% cpu.bat"), "@exit /b 0\r\n");
    program.file = in_folder("batch");
    assert_int_equal(run(&program), 5);
    assert_string_equal(output, "[plain][two words][][C:\\dir\\][(a,b;c=d)]\r\n");
    program.file = in_folder("other.bat");
    assert_int_equal(run(&program), 0);
    assert_string_equal(output, "706c61696e\n74776f20776f726473\n\n433a5c6469725c\n28612c623b633d6429\nc3a42d312a\n");
    program.file = in_folder("batch.cmd");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        args[1] = bad[i];
        expect_refusal(&program, APR_EINVAL, "an argument");
        program.file = in_folder("batch.cmd. .");
        expect_refusal(&program, APR_EINVAL, "an argument");
        program.file = in_folder("BATCH.CMD");
    }
    args[1] = "\xff";
    expect_refusal(&program, APR_EINVAL, "an argument");
    args[1] = NULL;
    program.file = in_folder("100% cpu.bat");
    expect_refusal(&program, APR_EINVAL, "the name of a batch file");
    remove_folder(names);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

/** A program that says something through a handle whose number is what it is here. */
static void expect_saying(int is_shared)
{
    char number[30];
    const char *const args[] = {PROGRAM_ARGS, "--say", number, "through a handle", NULL};
    sys_program_t program = describe(args);
    sys_channel_t *channel;
    sys_handle_t handles[2];
    size_t length = 0;
    DWORD flags;
    assert_int_equal(sys_channel_create(&channel, &handles[0], 0), APR_SUCCESS);
    handles[1] = handles[0];
    if (is_shared)
        SetHandleInformation((HANDLE)handles[0], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    snprintf(number, sizeof number, "%lld", (long long)handles[0]);
    program.handles = handles;
    program.handle_count = 2;
    sys_process_t *process = start_program(&program);
    assert_true(GetHandleInformation((HANDLE)handles[0], &flags));
    assert_int_equal(flags & HANDLE_FLAG_INHERIT, is_shared ? HANDLE_FLAG_INHERIT : 0);
    sys_handle_close(handles[0]);
    while (read_more(channel, output, &length))
        Sleep(1);
    assert_string_equal(output, "through a handle");
    sys_channel_close(channel);
    assert_int_equal(end_program(process), 0);
}

static void test_given_handles(void **state)
{
    const char *const args[] = {PROGRAM_ARGS, "x", NULL};
    sys_program_t program = describe(args);
    sys_event_t event;
    DWORD flags;
    (void)state;
    expect_saying(0);
    expect_saying(1);
    assert_int_equal(sys_event_create(&event), APR_SUCCESS);
    const sys_handle_t bad[] = {event.sentinel, 0x123450};
    program.handles = bad;
    program.handle_count = 2;
    expect_refusal(&program, APR_EBADF, "a given handle");
    assert_true(GetHandleInformation((HANDLE)event.sentinel, &flags));
    assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
    const sys_handle_t none[] = {SYS_NO_HANDLE};
    program.handles = none;
    program.handle_count = 1;
    expect_refusal(&program, APR_EBADF, "a given handle");
    sys_event_close(&event);
}

enum { THREADS = 8, ROUNDS = 6 };

typedef struct starter_t {
    sys_process_t *sleepers[ROUNDS];
    int failures;
} starter_t;

/** Start a program that stays and has two pipes, and see that another one's pipe ends with that one. */
static void start_two(starter_t *starter, int round)
{
    const char *const sleep[] = {PROGRAM_ARGS, "--sleep", "100", NULL};
    const char *const say[] = {PROGRAM_ARGS, "text", NULL};
    sys_program_t programs[2] = {describe(sleep), describe(say)};
    sys_process_t *process = NULL;
    sys_channel_t *channels[3] = {NULL, NULL, NULL};
    sys_handle_t theirs[3] = {SYS_NO_HANDLE, SYS_NO_HANDLE, SYS_NO_HANDLE};
    char text[100];
    size_t got, ready, length = 0;
    apr_status_t status = APR_SUCCESS;
    for (int i = 0; i < 3 && status == APR_SUCCESS; i++)
        status = sys_channel_create(&channels[i], &theirs[i], 0);
    programs[0].stdio[1] = (sys_stdio_t){SYS_STDIO_HANDLE, theirs[0]};
    programs[0].handles = &theirs[1];
    programs[0].handle_count = 1;
    programs[1].stdio[1] = (sys_stdio_t){SYS_STDIO_HANDLE, theirs[2]};
    if (status == APR_SUCCESS)
        status = sys_program_start(&starter->sleepers[round], &programs[0]);
    if (status == APR_SUCCESS)
        status = sys_program_start(&process, &programs[1]);
    sys_process_close(process);
    for (int i = 0; i < 3; i++)
        sys_handle_close(theirs[i]);
    sys_wait_t item = {.kind = SYS_WAIT_CHANNEL, .object = channels[2]};
    while (status == APR_SUCCESS || status == APR_EAGAIN) {
        item.is_ready = 0;
        status = sys_wait_any(&item, 1, &ready, later());
        if (status == APR_SUCCESS)
            status = sys_channel_read(channels[2], text + length, sizeof text - length, &got);
        if (status == APR_SUCCESS)
            length += got;
    }
    starter->failures += status != APR_EOF || length != 9;
    for (int i = 0; i < 3; i++)
        sys_channel_close(channels[i]);
}

static DWORD WINAPI start_many(void *data)
{
    for (int i = 0; i < ROUNDS; i++)
        start_two(data, i);
    return 0;
}

/** No program has a pipe of another that is started at the same time. */
static void test_exactly_its_handles(void **state)
{
    static starter_t starters[THREADS];
    HANDLE threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        threads[i] = CreateThread(NULL, 0, start_many, &starters[i], 0, NULL);
    assert_int_equal(WaitForMultipleObjects(THREADS, threads, TRUE, 55000), WAIT_OBJECT_0);
    for (int i = 0; i < THREADS; i++) {
        CloseHandle(threads[i]);
        assert_int_equal(starters[i].failures, 0);
        for (int j = 0; j < ROUNDS; j++) {
            assert_int_equal(sys_program_signal(starters[i].sleepers[j], SYS_KILL), APR_SUCCESS);
            assert_int_equal(end_program(starters[i].sleepers[j]), -9);
        }
    }
}

static void test_nothing_is_left_open(void **state)
{
    enum { STARTS = 60 };
    const char *const args[] = {PROGRAM_ARGS, "--exit", "0", NULL};
    const char *const bad[] = {"none", NULL};
    sys_process_t *process;
    int before = 0;
    (void)state;
    for (int i = 0; i < 2 * STARTS; i++) {
        sys_program_t program = describe(args);
        program.has_group = i % 2;
        program.is_detached = i % 3 == 0;
        if (i % 10 == 0)
            assert_int_equal(run(&program), 0);
        else
            assert_int_equal(end_program(start_program(&program)), 0);
        program = describe(bad);
        assert_int_not_equal(sys_program_start(&process, &program), APR_SUCCESS);
        if (i == 10)
            before = count_descriptors();
    }
    expect_descriptors(before);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {{"0", 0}, {"7", 7}, {"255", 255}, {"300", 44}, {"-1", 255}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const args[] = {PROGRAM_ARGS, "--exit", rows[i].text, NULL};
        sys_program_t program = describe(args);
        assert_int_equal(end_program(start_program(&program)), rows[i].code);
    }
}

static void test_signals(void **state)
{
    static const int numbers[] = {2, 9, 15};
    const char *const args[] = {PROGRAM_ARGS, "--sleep", "100", NULL};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        sys_program_t program = describe(args);
        sys_exit_t end;
        sys_process_t *process = start_program(&program);
        assert_true(lives(sys_process_pid(process)));
        assert_int_equal(sys_process_reap(&end, process), APR_TIMEUP);
        assert_int_equal(sys_program_signal(process, 1), APR_ENOTIMPL);
        assert_int_equal(sys_program_signal(process, 0), APR_ENOTIMPL);
        assert_int_equal(i < 3 ? sys_program_signal(process, numbers[i])
                               : sys_program_signal_all(process, (sys_signal_t)numbers[i - 3]),
                         APR_SUCCESS);
        assert_int_equal(sys_wait(sys_process_sentinel(process), later()), APR_SUCCESS);
        /* It has ended but was not reaped: that is no failure. */
        assert_int_equal(sys_program_signal(process, 9), APR_SUCCESS);
        assert_int_equal(sys_program_signal_all(process, SYS_KILL), APR_SUCCESS);
        assert_int_equal(end_program(process), -numbers[i % 3]);
    }
}

/** Start a program and read the line that it prints. */
static sys_process_t *start_talking(sys_program_t *program)
{
    sys_channel_t *channel;
    size_t length = 0;
    assert_int_equal(sys_channel_create(&channel, &program->stdio[1].handle, 0), APR_SUCCESS);
    program->stdio[1].kind = SYS_STDIO_HANDLE;
    sys_process_t *process = start_program(program);
    sys_handle_close(program->stdio[1].handle);
    output[0] = '\0';
    while (!strchr(output, '\n')) {
        assert_true(read_more(channel, output, &length));
        Sleep(1);
    }
    sys_channel_close(channel);
    return process;
}

/** Start a program that starts another and prints both process ids. */
static sys_process_t *start_tree(sys_program_t *program, int pids[2])
{
    sys_process_t *process = start_talking(program);
    assert_int_equal(sscanf(output, "%d %d", &pids[0], &pids[1]), 2);
    assert_int_equal(pids[0], sys_process_pid(process));
    assert_true(lives(pids[0]));
    assert_true(lives(pids[1]));
    return process;
}

static void test_whole_tree_is_ended(void **state)
{
    const char *const args[] = {PROGRAM_ARGS, "--tree", "100", NULL};
    int pids[2];
    (void)state;
    for (int is_detached = 0; is_detached < 2; is_detached++) {
        sys_program_t program = describe(args);
        program.has_group = program.is_detached = is_detached;
        sys_process_t *process = start_tree(&program, pids);
        assert_int_equal(sys_program_signal_all(process, SYS_TERMINATE), APR_SUCCESS);
        assert_true(is_gone_within(pids[1], 20));
        assert_int_equal(end_program(process), -15);
    }
    /* What is left of a tree whose root has ended. */
    sys_program_t program = describe(args);
    sys_process_t *process = start_tree(&program, pids);
    assert_int_equal(sys_program_signal(process, SYS_KILL), APR_SUCCESS);
    assert_true(is_gone_within(pids[0], 20));
    assert_true(lives(pids[1]));
    assert_int_equal(sys_program_signal_all(process, SYS_KILL), APR_SUCCESS);
    assert_true(is_gone_within(pids[1], 20));
    assert_int_equal(end_program(process), -9);
}

static int is_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

/** One that starts others without a pause is ended with all of them: nobody holds its pipe any more. */
static void test_breeder_is_ended(void **state)
{
    const char *const args[] = {PROGRAM_ARGS, "--breed", "100", NULL};
    unsigned long long seed = choose_seed();
    (void)state;
    if (is_wine())
        skip_because("Wine can leave processes behind that are ended while they start");
    for (int i = 0; i < 15; i++) {
        sys_program_t program = describe(args);
        sys_wait_t item = {.kind = SYS_WAIT_CHANNEL};
        sys_channel_t *channel;
        size_t length = 0, ready;
        assert_int_equal(sys_channel_create(&channel, &program.stdio[1].handle, 0), APR_SUCCESS);
        program.stdio[1].kind = SYS_STDIO_HANDLE;
        sys_process_t *process = start_program(&program);
        sys_handle_close(program.stdio[1].handle);
        item.object = channel;
        assert_int_equal(sys_wait_any(&item, 1, &ready, later()), APR_SUCCESS);
        Sleep(next_random(&seed) % 50);
        assert_int_equal(sys_program_signal_all(process, SYS_KILL), APR_SUCCESS);
        do {
            item.is_ready = 0;
            assert_int_equal(sys_wait_any(&item, 1, &ready, later()), APR_SUCCESS);
        } while (read_more(channel, output, &length));
        sys_channel_close(channel);
        assert_int_equal(end_program(process), -9);
    }
}

static void end_by_pid(int pid)
{
    HANDLE process = OpenProcess(PROCESS_TERMINATE | SYNCHRONIZE, FALSE, (DWORD)pid);
    assert_non_null(process);
    assert_true(TerminateProcess(process, 1));
    CloseHandle(process);
}

/** A program that is let go of lives on; when this process's family ends, its whole tree does. */
static void test_tree_ends_with_creator(void **state)
{
    const char *const tree[] = {PROGRAM_ARGS, "--tree", "100", NULL};
    int pids[2];
    (void)state;
    sys_program_t program = describe(tree);
    sys_process_close(start_tree(&program, pids));
    Sleep(100);
    assert_true(lives(pids[0]));
    sys_process_shutdown();
    assert_true(is_gone_within(pids[0], 20));
    assert_true(is_gone_within(pids[1], 20));
}

static void test_ends_with_killed_creator(void **state)
{
    const char *const start[] = {PROGRAM_ARGS, "--start", "100", NULL};
    int pids[2];
    (void)state;
    sys_program_t program = describe(start);
    sys_process_t *creator = start_tree(&program, pids);
    assert_int_equal(sys_program_signal(creator, SYS_KILL), APR_SUCCESS);
    assert_true(is_gone_within(pids[1], 20));
    assert_int_equal(end_program(creator), -9);
}

/** It belongs to the tree of a program all the same, if its creator is one. */
static void test_detached_lives_on(void **state)
{
    const char *const sleep[] = {PROGRAM_ARGS, "--sleep", "100", NULL};
    const char *const detach[] = {PROGRAM_ARGS, "--detach", "100", NULL};
    int pids[2];
    (void)state;
    sys_program_t program = describe(sleep);
    program.is_detached = 1;
    sys_process_t *process = start_program(&program);
    const int pid = sys_process_pid(process);
    sys_process_shutdown();
    Sleep(200);
    assert_true(lives(pid));
    assert_int_equal(sys_wait(sys_process_sentinel(process), 0), APR_TIMEUP);
    end_by_pid(pid);
    assert_int_equal(end_program(process), 1);

    /* A creator that is in no tree itself, and is killed. */
    program = describe(detach);
    program.is_detached = 1;
    sys_process_t *creator = start_tree(&program, pids);
    assert_int_equal(sys_program_signal(creator, SYS_KILL), APR_SUCCESS);
    assert_int_equal(end_program(creator), -9);
    Sleep(200);
    assert_true(lives(pids[1]));
    end_by_pid(pids[1]);
}

static const char *self;

enum { CAUGHT = 7 };

static BOOL WINAPI catch_break(DWORD event)
{
    ExitProcess(event == CTRL_BREAK_EVENT ? CAUGHT : 1);
}

/** What the program is that is interrupted. */
static int wait_for_break(void)
{
    SetConsoleCtrlHandler(catch_break, TRUE);
    printf("ready\n");
    fflush(stdout);
    Sleep(50000);
    return 2;
}

/** A group at our console gets what the user sends by a key; we do not, nor does a program that is not in it. */
static void test_interrupt(void **state)
{
    const char *const args[] = {self, "--wait-for-break", NULL};
    const char *const sleep[] = {PROGRAM_ARGS, "--sleep", "100", NULL};
    (void)state;
    if (GetConsoleCP() == 0)
        skip_because("there is no console here");
    if (is_wine())
        skip_because("Wine does not interrupt groups");
    for (int all = 0; all < 2; all++) {
        sys_program_t program = describe(args);
        sys_process_t *other = start_talking(&program);
        program.has_group = 1;
        sys_process_t *process = start_talking(&program);
        assert_int_equal(all ? sys_program_signal_all(process, SYS_INTERRUPT) : sys_program_signal(process, 2),
                         APR_SUCCESS);
        assert_int_equal(end_program(process), CAUGHT);
        assert_true(lives(sys_process_pid(other)));
        assert_int_equal(sys_program_signal(other, 2), APR_SUCCESS);
        assert_int_equal(end_program(other), -2);
        program = describe(sleep);
        program.has_group = 1;
        process = start_program(&program);
        Sleep(500); /* before it has begun it does not hear of it */
        assert_int_equal(sys_program_signal(process, 2), APR_SUCCESS);
        assert_int_equal(end_program(process), -2);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_arrive),
        cmocka_unit_test(test_random_arguments),
        cmocka_unit_test(test_first_argument),
        cmocka_unit_test(test_arguments_that_cannot_be),
        cmocka_unit_test(test_longest_arguments),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_both_outputs),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_all_is_there_at_the_end),
        cmocka_unit_test(test_pipe_between_programs),
        cmocka_unit_test(test_inherited_streams),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_working_folder),
        cmocka_unit_test(test_found_by_path),
        cmocka_unit_test(test_found_along_path),
        cmocka_unit_test(test_batch_files),
        cmocka_unit_test(test_given_handles),
        cmocka_unit_test(test_exactly_its_handles),
        cmocka_unit_test(test_nothing_is_left_open),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_whole_tree_is_ended),
        cmocka_unit_test(test_breeder_is_ended),
        cmocka_unit_test(test_tree_ends_with_creator),
        cmocka_unit_test(test_ends_with_killed_creator),
        cmocka_unit_test(test_detached_lives_on),
    };
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "--wait-for-break") == 0)
        return wait_for_break();
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
