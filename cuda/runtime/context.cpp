#include "cuda/runtime/context.h"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <vector>

#include "core/tensor/device_backend.h"
#include "core/tensor/error.h"
#include "cuda/runtime/error.h"

/// Defined in residua_cuda and in residua_host_cuda alike: a program that links both is an error.
extern const char residua_cuda_device_implementation[];
const char residua_cuda_device_implementation[] = "cuda";

namespace residua::cuda {
namespace {

cudaDeviceProp read_properties(int device) {
  RESIDUA_CUDA_CHECK(cudaSetDevice(device));
  cudaDeviceProp properties;
  RESIDUA_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties;
}

Stream make_stream(int device, int multiprocessors) {
  cudaStream_t stream = nullptr;
  RESIDUA_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return {device, multiprocessors, stream};
}

}  // namespace

Context::Context(int device)
    : device_(device),
      properties_(read_properties(device)),
      compute_(make_stream(device, properties_.multiProcessorCount)),
      copy_(make_stream(device, properties_.multiProcessorCount)) {}

Context& context(int index) {
  static std::mutex mutex;
  static auto* const contexts = new std::vector<std::unique_ptr<Context>>;
  const std::lock_guard lock(mutex);
  const int count = usable_devices();
  if (index < 0 || index >= count) {
    fail("device cuda:{} does not exist: this machine has {} usable CUDA devices", index, count);
  }
  contexts->resize(static_cast<size_t>(count));
  auto& slot = (*contexts)[static_cast<size_t>(index)];
  if (slot == nullptr) {
    slot = std::make_unique<Context>(index);
  }
  thread_local int current = -1;
  if (current != index) {
    RESIDUA_CUDA_CHECK(cudaSetDevice(index));
    current = index;
  }
  return *slot;
}

int usable_devices() noexcept {
  static const int count = [] {
    int found = 0;
    return cudaGetDeviceCount(&found) == cudaSuccess ? found : 0;
  }();
  return count;
}

int device_count() { return usable_devices(); }

device_api::DeviceDescription describe(int device) {
  const cudaDeviceProp& properties = context(device).properties();
  int runtime = 0;
  int driver = 0;
  RESIDUA_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  RESIDUA_CUDA_CHECK(cudaDriverGetVersion(&driver));
  return {properties.name,
          fmt::format("CUDA runtime {}.{}, driver for {}.{}", runtime / 1000, runtime % 1000 / 10, driver / 1000,
                      driver % 1000 / 10),
          properties.l2CacheSize};
}

Stream& current_stream(Device device) { return context(device.index).compute(); }

}  // namespace residua::cuda
