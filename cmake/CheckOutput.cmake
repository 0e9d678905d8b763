# SPDX-License-Identifier: Apache-2.0
#
# Included by the scripts that mproc_check_output() generates.
#
# In CMake's regular expressions ^ and $ are the ends of the whole output, and
# [^\n]* is the rest of a line.

# run_program(<exit code> <program> <argument>...)
function(run_program expected_exit)
  # Wine needs no display and should not look for one.
  unset(ENV{DISPLAY})
  execute_process(COMMAND ${ARGN}
    RESULT_VARIABLE exit
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  string(REPLACE "\r\n" "\n" output "${output}")
  message("${output}")
  set(output "${output}" PARENT_SCOPE)
  if(NOT "${exit}" STREQUAL "${expected_exit}")
    message(FATAL_ERROR "exit code ${exit}, expected ${expected_exit}")
  endif()
endfunction()

function(expect_match regex)
  if(NOT output MATCHES "${regex}")
    message(SEND_ERROR "output does not match: ${regex}")
  endif()
endfunction()

function(expect_no_match regex)
  if(output MATCHES "${regex}")
    message(SEND_ERROR "output must not match: ${regex}")
  endif()
endfunction()
