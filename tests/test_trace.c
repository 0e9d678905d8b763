/* SPDX-License-Identifier: Apache-2.0 */
/* White box: traces that several processes write into one file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_thread_proc.h>

#include "arena.h"
#include "support/harness.h"
#include "support/json.h"
#include "support/support.h"
#include "trace.h"

static const char *self;

/** Name a file that is not there yet as the trace, for this process and its children. */
static const char *name_trace(void)
{
    static char path[1024];
    apr_file_close(make_file(path, sizeof path));
    apr_file_remove(path, test_pool());
    assert_int_equal(apr_env_set("MPROC_TRACE", path, test_pool()), APR_SUCCESS);
    return path;
}

/** Read a whole file: one allocation for free(). */
static char *read_trace(const char *path)
{
    FILE *const file = fopen(path, "rb");
    if (!file)
        fail_msg("there is no %s", path);
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, size, file), size);
    text[size] = '\0';
    assert_int_equal(strlen(text), size);
    fclose(file);
    return text;
}

/** Take the next line away from a text; NULL at its end. */
static char *next_line(char **text)
{
    char *line = *text;
    if (!*line)
        return NULL;
    /* By hand: the strict checks of a sanitizer read all that follows, for each line. */
    char *end = line;
    while (*end && *end != '\n')
        end++;
    assert_int_equal(*end, '\n');
    *end = '\0';
    *text = end + 1;
    return line;
}

/** Take the next event away: each is a line of its own, with a comma behind it. */
static char *next_event(char **text)
{
    char *line = next_line(text);
    if (!line)
        return NULL;
    const size_t length = strlen(line);
    if (length < 3 || line[length - 1] != ',')
        fail_msg("no event: %s", line);
    line[length - 1] = '\0';
    if (!json_is_value(line) || line[0] != '{')
        fail_msg("no JSON: %s", line);
    return line;
}

/** The number that a key of an event has. */
static long long number_of(const char *event, const char *key)
{
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(event, quoted);
    if (!at)
        fail_msg("no %s in %s", key, event);
    return atoll(at + strlen(quoted));
}

static void expect_beginning(char **text)
{
    const char *line = next_line(text);
    assert_non_null(line);
    assert_string_equal(line, "[");
}

/** How many lines of a file have a text in them. */
static int count_with(const char *path, const char *part)
{
    char *const whole = read_trace(path);
    char *text = whole;
    int count = 0;
    for (const char *line; (line = next_line(&text)) != NULL;)
        count += strstr(line, part) != NULL;
    free(whole);
    return count;
}

/* ---- Many processes ---------------------------------------------------------------------------------------------- */

enum { WRITERS = 5, EVENTS = 10000 };

static int write_events(mproc_call_t *call)
{
    const unsigned *worker = mproc_call_data(call, sizeof *worker);
    mproc_log_to_stderr(MPROC_LOG_WARNING);
    if (arena_use("test") != APR_SUCCESS)
        return 1;
    trace_begin();
    if (!trace_is_on())
        return 2;
    trace_instant("Pool-1", *worker, "started");
    for (unsigned i = 0; i < EVENTS; i++)
        trace_task("Pool-1", *worker, i % 2 ? "odd \"one\"" : "even\n", i, 3, 1000 + i, 1000 + 3 * (sys_time_t)i,
                   i % 100 ? APR_SUCCESS : MPROC_EWORKERDIED);
    trace_flush();
    return 0;
}

