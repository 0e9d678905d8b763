# SPDX-License-Identifier: Apache-2.0
#
# The functions with which tests and examples register themselves.

# A program's path as the program under test must see it. Wine shows the Unix
# file system as drive Z:.
if(WIN32 AND CMAKE_HOST_UNIX)
  set(MPROC_PATH_PREFIX "Z:")
else()
  set(MPROC_PATH_PREFIX "")
endif()

# The start methods of this system, in the order of the documentation.
if(WIN32)
  set(MPROC_START_METHODS spawn thread)
else()
  set(MPROC_START_METHODS fork forkserver spawn thread)
endif()

# The presets of sanitizers set it.
set(MPROC_TEST_SLOWDOWN 1 CACHE STRING "How much longer than usual tests may take")

# mproc_add_test_program(<name> [SOURCES <file>...] [LIBS <target>...])
#
# A helper program that tests start, from programs/<name>.c.
function(mproc_add_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  if(NOT arg_SOURCES)
    set(arg_SOURCES programs/${name}.c)
  endif()
  add_executable(program_${name} ${arg_SOURCES})
  target_link_libraries(program_${name} PRIVATE mproc_testing ${arg_LIBS})
  mproc_set_compiler_options(program_${name})
  set_target_properties(program_${name} PROPERTIES
    OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/programs")
endfunction()

# An executable of tests, linked with CMocka and the white-box library. The path
# of each helper program <p> is defined as PROGRAM_<P>.
function(_mproc_add_test_executable name sources programs libs)
  if(NOT sources)
    set(sources ${name}.c)
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE mproc_testing CMocka::CMocka ${libs})
  mproc_set_compiler_options(${name})
  foreach(program IN LISTS programs)
    string(MAKE_C_IDENTIFIER "PROGRAM_${program}" macro)
    string(TOUPPER ${macro} macro)
    target_compile_definitions(${name} PRIVATE
      "${macro}=\"${MPROC_PATH_PREFIX}$<TARGET_FILE:program_${program}>\"")
    add_dependencies(${name} program_${program})
  endforeach()
endfunction()

# mproc_set_test_properties(<test> <seconds> <environment> [<label>...])
#
# For a test that takes less than that where nothing is slow. It finds in its
# environment how slow it may be. The harness ends a test that hangs after 60 s, and
# tells which one and what it printed, so CTest is to wait longer.
function(mproc_set_test_properties test seconds environment)
  math(EXPR timeout "(${seconds} + 60) * ${MPROC_TEST_SLOWDOWN}")
  if(MPROC_TEST_SLOWDOWN GREATER 1)
    list(APPEND environment MPROC_TEST_SLOWDOWN=${MPROC_TEST_SLOWDOWN})
  endif()
  set_tests_properties(${test} PROPERTIES
    TIMEOUT ${timeout}
    LABELS "${ARGN}"
    ENVIRONMENT "${environment}")
endfunction()

# mproc_add_test(<name> [SOURCES <file>...] [PROGRAMS <program>...]
#                [LIBS <target>...] [LABELS <label>...] [TIMEOUT <seconds>])
#
# One CMocka executable, by default from <name>.c; one CTest test, which takes less
# than TIMEOUT (default 60 s) where nothing is slow.
function(mproc_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;PROGRAMS;LIBS;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  _mproc_add_test_executable(${name} "${arg_SOURCES}" "${arg_PROGRAMS}" "${arg_LIBS}")
  add_test(NAME ${name} COMMAND ${name})
  mproc_set_test_properties(${name} ${arg_TIMEOUT} "" ${arg_LABELS})
endfunction()

# mproc_add_conformance(<name> [METHODS <method>...] ...as mproc_add_test...)
#
# One executable, by default from <name>.c, run once for each start method that
# this system has: tests <name>.<method>, labelled with the method, which the
# program finds in MPROC_TEST_METHOD.
function(mproc_add_conformance name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "METHODS;SOURCES;PROGRAMS;LIBS;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(NOT arg_METHODS)
    set(arg_METHODS ${MPROC_START_METHODS})
  endif()
  _mproc_add_test_executable(${name} "${arg_SOURCES}" "${arg_PROGRAMS}" "${arg_LIBS}")
  foreach(method IN LISTS arg_METHODS)
    if(method IN_LIST MPROC_START_METHODS)
      add_test(NAME ${name}.${method} COMMAND ${name})
      mproc_set_test_properties(${name}.${method} ${arg_TIMEOUT} MPROC_TEST_METHOD=${method}
        conformance ${method} ${arg_LABELS})
    endif()
  endforeach()
endfunction()

# mproc_check_output(<target> [AS <suffix>] [ARGS <argument>...]
#                    [MATCH <regex>...] [REJECT <regex>...] [EXIT <code>]
#                    [ENV <name=value>...] [LABELS <label>...] [TIMEOUT <seconds>])
#
# A CTest test example.<target>[.<suffix>] that runs a program and checks its
# exit code (default 0) and its output: every MATCH must be found in it, no
# REJECT may be. Standard error counts as output. The check is a CMake script,
# so it works wherever the program does, under Wine too.
function(mproc_check_output target)
  set(suffix "")
  set(exit 0)
  set(timeout 60)
  set(labels example)
  set(environment "")
  set(arguments "")
  set(checks "")

  # Walked by hand: regular expressions are full of brackets, and CMake's lists
  # do not keep those apart.
  set(keyword "")
  math(EXPR last "${ARGC} - 1")
  foreach(i RANGE 1 ${last})
    set(value "${ARGV${i}}")
    if(i GREATER last)
      break()
    elseif(value MATCHES "^(AS|ARGS|MATCH|REJECT|EXIT|ENV|LABELS|TIMEOUT)$")
      set(keyword ${value})
    elseif(keyword STREQUAL "AS")
      set(suffix ".${value}")
    elseif(keyword STREQUAL "EXIT")
      set(exit "${value}")
    elseif(keyword STREQUAL "TIMEOUT")
      set(timeout "${value}")
    elseif(keyword STREQUAL "LABELS")
      list(APPEND labels "${value}")
    elseif(keyword STREQUAL "ENV")
      list(APPEND environment "${value}")
    elseif(keyword STREQUAL "ARGS")
      string(APPEND arguments " [==[${value}]==]")
    elseif(keyword STREQUAL "MATCH")
      string(APPEND checks "expect_match([==[${value}]==])\n")
    elseif(keyword STREQUAL "REJECT")
      string(APPEND checks "expect_no_match([==[${value}]==])\n")
    else()
      message(FATAL_ERROR "mproc_check_output: unexpected argument '${value}'")
    endif()
  endforeach()

  set(emulator "")
  foreach(word IN LISTS CMAKE_CROSSCOMPILING_EMULATOR)
    string(APPEND emulator "[==[${word}]==] ")
  endforeach()

  set(test "example.${target}${suffix}")
  set(script "${CMAKE_CURRENT_BINARY_DIR}/checks/${test}.cmake")
  file(GENERATE OUTPUT "${script}" CONTENT
"include([==[${PROJECT_SOURCE_DIR}/cmake/CheckOutput.cmake]==])
run_program(${exit} ${emulator}[==[$<TARGET_FILE:${target}>]==]${arguments})
${checks}")
  add_test(NAME ${test} COMMAND "${CMAKE_COMMAND}" -P "${script}")
  set_tests_properties(${test} PROPERTIES
    TIMEOUT ${timeout}
    LABELS "${labels}"
    ENVIRONMENT "${environment}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
endfunction()
