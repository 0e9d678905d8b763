# SPDX-License-Identifier: Apache-2.0
#
# cmake -D PROGRAM=<file> -D PAGE=<file> -P CheckQuoted.cmake
#
# A page shows a program word for word, but for its first line, the licence.
file(READ "${PROGRAM}" program)
file(READ "${PAGE}" page)
string(FIND "${program}" "\n" end)
math(EXPR end "${end} + 1")
string(SUBSTRING "${program}" ${end} -1 program)
string(FIND "${page}" "```c\n${program}```\n" place)
if(place LESS 0)
  message(FATAL_ERROR "${PAGE} does not show ${PROGRAM} as it is")
endif()