/** Each event is there once, and none is torn. */
static void check_events(const char *path)
{
    static unsigned char seen[WRITERS + 1][EVENTS];
    char *const whole = read_trace(path);
    char *text = whole;
    int tasks = 0, instants = 0, names = 0;
    memset(seen, 0, sizeof seen);
    expect_beginning(&text);
    for (const char *event; (event = next_event(&text)) != NULL;) {
        names += strstr(event, "\"thread_name\"") != NULL;
        instants += strstr(event, "\"ph\":\"i\"") != NULL;
        if (!strstr(event, "\"ph\":\"X\""))
            continue;
        const long long worker = number_of(event, "tid");
        const long long index = number_of(event, "index");
        assert_in_range(worker, 1, WRITERS);
        assert_in_range(index, 0, EVENTS - 1);
        assert_int_equal(seen[worker][index]++, 0);
        assert_int_equal(number_of(event, "ts"), 1000 + index);
        assert_int_equal(number_of(event, "dur"), 2 * index);
        assert_int_equal(number_of(event, "count"), 3);
        assert_int_equal(strstr(event, "MPROC_EWORKERDIED") != NULL, index % 100 == 0);
        assert_non_null(strstr(event, index % 2 ? "\"odd \\\"one\\\"\"" : "\"even\\u000a\""));
        tasks++;
    }
    assert_int_equal(tasks, WRITERS * EVENTS);
    assert_int_equal(instants, WRITERS);
    assert_int_equal(names, WRITERS);
    free(whole);
}

static void test_many_writers(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        mproc_process_t *writers[WRITERS];
        const char *path = name_trace();
        assert_success(arena_use("test"));
        /* Nothing is begun here: with processes the first child does it, and the others go on. */
        for (unsigned k = 0; k < WRITERS; k++) {
            const unsigned worker = k + 1;
            const mproc_process_opts_t opts = {.start_method = methods[i], .data = &worker, .size = sizeof worker};
            writers[k] = start(write_events, opts);
        }
        for (int k = 0; k < WRITERS; k++)
            assert_int_equal(finish(writers[k]), 0);
        check_events(path);
        apr_file_remove(path, test_pool());
        shm_store64(&arena->traced, 0);
    }
}

/* ---- One process and its children -------------------------------------------------------------------------------- */

static int add_one(mproc_call_t *call)
{
    (void)call;
    if (arena_use("test") != APR_SUCCESS)
        return 1;
    trace_begin();
    trace_task("Pool-1", 2, "child's", 0, 1, 5, 6, APR_SUCCESS);
    trace_flush();
    return trace_is_on() ? 0 : 1;
}

