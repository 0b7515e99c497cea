// Device memory, copies and pinned host memory: the CUDA implementation of core/device/device_backend.h.
#include <mutex>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/device/device_backend.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/error.h"

namespace residua::cuda {

using device_api::StreamKind;

void* allocate(int device, int64_t bytes) noexcept {
  try {
    context(device);
  } catch (const Error& error) {
    warn("{}", error.what());
    return nullptr;
  }
  void* data = nullptr;
  if (cudaMalloc(&data, static_cast<size_t>(bytes)) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
    return nullptr;
  }
  return data;
}

void deallocate(int, void* data, int64_t) noexcept {
  if (const cudaError_t status = cudaFree(data); status != cudaSuccess) {
    warn("cudaFree failed: {}", cudaGetErrorString(status));
  }
}

void set_bytes(int device, void* data, unsigned char value, int64_t bytes) {
  RESIDUA_CUDA_CHECK(cudaMemsetAsync(data, value, static_cast<size_t>(bytes), native(context(device).compute())));
}

void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind queue) {
  const bool to_host = to.type == Device::Type::cpu;
  Context& at = context(to_host ? from.index : to.index);
  const cudaStream_t stream = native(at.stream(queue));
  if (!to_host && from.type == Device::Type::cuda && from.index != to.index) {
    // The source device may still be writing.
    RESIDUA_CUDA_CHECK(cudaStreamSynchronize(native(context(from.index).compute())));
    context(to.index);
  }
  RESIDUA_CUDA_CHECK(cudaMemcpyAsync(destination, source, static_cast<size_t>(bytes), cudaMemcpyDefault, stream));
  if (to_host) {
    RESIDUA_CUDA_CHECK(cudaStreamSynchronize(stream));
  }
}

void synchronize(int device) {
  Context& at = context(device);
  for (const StreamKind kind : {StreamKind::copy, StreamKind::communication, StreamKind::compute}) {
    RESIDUA_CUDA_CHECK(cudaStreamSynchronize(native(at.stream(kind))));
  }
}

bool native(int device, DType dtype) {
  const int major = context(device).properties().major;
  return dtype == DType::f32 || (dtype == DType::f16 && major >= 7) || (dtype == DType::bf16 && major >= 8);
}

MemorySpace memory_space(int device) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  const Context& at = context(device);
  RESIDUA_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  return {.free_bytes = static_cast<int64_t>(free_bytes),
          .total_bytes = static_cast<int64_t>(total_bytes),
          .limit = at.properties().name};
}

bool pin(int device, void* data, int64_t bytes) {
  context(device);
  const cudaError_t status = cudaHostRegister(data, static_cast<size_t>(bytes), cudaHostRegisterDefault);
  if (status == cudaSuccess) {
    return true;
  }
  static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
  static std::once_flag warned;
  std::call_once(warned, [&] {
    warn("host memory cannot be pinned ({}; see ulimit -l): uploads are slower", cudaGetErrorString(status));
  });
  return false;
}

void unpin(int, void* data) noexcept {
  if (const cudaError_t status = cudaHostUnregister(data); status != cudaSuccess) {
    warn("cudaHostUnregister failed: {}", cudaGetErrorString(status));
  }
}

}  // namespace residua::cuda
