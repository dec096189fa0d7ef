# Torch's headers take longer to read than nearly every file of ours takes to compile: targets that
# include them share a copy that is read once, the library's files one and the tests another with
# GoogleTest in it. A file still names all that it includes: clang-tidy reads it without.
#
#   antidiffusion_use_torch_headers(TARGET [TEST])
add_library(torch_headers OBJECT ${CMAKE_CURRENT_LIST_DIR}/precompiled.cc)
target_link_libraries(torch_headers PRIVATE antidiffusion_flags LibTorch::LibTorch)
target_precompile_headers(torch_headers PRIVATE <ATen/ATen.h> <torch/nn/module.h>)
if(ANTIDIFFUSION_TESTS)
  add_library(torch_test_headers OBJECT EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/precompiled.cc)
  target_link_libraries(torch_test_headers PRIVATE antidiffusion_flags LibTorch::LibTorch
                                                   GTest::gmock)
  target_precompile_headers(torch_test_headers PRIVATE <ATen/ATen.h> <torch/nn/module.h>
                            <gmock/gmock.h> <gtest/gtest.h>)
endif()

function(antidiffusion_use_torch_headers target)
  if("TEST" IN_LIST ARGN)
    target_precompile_headers(${target} REUSE_FROM torch_test_headers)
  else()
    target_precompile_headers(${target} REUSE_FROM torch_headers)
  endif()
endfunction()

# Keeps ccache of use, with its settings in Dependencies.cmake.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(antidiffusion_flags INTERFACE -fpch-preprocess)
endif()
