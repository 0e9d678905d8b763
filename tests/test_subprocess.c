/* SPDX-License-Identifier: Apache-2.0 */
/* External programs: every call, bad input, streams, data in both directions, ends. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/random.h"
#include "support/support.h"

/** A list of arguments for the helper program. */
#define PROGRAM(...) ((const char *const[]){PROGRAM_COMMANDS, __VA_ARGS__, NULL})

enum { MEGABYTE = 1 << 20 };

/** Options with pipes for both outputs. */
static mproc_subprocess_opts_t with_pipes(void)
{
    mproc_subprocess_opts_t opts;
    memset(&opts, 0, sizeof opts);
    opts.standard_output = mproc_stdio_pipe();
    opts.standard_error = mproc_stdio_pipe();
    return opts;
}

/** The same, and one for standard input. */
static mproc_subprocess_opts_t for_talk(void)
{
    mproc_subprocess_opts_t opts = with_pipes();
    opts.standard_input = mproc_stdio_pipe();
    return opts;
}

static mproc_subprocess_t *begin(const char *const *args, mproc_subprocess_opts_t opts)
{
    mproc_subprocess_t *subprocess = NULL;
    assert_success(mproc_subprocess_start(&subprocess, args, &opts));
    assert_non_null(subprocess);
    return subprocess;
}

/** Run a program to its end; its exit code. */
static int run(mproc_completed_t *done, const char *const *args, mproc_subprocess_opts_t opts)
{
    assert_success(mproc_subprocess_run(done, args, &opts, patience()));
    return done->exitcode;
}

/** Run a program that must end with 0 and write just this. */
static void expect_output(const char *const *args, mproc_subprocess_opts_t opts, const char *expected)
{
    mproc_completed_t done;
    opts.standard_output = mproc_stdio_pipe();
    assert_int_equal(run(&done, args, opts), 0);
    assert_string_equal(done.output, expected);
    assert_int_equal(done.output_size, strlen(expected));
    mproc_completed_clear(&done);
}

/** Stop a program at once, and close it. */
static void discard(mproc_subprocess_t *subprocess)
{
    assert_success(mproc_subprocess_stop(subprocess, 0));
    assert_success(mproc_subprocess_close(subprocess));
}

static char *read_a_line(mproc_subprocess_t *subprocess)
{
    char *line;
    assert_success(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()));
    return line;
}

static void expect_line(mproc_subprocess_t *subprocess, const char *expected)
{
    char *line = read_a_line(subprocess);
    assert_string_equal(line, expected);
    mproc_free(line);
}

/* ---- Bad input --------------------------------------------------------------------------------------------------- */

/** Every call that takes a program must refuse a handle with this status. */
static void refuse_everywhere(mproc_subprocess_t *subprocess, apr_status_t expected)
{
    mproc_completed_t done;
    char byte = 'x';
    char *line = &byte;
    size_t size = 77;
    int exitcode = 55;
    int64_t native = 66;
    mproc_wait_t item = mproc_wait_subprocess(subprocess);
    memset(&done, 0x55, sizeof done);
    assert_failure(mproc_subprocess_communicate(subprocess, &done, MPROC_FOREVER), expected);
    assert_null(done.output);
    assert_int_equal(done.exitcode, 0);
    assert_failure(mproc_subprocess_write(subprocess, "x", 1, &size, MPROC_FOREVER), expected);
    assert_int_equal(size, 0);
    assert_failure(mproc_subprocess_close_input(subprocess), expected);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, &byte, 1, &size, MPROC_FOREVER), expected);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, &size, MPROC_FOREVER), expected);
    assert_null(line);
    assert_failure(mproc_subprocess_wait(subprocess, MPROC_FOREVER), expected);
    assert_failure(mproc_subprocess_exitcode(subprocess, &exitcode), expected);
    assert_failure(mproc_subprocess_native_exitcode(subprocess, &native), expected);
    assert_int_equal(mproc_subprocess_is_alive(subprocess), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_int_equal(mproc_subprocess_pid(subprocess), 0);
    assert_int_equal(mproc_last_error()->status, expected);
    assert_failure(mproc_subprocess_terminate(subprocess), expected);
    assert_failure(mproc_subprocess_kill(subprocess), expected);
    assert_failure(mproc_subprocess_send_signal(subprocess, 15), expected);
    assert_failure(mproc_subprocess_stop(subprocess, 0), expected);
    assert_failure(mproc_subprocess_finish(subprocess, &exitcode), expected);
    assert_failure(mproc_wait(&item, 1, MPROC_FOREVER), expected);
    assert_int_equal(item.status, expected);
    assert_int_equal(exitcode, 55);
    assert_int_equal(native, 66);
    assert_int_equal(byte, 'x');
}

static void test_null(void **state)
{
    (void)state;
    refuse_everywhere(NULL, APR_EINVAL);
    assert_success(mproc_subprocess_close(NULL));
    mproc_completed_clear(NULL);
}

static void test_closed(void **state)
{
    int exitcode;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--exit", "3"), with_pipes());
    assert_success(mproc_subprocess_finish(subprocess, &exitcode));
    assert_int_equal(exitcode, 3);
    refuse_everywhere(subprocess, MPROC_ECLOSED);
    assert_failure(mproc_subprocess_close(subprocess), MPROC_ECLOSED);
}

static void test_never_one(void **state)
{
    int thing = 0;
    mproc_listener_t *listener;
    (void)state;
    refuse_everywhere((mproc_subprocess_t *)&thing, MPROC_ECLOSED);
    assert_success(mproc_listener_create(&listener, NULL, NULL));
    refuse_everywhere((mproc_subprocess_t *)listener, MPROC_ECLOSED);
    assert_failure(mproc_subprocess_close((mproc_subprocess_t *)listener), MPROC_ECLOSED);
    assert_success(mproc_listener_close(listener));
}

static int use_creators_program(mproc_call_t *call)
{
    mproc_subprocess_t *subprocess = *(mproc_subprocess_t **)mproc_call_data(call, sizeof subprocess);
    refuse_everywhere(subprocess, MPROC_EFOREIGN);
    return mproc_subprocess_close(subprocess) == MPROC_EFOREIGN ? 0 : 2;
}

static void test_inherited_by_fork(void **state)
{
    (void)state;
    if (!has_fork())
        skip_because("there is no fork here");
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), with_pipes());
    mproc_process_opts_t opts = {0};
    opts.start_method = MPROC_FORK;
    opts.data = &subprocess;
    opts.size = sizeof subprocess;
    /* The child's own end is no reason to end a program that is not its own. */
    assert_int_equal(finish(start(use_creators_program, opts)), 0);
    assert_int_equal(mproc_subprocess_is_alive(subprocess), 1);
    discard(subprocess);
}

