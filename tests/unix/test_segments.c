/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as the system's own objects: their owners and limits, what else can have the name, and those that shrink. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/harness.h"
#include "support/messages.h"
#include "support/support.h"

static const char *make_name(char name[64], const char *suffix)
{
    snprintf(name, 64, "mproc-test-%d%s", mproc_getpid(), suffix);
    mproc_shm_unlink(name);
    return name;
}

/** Open the system's object of a name. */
static int open_object(const char *name, int flags, mode_t mode)
{
    char path[80];
    snprintf(path, sizeof path, "/%s", name);
    return shm_open(path, flags, mode);
}

/** Make an object of the system's that is no segment of ours. */
static void make_object(const char *name, off_t size, mode_t mode)
{
    const int fd = open_object(name, O_RDWR | O_CREAT | O_EXCL, mode);
    assert_true(fd >= 0);
    if (size > 0)
        assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/** Give an object another size; whether that can be done here. */
static int resize(const char *name, off_t size)
{
    const int fd = open_object(name, O_RDWR, 0);
    assert_true(fd >= 0);
    const int result = ftruncate(fd, size);
    close(fd);
    return result == 0;
}

/** Run a function in a forked child that is nothing to the library: its exit code. */
static int in_child(int (*run)(const char *name), const char *name)
{
    int status = -1;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(run(name));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- What has the name ------------------------------------------------------------------------------------------- */

/** Whoever was to make it has made no more than the name. */
static void test_without_memory(void **state)
{
    char name[64];
    mproc_shm_t *shm = (mproc_shm_t *)&shm;
    (void)state;
    make_object(make_name(name, ""), 0, 0600);
    const int before = count_descriptors();
    assert_failure(mproc_shm_open(&shm, name, NULL), MPROC_ESTATE);
    assert_null(shm);
    assert_failure(mproc_shm_create(&shm, name, 10, NULL), APR_EEXIST);
    if (before >= 0)
        assert_int_equal(count_descriptors(), before);
    assert_success(mproc_shm_unlink(name));
    assert_failure(mproc_shm_unlink(name), APR_ENOENT);
}

/** Things in the folder of names that are no shared memory, where there is such a folder. */
static void test_other_things(void **state)
{
    char name[64];
    char path[96];
    mproc_shm_t *shm = (mproc_shm_t *)&shm;
    (void)state;
    if (access("/dev/shm", W_OK) != 0)
        skip_because("names of shared memory lie in no folder here");
    snprintf(path, sizeof path, "/dev/shm/%s", make_name(name, "-thing"));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_EINVAL);
    assert_failure(mproc_shm_create(&shm, name, 1, NULL), APR_EEXIST);
    assert_int_not_equal(mproc_shm_unlink(name), APR_SUCCESS);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_EINVAL);
    assert_int_equal(unlink(path), 0);
    /* A link could lead anywhere. */
    assert_int_equal(symlink("/dev/shm/mproc-test-of-another-name", path), 0);
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_EINVAL);
    assert_failure(mproc_shm_create(&shm, name, 1, NULL), APR_EEXIST);
    assert_success(mproc_shm_unlink(name));
    assert_null(shm);
}

/** It is the user's alone, and goes without a trace. */
static void test_traces(void **state)
{
    char name[64];
    struct stat object;
    mproc_shm_t *shm;
    (void)state;
    const mode_t before = umask(0);
    assert_success(mproc_shm_create(&shm, make_name(name, ""), 12345, NULL));
    umask(before);
    const int fd = open_object(name, O_RDONLY, 0);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &object), 0);
    assert_int_equal(object.st_mode & 0777, 0600);
    assert_int_equal(object.st_uid, geteuid());
    assert_true(object.st_size >= 12345);
    close(fd);
    assert_success(mproc_shm_close(shm));
    assert_success(mproc_shm_unlink(name));
    assert_int_equal(open_object(name, O_RDONLY, 0), -1);
    assert_int_equal(errno, ENOENT);
}

/* ---- Other users ------------------------------------------------------------------------------------------------- */

enum { NOBODY = 65534 };

