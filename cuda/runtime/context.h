#pragma once

#include <cuda_runtime_api.h>

#include <array>

#include "core/device/device_api.h"
#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// A CUDA device of this process: its streams and properties. Created at first use, never destroyed.
class Context {
 public:
  explicit Context(int device);

  int device() const { return device_; }
  const cudaDeviceProp& properties() const { return properties_; }
  Stream& stream(device_api::StreamKind kind) { return streams_[static_cast<size_t>(kind)]; }
  Stream& compute() { return stream(device_api::StreamKind::compute); }

 private:
  int device_;
  cudaDeviceProp properties_;
  std::array<Stream, device_api::kStreamKinds> streams_;
};

/// The context of device `index`. Makes it this thread's current device. Throws Error if there is no such device.
Context& context(int index);

/// Number of usable devices; 0 without a driver.
int usable_devices() noexcept;

inline cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

}  // namespace residua::cuda
