# SPDX-License-Identifier: Apache-2.0
#
# A run with failures, whose log is cut off as if it had been killed, and two
# more that go on with it. One test, since each step needs the one before.
#
#   cmake -D PROGRAM=<mproc-parallel> -D TOOL=<parallel-tool> -D COMMON=<CheckOutput.cmake> -P resume.cmake

include("${COMMON}")

file(WRITE in/resume "echo first\nonce resume.file\necho third\n")
file(REMOVE resume.file)
set(run ${PROGRAM} -a in/resume -j 1 --joblog resume.log)
set(times "\t[0-9]+[.][0-9]+\t[0-9]+[.][0-9]+")

function(expect_log)
  file(READ resume.log log)
  list(JOIN ARGN "\n" regex)
  if(NOT log MATCHES "^${regex}\n$")
    message(SEND_ERROR "the log does not match ${regex}:\n${log}")
  endif()
endfunction()

run_program(1 ${run} ${TOOL})
expect_match("^first\r*\nthird\r*\n$")
expect_log("1${times}\t0\t1\techo first" "2${times}\t1\t1\tonce resume.file" "3${times}\t0\t1\techo third")

file(READ resume.log log)
string(LENGTH "${log}" length)
math(EXPR length "${length} - 5")
string(SUBSTRING "${log}" 0 ${length} log)
file(WRITE resume.log "${log}")
run_program(0 ${run} --resume ${TOOL})
expect_match("^third\r*\n$")
expect_log("1${times}\t0\t1\techo first" "2${times}\t1\t1\tonce resume.file" "2${times}\t0\t1\tonce resume.file"
  "3${times}\t0\t1\techo third")

run_program(0 ${run} --resume ${TOOL})
expect_match("^$")

# Another line in the place of one that had succeeded.
file(WRITE in/resume "echo first\necho second\necho third\n")
run_program(0 ${run} --resume ${TOOL})
expect_match("^second\r*\n$")