static void test_bad_arguments(void **state)
{
    const char *const none[] = {NULL};
    const char *const *const command = PROGRAM("x");
    const char *const *commands[33];
    mproc_subprocess_t *subprocess = (mproc_subprocess_t *)&subprocess;
    mproc_completed_t done;
    char byte;
    size_t size;
    (void)state;
    assert_failure(mproc_subprocess_start(NULL, PROGRAM("x"), NULL), APR_EINVAL);
    assert_failure(mproc_subprocess_start(&subprocess, NULL, NULL), APR_EINVAL);
    assert_null(subprocess);
    assert_failure(mproc_subprocess_start(&subprocess, none, NULL), APR_EINVAL);
    assert_failure(mproc_subprocess_run(NULL, NULL, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_call(NULL, none, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_check_call(NULL, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_check_output(&done, none, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_check_output(NULL, PROGRAM("x"), NULL, 0), APR_EINVAL);
    for (int i = 0; i < 33; i++)
        commands[i] = command;
    assert_failure(mproc_subprocess_pipeline(&done, NULL, NULL, 1, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_pipeline(&done, NULL, commands, 0, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_pipeline(&done, NULL, commands, 33, NULL, 0), APR_EINVAL);
    commands[1] = NULL;
    assert_failure(mproc_subprocess_pipeline(&done, NULL, commands, 2, NULL, 0), APR_EINVAL);
    subprocess = begin(PROGRAM("--echo"), for_talk());
    assert_failure(mproc_subprocess_write(subprocess, NULL, 1, NULL, 0), APR_EINVAL);
    assert_success(mproc_subprocess_write(subprocess, NULL, 0, NULL, 0));
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, NULL, 1, &size, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, &byte, 0, &size, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, &byte, 1, NULL, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_read(subprocess, (mproc_output_t)0, &byte, 1, &size, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_read(subprocess, (mproc_output_t)3, &byte, 1, &size, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, NULL, &size, 0), APR_EINVAL);
    assert_failure(mproc_subprocess_exitcode(subprocess, NULL), APR_EINVAL);
    assert_failure(mproc_subprocess_native_exitcode(subprocess, NULL), APR_EINVAL);
    if (has_fork())
        assert_failure(mproc_subprocess_send_signal(subprocess, 12345), APR_EINVAL);
    assert_success(mproc_subprocess_finish(subprocess, NULL));
}

/** What needs a state that a program does not have. */
static void test_wrong_state(void **state)
{
    int exitcode = 55;
    int64_t native = 66;
    char byte;
    char *line;
    size_t size;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_input = opts.standard_output = opts.standard_error = mproc_stdio_null();
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), opts);
    assert_failure(mproc_subprocess_write(subprocess, "x", 1, NULL, MPROC_FOREVER), MPROC_ESTATE);
    assert_failure(mproc_subprocess_close_input(subprocess), MPROC_ESTATE);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, &byte, 1, &size, MPROC_FOREVER), MPROC_ESTATE);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_ERROR_OUTPUT, &line, NULL, MPROC_FOREVER),
                   MPROC_ESTATE);
    assert_failure(mproc_subprocess_exitcode(subprocess, &exitcode), MPROC_ESTATE);
    assert_failure(mproc_subprocess_native_exitcode(subprocess, &native), MPROC_ESTATE);
    assert_failure(mproc_subprocess_close(subprocess), MPROC_ESTATE);
    assert_failure(mproc_subprocess_wait(subprocess, 0), APR_TIMEUP);
    assert_failure(mproc_subprocess_wait(subprocess, 1000), APR_TIMEUP);
    assert_int_equal(mproc_subprocess_is_alive(subprocess), 1);
    assert_int_equal(exitcode, 55);
    assert_int_equal(native, 66);
    discard(subprocess);
}

static void refuse_options(mproc_subprocess_opts_t opts)
{
    const mproc_os_handle_t *handles = opts.handles;
    mproc_subprocess_t *subprocess = (mproc_subprocess_t *)&subprocess;
    mproc_completed_t done;
    int exitcodes[1] = {55};
    const int used = count_descriptors();
    const char *const *commands[1] = {PROGRAM("--exit", "0")};
    assert_failure(mproc_subprocess_start(&subprocess, commands[0], &opts), APR_EINVAL);
    assert_null(subprocess);
    memset(&done, 0x55, sizeof done);
    assert_failure(mproc_subprocess_run(&done, commands[0], &opts, MPROC_FOREVER), APR_EINVAL);
    assert_null(done.output);
    assert_failure(mproc_subprocess_pipeline(&done, exitcodes, commands, 1, &opts, MPROC_FOREVER), APR_EINVAL);
    assert_int_equal(exitcodes[0], 0);
    assert_ptr_equal(handles, opts.handles);
    expect_descriptors(used);
}

static void test_contradictions(void **state)
{
    const mproc_subprocess_opts_t none = {0};
    mproc_os_handle_t many[MPROC_HANDLES_MAX + 1] = {0};
    const char *const nameless[] = {"", NULL};
    const char *const valueless[] = {"NAME", NULL};
    mproc_subprocess_opts_t opts = none;
    (void)state;
    opts.handle_count = 1;
    refuse_options(opts);
    opts.handles = many;
    opts.handle_count = MPROC_HANDLES_MAX + 1;
    refuse_options(opts);
    opts = none;
    opts.group = (mproc_group_t)3;
    refuse_options(opts);
    opts.group = (mproc_group_t)-1;
    refuse_options(opts);
    opts.group = MPROC_GROUP_CREATOR;
    opts.detached = 1;
    refuse_options(opts);
    opts = none;
    opts.input_size = 1;
    refuse_options(opts);
    opts.input = "x";
    opts.standard_input = mproc_stdio_null();
    refuse_options(opts);
    opts = none;
    opts.standard_input = mproc_stdio_stdout();
    refuse_options(opts);
    opts.standard_input = mproc_stdio_append("x");
    refuse_options(opts);
    opts.standard_input = mproc_stdio_file(NULL);
    refuse_options(opts);
    opts.standard_input = mproc_stdio_of_kind((mproc_stdio_kind_t)99);
    refuse_options(opts);
    opts = none;
    opts.standard_output = mproc_stdio_stdout();
    refuse_options(opts);
    opts.standard_output = mproc_stdio_append(NULL);
    refuse_options(opts);
    opts = none;
    opts.environment = valueless;
    refuse_options(opts);
    opts.environment = NULL;
    opts.environment_changes = nameless;
    refuse_options(opts);
}

static void test_options_of_run_alone(void **state)
{
    mproc_subprocess_opts_t opts = {0};
    mproc_completed_t done;
    (void)state;
    opts.detached = 1;
    assert_failure(mproc_subprocess_run(&done, PROGRAM("--exit", "0"), &opts, MPROC_FOREVER), APR_EINVAL);
    assert_failure(mproc_subprocess_call(NULL, PROGRAM("--exit", "0"), &opts, MPROC_FOREVER), APR_EINVAL);
    opts.detached = 0;
    opts.standard_output = mproc_stdio_null();
    assert_failure(mproc_subprocess_check_output(&done, PROGRAM("--exit", "0"), &opts, MPROC_FOREVER), APR_EINVAL);
}

static void test_options_of_a_newer_program(void **state)
{
    struct {
        mproc_subprocess_opts_t known;
        int newer;
    } opts;
    mproc_subprocess_t *subprocess = (mproc_subprocess_t *)&subprocess;
    mproc_completed_t done;
    (void)state;
    memset(&opts, 0, sizeof opts);
    memset(&done, 0x55, sizeof done);
    assert_failure(mproc_subprocess_start_sized(&subprocess, PROGRAM("x"), &opts.known, sizeof opts), MPROC_EBUILD);
    assert_null(subprocess);
    assert_failure(mproc_subprocess_run_sized(&done, PROGRAM("x"), &opts.known, sizeof opts, 0), MPROC_EBUILD);
    assert_null(done.output);
    /* An older program knows fewer of them: the rest are their defaults. */
    opts.known.program = PROGRAM_COMMANDS;
    opts.known.standard_output = mproc_stdio_pipe();
    const char *const args[] = {"a name of its own", "x", NULL};
    assert_success(mproc_subprocess_run_sized(&done, args, &opts.known, sizeof opts.known.program, patience()));
    assert_null(done.output);
    assert_int_equal(done.exitcode, 0);
    mproc_completed_clear(&done);
}

static void test_before_initialize(void **state)
{
    mproc_subprocess_t *subprocess;
    mproc_completed_t done;
    (void)state;
    mproc_subprocess_t *old = begin(PROGRAM("--sleep", "600"), with_pipes());
    const int pid = mproc_subprocess_pid(old);
    assert_success(mproc_terminate());
    assert_false(lives(pid));
    assert_failure(mproc_subprocess_wait(old, MPROC_FOREVER), MPROC_ECLOSED);
    assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("x"), NULL), MPROC_EINIT);
    assert_null(subprocess);
    assert_failure(mproc_subprocess_run(&done, PROGRAM("x"), NULL, 0), MPROC_EINIT);
    assert_failure(mproc_subprocess_call(NULL, PROGRAM("x"), NULL, 0), MPROC_EINIT);
    assert_success(mproc_initialize(0, NULL));
    expect_output(PROGRAM("a"), with_pipes(), "61\n");
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

