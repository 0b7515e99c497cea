# Decides whether the CUDA device is built. RESIDUA_CUDA=AUTO builds it where a CUDA compiler is found, ON insists, OFF leaves it out.
# Sets RESIDUA_BUILD_CUDA. A build without it is complete: it has the CPU device.
set(RESIDUA_BUILD_CUDA OFF)
if(RESIDUA_CUDA STREQUAL "OFF")
  return()
elseif(NOT RESIDUA_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "RESIDUA_CUDA is '${RESIDUA_CUDA}'; it can be AUTO, ON or OFF")
endif()

file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu ${PROJECT_SOURCE_DIR}/cuda/*.cpp)
# cuda/host is the device that runs the same kernels on the CPU, for tests.
list(FILTER cuda_sources EXCLUDE REGEX "/cuda/host/")
if(NOT cuda_sources)
  if(RESIDUA_CUDA STREQUAL "ON")
    message(WARNING "RESIDUA_CUDA=ON, but the CUDA device is not part of this version: building the CPU device only")
  endif()
  return()
endif()

# tools/setup --cuda puts a toolkit into .venv/cuda where it finds none that goes with its libraries.
find_program(RESIDUA_NVCC nvcc HINTS ENV CUDACXX ${PROJECT_SOURCE_DIR}/.venv/cuda ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT RESIDUA_NVCC)
  if(RESIDUA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "RESIDUA_CUDA=ON, but nvcc was not found. Run tools/setup --cuda, or give -DRESIDUA_NVCC=<path of nvcc>.")
  endif()
  message(STATUS "CUDA device: not built, nvcc was not found")
  return()
endif()

# The vendor's libraries, from the toolkit or from the wheels that tools/setup --cuda puts into .venv.
file(GLOB wheels ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages)
cmake_path(GET RESIDUA_NVCC PARENT_PATH toolkit)
cmake_path(GET toolkit PARENT_PATH toolkit)
set(cuDNN_HINTS ${toolkit} ${wheels}/nvidia/cudnn)
find_package(cuDNN MODULE)
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${CUDNN_FRONTEND_ROOT} ${wheels} PATH_SUFFIXES include)
foreach(found CUDNN_INCLUDE_DIR CUDNN_LIBRARY CUDNN_FRONTEND_INCLUDE_DIR)
  if(NOT ${found})
    if(RESIDUA_CUDA STREQUAL "ON")
      message(FATAL_ERROR "RESIDUA_CUDA=ON, but ${found} was not found. Run tools/setup --cuda, or give -D${found}=<path>.")
    endif()
    message(STATUS "CUDA device: not built, ${found} was not found (tools/setup --cuda)")
    return()
  endif()
endforeach()

# Runs on several GPUs. A build without it is complete for one. Nonblocking connections came with 2.14.
set(RESIDUA_NCCL AUTO CACHE STRING "Connect GPUs by NCCL: AUTO (where it is found), ON or OFF")
set_property(CACHE RESIDUA_NCCL PROPERTY STRINGS AUTO ON OFF)
if(NOT RESIDUA_NCCL MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "RESIDUA_NCCL is '${RESIDUA_NCCL}'; it can be AUTO, ON or OFF")
endif()
set(NCCL_FOUND OFF)
if(NOT RESIDUA_NCCL STREQUAL "OFF")
  set(NCCL_HINTS ${toolkit} ${wheels}/nvidia/nccl)
  find_package(NCCL 2.14 MODULE)
  if(RESIDUA_NCCL STREQUAL "ON" AND NOT NCCL_FOUND)
    message(FATAL_ERROR "RESIDUA_NCCL=ON, but NCCL was not found. Run tools/setup --cuda, or give -DNCCL_ROOT=<folder>.")
  endif()
endif()

# `native` would need a GPU while configuring.
execute_process(COMMAND ${RESIDUA_NVCC} --list-gpu-arch OUTPUT_VARIABLE known_architectures COMMAND_ERROR_IS_FATAL ANY)
set(architectures 80 90)
if(known_architectures MATCHES "compute_100[^0-9a-z]")
  list(APPEND architectures 100)
endif()
set(CMAKE_CUDA_ARCHITECTURES ${architectures} CACHE STRING "GPU architectures to build for")
set(CMAKE_CUDA_COMPILER ${RESIDUA_NVCC} CACHE FILEPATH "The CUDA compiler")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(RESIDUA_BUILD_CUDA ON)
message(STATUS "CUDA device: built with ${RESIDUA_NVCC} for ${CMAKE_CUDA_ARCHITECTURES}, cuDNN ${CUDNN_LIBRARY}")

# CMake 3.25 does not know that nvcc 13 takes C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
add_library(residua_cuda STATIC ${cuda_sources})
set_target_properties(residua_cuda PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF)
# Registers that spill and arrays that end up in local memory, which is device memory, are errors like any other warning.
set(RESIDUA_CUDA_OPTIONS --Werror=all-warnings -Xcompiler=-Wall,-Wextra -Xptxas=-warn-spills,-warn-lmem-usage)
target_compile_options(residua_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${RESIDUA_CUDA_OPTIONS}>)
target_compile_options(residua_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=>${RESIDUA_RELATIVE_PATHS}
  $<$<COMPILE_LANGUAGE:CXX>:-fmacro-prefix-map=${CUDNN_FRONTEND_INCLUDE_DIR}/=>)
target_include_directories(residua_cuda SYSTEM PRIVATE ${CUDNN_FRONTEND_INCLUDE_DIR})
target_link_libraries(residua_cuda PUBLIC residua_interface CUDA::cudart_static cuDNN::cudnn CUDA::cublasLt
  PRIVATE $<BUILD_INTERFACE:residua_private>)
target_compile_definitions(residua_cuda PUBLIC RESIDUA_WITH_CUDA)
if(NCCL_FOUND)
  target_link_libraries(residua_cuda PUBLIC NCCL::nccl)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/cuda/libraries/nccl.cpp PROPERTIES COMPILE_DEFINITIONS RESIDUA_WITH_NCCL)
else()
  message(STATUS "CUDA device: one GPU only, NCCL was not found or is switched off")
endif()
# A target that links this and its twin cuda/host does not configure.
set_target_properties(residua_cuda PROPERTIES INTERFACE_RESIDUA_CUDA_DEVICE cuda COMPATIBLE_INTERFACE_STRING RESIDUA_CUDA_DEVICE)
# The frontend's unused functions call the driver's library, which a machine without a GPU has not got: they must not survive.
set_source_files_properties(${PROJECT_SOURCE_DIR}/cuda/libraries/cudnn_graph.cpp PROPERTIES
  COMPILE_OPTIONS $<$<CONFIG:Debug>:-O1>)
