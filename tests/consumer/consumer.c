/* SPDX-License-Identifier: Apache-2.0 */
/* The least program that uses mproc: shows that the package can be found, compiled against, linked and run. */
#include <stdio.h>

#include <mproc/mproc.h>

int main(int argc, char **argv)
{
    apr_status_t status = mproc_initialize(argc, argv);
    if (status != APR_SUCCESS) {
        return 1;
    }
    printf("mproc %s\n", mproc_version());
    mproc_terminate();
    return 0;
}