/** See that arguments arrive as they are. */
static void expect_arguments(const char *const *args)
{
    mproc_completed_t done;
    assert_int_equal(run(&done, args, with_pipes()), 0);
    const char *at = done.output;
    for (size_t i = 1; args[i]; i++) {
        for (const unsigned char *byte = (const unsigned char *)args[i]; *byte; byte++, at += 2) {
            char digits[3];
            snprintf(digits, sizeof digits, "%02x", *byte);
            if (strncmp(at, digits, 2) != 0)
                fail_msg("argument %d, '%s', arrived as\n%s", (int)i, args[i], done.output);
        }
        assert_int_equal(*at++, '\n');
    }
    assert_int_equal(*at, '\0');
    mproc_completed_clear(&done);
}

static void test_arguments(void **state)
{
    (void)state;
    expect_arguments(PROGRAM("", " ", "  ", "\t", "a b", "\"", "\"\"", "\\", "\\\\", "\\\"", "\\\\\"", "a\\", "a b\\",
                             "a\\\\b", "'", "''", "$HOME", "%PATH%", "*", "?", "^", "&", "|", "<", ">", ";", "`id`",
                             "(", ")", "!", "~", "#", "a\nb", "\n", "a\r\nb", "-", "--", "/", "C:\\x\\", "\\ ",
                             "\" \\\" \"", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbb\xbf", ""));
}

/** Add a random character that is valid in UTF-8. */
static size_t add_character(char *to, unsigned long long *seed)
{
    static const char nasty[] = " \"\\'\t\n\r%^&|<>()!*?$`;~#=,";
    const unsigned long long choice = next_random(seed) % 4;
    unsigned int code = 1 + (unsigned int)(next_random(seed) % (choice == 0 ? 0x7f : choice == 1 ? 0x7ff : 0x10fffe));
    if (choice == 2) {
        *to = nasty[next_random(seed) % (sizeof nasty - 1)];
        return 1;
    }
    if (code >= 0xd800 && code < 0xe000)
        code = 0xe000;
    const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(first[more] | code >> 6 * more);
    for (int i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (code >> 6 * (more - i) & 0x3f));
    return (size_t)more + 1;
}

static void test_random_arguments(void **state)
{
    enum { COUNT = 60, LENGTH = 200 };
    static char texts[COUNT][LENGTH + 4];
    const char *args[COUNT + 2] = {PROGRAM_COMMANDS};
    unsigned long long seed = choose_seed();
    (void)state;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < COUNT; i++) {
            const size_t length = next_random(&seed) % (round < 5 ? 10 : LENGTH);
            size_t size = 0;
            /* Only Windows' arguments are text. */
            while (size < length)
                if (has_fork() && round % 2)
                    texts[i][size++] = (char)(1 + next_random(&seed) % 255);
                else
                    size += add_character(texts[i] + size, &seed);
            texts[i][size] = '\0';
            args[i + 1] = texts[i];
        }
        /* The first of them may not be a command of the program. */
        args[1] = "x";
        expect_arguments(args);
    }
}

static void test_too_long_arguments(void **state)
{
    enum { SIZE = 8 * MEGABYTE };
    mproc_subprocess_t *subprocess;
    (void)state;
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'x', SIZE);
    text[SIZE - 1] = '\0';
    const int used = count_descriptors();
    const apr_status_t status = mproc_subprocess_start(&subprocess, PROGRAM(text), NULL);
    assert_int_not_equal(status, APR_SUCCESS);
    assert_null(subprocess);
    assert_int_equal(mproc_last_error()->status, status);
    assert_error_names("arguments");
    expect_descriptors(used);
    free(text);
}

/* ---- Standard streams -------------------------------------------------------------------------------------------- */

static int run_with_mine(mproc_call_t *call)
{
    int exitcode;
    (void)call;
    return mproc_subprocess_call(&exitcode, PROGRAM("--echo"), NULL, patience()) == APR_SUCCESS ? exitcode : 100;
}

static void test_inherited_streams(void **state)
{
    char path[512], text[100];
    apr_file_t *reader, *writer;
    (void)state;
    make_pipe(&reader, &writer);
    apr_file_t *file = make_file(path, sizeof path);
    mproc_process_opts_t opts = {0};
    opts.standard_input = mproc_stdio_handle(handle_of(reader));
    opts.standard_output = mproc_stdio_handle(handle_of(file));
    mproc_process_t *process = start(run_with_mine, opts);
    apr_file_close(reader);
    apr_file_puts("from far away", writer);
    apr_file_close(writer);
    assert_int_equal(finish(process), 0);
    apr_file_close(file);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "from far away");
    apr_file_remove(path, test_pool());
}

static void test_null_device(void **state)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.standard_input = opts.standard_output = opts.standard_error = mproc_stdio_null();
    assert_int_equal(run(&done, PROGRAM("--both", "100000"), opts), 0);
    assert_null(done.output);
    assert_null(done.error_output);
    expect_output(PROGRAM("--echo"), opts, "");
}

static void test_files(void **state)
{
    char path[512 + 4], text[100];
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    apr_file_t *file = make_file(path, 512);
    apr_file_puts("something longer than what comes", file);
    apr_file_close(file);
    opts.standard_output = mproc_stdio_file(path);
    assert_int_equal(run(&done, PROGRAM("--say", "one"), opts), 0);
    assert_null(done.output);
    opts.standard_output = mproc_stdio_append(path);
    assert_int_equal(run(&done, PROGRAM("--say", "two"), opts), 0);
    opts.standard_output = mproc_stdio_null();
    opts.standard_error = mproc_stdio_append(path);
    assert_int_equal(run(&done, PROGRAM("--complain", "4", "three"), opts), 4);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "onetwothree");
    memset(&opts, 0, sizeof opts);
    opts.standard_input = mproc_stdio_file(path);
    expect_output(PROGRAM("--echo"), opts, "onetwothree");
    apr_file_remove(path, test_pool());
    /*
     * Appending makes what is not there: by another name, since Wine's consoles hold what their programs had open a
     * little longer, and a file that is removed is there as long.
     */
    strcat(path, "-new");
    opts.standard_output = mproc_stdio_append(path);
    opts.standard_input = mproc_stdio_null();
    assert_int_equal(run(&done, PROGRAM("--say", "new"), opts), 0);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "new");
    apr_file_remove(path, test_pool());
}

static void test_files_out_of_reach(void **state)
{
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    const int used = count_descriptors();
    opts.standard_output = mproc_stdio_pipe();
    opts.standard_input = mproc_stdio_file("no such file at all");
    assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("x"), &opts), APR_ENOENT);
    assert_error_names("no such file at all");
    opts.standard_input = mproc_stdio_null();
    opts.standard_error = mproc_stdio_file("no such folder/file");
    const apr_status_t status = mproc_subprocess_start(&subprocess, PROGRAM("x"), &opts);
    assert_true(APR_STATUS_IS_ENOENT(status));
    assert_error_names("no such folder/file");
    assert_null(subprocess);
    opts.standard_error = mproc_stdio_handle(99999);
    assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("x"), &opts), APR_EBADF);
    expect_descriptors(used);
}

static void test_handle_as_stream(void **state)
{
    char text[100];
    apr_file_t *reader, *writer;
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    make_pipe(&reader, &writer);
    opts.standard_output = mproc_stdio_handle(handle_of(writer));
    opts.standard_error = mproc_stdio_stdout();
    assert_int_equal(run(&done, PROGRAM("--complain", "0", "err"), opts), 0);
    assert_int_equal(run(&done, PROGRAM("--say", "out"), opts), 0);
    apr_file_close(writer);
    read_all(reader, text, sizeof text);
    assert_string_equal(text, "errout");
    apr_file_close(reader);
}

static void test_errors_to_output(void **state)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    opts.standard_error = mproc_stdio_stdout();
    assert_int_equal(run(&done, PROGRAM("--both", "2000"), opts), 0);
    assert_int_equal(done.output_size, 4000);
    assert_null(done.error_output);
    for (size_t i = 0; i < 4000; i++)
        assert_int_equal(done.output[i], i / 1000 % 2 ? 'e' : 'o');
    mproc_completed_clear(&done);
    assert_null(done.output);
}

/* ---- Folder, environment, handles -------------------------------------------------------------------------------- */

