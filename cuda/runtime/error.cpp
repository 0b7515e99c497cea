#include "cuda/runtime/error.h"

#include "core/base/error.h"

namespace residua::cuda {
namespace {

/// Errors that, by the CUDA Runtime API reference, leave the process in an inconsistent state.
bool ends_all(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorContained:
    case cudaErrorExternalDevice: return true;
    default: return false;
  }
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) {
    return;
  }
  const std::string message =
      fmt::format("{} failed at {}:{}: {} ({})", call, file, line, cudaGetErrorString(status), cudaGetErrorName(status));
  if (ends_all(status)) {
    throw DeviceFault(message);
  }
  if (status == cudaErrorMemoryAllocation) {
    throw OutOfMemory(message);
  }
  throw Error(message);
}

}  // namespace residua::cuda
