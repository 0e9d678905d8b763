/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for those who start programs. It prints each argument as a line of hexadecimal numbers, or does what the
 * first one says; numbers are decimal:
 *
 *   --name            print the name that it was started with, as above
 *   --exit N          end with that exit code
 *   --echo            copy standard input to standard output
 *   --both N          write N bytes, the same, to standard output and to standard error
 *   --sleep S         sleep so many seconds
 *   --tree S          start itself with --sleep S by foreign means, print both process ids, and sleep
 *   --breed S         start itself with --sleep S by foreign means again and again, and print each process id
 *   --start S         the same as --tree by the library, as a program that ends with this one
 *   --detach S        the same, as one that does not
 *   --env             print the environment, a line for each variable
 *   --cwd             print the working folder
 *   --handles         print how many descriptors or handles are open
 *   --say HANDLE TEXT write a text to a descriptor or handle, and close it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_general.h>
#include <apr_portable.h>
#include <apr_thread_proc.h>

#include "support/support.h"
#include "sys.h"

enum { FAILED = 99, PIECE = 1000 };

static apr_pool_t *pool;
static apr_file_t *in, *out, *err;

static int check(apr_status_t status)
{
    char text[200];
    if (status == APR_SUCCESS)
        return 0;
    apr_file_printf(err, "args: %s\n", apr_strerror(status, text, sizeof text));
    exit(FAILED);
}

static void print_hex(const char *text)
{
    for (; *text; text++)
        apr_file_printf(out, "%02x", (unsigned char)*text);
    apr_file_printf(out, "\n");
}

/** Whether the C runtime has found the same arguments, as far as its characters go. */
static int agrees(int argc, char **argv, int count, char **list)
{
    for (int i = 0; i < count && i < argc; i++) {
        const char *at = list[i];
        while (*at && (unsigned char)*at < 0x80)
            at++;
        if (!*at && strcmp(list[i], argv[i]) != 0)
            return 0;
    }
    return argc == count;
}

static int print_arguments(int argc, char **argv)
{
    char **list;
    int count;
    check(sys_command_line(&list, &count));
    for (int i = 1; i < count; i++)
        print_hex(list[i]);
    if (agrees(argc, argv, count, list))
        return 0;
    apr_file_printf(err, "args: the C runtime has others\n");
    return FAILED;
}

static int echo(void)
{
    static char buffer[PIECE];
    for (;;) {
        apr_size_t size = sizeof buffer;
        const apr_status_t status = apr_file_read(in, buffer, &size);
        if (APR_STATUS_IS_EOF(status))
            return 0;
        check(status);
        check(apr_file_write_full(out, buffer, size, NULL));
    }
}

static int write_both(size_t size)
{
    static char buffer[PIECE];
    for (size_t done = 0; done < size; done += sizeof buffer) {
        const size_t now = size - done < sizeof buffer ? size - done : sizeof buffer;
        for (size_t i = 0; i < now; i++)
            buffer[i] = (char)((done + i) % 251);
        check(apr_file_write_full(out, buffer, now, NULL));
        check(apr_file_write_full(err, buffer, now, NULL));
    }
    return 0;
}

static int sleep_for(const char *seconds)
{
    apr_sleep(apr_time_from_sec(atoi(seconds)));
    return 0;
}

static int print_pids(int pid, const char *seconds)
{
    apr_file_printf(out, "%d %d\n", sys_getpid(), pid);
    return sleep_for(seconds);
}

static int start_sleeper(const char *self, const char *seconds)
{
    const char *const args[] = {self, "--sleep", seconds, NULL};
    apr_procattr_t *attributes;
    apr_proc_t process;
    check(apr_procattr_create(&attributes, pool));
    check(apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV));
    check(apr_proc_create(&process, self, args, NULL, attributes, pool));
    return (int)process.pid;
}

static void breed(const char *self, const char *seconds)
{
    for (;;)
        apr_file_printf(out, "%d\n", start_sleeper(self, seconds));
}

static int start_own(const char *self, const char *seconds, int is_detached)
{
    const char *const args[] = {self, "--sleep", seconds, NULL};
    sys_process_t *process;
    sys_program_t program = {.args = args, .file = self, .is_detached = is_detached};
    for (int i = 0; i < 3; i++)
        program.stdio[i].kind = SYS_STDIO_NULL;
    check(sys_program_start(&process, &program));
    return print_pids(sys_process_pid(process), seconds);
}

static int print_environment(void)
{
    char **list;
    check(sys_environment(&list));
    for (; *list; list++)
        apr_file_printf(out, "%s\n", *list);
    return 0;
}

static int print_folder(void)
{
    char *path;
    check(apr_filepath_get(&path, 0, pool));
    apr_file_printf(out, "%s\n", path);
    return 0;
}

int main(int argc, char **argv)
{
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return FAILED;
    check(apr_file_open_stdin(&in, pool) || apr_file_open_stdout(&out, pool) || apr_file_open_stderr(&err, pool));
    const char *what = argc > 1 ? argv[1] : "";
    const char *value = argc > 2 ? argv[2] : "0";
    if (strcmp(what, "--name") == 0)
        print_hex(argv[0]);
    else if (strcmp(what, "--exit") == 0)
        return atoi(value);
    else if (strcmp(what, "--echo") == 0)
        return echo();
    else if (strcmp(what, "--both") == 0)
        return write_both((size_t)strtoull(value, NULL, 10));
    else if (strcmp(what, "--sleep") == 0)
        return sleep_for(value);
    else if (strcmp(what, "--tree") == 0)
        return print_pids(start_sleeper(argv[0], value), value);
    else if (strcmp(what, "--breed") == 0)
        breed(argv[0], value);
    else if (strcmp(what, "--start") == 0 || strcmp(what, "--detach") == 0)
        return start_own(argv[0], value, what[2] == 'd');
    else if (strcmp(what, "--env") == 0)
        return print_environment();
    else if (strcmp(what, "--cwd") == 0)
        return print_folder();
    else if (strcmp(what, "--handles") == 0)
        apr_file_printf(out, "%d\n", count_descriptors());
    else if (strcmp(what, "--say") == 0 && argc > 3)
        return write_and_close((mproc_os_handle_t)strtoll(value, NULL, 10), argv[3]);
    else
        return print_arguments(argc, argv);
    return 0;
}
