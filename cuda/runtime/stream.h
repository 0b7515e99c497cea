#pragma once

#include "core/device/device.h"

namespace residua::cuda {

/// A queue of work of one CUDA device; a handle that the device's context owns.
class Stream {
 public:
  /// `native` is the cudaStream_t.
  Stream(int device, int multiprocessors, void* native) : device_(device), multiprocessors_(multiprocessors), native_(native) {}

  Device device() const { return {Device::Type::cuda, device_}; }
  /// Of the device: what a grid is sized by.
  int multiprocessors() const { return multiprocessors_; }
  void* native() const { return native_; }

 private:
  int device_;
  int multiprocessors_;
  void* native_;
};

}  // namespace residua::cuda
