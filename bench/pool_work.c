/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_kinds.h"

uint64_t busy_work(uint64_t value, uint32_t iterations)
{
    uint64_t x = 1;
    for (uint32_t i = 0; i < iterations; i++)
        x = x * 6364136223846793005U + 1442695040888963407U;
    return x + value;
}