static void test_directory(void **state)
{
    const char *folder;
    mproc_completed_t done;
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    assert_int_equal(apr_temp_dir_get(&folder, test_pool()), APR_SUCCESS);
    opts.directory = folder;
    assert_int_equal(run(&done, PROGRAM("--cwd"), opts), 0);
    assert_non_null(strstr(done.output, apr_filepath_name_get(folder)));
    mproc_completed_clear(&done);
    opts.directory = "no such folder at all";
    assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("--cwd"), &opts), APR_ENOENT);
    assert_error_names("no such folder at all");
    assert_error_names("working folder");
    opts.directory = PROGRAM_COMMANDS;
    assert_int_not_equal(mproc_subprocess_start(&subprocess, PROGRAM("--cwd"), &opts), APR_SUCCESS);
    assert_error_names("working folder");
}

/** All paths begin at this process's folder, and not at the program's. */
static void test_relative_paths(void **state)
{
    const char *folder;
    char name[] = "mproc-relative-XXXXXX", *here, program[1024], text[100];
    apr_file_t *file;
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    assert_int_equal(apr_temp_dir_get(&folder, test_pool()), APR_SUCCESS);
    assert_int_equal(apr_filepath_get(&here, 0, test_pool()), APR_SUCCESS);
    snprintf(program, sizeof program, "%s", PROGRAM_COMMANDS);
    char *slash = strrchr(program, '/');
    assert_non_null(slash);
    *slash = '\0';
    assert_int_equal(apr_filepath_set(program, test_pool()), APR_SUCCESS);
    snprintf(program, sizeof program, "./%s", slash + 1);
    assert_int_equal(apr_file_mktemp(&file, name, APR_WRITE | APR_CREATE | APR_EXCL, test_pool()), APR_SUCCESS);
    apr_file_close(file);
    opts.directory = folder;
    opts.standard_output = mproc_stdio_file(name);
    const char *const args[] = {program, "--say", "here", NULL};
    assert_int_equal(run(&done, args, opts), 0);
    read_file(name, text, sizeof text);
    assert_string_equal(text, "here");
    apr_file_remove(name, test_pool());
    assert_int_equal(apr_filepath_set(here, test_pool()), APR_SUCCESS);
}

static void test_environment(void **state)
{
    const char *const whole[] = {"ONLY=this", "EMPTY=", NULL};
    const char *const changes[] = {"MPROC_ADDED=\xc3\xa4", "MPROC_KEPT", "MPROC_REPLACED=new", NULL};
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    apr_env_set("MPROC_KEPT", "kept", test_pool());
    apr_env_set("MPROC_REPLACED", "old", test_pool());
    expect_output(PROGRAM("--env", "MPROC_KEPT"), opts, "=kept");
    opts.environment_changes = changes;
    expect_output(PROGRAM("--env", "MPROC_ADDED"), opts, "=\xc3\xa4");
    expect_output(PROGRAM("--env", "MPROC_KEPT"), opts, "none");
    expect_output(PROGRAM("--env", "MPROC_REPLACED"), opts, "=new");
    opts.environment = whole;
    expect_output(PROGRAM("--env", "MPROC_ADDED"), opts, "=\xc3\xa4");
    expect_output(PROGRAM("--env", "ONLY"), opts, "=this");
    opts.environment_changes = NULL;
    expect_output(PROGRAM("--env", "ONLY"), opts, "=this");
    expect_output(PROGRAM("--env", "MPROC_REPLACED"), opts, "none");
    expect_output(PROGRAM("--env", "PATH"), opts, "none");
}

/** A program is looked for along PATH: that of its own environment. */
static void test_path(void **state)
{
    char folder[1024], *name;
    const char *changes[] = {apr_pstrcat(test_pool(), "PATH=", folder, NULL), NULL};
    mproc_subprocess_opts_t opts = {0};
    mproc_subprocess_t *subprocess;
    (void)state;
    snprintf(folder, sizeof folder, "%s", PROGRAM_COMMANDS);
    name = strrchr(folder, '/');
    *name++ = '\0';
    const char *const args[] = {name, "a", NULL};
    assert_failure(mproc_subprocess_start(&subprocess, args, &opts), APR_ENOENT);
    changes[0] = apr_pstrcat(test_pool(), "PATH=", folder, NULL);
    apr_env_set("PATH", folder, test_pool());
    expect_output(args, opts, "61\n");
    opts.program = name;
    const char *const other[] = {"another name", "a", NULL};
    expect_output(other, opts, "61\n");
    opts.program = NULL;
    if (has_fork()) {
        apr_env_set("PATH", "/nowhere", test_pool());
        opts.environment_changes = changes;
        expect_output(args, opts, "61\n");
    }
}

/** Give a program handles, and see that it has these and no others. */
static void check_handles(int extra)
{
    enum { COUNT = 3 };
    apr_file_t *readers[COUNT], *writers[COUNT];
    mproc_os_handle_t handles[COUNT];
    char numbers[COUNT][32], text[64], expected[16];
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(apr_file_pipe_create_ex(&readers[i], &writers[i], APR_FULL_BLOCK, test_pool()), APR_SUCCESS);
        handles[i] = handle_of(writers[i]);
        snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)handles[i]);
    }
    opts.handles = handles;
    opts.handle_count = COUNT;
    assert_int_equal(run(&done, PROGRAM("--handles", numbers[0], numbers[1], numbers[2]), opts), 0);
    mproc_completed_clear(&done);
    opts.handle_count = (size_t)extra;
    snprintf(expected, sizeof expected, "%d", count_descriptors() < 0 ? -1 : extra);
    expect_output(PROGRAM("--count"), opts, expected);
    for (int i = 0; i < COUNT; i++) {
        apr_file_close(writers[i]);
        read_all(readers[i], text, sizeof text);
        assert_string_equal(text, numbers[i]);
        apr_file_close(readers[i]);
    }
}

static void test_handles(void **state)
{
    mproc_subprocess_t *subprocess;
    mproc_os_handle_t handle = 99999;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    check_handles(3);
    check_handles(1);
    opts.handles = &handle;
    opts.handle_count = 1;
    assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("x"), &opts), APR_EBADF);
    assert_error_names("99999");
    handle = 1;
    if (has_fork())
        assert_failure(mproc_subprocess_start(&subprocess, PROGRAM("x"), &opts), APR_EINVAL);
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

/** Send bytes through a program and back. */
static void check_echo(size_t size)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    fill_bytes(bytes, size, size);
    opts.input = bytes;
    opts.input_size = size;
    assert_success(mproc_subprocess_run(&done, PROGRAM("--echo"), &opts, MPROC_FOREVER));
    free(bytes);
    assert_int_equal(done.output_size, size);
    assert_true(are_bytes(done.output, size, size));
    assert_int_equal(done.output[size], 0);
    assert_int_equal(done.error_output_size, 0);
    assert_string_equal(done.error_output, "");
    assert_int_equal(done.output_is_cut, 0);
    mproc_completed_clear(&done);
}

static void test_input(void **state)
{
    (void)state;
    check_echo(0);
    check_echo(1);
    check_echo(65536);
    check_echo(3000001);
}

static void test_much_input(void **state)
{
    (void)state;
    check_echo((size_t)64 * MEGABYTE);
    if (setting("MPROC_TEST_HUGE", 0))
        check_echo((size_t)1024 * MEGABYTE);
}

static int are_all(const char *text, size_t size, char letter)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != letter)
            return 0;
    return 1;
}

static void test_both_outputs(void **state)
{
    mproc_completed_t done;
    (void)state;
    assert_int_equal(run(&done, PROGRAM("--both", "5000001"), with_pipes()), 0);
    assert_int_equal(done.output_size, 5000001);
    assert_int_equal(done.error_output_size, 5000001);
    assert_true(are_all(done.output, done.output_size, 'o'));
    assert_true(are_all(done.error_output, done.error_output_size, 'e'));
    mproc_completed_clear(&done);
}

static void check_most(size_t most, const char *size, size_t expected, int is_cut)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    opts.output_max = most;
    assert_int_equal(run(&done, PROGRAM("--both", size), opts), 0);
    assert_int_equal(done.output_size, expected);
    assert_int_equal(done.error_output_size, expected);
    assert_true(are_all(done.output, expected, 'o'));
    assert_true(are_all(done.error_output, expected, 'e'));
    assert_int_equal(done.output_is_cut, is_cut);
    assert_int_equal(done.error_output_is_cut, is_cut);
    mproc_completed_clear(&done);
}

