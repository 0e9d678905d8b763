/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as the system's own sections: made and opened as Python does it, and what else can have the name. */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

/** A name for both sides. */
static const char *make_name(wchar_t wide[64])
{
    static char name[64];
    snprintf(name, sizeof name, "mproc-test-%d", mproc_getpid());
    for (size_t i = 0; i <= strlen(name); i++)
        wide[i] = (wchar_t)name[i];
    return name;
}

/** Python makes one: without permissions of its own, and looked for first. */
static HANDLE make_as_python(const wchar_t *name, DWORD size)
{
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, size, name);
    assert_non_null(section);
    return section;
}

static void test_made_as_by_python(void **state)
{
    wchar_t wide[64];
    mproc_shm_t *shm;
    (void)state;
    const char *name = make_name(wide);
    HANDLE section = make_as_python(wide, 5000);
    char *data = MapViewOfFile(section, FILE_MAP_ALL_ACCESS, 0, 0, 0);
    assert_non_null(data);
    memcpy(data, "from there", 11);
    assert_failure(mproc_shm_create(&shm, name, 10, NULL), APR_EEXIST);
    assert_success(mproc_shm_open(&shm, name, NULL));
    assert_int_equal(mproc_shm_size(shm), 8192);
    assert_string_equal(mproc_shm_data(shm), "from there");
    memcpy(mproc_shm_data(shm), "from here", 10);
    assert_string_equal(data, "from here");
    /* With us it stays, and goes. */
    UnmapViewOfFile(data);
    CloseHandle(section);
    assert_string_equal(mproc_shm_data(shm), "from here");
    assert_success(mproc_shm_close(shm));
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_ENOENT);
}

/** Python opens one to learn its size, and then once more as if it made it. */
static void test_opened_as_by_python(void **state)
{
    wchar_t wide[64];
    MEMORY_BASIC_INFORMATION view;
    mproc_shm_t *shm;
    (void)state;
    const char *name = make_name(wide);
    assert_success(mproc_shm_create(&shm, name, 5000, NULL));
    assert_int_equal(mproc_shm_size(shm), 5000);
    memcpy(mproc_shm_data(shm), "from here", 10);
    HANDLE section = OpenFileMappingW(FILE_MAP_READ, FALSE, wide);
    assert_non_null(section);
    const char *look = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(look);
    assert_int_equal(VirtualQuery(look, &view, sizeof view), sizeof view);
    assert_int_equal(view.RegionSize, 8192);
    UnmapViewOfFile((void *)(uintptr_t)look);
    CloseHandle(section);
    section = make_as_python(wide, 8192);
    char *data = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 8192);
    assert_non_null(data);
    assert_string_equal(data, "from here");
    memcpy(data, "from there", 11);
    assert_string_equal(mproc_shm_data(shm), "from there");
    UnmapViewOfFile(data);
    CloseHandle(section);
    assert_success(mproc_shm_close(shm));
}

static void test_other_things(void **state)
{
    wchar_t wide[64];
    mproc_shm_t *shm = (mproc_shm_t *)&shm;
    (void)state;
    const char *name = make_name(wide);
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, wide);
    assert_non_null(event);
    assert_failure(mproc_shm_create(&shm, name, 10, NULL), APR_EEXIST);
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_EINVAL);
    CloseHandle(event);
    /* A section whose memory nobody has promised. */
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, 1 << 20, wide);
    assert_non_null(section);
    assert_failure(mproc_shm_open(&shm, name, NULL), MPROC_ESTATE);
    assert_null(shm);
    CloseHandle(section);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_as_by_python),
        cmocka_unit_test(test_opened_as_by_python),
        cmocka_unit_test(test_other_things),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
