// SPDX-License-Identifier: Apache-2.0
// The same program in C++: the headers must serve both languages.
#include <cstdio>

#include <mproc/mproc.h>

int main(int argc, char **argv)
{
    const apr_status_t status = mproc_initialize(argc, argv);
    if (status != APR_SUCCESS) {
        return 1;
    }
    std::printf("mproc %s\n", mproc_version());
    mproc_terminate();
    return 0;
}
