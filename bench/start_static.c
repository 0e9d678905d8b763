/* SPDX-License-Identifier: Apache-2.0 */
/* A child that is linked statically: what an exec costs where there is nothing to load. */
#include "start_references.h"

int main(void)
{
    return EXIT_EXPECTED;
}