static void test_output_max(void **state)
{
    (void)state;
    check_most(1, "1000000", 1, 1);
    check_most(70000, "3000000", 70000, 1);
    check_most(70000, "70001", 70000, 1);
    check_most(70000, "70000", 70000, 0);
    check_most(70000, "69999", 69999, 0);
    check_most(70000, "0", 0, 0);
}

/** Programs that do not want their input are no failure. */
static void test_unwanted_input(void **state)
{
    static char bytes[3 * MEGABYTE];
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    opts.input = bytes;
    opts.input_size = sizeof bytes;
    assert_int_equal(run(&done, PROGRAM("--close-input"), opts), 0);
    assert_string_equal(done.output, "closed\n");
    mproc_completed_clear(&done);
    assert_int_equal(run(&done, PROGRAM("--exit", "7"), opts), 7);
    mproc_completed_clear(&done);
    /* One that never reads is stopped when its time is up. */
    assert_failure(mproc_subprocess_run(&done, PROGRAM("--sleep", "600"), &opts, MPROC_MILLISECONDS(300)), APR_TIMEUP);
    mproc_completed_clear(&done);
}

static void test_writes_for_ever(void **state)
{
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    opts.output_max = 10000;
    assert_failure(mproc_subprocess_run(&done, PROGRAM("--forever"), &opts, MPROC_SECONDS(2) * slowdown()), APR_TIMEUP);
    assert_error_names(PROGRAM_COMMANDS);
    assert_int_equal(done.output_size, 10000);
    assert_int_equal(done.output_is_cut, 1);
    assert_true(done.exitcode < 0);
    mproc_completed_clear(&done);
    /* Nor does a look wait for it to pause. */
    mproc_subprocess_t *subprocess = begin(PROGRAM("--forever"), with_pipes());
    for (int i = 0; i < 200; i++) {
        char buffer[100];
        size_t size;
        assert_success(mproc_subprocess_read(subprocess, MPROC_OUTPUT, buffer, sizeof buffer, &size, patience()));
        assert_true(size > 0 && are_all(buffer, size, 'y'));
    }
    for (int i = 0; i < 20; i++)
        assert_failure(mproc_subprocess_communicate(subprocess, &done, MPROC_MILLISECONDS(1)), APR_TIMEUP);
    discard(subprocess);
}

/** What was left in the background holds the pipes, and is not waited for. */
static void test_background(void **state)
{
    mproc_completed_t done;
    (void)state;
    const apr_time_t before = apr_time_now();
    assert_int_equal(run(&done, PROGRAM("--background", "600"), with_pipes()), 0);
    assert_true(apr_time_now() - before < patience());
    const int pid = atoi(done.output);
    assert_true(pid > 0 && lives(pid));
    mproc_completed_clear(&done);
    kill_by_pid(pid);
    /* The same step by step: the end of the file comes when nobody holds it. */
    mproc_subprocess_t *subprocess = begin(PROGRAM("--background", "600"), with_pipes());
    char *line = read_a_line(subprocess);
    const int second = atoi(line);
    mproc_free(line);
    assert_success(mproc_subprocess_wait(subprocess, patience()));
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, MPROC_MILLISECONDS(20)),
                   APR_TIMEUP);
    assert_success(mproc_subprocess_stop(subprocess, 0)); /* it is not looked after any more */
    assert_true(lives(second));
    assert_success(mproc_subprocess_communicate(subprocess, &done, patience()));
    assert_int_equal(done.output_size, 0);
    mproc_completed_clear(&done);
    kill_by_pid(second);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, patience()), APR_EOF);
    assert_success(mproc_subprocess_close(subprocess));
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static void expect_no_start(const char *program, apr_status_t expected)
{
    mproc_subprocess_t *subprocess = (mproc_subprocess_t *)&subprocess;
    const int used = count_descriptors();
    const char *const args[] = {program, "x", NULL};
    mproc_subprocess_opts_t opts = for_talk();
    assert_failure(mproc_subprocess_start(&subprocess, args, &opts), expected);
    assert_null(subprocess);
    assert_error_names(program);
    expect_descriptors(used);
}

static void test_not_a_program(void **state)
{
    char path[512];
    const char *folder;
    (void)state;
    expect_no_start("no-such-program-anywhere", APR_ENOENT);
    expect_no_start("./no-such-program-anywhere", APR_ENOENT);
    expect_no_start("/no-such-folder/no-such-program", APR_ENOENT);
    expect_no_start("", APR_ENOENT);
    assert_int_equal(apr_temp_dir_get(&folder, test_pool()), APR_SUCCESS);
    expect_no_start(folder, APR_EACCES);
    if (!has_fork())
        return;
    apr_file_t *file = make_file(path, sizeof path);
    apr_file_puts("#!/bin/sh\n", file);
    apr_file_close(file);
    expect_no_start(path, APR_EACCES);
    expect_no_start(apr_pstrcat(test_pool(), path, "/x", NULL), APR_ENOTDIR);
    apr_file_remove(path, test_pool());
}

static void test_exit_codes(void **state)
{
    int exitcode;
    int64_t native;
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    assert_success(mproc_subprocess_call(&exitcode, PROGRAM("--exit", "0"), NULL, patience()));
    assert_int_equal(exitcode, 0);
    assert_success(mproc_subprocess_call(&exitcode, PROGRAM("--exit", "255"), NULL, patience()));
    assert_int_equal(exitcode, 255);
    assert_success(mproc_subprocess_call(NULL, PROGRAM("--exit", "1"), NULL, patience()));
    assert_success(mproc_subprocess_run(NULL, PROGRAM("--both", "1000000"), &opts, patience()));
    assert_success(mproc_subprocess_check_call(PROGRAM("--exit", "0"), NULL, patience()));
    assert_failure(mproc_subprocess_check_call(PROGRAM("--complain", "9", "woe is me\r\n"), &opts, patience()),
                   MPROC_EEXITCODE);
    assert_error_names("9");
    assert_error_names("woe is me");
    assert_success(mproc_subprocess_check_output(&done, PROGRAM("--say", "text"), NULL, patience()));
    assert_string_equal(done.output, "text");
    mproc_completed_clear(&done);
    opts.standard_output = mproc_stdio_of_kind(MPROC_STDIO_INHERIT);
    assert_failure(mproc_subprocess_check_output(&done, PROGRAM("--complain", "9", "woe"), &opts, patience()),
                   MPROC_EEXITCODE);
    assert_int_equal(done.exitcode, 9);
    assert_string_equal(done.output, "");
    assert_string_equal(done.error_output, "woe");
    mproc_completed_clear(&done);
    mproc_subprocess_t *subprocess = begin(PROGRAM("--exit", "3"), opts);
    assert_success(mproc_subprocess_wait(subprocess, patience()));
    assert_success(mproc_subprocess_exitcode(subprocess, &exitcode));
    assert_int_equal(exitcode, 3);
    assert_success(mproc_subprocess_native_exitcode(subprocess, &native));
    assert_int_equal(native, has_fork() ? 3 << 8 : 3);
    assert_int_equal(mproc_subprocess_is_alive(subprocess), 0);
    assert_success(mproc_subprocess_terminate(subprocess));
    assert_success(mproc_subprocess_kill(subprocess));
    assert_success(mproc_subprocess_send_signal(subprocess, 15));
    assert_success(mproc_subprocess_close(subprocess));
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void expect_exit(mproc_subprocess_t *subprocess, int expected)
{
    int exitcode;
    assert_success(mproc_subprocess_wait(subprocess, patience()));
    assert_success(mproc_subprocess_exitcode(subprocess, &exitcode));
    assert_int_equal(exitcode, expected);
    assert_success(mproc_subprocess_close(subprocess));
}

static void test_signals(void **state)
{
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), with_pipes());
    assert_int_equal(lives(mproc_subprocess_pid(subprocess)), 1);
    assert_success(mproc_subprocess_terminate(subprocess));
    expect_exit(subprocess, -15);
    subprocess = begin(PROGRAM("--sleep", "600"), with_pipes());
    assert_success(mproc_subprocess_kill(subprocess));
    expect_exit(subprocess, -9);
    subprocess = begin(PROGRAM("--sleep", "600"), with_pipes());
    assert_success(mproc_subprocess_send_signal(subprocess, 15));
    expect_exit(subprocess, -15);
}

