#include "cuda/runtime/context.h"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/device_backend.h"
#include "cuda/runtime/error.h"

/// Defined in both residua_cuda and residua_host_cuda, so that a program that links both fails to link.
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

enum class Priority { usual, highest };

Stream make_stream(int device, int multiprocessors, Priority wanted) {
  int least = 0;
  int greatest = 0;
  RESIDUA_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaStream_t stream = nullptr;
  RESIDUA_CUDA_CHECK(
      cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, wanted == Priority::highest ? greatest : least));
  return {device, multiprocessors, stream};
}

struct DeviceCount {
  int count = 0;
  cudaError_t status = cudaSuccess;
};

const DeviceCount& count_devices() noexcept {
  static const DeviceCount found = [] {
    DeviceCount counted;
    counted.status = cudaGetDeviceCount(&counted.count);
    return counted.status == cudaSuccess ? counted : DeviceCount{0, counted.status};
  }();
  return found;
}

/// Versions such as "13.0"; empty if there is none.
struct Versions {
  std::string driver, runtime;
};

Versions versions() {
  const auto text = [](int version) { return version == 0 ? "" : fmt::format("{}.{}", version / 1000, version % 1000 / 10); };
  int driver = 0;
  int runtime = 0;
  RESIDUA_CUDA_CHECK(cudaDriverGetVersion(&driver));
  RESIDUA_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  return {text(driver), text(runtime)};
}

}  // namespace

Context::Context(int device)
    : device_(device),
      properties_(read_properties(device)),
      // Other ranks wait for what is communicated, so it does not queue behind this rank's kernels.
      streams_{make_stream(device, properties_.multiProcessorCount, Priority::usual),
               make_stream(device, properties_.multiProcessorCount, Priority::usual),
               make_stream(device, properties_.multiProcessorCount, Priority::highest)} {}

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

int usable_devices() noexcept { return count_devices().count; }

int device_count() { return usable_devices(); }

std::string why_no_device() {
  const auto [driver, runtime] = versions();
  if (driver.empty()) {
    return "no NVIDIA driver is loaded";
  }
  const auto [count, status] = count_devices();
  return status == cudaSuccess ? "the driver sees none"
                               : fmt::format("{}: this program uses CUDA {}, but the driver supports {}",
                                             cudaGetErrorString(status), runtime, driver);
}

device_api::DeviceDescription describe(int device) {
  const cudaDeviceProp& properties = context(device).properties();
  const auto [driver, runtime] = versions();
  return {.name = properties.name,
          .software = fmt::format("CUDA runtime {}, driver for {}", runtime, driver),
          .cache_bytes = properties.l2CacheSize};
}

Stream& current_stream(Device device) { return context(device.index).compute(); }

Stream& stream(Device device, device_api::StreamKind kind) { return context(device.index).stream(kind); }

}  // namespace residua::cuda
