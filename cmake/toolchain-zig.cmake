# SPDX-License-Identifier: Apache-2.0
#
# Programs for systems that are not at hand, compiled and linked by zig.
#
# MPROC_ZIG is a folder that ci/cross prepares for one target: the compiler's
# scripts, and the prefix of the libraries built for it. MPROC_ZIG_SYSTEM is
# CMake's name of the target system.

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MPROC_ZIG MPROC_ZIG_SYSTEM)

# Projects of older policies do not pass these on to what they try.
foreach(name IN ITEMS MPROC_ZIG MPROC_ZIG_SYSTEM)
  if(NOT ${name})
    set(${name} "$ENV{${name}}")
  endif()
endforeach()

set(CMAKE_SYSTEM_NAME "${MPROC_ZIG_SYSTEM}")
set(CMAKE_C_COMPILER "${MPROC_ZIG}/cc")
set(CMAKE_AR "${MPROC_ZIG}/ar")
set(CMAKE_RANLIB "${MPROC_ZIG}/ranlib")

# Apple's own tool, for moving libraries on installation; nothing is installed.
set(CMAKE_INSTALL_NAME_TOOL "${CMAKE_COMMAND}")

set(CMAKE_FIND_ROOT_PATH "${MPROC_ZIG}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
