# LibTorch from the PyPI wheel. `find_package(Torch)` of a CUDA wheel demands the CUDA toolkit even
# for a CPU build, so the libraries are linked directly.
# Target: LibTorch::LibTorch. Inputs: ANTIDIFFUSION_TORCH_DIR (…/site-packages/torch; found in .venv
# when empty), ANTIDIFFUSION_CUDA. Sets LibTorch_CUDA: whether the CUDA half is linked.
set(ANTIDIFFUSION_TORCH_DIR "" CACHE PATH "The torch folder of a site-packages")
set(_torch_dir ${ANTIDIFFUSION_TORCH_DIR})
if(NOT _torch_dir)
  file(GLOB _torch_dirs ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  if(_torch_dirs)
    list(GET _torch_dirs 0 _torch_dir)
  endif()
endif()
find_path(LibTorch_INCLUDE_DIR torch/types.h
          PATHS ${_torch_dir}/include/torch/csrc/api/include NO_DEFAULT_PATH NO_CACHE)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${_torch_dir}/lib NO_DEFAULT_PATH NO_CACHE)
find_library(LibTorch_C10_LIBRARY c10 PATHS ${_torch_dir}/lib NO_DEFAULT_PATH NO_CACHE)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch REQUIRED_VARS LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  REASON_FAILURE_MESSAGE "run scripts/setup, or set ANTIDIFFUSION_TORCH_DIR")

# AUTO: where a GPU is to be seen and all of the wheel's NVIDIA packages are installed.
set(LibTorch_CUDA ${ANTIDIFFUSION_CUDA})
if(LibTorch_CUDA STREQUAL "AUTO")
  file(GLOB _cudnn ${_torch_dir}/../nvidia/cudnn/lib/libcudnn.so*)
  if(_cudnn AND (EXISTS /dev/nvidiactl OR EXISTS /dev/dxg))
    set(LibTorch_CUDA ON)
  else()
    set(LibTorch_CUDA OFF)
  endif()
endif()

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set_target_properties(
    LibTorch::LibTorch
    PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_torch_dir}/include;${LibTorch_INCLUDE_DIR}"
               INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
               "${_torch_dir}/include;${LibTorch_INCLUDE_DIR}")
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY}
                                                     ${LibTorch_C10_LIBRARY})
  # The wheel's libraries look for the NVIDIA packages beside them.
  file(GLOB _nvidia_lib_dirs ${_torch_dir}/../nvidia/*/lib)
  target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath,${_torch_dir}/lib")
  foreach(_dir ${_nvidia_lib_dirs})
    target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_dir}")
  endforeach()
  if(LibTorch_CUDA)
    # Nothing refers to a symbol of the CUDA half (it registers itself), so it must be kept.
    target_link_libraries(
      LibTorch::LibTorch INTERFACE "-Wl,--no-as-needed" ${_torch_dir}/lib/libtorch_cuda.so
                                   ${_torch_dir}/lib/libc10_cuda.so "-Wl,--as-needed")
    target_compile_definitions(LibTorch::LibTorch INTERFACE ANTIDIFFUSION_CUDA=1)
  endif()
endif()
