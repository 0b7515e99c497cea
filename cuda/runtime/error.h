#pragma once

#include <cuda_runtime_api.h>

namespace residua::cuda {

/// Throws Error unless `status` is success. The message has the call, CUDA's error text and the source line. Throws DeviceFault
/// if every later call of this process would fail too.
void check(cudaError_t status, const char* call, const char* file, int line);

}  // namespace residua::cuda

/// Makes a CUDA call and throws if it fails. May also report errors of earlier asynchronous work.
#define RESIDUA_CUDA_CHECK(call) ::residua::cuda::check((call), #call, __FILE__, __LINE__)