static void test_stubborn(void **state)
{
    int exitcode;
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--stubborn"), opts);
    expect_line(subprocess, "ready");
    if (has_fork()) {
        assert_success(mproc_subprocess_terminate(subprocess));
        assert_failure(mproc_subprocess_wait(subprocess, MPROC_MILLISECONDS(50)), APR_TIMEUP);
    }
    assert_success(mproc_subprocess_stop(subprocess, MPROC_MILLISECONDS(50)));
    assert_success(mproc_subprocess_exitcode(subprocess, &exitcode));
    assert_int_equal(exitcode, has_fork() ? -9 : -15);
    assert_success(mproc_subprocess_stop(subprocess, 0));
    assert_success(mproc_subprocess_close(subprocess));
    opts.grace = MPROC_MILLISECONDS(50);
    assert_failure(mproc_subprocess_run(&done, PROGRAM("--stubborn"), &opts, MPROC_SECONDS(1) * slowdown()),
                   APR_TIMEUP);
    assert_int_equal(done.exitcode, has_fork() ? -9 : -15);
    assert_string_equal(done.output, "ready\n");
    mproc_completed_clear(&done);
}

/** The two pids that a tree tells. */
static void read_tree(const char *line, int *pid, int *child)
{
    assert_int_equal(sscanf(line, "%d %d", pid, child), 2);
    assert_true(*pid > 0 && *child > 0);
}

static void test_tree(void **state)
{
    int pid, child;
    mproc_completed_t done;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--tree", "600"), with_pipes());
    char *line = read_a_line(subprocess);
    read_tree(line, &pid, &child);
    mproc_free(line);
    assert_int_equal(pid, mproc_subprocess_pid(subprocess));
    assert_true(lives(pid) && lives(child));
    assert_success(mproc_subprocess_stop(subprocess, MPROC_SECONDS(5)));
    assert_true(is_gone_within(child, 20));
    expect_exit(subprocess, -15);
    const mproc_subprocess_opts_t opts = with_pipes();
    assert_failure(mproc_subprocess_run(&done, PROGRAM("--tree", "600"), &opts, MPROC_SECONDS(1) * slowdown()),
                   APR_TIMEUP);
    read_tree(done.output, &pid, &child);
    assert_int_equal(lives(pid), 0);
    assert_true(is_gone_within(child, 20));
    mproc_completed_clear(&done);
}

/** Only the program itself is ended by the calls that are for it alone. */
static void test_kill_leaves_tree(void **state)
{
    int pid, child;
    (void)state;
    mproc_subprocess_opts_t opts = with_pipes();
    opts.group = MPROC_GROUP_OWN;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--tree", "600"), opts);
    char *line = read_a_line(subprocess);
    read_tree(line, &pid, &child);
    mproc_free(line);
    assert_success(mproc_subprocess_kill(subprocess));
    expect_exit(subprocess, -9);
    assert_true(lives(child));
    kill_by_pid(child);
}

static void test_pool_ends_program(void **state)
{
    apr_pool_t *pool;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    apr_pool_create(&pool, NULL);
    opts.pool = pool;
    opts.grace = MPROC_MILLISECONDS(100);
    mproc_subprocess_t *running = begin(PROGRAM("--stubborn"), opts);
    mproc_subprocess_t *ended = begin(PROGRAM("--exit", "0"), opts);
    mproc_subprocess_t *closed = begin(PROGRAM("--exit", "0"), opts);
    expect_line(running, "ready");
    const int pid = mproc_subprocess_pid(running);
    assert_success(mproc_subprocess_finish(closed, NULL));
    assert_success(mproc_subprocess_wait(ended, patience()));
    apr_pool_destroy(pool);
    assert_false(lives(pid));
    assert_failure(mproc_subprocess_wait(running, 0), MPROC_ECLOSED);
    assert_failure(mproc_subprocess_wait(ended, 0), MPROC_ECLOSED);
}

static void test_detached(void **state)
{
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.detached = 1;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), opts);
    assert_int_equal(mproc_subprocess_is_alive(subprocess), 1);
    discard(subprocess);
    subprocess = begin(PROGRAM("--sleep", "600"), opts);
    const int pid = mproc_subprocess_pid(subprocess);
    assert_success(mproc_subprocess_close(subprocess));
    assert_true(lives(pid));
    kill_by_pid(pid);
    /* The next start sweeps up. */
    assert_success(mproc_subprocess_call(NULL, PROGRAM("--exit", "0"), NULL, patience()));
    /* Nothing said of its streams: the null device. */
    subprocess = begin(PROGRAM("--echo"), opts);
    expect_exit(subprocess, 0);
}

static void test_wait_beside_connections(void **state)
{
    mproc_conn_t *first, *second;
    char byte;
    (void)state;
    make_conns(&first, &second);
    mproc_subprocess_t *subprocess = begin(PROGRAM("--echo"), for_talk());
    mproc_wait_t items[] = {mproc_wait_conn(first), mproc_wait_subprocess(subprocess)};
    assert_failure(mproc_wait(items, 2, MPROC_MILLISECONDS(10)), APR_TIMEUP);
    assert_success(mproc_conn_send(second, "x", 1, 0));
    assert_success(mproc_wait(items, 2, patience()));
    assert_int_equal(items[0].is_ready, 1);
    assert_int_equal(items[1].is_ready, 0);
    assert_success(mproc_conn_recv_into(first, &byte, 1, NULL, 0));
    assert_success(mproc_subprocess_close_input(subprocess));
    assert_success(mproc_wait(items, 2, patience()));
    assert_int_equal(items[0].is_ready, 0);
    assert_int_equal(items[1].is_ready, 1);
    assert_success(mproc_subprocess_wait(subprocess, 0));
    assert_success(mproc_wait(items, 2, 0)); /* and it stays so */
    assert_int_equal(items[1].is_ready, 1);
    assert_success(mproc_subprocess_close(subprocess));
    close_both(first, second);
}

/* ---- Pipelines --------------------------------------------------------------------------------------------------- */

