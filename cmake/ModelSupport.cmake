# SPDX-License-Identifier: Apache-2.0
#
# Models: tests that compile the library's own sources with steps in place of
# its shared memory, see tests/model/model.h; and mutations, which they must catch.

function(_mproc_add_model_program target source)
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE model_engine)
  # Most of the time is spent in running them; more than this only takes longer to compile.
  target_compile_options(${target} PRIVATE $<$<CONFIG:Debug>:-O1>)
  mproc_set_compiler_options(${target})
  # The sources have helpers that a model has no use for; last, as -Wall asks for them again.
  target_compile_options(${target} PRIVATE -Wno-unused-function)
endfunction()

# mproc_add_model(<name> <source>)
#
# One test model.<name>.
function(mproc_add_model name source)
  _mproc_add_model_program(model_${name} ${source})
  set_property(TARGET model_${name} PROPERTY MODEL_SOURCE ${source})
  target_include_directories(model_${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  add_test(NAME model.${name} COMMAND model_${name})
  set_tests_properties(model.${name} PROPERTIES TIMEOUT 600 LABELS model)
endfunction()

# mproc_add_mutation(<model> <mutation> <file in src> <text> <instead>)
#
# One test model.<model>.<mutation>: the model over a copy of a source in which a
# text, which must be there exactly once, is another. It must report a violation.
function(mproc_add_mutation model mutation file text instead)
  set(source "${PROJECT_SOURCE_DIR}/src/${file}")
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/mutations/${model}_${mutation}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  file(READ "${source}" content)
  string(REPLACE "${text}" "" without "${content}")
  string(LENGTH "${content}" length)
  string(LENGTH "${without}" length_without)
  string(LENGTH "${text}" length_text)
  math(EXPR removed "${length} - ${length_without}")
  if(NOT removed EQUAL length_text)
    message(FATAL_ERROR "mutation ${model}.${mutation}: this is not exactly once in ${file}:\n${text}")
  endif()
  if(NOT MPROC_BUILD_MUTATIONS)
    return()
  endif()
  string(REPLACE "${text}" "${instead}" content "${content}")
  # Only what is new is built anew.
  file(WRITE "${folder}/new" "${content}")
  configure_file("${folder}/new" "${folder}/${file}" COPYONLY)
  set(target "mutation_${model}_${mutation}")
  get_target_property(model_source model_${model} MODEL_SOURCE)
  _mproc_add_model_program(${target} ${model_source})
  target_include_directories(${target} PRIVATE "${folder}" "${PROJECT_SOURCE_DIR}/src")
  set(script "${CMAKE_CURRENT_BINARY_DIR}/mutations/${target}.cmake")
  file(GENERATE OUTPUT "${script}" CONTENT
"include([==[${PROJECT_SOURCE_DIR}/cmake/CheckOutput.cmake]==])
run_program(3 [==[$<TARGET_FILE:${target}>]==])
expect_match([==[VIOLATION]==])
")
  add_test(NAME model.${model}.${mutation} COMMAND "${CMAKE_COMMAND}" -P "${script}")
  set_tests_properties(model.${model}.${mutation} PROPERTIES TIMEOUT 600 LABELS model)
endfunction()
