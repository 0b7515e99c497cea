#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "core/base/error.h"

namespace residua::cuda {

inline void check(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS) {
    static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
    fail("{} failed at {}:{}: {}", call, file, line, cudnnGetErrorString(status));
  }
}

inline void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
    fail("{} failed at {}:{}: {}", call, file, line, cublasLtGetStatusString(status));
  }
}

}  // namespace residua::cuda

/// Makes a cuDNN or cuBLASLt call and throws Error if it fails.
#define RESIDUA_CUDNN_CHECK(call) ::residua::cuda::check((call), #call, __FILE__, __LINE__)
#define RESIDUA_CUBLAS_CHECK(call) ::residua::cuda::check((call), #call, __FILE__, __LINE__)