static int become_another(void)
{
    return setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

/** Another user can neither open nor remove it. */
static int be_refused(const char *name)
{
    mproc_shm_t *shm;
    mproc_shm_opts_t opts = {0};
    opts.any_user = 1;
    if (!become_another())
        return 77;
    if (mproc_shm_open(&shm, name, NULL) != APR_EACCES || mproc_shm_open(&shm, name, &opts) != APR_EACCES)
        return 1;
    if (mproc_shm_create(&shm, name, 1, NULL) != APR_EEXIST)
        return 2;
    return mproc_shm_unlink(name) == APR_EACCES ? 0 : 3;
}

/** One that is open to all is still not this user's. */
static int be_careful(const char *name)
{
    mproc_shm_t *shm;
    mproc_shm_opts_t opts = {0};
    if (!become_another())
        return 77;
    if (mproc_shm_open(&shm, name, NULL) != APR_EACCES)
        return 1;
    opts.any_user = 1;
    if (mproc_shm_open(&shm, name, &opts) != APR_SUCCESS)
        return 2;
    return *(char *)mproc_shm_data(shm) == 'x' ? 0 : 3;
}

static int make_as_another(const char *name)
{
    mproc_shm_t *shm;
    return !become_another() ? 77 : mproc_shm_create(&shm, name, 1000, NULL) == APR_SUCCESS ? 0 : 1;
}

static void test_other_users(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    mproc_shm_opts_t any = {0};
    (void)state;
    if (geteuid() != 0)
        skip_because("only root can become an ordinary user");
    assert_success(mproc_shm_create(&shm, make_name(name, ""), 1000, NULL));
    *(char *)mproc_shm_data(shm) = 'x';
    assert_int_equal(in_child(be_refused, name), 0);
    const int fd = open_object(name, O_RDWR, 0);
    assert_int_equal(fchmod(fd, 0666), 0);
    close(fd);
    assert_int_equal(in_child(be_careful, name), 0);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
    /* What root could open is not root's either. */
    assert_int_equal(in_child(make_as_another, name), 0);
    shm = (mproc_shm_t *)&shm;
    assert_failure(mproc_shm_open(&shm, name, NULL), APR_EACCES);
    assert_null(shm);
    assert_error_names("another user");
    any.any_user = 1;
    assert_success(mproc_shm_open(&shm, name, &any));
    assert_success(mproc_shm_close(shm));
    assert_success(mproc_shm_unlink(name));
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

/** Programs close what they do not know, and open others under the same numbers: those are left alone. */
static int lose_descriptor(const char *name)
{
    enum { MOST = 64 };
    static char bytes[8192];
    mproc_shm_t *shm;
    struct stat file;
    FILE *own = tmpfile();
    if (!own || fwrite(bytes, 1, sizeof bytes, own) != sizeof bytes || fflush(own) != 0)
        return 1;
    if (mproc_shm_open(&shm, name, NULL) != APR_SUCCESS)
        return 2;
    for (int fd = 3; fd < MOST; fd++)
        if (fd != fileno(own))
            close(fd);
    if (mproc_shm_read(shm, 0, bytes, 4) != APR_EBADF || mproc_shm_write(shm, 0, "lost", 4) != APR_EBADF)
        return 3;
    for (int fd = 3; fd < MOST; fd++)
        if (fd != fileno(own) && dup2(fileno(own), fd) != fd)
            return 4;
    if (mproc_shm_read(shm, 0, bytes, 4) != APR_EBADF || mproc_shm_write(shm, 0, "lost", 4) != APR_EBADF)
        return 5;
    if (memcmp(mproc_shm_data(shm), "here", 4) != 0 || mproc_shm_close(shm) != APR_SUCCESS)
        return 6;
    for (int fd = 3; fd < MOST; fd++)
        if (fstat(fd, &file) != 0)
            return 7;
    return pread(fileno(own), bytes, 4, 0) == 4 && memcmp(bytes, "\0\0\0", 4) == 0 ? 0 : 8;
}

static void test_without_descriptor(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    assert_success(mproc_shm_create(&shm, make_name(name, ""), 4096, NULL));
    memcpy(mproc_shm_data(shm), "here", 4);
    assert_int_equal(in_child(lose_descriptor, name), 0);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/** To go beyond the limit of files would be a signal. */
static int exceed_file_size(const char *name)
{
    mproc_shm_t *shm;
    const struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    const apr_status_t status = mproc_shm_create(&shm, name, (1 << 20) + 1, NULL);
    if (status != APR_FROM_OS_ERROR(EFBIG))
        return 1;
    if (mproc_shm_open(&shm, name, NULL) != APR_ENOENT)
        return 2;
    if (mproc_shm_create(&shm, name, 1 << 20, NULL) != APR_SUCCESS || mproc_shm_unlink(name) != APR_SUCCESS)
        return 3;
    return 0;
}

/** A segment that is larger than this process may write files. */
static int write_beyond_file_size(const char *name)
{
    mproc_shm_t *shm;
    char bytes[4] = "new";
    const struct rlimit limit = {4096, 4096};
    if (mproc_shm_open(&shm, name, NULL) != APR_SUCCESS)
        return 1;
    setrlimit(RLIMIT_FSIZE, &limit);
    const apr_status_t status = mproc_shm_write(shm, 8192, bytes, 4);
    if (status != APR_SUCCESS && status != APR_FROM_OS_ERROR(EFBIG))
        return 2;
    if (mproc_shm_write(shm, 0, bytes, 4) != APR_SUCCESS || mproc_shm_read(shm, 8192, bytes, 4) != APR_SUCCESS)
        return 3;
    /* What is mapped is no file. */
    memcpy((char *)mproc_shm_data(shm) + 8192, "map", 4);
    return 0;
}

static int exceed_address_space(const char *name)
{
    mproc_shm_t *shm;
    const struct rlimit limit = {(rlim_t)1 << 26, (rlim_t)1 << 26};
    setrlimit(RLIMIT_AS, &limit);
    if (mproc_shm_create(&shm, name, (size_t)1 << 27, NULL) != APR_ENOMEM)
        return 1;
    return mproc_shm_open(&shm, name, NULL) == APR_ENOENT ? 0 : 2;
}

static int exceed_descriptors(const char *name)
{
    mproc_shm_t *shm;
    const struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_NOFILE, &limit);
    if (mproc_shm_create(&shm, name, 100, NULL) != APR_EMFILE)
        return 1;
    return mproc_shm_open(&shm, name, NULL) == APR_EMFILE ? 0 : 2;
}

static void test_limits(void **state)
{
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    make_name(name, "");
    assert_int_equal(in_child(exceed_file_size, name), 0);
    assert_int_equal(in_child(exceed_descriptors, name), 0);
    assert_failure(mproc_shm_unlink(name), APR_ENOENT);
    assert_success(mproc_shm_create(&shm, name, 100000, NULL));
    assert_int_equal(in_child(write_beyond_file_size, name), 0);
    assert_memory_equal(mproc_shm_data(shm), "new", 4);
    assert_memory_equal((char *)mproc_shm_data(shm) + 8192, "map", 4);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

static void test_address_space(void **state)
{
    char name[64];
    (void)state;
    if (slowdown() > 1)
        skip_because("address space cannot be limited under this tool");
    assert_int_equal(in_child(exceed_address_space, make_name(name, "")), 0);
}

/* ---- Segments that shrink ---------------------------------------------------------------------------------------- */

/** What touching it is. */
static int touch(const char *name)
{
    mproc_shm_t *shm;
    if (mproc_shm_open(&shm, name, NULL) != APR_SUCCESS || !resize(name, 4096))
        return 1;
    signal(SIGBUS, SIG_DFL); /* a sanitizer has a handler */
    return ((volatile char *)mproc_shm_data(shm))[100000];
}

static void test_shrinks(void **state)
{
    enum { SIZE = 200000 };
    static char bytes[SIZE];
    char name[64];
    mproc_shm_t *shm;
    (void)state;
    assert_success(mproc_shm_create(&shm, make_name(name, ""), SIZE, NULL));
    memset(mproc_shm_data(shm), 'x', SIZE);
    if (!resize(name, SIZE)) {
        assert_success(mproc_shm_unlink(name));
        skip_because("shared memory keeps its size here");
    }
    /* The danger is there, and the calls are not in it. */
    assert_int_equal(in_child(touch, name), -SIGBUS);
    assert_int_equal(mproc_shm_size(shm), SIZE);
    assert_success(mproc_shm_read(shm, 0, bytes, 4096));
    assert_int_equal(bytes[4095], 'x');
    assert_failure(mproc_shm_read(shm, 0, bytes, SIZE), MPROC_ESIZE);
    assert_failure(mproc_shm_read(shm, 100000, bytes, 1), MPROC_ESIZE);
    assert_failure(mproc_shm_read(shm, 4000, bytes, 100), MPROC_ESIZE);
    assert_success(mproc_shm_write(shm, 4000, "abc", 3));
    assert_failure(mproc_shm_write(shm, 4094, "abc", 3), MPROC_ESIZE);
    assert_failure(mproc_shm_write(shm, SIZE - 1, "abc", 1), MPROC_ESIZE);
    assert_memory_equal((char *)mproc_shm_data(shm) + 4092, "xxxx", 4); /* nothing was written, nor made larger */
    assert_failure(mproc_shm_read(shm, 4096, bytes, 1), MPROC_ESIZE);
    assert_true(resize(name, 0));
    assert_failure(mproc_shm_read(shm, 0, bytes, 1), MPROC_ESIZE);
    /* As large again, it is of zeros. */
    assert_true(resize(name, SIZE));
    assert_success(mproc_shm_read(shm, 0, bytes, SIZE));
    assert_int_equal(bytes[0], 0);
    assert_success(mproc_shm_write(shm, SIZE - 3, "end", 3));
    assert_memory_equal((char *)mproc_shm_data(shm) + SIZE - 3, "end", 3);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shm_close(shm));
}

static void test_list_shrinks(void **state)
{
    char name[64];
    char text[64];
    mproc_item_t items[1000];
    mproc_item_t item;
    mproc_shareable_list_t *list, *other;
    size_t found;
    (void)state;
    for (int i = 0; i < 1000; i++)
        items[i] = i % 2 ? mproc_item_int(i) : mproc_item_str("text");
    assert_success(mproc_shareable_list_create(&list, make_name(name, ""), items, 1000, NULL));
    if (!resize(name, 9000)) {
        assert_success(mproc_shm_unlink(name));
        skip_because("shared memory keeps its size here");
    }
    for (size_t i = 0; i < 1000; i += 37) {
        assert_failure(mproc_shareable_list_get(list, i, &item, text, sizeof text), MPROC_ESIZE);
        assert_failure(mproc_shareable_list_set(list, i, items[i]), MPROC_ESIZE);
    }
    assert_failure(mproc_shareable_list_index(list, items[0], &found), MPROC_ESIZE);
    assert_failure(mproc_shareable_list_count(list, items[0], &found), MPROC_ESIZE);
    assert_failure(mproc_shareable_list_open(&other, name, NULL), MPROC_ECORRUPT);
    assert_true(resize(name, 0));
    assert_failure(mproc_shareable_list_open(&other, name, NULL), MPROC_ESTATE);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

/** It takes no memory to claim a lot of items, nor to see that they are not there. */
static int open_claim(const char *name)
{
    mproc_shareable_list_t *list;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    const apr_status_t status = mproc_shareable_list_open(&list, name, NULL);
    getrusage(RUSAGE_SELF, &after);
    return status != MPROC_ECORRUPT ? 1 : after.ru_maxrss / 10 > before.ru_maxrss ? 2 : 0;
}

static void test_claims_many(void **state)
{
    const uint64_t claims[][2] = {{50000000, 0}, {50000000, 8}};
    char name[64];
    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        make_object(make_name(name, ""), (off_t)1 << 30, 0600);
        const int fd = open_object(name, O_RDWR, 0);
        void *words = mmap(NULL, sizeof claims[i], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(words != MAP_FAILED);
        memcpy(words, claims[i], sizeof claims[i]);
        munmap(words, sizeof claims[i]);
        close(fd);
        assert_int_equal(in_child(open_claim, name), 0);
        assert_success(mproc_shm_unlink(name));
    }
}

/** A program that makes a segment smaller and larger all the time. */
static int resize_for_ever(const char *name)
{
    for (;;)
        if (!resize(name, 0) || !resize(name, 100) || !resize(name, 50000))
            return 1;
}

static void test_shrinks_all_the_time(void **state)
{
    static char text[8000];
    char name[64];
    mproc_item_t items[300];
    mproc_shareable_list_t *list, *other;
    int failed = 0;
    int done = 0;
    (void)state;
    memset(text, 't', sizeof text - 1);
    for (int i = 0; i < 300; i++)
        items[i] = i % 10 == 0 ? mproc_item_with_room(mproc_item_str("text"), 1000) : mproc_item_int(i);
    assert_success(mproc_shareable_list_create(&list, make_name(name, ""), items, 300, NULL));
    if (!resize(name, 50000)) {
        assert_success(mproc_shm_unlink(name));
        skip_because("shared memory keeps its size here");
    }
    const pid_t pid = fork();
    if (pid == 0)
        _exit(resize_for_ever(name));
    for (int i = 0; i < 20000; i++) {
        mproc_item_t item;
        apr_status_t status = mproc_shareable_list_get(list, (size_t)i % 300, &item, text, sizeof text);
        assert_true(status == APR_SUCCESS || status == MPROC_ESIZE || status == MPROC_ECORRUPT);
        failed += status == MPROC_ESIZE;
        status = mproc_shareable_list_set(list, (size_t)i % 300, items[i % 300]);
        assert_true(status == APR_SUCCESS || status == MPROC_ESIZE);
        done += status == APR_SUCCESS;
        status = mproc_shareable_list_open(&other, name, NULL);
        if (status == APR_SUCCESS)
            assert_success(mproc_shareable_list_close(other));
        else
            assert_true(status == MPROC_ESTATE || status == MPROC_ECORRUPT || status == MPROC_ESIZE);
    }
    printf("%d gets of a segment that was too small, %d sets of one that was not\n", failed, done);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_success(mproc_shm_unlink(name));
    assert_success(mproc_shareable_list_close(list));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_other_things),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_other_users),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_address_space),
        cmocka_unit_test(test_without_descriptor),
        cmocka_unit_test(test_shrinks),
        cmocka_unit_test(test_list_shrinks),
        cmocka_unit_test(test_claims_many),
        cmocka_unit_test(test_shrinks_all_the_time),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
