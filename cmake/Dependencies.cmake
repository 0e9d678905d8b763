# SPDX-License-Identifier: Apache-2.0
#
# What the library itself needs. Tests, examples and benchmarks look for their
# own dependencies, so that a plain library build needs APR alone.

list(APPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")
find_package(APR 1.6 REQUIRED)

# Windows threads need no library; asking there could pull in winpthreads.
if(NOT WIN32)
  set(THREADS_PREFER_PTHREAD_FLAG ON)
  find_package(Threads REQUIRED)
endif()
