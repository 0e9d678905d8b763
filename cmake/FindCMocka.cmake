# SPDX-License-Identifier: Apache-2.0
#
# Find CMocka, by its CMake package, pkg-config or a plain search.
#
#   CMocka::CMocka   imported target
#   CMocka_FOUND     whether it was found

if(NOT TARGET CMocka::CMocka)
  # The package exists under one name, with different contents: releases
  # before 1.1.6 set variables, later ones define a target.
  find_package(cmocka CONFIG QUIET)
  foreach(_cmocka_target IN ITEMS cmocka::cmocka cmocka::cmocka-static)
    if(TARGET ${_cmocka_target} AND NOT CMocka_LIBRARY)
      set(CMocka_LIBRARY ${_cmocka_target})
    endif()
  endforeach()

  if(NOT CMocka_LIBRARY)
    if(NOT CMAKE_CROSSCOMPILING)
      find_package(PkgConfig QUIET)
      if(PKG_CONFIG_FOUND)
        pkg_check_modules(CMocka_PC QUIET cmocka)
      endif()
    endif()
    find_path(CMocka_INCLUDE_DIR cmocka.h HINTS ${CMocka_PC_INCLUDE_DIRS})
    # A static library, where there is one, need not be found at run time.
    find_library(CMocka_LIBRARY NAMES cmocka-static cmocka
      HINTS ${CMocka_PC_LIBRARY_DIRS})
  endif()

  if(CMocka_LIBRARY)
    add_library(CMocka::CMocka INTERFACE IMPORTED)
    target_link_libraries(CMocka::CMocka INTERFACE "${CMocka_LIBRARY}")
    if(CMocka_INCLUDE_DIR)
      target_include_directories(CMocka::CMocka INTERFACE "${CMocka_INCLUDE_DIR}")
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CMocka REQUIRED_VARS CMocka_LIBRARY)
mark_as_advanced(CMocka_INCLUDE_DIR CMocka_LIBRARY)
