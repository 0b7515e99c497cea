# Finds cuDNN 9 as the target cuDNN::cudnn. Looks in CUDNN_ROOT (a variable or the environment's), in cuDNN_HINTS, and in the
# CUDA toolkit. Sets cuDNN_FOUND, CUDNN_INCLUDE_DIR and CUDNN_LIBRARY; give these two to choose another one.
set(places ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${cuDNN_HINTS} ${CUDAToolkit_ROOT} $ENV{CUDA_HOME} /usr/local/cuda)
foreach(folder IN LISTS CUDAToolkit_LIBRARY_DIR)
  cmake_path(GET folder PARENT_PATH folder)
  list(APPEND places ${folder})
endforeach()
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${places} PATH_SUFFIXES include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${places} PATH_SUFFIXES lib64 lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cuDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "give -DCUDNN_ROOT=<folder that has include/cudnn.h and lib/libcudnn.so>")
if(cuDNN_FOUND AND NOT TARGET cuDNN::cudnn)
  add_library(cuDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(cuDNN::cudnn PROPERTIES IMPORTED_LOCATION ${CUDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CUDNN_INCLUDE_DIR})
endif()
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
