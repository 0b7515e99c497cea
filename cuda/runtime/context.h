#pragma once

#include <cuda_runtime_api.h>

#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// A CUDA device of this process: its streams and properties. Created at first use, never destroyed.
class Context {
 public:
  explicit Context(int device);

  int device() const { return device_; }
  const cudaDeviceProp& properties() const { return properties_; }
  Stream& compute() { return compute_; }
  Stream& copy() { return copy_; }

 private:
  int device_;
  cudaDeviceProp properties_;
  Stream compute_;
  Stream copy_;
};

/// The context of device `index`. Makes it this thread's current device. Throws Error if there is no such device.
Context& context(int index);

/// Number of usable devices; 0 without a driver.
int usable_devices() noexcept;

inline cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

}  // namespace residua::cuda
