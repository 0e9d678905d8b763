/* SPDX-License-Identifier: Apache-2.0 */
#include <omp.h>

#include "pool_kinds.h"

static int threads;

int pool_openmp_begin(unsigned workers)
{
    threads = (int)workers;
    omp_set_dynamic(0);
    return 0;
}

static int run_one_by_one(const uint64_t *values, uint64_t *results, size_t count, uint32_t iterations)
{
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < count; i++)
        results[i] = busy_work(values[i], iterations);
    return 0;
}

static const pool_kind_t one_by_one = {"openmp", run_one_by_one};
const pool_kind_t *const pool_openmp[] = {&one_by_one, NULL};
