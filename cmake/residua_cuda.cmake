# Decides whether the CUDA device is built. RESIDUA_CUDA=AUTO builds it where a CUDA compiler is found, ON insists, OFF leaves it out.
# Sets RESIDUA_BUILD_CUDA. A build without it is complete: it has the CPU device.
set(RESIDUA_BUILD_CUDA OFF)
if(RESIDUA_CUDA STREQUAL "OFF")
  return()
elseif(NOT RESIDUA_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "RESIDUA_CUDA is '${RESIDUA_CUDA}'; it can be AUTO, ON or OFF")
endif()

file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu ${PROJECT_SOURCE_DIR}/cuda/*.cpp)
if(NOT cuda_sources)
  if(RESIDUA_CUDA STREQUAL "ON")
    message(WARNING "RESIDUA_CUDA=ON, but the CUDA device is not part of this version: building the CPU device only")
  endif()
  return()
endif()

# tools/setup --cuda puts a toolkit into .venv/cuda.
find_program(RESIDUA_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME PATHS ${PROJECT_SOURCE_DIR}/.venv/cuda /usr/local/cuda PATH_SUFFIXES bin)
if(NOT RESIDUA_NVCC)
  if(RESIDUA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "RESIDUA_CUDA=ON, but nvcc was not found. Run tools/setup --cuda, or give -DRESIDUA_NVCC=<path of nvcc>.")
  endif()
  message(STATUS "CUDA device: not built, nvcc was not found")
  return()
endif()

# `native` would need a GPU while configuring.
set(CMAKE_CUDA_ARCHITECTURES 80 90 CACHE STRING "GPU architectures to build for")
set(CMAKE_CUDA_COMPILER ${RESIDUA_NVCC} CACHE FILEPATH "The CUDA compiler")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(RESIDUA_BUILD_CUDA ON)
message(STATUS "CUDA device: built with ${RESIDUA_NVCC} for ${CMAKE_CUDA_ARCHITECTURES}")

# CMake 3.25 does not know that nvcc 13 takes C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
add_library(residua_cuda STATIC ${cuda_sources})
set_target_properties(residua_cuda PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF)
target_compile_options(residua_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings -Xcompiler=-Wall,-Wextra>)
target_link_libraries(residua_cuda PUBLIC residua_options CUDA::cudart)
target_compile_definitions(residua_cuda PUBLIC RESIDUA_WITH_CUDA)