/** What its creator has kept a forked child does not write once more; and whoever comes later begins no new file. */
static void test_kept_events(void **state)
{
    size_t count;
    const mproc_start_method_t *methods = mproc_get_all_start_methods(&count);
    const char *path = name_trace();
    (void)state;
    assert_success(arena_use("test"));
    trace_begin();
    assert_true(trace_is_on());
    trace_task("Pool-1", 1, "creator's", 0, 1, 5, 6, APR_SUCCESS);
    assert_int_equal(count_with(path, "creator's"), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(finish(start(add_one, (mproc_process_opts_t){.start_method = methods[i]})), 0);
    trace_begin();
    trace_flush();
    assert_int_equal(count_with(path, "creator's"), 1);
    assert_int_equal(count_with(path, "child's"), (int)count);
    /* A thread is no process. */
    assert_int_equal(count_with(path, "process_name"), (int)count);
    assert_int_equal(count_with(path, "MainProcess"), 1);
    trace_end();
    assert_false(trace_is_on());
    trace_task("Pool-1", 1, "late", 0, 1, 5, 6, APR_SUCCESS);
    trace_flush();
    char *const whole = read_trace(path);
    assert_true(json_is_value(whole));
    assert_null(strstr(whole, "late"));
    free(whole);
    apr_file_remove(path, test_pool());
}

static _Atomic int is_over;

static void *APR_THREAD_FUNC trace_on_and_on(apr_thread_t *thread, void *unused)
{
    (void)thread;
    (void)unused;
    /* Most of the time, but not so that the file gets as large as the disk. */
    while (!atomic_load(&is_over)) {
        for (int i = 0; i < 300; i++)
            trace_task("Pool-1", 1, "creator's", 0, 1, 5, 6, APR_SUCCESS);
        apr_sleep(1000);
    }
    return NULL;
}

/** A child that is forked while a thread of its creator is writing an event. */
static void test_forked_in_the_middle(void **state)
{
    enum { CHILDREN = 100 };
    apr_thread_t *thread;
    apr_status_t result;
    const char *path = name_trace();
    (void)state;
    if (!has_fork())
        skip_because("nothing is forked here");
    assert_success(arena_use("test"));
    trace_begin();
    assert_int_equal(apr_thread_create(&thread, NULL, trace_on_and_on, NULL, test_pool()), APR_SUCCESS);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(finish(start(add_one, (mproc_process_opts_t){.start_method = MPROC_FORK})), 0);
    atomic_store(&is_over, 1);
    apr_thread_join(&result, thread);
    trace_end();
    assert_int_equal(count_with(path, "child's"), CHILDREN);
    char *const whole = read_trace(path);
    assert_true(json_is_value(whole));
    free(whole);
    apr_file_remove(path, test_pool());
}

/** Who comes first begins the file, and its creator, who comes later, does not begin it again. */
static void test_begun_by_a_child(void **state)
{
    const char *path = name_trace();
    (void)state;
    assert_success(arena_use("test"));
    assert_int_equal(finish(start(add_one, (mproc_process_opts_t){0})), 0);
    trace_begin();
    trace_instant("Pool-1", 1, "started");
    trace_end();
    char *const whole = read_trace(path);
    char *text = whole;
    expect_beginning(&text);
    while (next_event(&text)) {}
    free(whole);
    assert_int_equal(count_with(path, "child's"), 1);
    assert_int_equal(count_with(path, "started"), 1);
    apr_file_remove(path, test_pool());
}

static const char run_traced[] = "--run-traced";

/** A program that leaves things to the end: 0. */
static int be_traced(int argc, char **argv)
{
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return 1;
    trace_begin();
    trace_instant("Pool-1", 1, "started");
    return 0;
}

static void test_end_of_the_program(void **state)
{
    const char *path = name_trace();
    const char *const args[] = {self, run_traced, NULL};
    (void)state;
    /* The second run begins anew. */
    for (int i = 0; i < 2; i++) {
        run_t run;
        run_program(&run, self, args, 60);
        assert_int_equal(run.exitcode, 0);
        char *const whole = read_trace(path);
        if (!json_is_value(whole))
            fail_msg("no JSON:\n%s", whole);
        free(whole);
        assert_int_equal(count_with(path, "started"), 1);
    }
    apr_file_remove(path, test_pool());
}

/* ---- What can go wrong ------------------------------------------------------------------------------------------- */

static void test_off(void **state)
{
    (void)state;
    assert_false(trace_is_on());
    for (int i = 0; i < 2; i++) {
        trace_begin();
        assert_false(trace_is_on());
        trace_task("Pool-1", 1, "task", 0, 1, 5, 6, APR_SUCCESS);
        trace_instant("Pool-1", 1, "started");
        trace_flush();
    }
    trace_end();
}

typedef struct heard_t {
    int count;
    char line[2000];
} heard_t;

static void hear(void *context, mproc_log_level_t level, const char *line)
{
    heard_t *heard = context;
    (void)level;
    heard->count++;
    snprintf(heard->line, sizeof heard->line, "%s", line);
}

static void test_no_such_folder(void **state)
{
    heard_t heard = {0, ""};
    (void)state;
    apr_env_set("MPROC_TRACE", "no-such-folder/trace.json", test_pool());
    assert_success(mproc_log_to(hear, &heard, MPROC_LOG_WARNING));
    test_off(state);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.line, "no-such-folder/trace.json"));
}

static void test_path_too_long(void **state)
{
    static char path[SYS_PATH_MAX + 10];
    heard_t heard = {0, ""};
    (void)state;
    memset(path, 'x', sizeof path - 1);
    apr_env_set("MPROC_TRACE", path, test_pool());
    assert_success(mproc_log_to(hear, &heard, MPROC_LOG_WARNING));
    test_off(state);
    assert_int_equal(heard.count, 1);
}