static void test_pipeline(void **state)
{
    static char bytes[3 * MEGABYTE];
    const char *const *commands[3] = {PROGRAM("--echo"), PROGRAM("--echo"), PROGRAM("--echo")};
    int exitcodes[3] = {9, 9, 9};
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    const int used = count_after_waiting();
    fill_bytes(bytes, sizeof bytes, 4);
    opts.input = bytes;
    opts.input_size = sizeof bytes;
    assert_success(mproc_subprocess_pipeline(&done, exitcodes, commands, 3, &opts, MPROC_FOREVER));
    assert_int_equal(done.output_size, sizeof bytes);
    assert_true(are_bytes(done.output, done.output_size, 4));
    assert_int_equal(done.exitcode, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(exitcodes[i], 0);
    mproc_completed_clear(&done);
    assert_success(mproc_subprocess_pipeline(NULL, NULL, commands, 3, &opts, MPROC_FOREVER));
    expect_descriptors(used);
}

static void test_pipeline_fails(void **state)
{
    const char *const *commands[4] = {PROGRAM("--complain", "3", "c"), PROGRAM("--complain", "4", "d"),
                                      PROGRAM("--complain", "0", "e"), PROGRAM("--echo")};
    const char *const missing[] = {"no-such-program-anywhere", NULL};
    int exitcodes[4];
    mproc_completed_t done;
    const mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    const int used = count_after_waiting();
    assert_success(mproc_subprocess_pipeline(&done, exitcodes, commands, 4, &opts, patience()));
    assert_int_equal(done.exitcode, 4);
    assert_int_equal(exitcodes[0], 3);
    assert_int_equal(exitcodes[1], 4);
    assert_int_equal(exitcodes[2], 0);
    assert_int_equal(exitcodes[3], 0);
    assert_int_equal(done.error_output_size, 3);
    assert_non_null(strchr(done.error_output, 'c'));
    assert_non_null(strchr(done.error_output, 'e'));
    mproc_completed_clear(&done);
    /* One that is not found: the others are gone, and nothing is left. */
    commands[0] = commands[1] = PROGRAM("--sleep", "600");
    commands[2] = missing;
    assert_failure(mproc_subprocess_pipeline(&done, exitcodes, commands, 4, &opts, patience()), APR_ENOENT);
    assert_error_names("no-such-program-anywhere");
    assert_int_equal(exitcodes[0], 0);
    assert_null(done.output);
    /* All of them are stopped when the time is up. */
    commands[2] = PROGRAM("--stubborn");
    assert_failure(mproc_subprocess_pipeline(&done, exitcodes, commands, 3, &opts, MPROC_MILLISECONDS(300)),
                   APR_TIMEUP);
    for (int i = 0; i < 3; i++)
        assert_true(exitcodes[i] < 0);
    mproc_completed_clear(&done);
    expect_descriptors(used);
}

/** A reader that ends early ends the writer: nobody else holds the pipe between them. */
static void test_pipeline_reader_ends(void **state)
{
    const char *const *commands[2] = {PROGRAM("--forever"), PROGRAM("--say", "enough")};
    int exitcodes[2];
    mproc_completed_t done;
    const mproc_subprocess_opts_t opts = with_pipes();
    (void)state;
    assert_success(mproc_subprocess_pipeline(&done, exitcodes, commands, 2, &opts, patience()));
    assert_string_equal(done.output, "enough");
    assert_int_equal(exitcodes[1], 0);
    assert_int_equal(exitcodes[0], has_fork() ? -13 : 3);
    assert_int_equal(done.exitcode, exitcodes[0]);
    mproc_completed_clear(&done);
}

/* ---- Dialogue ---------------------------------------------------------------------------------------------------- */

static void say_to(mproc_subprocess_t *subprocess, const char *text)
{
    size_t written;
    assert_success(mproc_subprocess_write(subprocess, text, strlen(text), &written, patience()));
    assert_int_equal(written, strlen(text));
}

static void test_dialogue(void **state)
{
    char *line, buffer[16];
    size_t size;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--echo"), for_talk());
    for (int i = 0; i < 100; i++) {
        snprintf(buffer, sizeof buffer, "%d\n", i);
        say_to(subprocess, buffer);
        buffer[strlen(buffer) - 1] = '\0';
        expect_line(subprocess, buffer);
    }
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, &size, 0), APR_TIMEUP);
    /* A line in parts stays for the next call. */
    say_to(subprocess, "one");
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, &size, MPROC_MILLISECONDS(50)),
                   APR_TIMEUP);
    assert_null(line);
    assert_int_equal(size, 0);
    say_to(subprocess, " line\r\n\n\r\n\r\rx\r\n");
    expect_line(subprocess, "one line");
    expect_line(subprocess, "");
    expect_line(subprocess, "");
    expect_line(subprocess, "\r\rx");
    /* Bytes and lines may be mixed. */
    say_to(subprocess, "abcdef\nrest");
    assert_success(mproc_subprocess_read(subprocess, MPROC_OUTPUT, buffer, 2, &size, patience()));
    assert_int_equal(size, 2);
    assert_memory_equal(buffer, "ab", 2);
    expect_line(subprocess, "cdef");
    assert_success(mproc_subprocess_close_input(subprocess));
    assert_success(mproc_subprocess_close_input(subprocess));
    assert_failure(mproc_subprocess_write(subprocess, "x", 1, &size, 0), MPROC_ESTATE);
    assert_success(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, &size, patience()));
    assert_string_equal(line, "rest");
    assert_int_equal(size, 4);
    mproc_free(line);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, &size, patience()), APR_EOF);
    assert_null(line);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, buffer, 1, &size, patience()), APR_EOF);
    assert_int_equal(size, 0);
    assert_success(mproc_subprocess_finish(subprocess, NULL));
}

/** A program that waits for us to read never stands in the way of writing to it. */
static void test_write_much(void **state)
{
    static char bytes[2 * MEGABYTE];
    mproc_completed_t done;
    size_t written;
    (void)state;
    fill_bytes(bytes, sizeof bytes, 8);
    mproc_subprocess_t *subprocess = begin(PROGRAM("--echo"), for_talk());
    assert_success(mproc_subprocess_write(subprocess, bytes, sizeof bytes, &written, MPROC_FOREVER));
    assert_int_equal(written, sizeof bytes);
    assert_success(mproc_subprocess_communicate(subprocess, &done, MPROC_FOREVER));
    assert_int_equal(done.output_size, sizeof bytes);
    assert_true(are_bytes(done.output, done.output_size, 8));
    mproc_completed_clear(&done);
    assert_success(mproc_subprocess_close(subprocess));
    /* One that does not read takes what there is room for, and the call goes on where it was. */
    subprocess = begin(PROGRAM("--sleep", "600"), for_talk());
    assert_failure(mproc_subprocess_write(subprocess, bytes, sizeof bytes, &written, MPROC_MILLISECONDS(50)),
                   APR_TIMEUP);
    assert_true(written > 0 && written < sizeof bytes);
    assert_failure(mproc_subprocess_write(subprocess, bytes, sizeof bytes, &written, 0), APR_TIMEUP);
    assert_int_equal(written, 0);
    discard(subprocess);
    subprocess = begin(PROGRAM("--exit", "0"), for_talk());
    assert_success(mproc_subprocess_wait(subprocess, patience()));
    assert_failure(mproc_subprocess_write(subprocess, bytes, sizeof bytes, &written, patience()), APR_EPIPE);
    assert_success(mproc_subprocess_close(subprocess));
}

/** Going on after a timeout loses nothing. */
static void test_communicate_in_steps(void **state)
{
    enum { SIZE = 20 * MEGABYTE };
    mproc_completed_t done;
    mproc_subprocess_opts_t opts = with_pipes();
    apr_status_t status;
    int timeouts = 0;
    (void)state;
    char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    fill_bytes(bytes, SIZE, 3);
    opts.input = bytes;
    opts.input_size = SIZE;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--echo"), opts);
    memset(bytes, 0, SIZE); /* the start has copied it */
    free(bytes);
    assert_failure(mproc_subprocess_write(subprocess, "x", 1, NULL, 0), MPROC_ESTATE);
    do {
        memset(&done, 0x55, sizeof done);
        status = mproc_subprocess_communicate(subprocess, &done, timeouts % 2 ? 300 : 0);
        if (status == APR_TIMEUP)
            assert_null(done.output);
        timeouts += status == APR_TIMEUP;
    } while (status == APR_TIMEUP);
    assert_success(status);
    assert_true(timeouts > 0);
    assert_int_equal(done.output_size, SIZE);
    assert_true(are_bytes(done.output, SIZE, 3));
    assert_int_equal(done.exitcode, 0);
    mproc_completed_clear(&done);
    assert_success(mproc_subprocess_communicate(subprocess, &done, 0));
    assert_int_equal(done.output_size, 0);
    mproc_completed_clear(&done);
    assert_success(mproc_subprocess_close(subprocess));
}

static void test_finish(void **state)
{
    int exitcode;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--both", "3000000"), with_pipes());
    assert_success(mproc_subprocess_finish(subprocess, &exitcode));
    assert_int_equal(exitcode, 0);
    subprocess = begin(PROGRAM("--echo"), for_talk());
    assert_success(mproc_subprocess_finish(subprocess, NULL));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

static void stop_it(void *subprocess)
{
    mproc_subprocess_stop(subprocess, MPROC_SECONDS(5));
}

static void close_it(void *subprocess)
{
    mproc_subprocess_close(subprocess);
}

static void test_stopped_by_another_thread(void **state)
{
    later_t later;
    mproc_completed_t done;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), for_talk());
    begin_later(&later, 50, stop_it, subprocess);
    assert_success(mproc_subprocess_communicate(subprocess, &done, MPROC_FOREVER));
    assert_int_equal(done.exitcode, -15);
    end_later(&later);
    mproc_completed_clear(&done);
    assert_success(mproc_subprocess_close(subprocess));
    subprocess = begin(PROGRAM("--sleep", "600"), for_talk());
    begin_later(&later, 50, stop_it, subprocess);
    assert_success(mproc_subprocess_wait(subprocess, MPROC_FOREVER));
    end_later(&later);
    assert_success(mproc_subprocess_close(subprocess));
}

