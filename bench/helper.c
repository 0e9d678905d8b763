/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { LINE = 128 };

/** Start a program with pipes as its standard input and output. */
static int start(pid_t *pid, char *const argv[], int in, int out)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    const int error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? 0 : -1;
}

int helper_open(helper_t *helper, char *const argv[])
{
    int in[2], out[2];
    char hello[LINE];
    if (pipe(in) != 0 || pipe(out) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(in[i], F_SETFD, FD_CLOEXEC);
        fcntl(out[i], F_SETFD, FD_CLOEXEC);
    }
    const int result = start(&helper->pid, argv, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    helper->requests = fdopen(in[1], "w");
    helper->answers = fdopen(out[0], "r");
    /* It says hello when it is ready. */
    if (result == 0 && helper->requests && helper->answers && fgets(hello, sizeof hello, helper->answers))
        return 0;
    return -1;
}

int helper_measure(void *task, int count, double *value)
{
    const helper_task_t *of = task;
    char answer[LINE];
    if (fprintf(of->helper->requests, "%s %d\n", of->what, count) < 0 || fflush(of->helper->requests) != 0 ||
        !fgets(answer, sizeof answer, of->helper->answers))
        return -1;
    *value = strtod(answer, NULL);
    return *value > 0 ? 0 : -1;
}

void helper_close(helper_t *helper)
{
    if (helper->requests)
        fclose(helper->requests);
    if (helper->answers)
        fclose(helper->answers);
    if (helper->pid > 0)
        waitpid(helper->pid, NULL, 0);
    *helper = (helper_t){0, NULL, NULL};
}

void helper_serve(double (*measure)(const char *what, int count))
{
    char line[LINE];
    char what[LINE];
    int count;
    /* Unbuffered: a process that is forked here must have nothing to write or read twice. */
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("ready\n");
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%127s %d", what, &count) == 2)
        printf("%.3f\n", measure(what, count));
}

int helper_touch_memory(size_t size)
{
    if (size == 0)
        return 0;
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        perror("memory for the large parent");
        return -1;
    }
#if defined(MADV_NOHUGEPAGE)
    /* What a process touches over time is in small pages mostly; a single large mapping could get huge ones. */
    madvise(mapped, size, MADV_NOHUGEPAGE);
#endif
    for (size_t i = 0; i < size; i += 4096)
        ((volatile unsigned char *)mapped)[i] = 1;
    return 0;
}
