# SPDX-License-Identifier: Apache-2.0
#
# Windows programs from a Unix machine: MinGW-w64 compiles, Wine runs the tests.
#
# MPROC_MINGW_STAGE is the prefix of the libraries built for Windows (APR,
# CMocka); ci/test-windows builds and passes it.

set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)

set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

# No DLL of the compiler's has to be found beside the programs.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -static-libgcc)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MPROC_MINGW_STAGE)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
if(MPROC_MINGW_STAGE)
  list(PREPEND CMAKE_FIND_ROOT_PATH "${MPROC_MINGW_STAGE}")
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(CMAKE_CROSSCOMPILING_EMULATOR wine)
