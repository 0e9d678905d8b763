# SPDX-License-Identifier: Apache-2.0
#
# The dialect and warnings of this project's own code. They are private options
# of its targets: a project that embeds mproc is left as it is.

# mproc_set_compiler_options(<target>)
function(mproc_set_compiler_options target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11
    C_STANDARD_REQUIRED ON
    C_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden)

  if(MSVC)
    # <stdatomic.h> is still called experimental there; it needs VS 2022 17.5.
    target_compile_options(${target} PRIVATE
      /W4 /utf-8 /experimental:c11atomics $<$<BOOL:${MPROC_WERROR}>:/WX>)
    target_compile_definitions(${target} PRIVATE _CRT_SECURE_NO_WARNINGS _CRT_NONSTDC_NO_WARNINGS)
  else()
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic
      -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla
      $<$<BOOL:${MPROC_WERROR}>:-Werror>)
    if(MINGW)
      # APR's formats for 64-bit numbers are Microsoft's there.
      target_compile_options(${target} PRIVATE -Wno-pedantic-ms-format)
    endif()
  endif()

  # A strict dialect hides what is not ISO C; ask for the system's own names.
  target_compile_definitions(${target} PRIVATE
    $<$<PLATFORM_ID:Linux>:_GNU_SOURCE>
    $<$<PLATFORM_ID:Darwin>:_DARWIN_C_SOURCE>
    $<$<PLATFORM_ID:NetBSD>:_NETBSD_SOURCE>
    $<$<PLATFORM_ID:Windows>:_WIN32_WINNT=0x0A00>
    $<$<PLATFORM_ID:Windows>:WIN32_LEAN_AND_MEAN>)
endfunction()
