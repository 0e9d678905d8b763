/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/mproc.h>
#include <stdio.h>

typedef struct {
    double gain, offset;
} param_t;

static int scale(mproc_task_t *task, const void *in, void *out, size_t n) /* runs in a worker */
{
    const param_t *p = mproc_task_shared(task, sizeof *p);
    const double *x = in;
    double *y = out;
    for (size_t i = 0; i < n; i++)
        y[i] = p->gain * x[i] + p->offset;
    return 0;
}

int main(int argc, char **argv)
{
    static double x[1000000], y[1000000];
    const size_t count = sizeof x / sizeof *x;
    const param_t param = {.gain = 2, .offset = 1};
    mproc_pool_t *workers;
    for (size_t i = 0; i < count; i++)
        x[i] = (double)i;

    if (mproc_initialize(argc, argv) != APR_SUCCESS || /* first in main: a worker begins here */
        mproc_pool_create(&workers, NULL) != APR_SUCCESS /* one for each CPU */ ||
        mproc_pool_map(workers, scale, y, sizeof *y, x, sizeof *x, count,
                       &(mproc_map_opts_t){.shared = &param, .shared_size = sizeof param}) != APR_SUCCESS ||
        mproc_pool_finish(workers) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", mproc_last_error()->text);
        return 1;
    }
    printf("the last of %d is %.0f\n", (int)count, y[count - 1]);
    return 0;
}
