#include "cuda/runtime/error.h"

#include "core/tensor/error.h"

namespace residua::cuda {

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess) {
    fail("{} failed at {}:{}: {} ({})", call, file, line, cudaGetErrorString(status), cudaGetErrorName(status));
  }
}

}  // namespace residua::cuda
