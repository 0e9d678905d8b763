/* SPDX-License-Identifier: Apache-2.0 */
#include <mproc/version.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *mproc_version(void)
{
    return TEXT(MPROC_VERSION_MAJOR) "." TEXT(MPROC_VERSION_MINOR) "." TEXT(MPROC_VERSION_PATCH);
}

int mproc_version_number(void)
{
    return MPROC_VERSION_NUMBER;
}
