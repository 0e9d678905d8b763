/* SPDX-License-Identifier: Apache-2.0 */
/* White box: children that ignore Ctrl-C, while what they start does not. */
#include <apr.h>

#include <windows.h>

#include "process_object.h"
#include "support/harness.h"
#include "support/support.h"

enum { RUNS, GOES_ON, OBJECTS };
enum { SURVIVED = 7 };

static mproc_process_t *start_shielded(mproc_target_t target, mproc_process_opts_t opts)
{
    mproc_process_t *process;
    assert_success(process_create_shielded(&process, target, &opts));
    assert_success(mproc_process_launch(process));
    return process;
}

/** The test's own process goes on, whatever comes. */
static BOOL WINAPI go_on(DWORD event)
{
    return event == CTRL_C_EVENT;
}

static int run_on(mproc_call_t *call)
{
    mproc_event_set(mproc_call_event(call, RUNS));
    return mproc_event_wait(mproc_call_event(call, GOES_ON), MPROC_SECONDS(60)) == APR_SUCCESS ? SURVIVED : 1;
}

/** A shielded child starts a program, which is not shielded: how that ends. */
static int run_sleeper(mproc_call_t *call)
{
    const char *const args[] = {PROGRAM_COMMANDS, "--sleep", "30", NULL};
    mproc_subprocess_t *program;
    int code = 1;
    if (mproc_subprocess_start(&program, args, NULL) != APR_SUCCESS)
        return 1;
    mproc_event_set(mproc_call_event(call, RUNS));
    apr_status_t status = mproc_subprocess_wait(program, MPROC_SECONDS(25));
    if (status == APR_SUCCESS)
        status = mproc_subprocess_finish(program, &code);
    return status == APR_SUCCESS ? code : 1;
}

static int is_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

/** Have a console of its own: what is sent to all of its programs would end whoever runs the tests, too. */
static void have_console(void)
{
    /* Wine can make none without a screen, and Ctrl-C does not work in it. That of a terminal has Wine's programs. */
    if (is_wine() && GetConsoleCP() == 0)
        skip_because("Wine has no console here: run it with a terminal as its standard input");
    if (!is_wine()) {
        FreeConsole();
        if (!AllocConsole())
            skip_because("there can be no console here");
    }
    SetConsoleCtrlHandler(NULL, FALSE);
    SetConsoleCtrlHandler(go_on, TRUE);
}

static mproc_process_opts_t have_events(mproc_event_t *events[OBJECTS])
{
    mproc_process_opts_t opts = {.start_method = MPROC_SPAWN};
    for (int i = 0; i < OBJECTS; i++) {
        assert_success(mproc_event_create(&events[i], NULL));
        opts.share[i] = events[i];
    }
    return opts;
}

/** What Ctrl-C makes of two children, one of which is shielded. */
static void test_survives(void **state)
{
    mproc_event_t *events[OBJECTS];
    mproc_event_t *others[OBJECTS];
    (void)state;
    have_console();
    mproc_process_t *process = start_shielded(run_on, have_events(events));
    mproc_process_t *other = start(run_on, have_events(others));
    assert_success(mproc_event_wait(events[RUNS], MPROC_SECONDS(60)));
    assert_success(mproc_event_wait(others[RUNS], MPROC_SECONDS(60)));
    assert_true(GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0));
    const apr_status_t status = mproc_process_join(other, MPROC_SECONDS(10));
    assert_success(mproc_event_set(others[GOES_ON]));
    assert_success(mproc_event_set(events[GOES_ON]));
    assert_int_equal(finish(process), SURVIVED);
    const int code = finish(other);
    if (status != APR_SUCCESS && code == SURVIVED)
        skip_because("Ctrl-C reaches nobody here");
    assert_int_equal(code, is_wine() ? 0 : -2);
}

/** Each child is interrupted again and again from its first moment on. */
static void test_interrupted_start(void **state)
{
    enum { CHILDREN = 5, TIMES = 20 };
    (void)state;
    have_console();
    for (int i = 0; i < CHILDREN; i++) {
        mproc_event_t *events[OBJECTS];
        mproc_process_t *process = start_shielded(run_on, have_events(events));
        for (int k = 0; k < TIMES || !mproc_event_is_set(events[RUNS]); k++) {
            GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0);
            if (mproc_process_join(process, MPROC_MILLISECONDS(5)) == APR_SUCCESS)
                break;
        }
        assert_success(mproc_event_set(events[GOES_ON]));
        assert_int_equal(finish(process), SURVIVED);
    }
}

static void test_shields_nobody_else(void **state)
{
    mproc_event_t *events[OBJECTS];
    (void)state;
    if (is_wine())
        skip_because("Wine does not interrupt groups");
    have_console();
    mproc_process_t *process = start_shielded(run_sleeper, have_events(events));
    assert_success(mproc_event_wait(events[RUNS], MPROC_SECONDS(60)));
    /* Before it has begun it does not hear of it. */
    for (int i = 0; i < 100 && mproc_process_is_alive(process); i++) {
        GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0);
        mproc_process_join(process, MPROC_MILLISECONDS(100));
    }
    /* In an exit code: minus two. */
    assert_int_equal(finish(process), (-2) & 0xff);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survives),
        cmocka_unit_test(test_interrupted_start),
        cmocka_unit_test(test_shields_nobody_else),
    };
    /* The program that runs the tests one by one may have the same console. */
    if (argc == 1)
        SetConsoleCtrlHandler(go_on, TRUE);
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
