/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_time.h>

unsigned long long next_random(unsigned long long *state)
{
    unsigned long long z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned long long choose_seed(void)
{
    const char *wanted = getenv("MPROC_TEST_SEED");
    const unsigned long long seed =
        wanted ? strtoull(wanted, NULL, 10) : (unsigned long long)apr_time_now() % 1000000000u;
    printf("seed %llu\n", seed);
    fflush(stdout);
    return seed;
}