/** What a text is in the file. */
static const struct {
    const char *text, *written;
} texts[] = {
    {"", "\"\""},
    {"plain", "\"plain\""},
    {"a \"quoted\" \\ name", "\"a \\\"quoted\\\" \\\\ name\""},
    {"\x01\x1f\t\n\r\x7f", "\"\\u0001\\u001f\\u0009\\u000a\\u000d\\u007f\""},
    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
    {"\xff|\x80|\xc3|\xc3(|\xe2\x82|\xf0\x9f\x98", "\"\\ufffd|\\ufffd|\\ufffd|\\ufffd(|\\ufffd\\ufffd|"
                                                   "\\ufffd\\ufffd\\ufffd\""},
    {"\xc0\xaf|\xe0\x80\xaf|\xed\xa0\x80", "\"\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd\""},
    {"\xf4\x90\x80\x80|\xf8", "\"\\ufffd\\ufffd\\ufffd\\ufffd|\\ufffd\""},
    {"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf", "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\""},
};

static void test_hostile_names(void **state)
{
    enum { TEXTS = sizeof texts / sizeof texts[0], RANDOM = 3000 };
    const char *path = name_trace();
    (void)state;
    trace_begin();
    for (int i = 0; i < TEXTS; i++) {
        trace_task(texts[i].text, 1, texts[i].text, 7, 1, 5, 6, APR_SUCCESS);
        trace_instant(texts[i].text, 1, texts[i].text);
    }
    srand(1);
    for (int i = 0; i < RANDOM; i++) {
        char text[400];
        const size_t length = (size_t)rand() % sizeof text;
        for (size_t k = 0; k < length; k++)
            text[k] = (char)(rand() % 3 ? rand() % 256 : '\x01');
        text[length] = '\0';
        trace_task(text, (unsigned)rand(), text, 8, UINT64_MAX, 6, 5, (apr_status_t)rand());
    }
    trace_flush();
    char *const whole = read_trace(path);
    char *text = whole;
    int found = 0, others = 0;
    expect_beginning(&text);
    for (const char *event; (event = next_event(&text)) != NULL;) {
        char part[400];
        if (!strstr(event, "\"ph\":\"X\""))
            continue;
        if (number_of(event, "index") == 7) {
            snprintf(part, sizeof part, "{\"name\":%s,", texts[found].written);
            assert_non_null(strstr(event, part));
            snprintf(part, sizeof part, "{\"pool\":%s,", texts[found].written);
            assert_non_null(strstr(event, part));
            found++;
        } else {
            assert_int_equal(number_of(event, "dur"), 0);
            others++;
        }
    }
    assert_int_equal(found, TEXTS);
    assert_int_equal(others, RANDOM);
    free(whole);
    apr_file_remove(path, test_pool());
}

/** Workers of two pools in one process are different tracks. */
static void test_several_pools(void **state)
{
    const char *path = name_trace();
    (void)state;
    trace_begin();
    for (int i = 0; i < 3; i++) {
        trace_instant("first", 1, "started");
        trace_instant("second", 1, "started");
    }
    trace_flush();
    assert_int_equal(count_with(path, "worker 1 of first"), 1);
    assert_int_equal(count_with(path, "worker 1 of second"), 1);
    assert_int_equal(count_with(path, "\"tid\":1,"), 1 + 3);
    assert_int_equal(count_with(path, "\"tid\":10001,"), 1 + 3);
    apr_file_remove(path, test_pool());
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_writers),         cmocka_unit_test(test_kept_events),
        cmocka_unit_test(test_forked_in_the_middle), cmocka_unit_test(test_begun_by_a_child),
        cmocka_unit_test(test_end_of_the_program),   cmocka_unit_test(test_off),
        cmocka_unit_test(test_no_such_folder),       cmocka_unit_test(test_path_too_long),
        cmocka_unit_test(test_hostile_names),        cmocka_unit_test(test_several_pools),
    };
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], run_traced) == 0)
        return be_traced(argc, argv);
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
