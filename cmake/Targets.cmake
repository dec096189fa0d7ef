# The three kinds of target. A folder of core/ is one static library that links only what its row
# of the architecture table allows; tests/architecture holds the includes to the same table.
add_library(antidiffusion_flags INTERFACE)
target_compile_options(
  antidiffusion_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Holds for headers; a batch includes sources.
  target_compile_options(antidiffusion_flags INTERFACE -Wno-subobject-linkage)
endif()
target_include_directories(antidiffusion_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(ANTIDIFFUSION_SANITIZER STREQUAL "address")
  set(_sanitize -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  set(_sanitize_link ${_sanitize})
elseif(ANTIDIFFUSION_SANITIZER STREQUAL "thread")
  set(_sanitize -fsanitize=thread)
  set(_sanitize_link ${_sanitize})
elseif(ANTIDIFFUSION_SANITIZER STREQUAL "fuzzer")
  # Warnings are for GCC and clang-tidy to judge; this build is there to run.
  set(_sanitize -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
                -Wno-error)
  set(_sanitize_link -fsanitize=address,undefined)
endif()
if(ANTIDIFFUSION_SANITIZER)
  target_compile_options(antidiffusion_flags INTERFACE ${_sanitize} -g1 -O1 -fno-omit-frame-pointer)
  # What no sanitizer sees: an empty optional that is read, an index past the end within capacity.
  target_compile_definitions(antidiffusion_flags INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(antidiffusion_flags INTERFACE ${_sanitize_link})
endif()

include(PrecompiledHeaders)

# antidiffusion_library(NAME SOURCES a.cc ... DEPS public ... PRIVATE_DEPS private ...)
function(antidiffusion_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC antidiffusion_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
    if(LibTorch::LibTorch IN_LIST ARG_DEPS OR LibTorch::LibTorch IN_LIST ARG_PRIVATE_DEPS)
      antidiffusion_use_torch_headers(${name})
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE antidiffusion_flags ${ARG_DEPS})
  endif()
endfunction()

# antidiffusion_program(NAME SOURCES main.cc DEPS ...)
function(antidiffusion_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE antidiffusion_flags ${ARG_DEPS})
endfunction()

# antidiffusion_test(NAME SOURCES x_test.cc ... DEPS ... [LABELS slow gpu] [TORCH])
# One program, one ctest entry. Tests read their data below ANTIDIFFUSION_SOURCE_DIR. TORCH: most of
# its sources include torch.
function(antidiffusion_test name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE antidiffusion_flags ${ARG_DEPS} GTest::gmock_main)
  if(ARG_TORCH)
    antidiffusion_use_torch_headers(${name} TEST)
  endif()
  target_compile_definitions(${name} PRIVATE ANTIDIFFUSION_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  # One OpenMP thread: the tests run side by side, and spinning threads would fight for the cores.
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 1200
                                          ENVIRONMENT "OMP_NUM_THREADS=1")
endfunction()