static void test_closed_by_another_thread(void **state)
{
    later_t later;
    char *line;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--background", "600"), for_talk());
    line = read_a_line(subprocess);
    const int pid = atoi(line);
    mproc_free(line);
    assert_success(mproc_subprocess_wait(subprocess, patience()));
    begin_later(&later, 50, close_it, subprocess);
    assert_failure(mproc_subprocess_read_line(subprocess, MPROC_OUTPUT, &line, NULL, MPROC_FOREVER), MPROC_ECLOSED);
    end_later(&later);
    kill_by_pid(pid);
}

static void close_input_of(void *subprocess)
{
    mproc_subprocess_close_input(subprocess);
}

/** The usual end of a dialogue: one thread waits for the last answer, which comes at the end of the input. */
static void test_input_closed_by_another_thread(void **state)
{
    later_t later;
    char byte;
    size_t size;
    (void)state;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--echo"), for_talk());
    begin_later(&later, 50, close_input_of, subprocess);
    assert_failure(mproc_subprocess_read(subprocess, MPROC_OUTPUT, &byte, 1, &size, MPROC_FOREVER), APR_EOF);
    end_later(&later);
    assert_failure(mproc_subprocess_write(subprocess, "x", 1, NULL, 0), MPROC_ESTATE);
    assert_success(mproc_subprocess_finish(subprocess, NULL));
}

/** A detached program can be closed while it runs, also while another thread waits for it. */
static void test_detached_closed_by_another_thread(void **state)
{
    later_t later;
    mproc_subprocess_opts_t opts = {0};
    (void)state;
    opts.detached = 1;
    mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), opts);
    const int pid = mproc_subprocess_pid(subprocess);
    begin_later(&later, 50, close_it, subprocess);
    assert_failure(mproc_subprocess_wait(subprocess, MPROC_FOREVER), MPROC_ECLOSED);
    end_later(&later);
    kill_by_pid(pid);
}

static atomic_int faults;

static void run_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++) {
        apr_file_t *reader, *writer;
        apr_pool_t *pool;
        mproc_completed_t done;
        mproc_subprocess_opts_t opts = with_pipes();
        apr_pool_create(&pool, NULL);
        if (apr_file_pipe_create_ex(&reader, &writer, APR_FULL_BLOCK, pool) != APR_SUCCESS)
            atomic_fetch_add(&faults, 1);
        const mproc_os_handle_t handle = handle_of(writer);
        opts.handles = &handle;
        opts.handle_count = 1;
        const apr_status_t status = mproc_subprocess_run(&done, PROGRAM("--count"), &opts, MPROC_FOREVER);
        const char *expected = count_descriptors() >= 0 ? "1" : "-1";
        if (status != APR_SUCCESS || done.exitcode != 0 || strcmp(done.output, expected) != 0)
            atomic_fetch_add(&faults, 1);
        mproc_completed_clear(&done);
        apr_pool_destroy(pool);
    }
}

static void test_threads_start_at_once(void **state)
{
    enum { THREADS = 8 };
    later_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        begin_later(&threads[i], 0, run_many, NULL);
    for (int i = 0; i < THREADS; i++)
        end_later(&threads[i]);
    assert_int_equal(atomic_load(&faults), 0);
}

static void stop_and_look(void *subprocess)
{
    int exitcode;
    if (mproc_subprocess_stop(subprocess, MPROC_SECONDS(5)) != APR_SUCCESS ||
        mproc_subprocess_exitcode(subprocess, &exitcode) != APR_SUCCESS)
        atomic_fetch_add(&faults, 1);
}

/** Whoever has stopped a program finds it ended, also if others stop it at the same time. */
static void test_threads_stop_at_once(void **state)
{
    enum { THREADS = 4, ROUNDS = 20 };
    later_t threads[THREADS];
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        mproc_subprocess_t *subprocess = begin(PROGRAM("--sleep", "600"), with_pipes());
        for (int i = 0; i < THREADS; i++)
            begin_later(&threads[i], 0, stop_and_look, subprocess);
        for (int i = 0; i < THREADS; i++)
            end_later(&threads[i]);
        assert_success(mproc_subprocess_close(subprocess));
    }
    assert_int_equal(atomic_load(&faults), 0);
}

static void start_echo(void *where)
{
    const mproc_subprocess_opts_t opts = for_talk();
    if (mproc_subprocess_start(where, PROGRAM("--echo"), &opts) != APR_SUCCESS)
        atomic_fetch_add(&faults, 1);
}

/** A program is the process's, and not the thread's that has started it. */
static void test_thread_ends(void **state)
{
    later_t later;
    int exitcode;
    mproc_subprocess_t *subprocess = NULL;
    (void)state;
    begin_later(&later, 0, start_echo, &subprocess);
    end_later(&later);
    assert_int_equal(atomic_load(&faults), 0);
    assert_failure(mproc_subprocess_wait(subprocess, MPROC_MILLISECONDS(200)), APR_TIMEUP);
    say_to(subprocess, "still here\n");
    expect_line(subprocess, "still here");
    assert_success(mproc_subprocess_finish(subprocess, &exitcode));
    assert_int_equal(exitcode, 0);
}

/* ---- Many -------------------------------------------------------------------------------------------------------- */

static void test_nothing_is_left(void **state)
{
    mproc_completed_t done;
    mproc_subprocess_t *subprocess;
    mproc_subprocess_opts_t opts = with_pipes();
    const int count = 2000 / slowdown() / (has_fork() ? 1 : 20);
    (void)state;
    opts.input = "x";
    opts.input_size = 1;
    assert_int_equal(run(&done, PROGRAM("--exit", "0"), opts), 0);
    mproc_completed_clear(&done);
    const int used = count_after_waiting();
    for (int i = 0; i < count; i++) {
        const char *const missing[] = {"/no-such-program", NULL};
        assert_int_equal(run(&done, PROGRAM("--exit", "0"), opts), 0);
        mproc_completed_clear(&done);
        if (i % 20)
            continue;
        assert_failure(mproc_subprocess_start(&subprocess, missing, &opts), APR_ENOENT);
        assert_success(mproc_subprocess_finish(begin(PROGRAM("--exit", "0"), opts), NULL));
    }
    expect_descriptors(used);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_never_one),
        cmocka_unit_test(test_inherited_by_fork),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_wrong_state),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_options_of_run_alone),
        cmocka_unit_test(test_options_of_a_newer_program),
        cmocka_unit_test(test_before_initialize),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_random_arguments),
        cmocka_unit_test(test_too_long_arguments),
        cmocka_unit_test(test_inherited_streams),
        cmocka_unit_test(test_null_device),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_files_out_of_reach),
        cmocka_unit_test(test_handle_as_stream),
        cmocka_unit_test(test_errors_to_output),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_relative_paths),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_much_input),
        cmocka_unit_test(test_both_outputs),
        cmocka_unit_test(test_output_max),
        cmocka_unit_test(test_unwanted_input),
        cmocka_unit_test(test_writes_for_ever),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_not_a_program),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_stubborn),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_kill_leaves_tree),
        cmocka_unit_test(test_pool_ends_program),
        cmocka_unit_test(test_detached),
        cmocka_unit_test(test_wait_beside_connections),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_pipeline_fails),
        cmocka_unit_test(test_pipeline_reader_ends),
        cmocka_unit_test(test_dialogue),
        cmocka_unit_test(test_write_much),
        cmocka_unit_test(test_communicate_in_steps),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_stopped_by_another_thread),
        cmocka_unit_test(test_closed_by_another_thread),
        cmocka_unit_test(test_input_closed_by_another_thread),
        cmocka_unit_test(test_detached_closed_by_another_thread),
        cmocka_unit_test(test_threads_start_at_once),
        cmocka_unit_test(test_threads_stop_at_once),
        cmocka_unit_test(test_thread_ends),
        cmocka_unit_test(test_nothing_is_left),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
