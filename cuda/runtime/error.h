#pragma once

#include <cuda_runtime_api.h>

namespace residua::cuda {

/// Throws Error with the call, what CUDA says of it, and where it stands, unless `status` is a success; DeviceFault where every
/// later call of this process would fail too.
void check(cudaError_t status, const char* call, const char* file, int line);

}  // namespace residua::cuda

/// Runs a CUDA call and throws if it fails. An error of earlier asynchronous work can show here too.
#define RESIDUA_CUDA_CHECK(call) ::residua::cuda::check((call), #call, __FILE__, __LINE__)
