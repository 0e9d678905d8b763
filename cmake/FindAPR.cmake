# SPDX-License-Identifier: Apache-2.0
#
# Find the Apache Portable Runtime, version 1.x.
#
#   APR::APR      imported target with everything needed to compile and link
#   APR_FOUND     whether it was found
#   APR_VERSION   its version
#
# Three ways are tried: the CMake package (Windows builds of APR, vcpkg), then
# pkg-config (nearly every Unix), then a plain search of headers and libraries
# (an APR staged by hand; APR_ROOT or CMAKE_PREFIX_PATH point at it).
#
# This file is installed beside mprocConfig.cmake, for consumers of mproc.

# On Windows APR is two libraries: apr-1 (static) and libapr-1 (DLL).
set(_apr_windows_libraries ws2_32 mswsock rpcrt4 iphlpapi)

# 1. The CMake package. Its targets are named after the libraries.
if(NOT TARGET APR::APR)
  foreach(_apr_package IN ITEMS apr unofficial-apr)
    find_package(${_apr_package} CONFIG QUIET)
  endforeach()
  foreach(_apr_target IN ITEMS
      apr::apr-1 apr::libapr-1 unofficial::apr::apr-1 unofficial::apr::libapr-1)
    if(TARGET ${_apr_target} AND NOT TARGET APR::APR)
      add_library(APR::APR INTERFACE IMPORTED)
      target_link_libraries(APR::APR INTERFACE ${_apr_target})
      set(APR_LIBRARY ${_apr_target})
      if(WIN32 AND _apr_target MATCHES "::apr-1$")
        target_compile_definitions(APR::APR INTERFACE APR_DECLARE_STATIC)
        target_link_libraries(APR::APR INTERFACE ${_apr_windows_libraries})
      endif()
      # Older packages do not say where their headers are.
      find_path(APR_INCLUDE_DIR apr_general.h PATH_SUFFIXES apr-1 apr-1.0)
      if(APR_INCLUDE_DIR)
        target_include_directories(APR::APR INTERFACE "${APR_INCLUDE_DIR}")
      endif()
    endif()
  endforeach()
endif()

# 2. pkg-config. When cross compiling, only if it was told about the target:
# otherwise it would answer for the build machine.
if(NOT TARGET APR::APR
    AND (NOT CMAKE_CROSSCOMPILING
         OR DEFINED ENV{PKG_CONFIG_LIBDIR} OR DEFINED ENV{PKG_CONFIG_SYSROOT_DIR}))
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(APR_PC QUIET IMPORTED_TARGET GLOBAL apr-1)
    if(APR_PC_FOUND)
      add_library(APR::APR INTERFACE IMPORTED)
      target_link_libraries(APR::APR INTERFACE PkgConfig::APR_PC)
      set(APR_LIBRARY ${APR_PC_LINK_LIBRARIES})
      set(APR_INCLUDE_DIR "${APR_PC_INCLUDEDIR}")
    endif()
  endif()
endif()

# 3. Headers and libraries.
if(NOT TARGET APR::APR)
  find_path(APR_INCLUDE_DIR apr_general.h PATH_SUFFIXES apr-1 apr-1.0)
  find_library(APR_LIBRARY NAMES apr-1 libapr-1)
  if(APR_INCLUDE_DIR AND APR_LIBRARY)
    add_library(APR::APR UNKNOWN IMPORTED)
    set_target_properties(APR::APR PROPERTIES
      IMPORTED_LOCATION "${APR_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${APR_INCLUDE_DIR}")
    if(WIN32)
      target_link_libraries(APR::APR INTERFACE ${_apr_windows_libraries})
      # libapr-1.lib (MSVC) and liblibapr-1.dll.a (MinGW) belong to the DLL.
      if(NOT APR_LIBRARY MATCHES "[/\\]libapr-1\\.lib$" AND NOT APR_LIBRARY MATCHES "\\.dll\\.a$")
        target_compile_definitions(APR::APR INTERFACE APR_DECLARE_STATIC)
      endif()
    endif()
  endif()
endif()

# apr_version.h knows the version whichever way was taken.
if(APR_INCLUDE_DIR AND EXISTS "${APR_INCLUDE_DIR}/apr_version.h")
  set(APR_VERSION "")
  foreach(_apr_part IN ITEMS MAJOR MINOR PATCH)
    file(STRINGS "${APR_INCLUDE_DIR}/apr_version.h" _apr_line
      REGEX "^#define APR_${_apr_part}_VERSION +[0-9]+")
    if(_apr_line MATCHES "([0-9]+)$")
      list(APPEND APR_VERSION ${CMAKE_MATCH_1})
    endif()
  endforeach()
  list(JOIN APR_VERSION "." APR_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(APR
  REQUIRED_VARS APR_LIBRARY APR_INCLUDE_DIR
  VERSION_VAR APR_VERSION
  REASON_FAILURE_MESSAGE "Install it (Debian: libapr1-dev, vcpkg: apr), or set APR_ROOT to its prefix.")
mark_as_advanced(APR_INCLUDE_DIR APR_LIBRARY)
