# SPDX-License-Identifier: Apache-2.0
#
# The installed package: headers, library, CMake package, pkg-config file.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/mproc")

install(DIRECTORY include/mproc
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h")

install(TARGETS mproc EXPORT mprocTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# CMake: find_package(mproc)
install(EXPORT mprocTargets NAMESPACE mproc:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/mprocConfig.cmake.in mprocConfig.cmake
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(mprocConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
    "${CMAKE_CURRENT_BINARY_DIR}/mprocConfig.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/mprocConfigVersion.cmake"
    cmake/FindAPR.cmake
  DESTINATION "${package_dir}")

# pkg-config mproc
#
# With relative install folders the prefix follows the .pc file, so that the
# installed tree can be moved; with absolute ones it is as configured.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()

if(WIN32)
  set(pc_private_libs "-lws2_32 -lsynchronization")
else()
  set(pc_private_libs "${CMAKE_THREAD_LIBS_INIT}")
  foreach(library IN LISTS CMAKE_DL_LIBS)
    string(APPEND pc_private_libs " -l${library}")
  endforeach()
  if(MPROC_SHM_OPEN_IN_RT)
    string(APPEND pc_private_libs " -lrt")
  endif()
endif()

# A static library's own needs are its users' needs, without --static too.
get_target_property(type mproc TYPE)
if(type STREQUAL "STATIC_LIBRARY")
  set(pc_cflags "-DMPROC_STATIC")
  set(pc_libs "${pc_private_libs}")
  set(pc_private_libs "")
endif()

configure_file(cmake/mproc.pc.in mproc.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/mproc.pc"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
