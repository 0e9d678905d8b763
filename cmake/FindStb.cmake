# SPDX-License-Identifier: Apache-2.0
#
# Find the stb headers, so that <stb/stb_image.h> can be included.
#
#   Stb::Stb    imported target
#   Stb_FOUND   whether they were found

find_path(Stb_INCLUDE_DIR stb/stb_image.h)
if(NOT Stb_INCLUDE_DIR)
  # vcpkg has them without the folder; give them one.
  find_path(Stb_FLAT_DIR stb_image.h)
  mark_as_advanced(Stb_FLAT_DIR)
  if(Stb_FLAT_DIR)
    foreach(_stb_header IN ITEMS stb_image.h stb_image_write.h)
      configure_file("${Stb_FLAT_DIR}/${_stb_header}"
        "${CMAKE_BINARY_DIR}/stb/stb/${_stb_header}" COPYONLY)
    endforeach()
    set(Stb_INCLUDE_DIR "${CMAKE_BINARY_DIR}/stb" CACHE PATH "Folder of stb/stb_image.h" FORCE)
  endif()
endif()
mark_as_advanced(Stb_INCLUDE_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Stb REQUIRED_VARS Stb_INCLUDE_DIR)

if(Stb_FOUND AND NOT TARGET Stb::Stb)
  add_library(Stb::Stb INTERFACE IMPORTED)
  target_include_directories(Stb::Stb INTERFACE "${Stb_INCLUDE_DIR}")
  if(UNIX)
    target_link_libraries(Stb::Stb INTERFACE m)
  endif()
endif()
