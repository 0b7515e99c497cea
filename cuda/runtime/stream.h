#pragma once

#include "core/device/device_api.h"

namespace residua::cuda {

/// A stream of one CUDA device: a handle owned by the device's context.
class Stream {
 public:
  /// `native` is the cudaStream_t.
  Stream(int device, int multiprocessors, void* native) : device_(device), multiprocessors_(multiprocessors), native_(native) {}

  Device device() const { return {Device::Type::cuda, device_}; }
  /// The device's number of multiprocessors, for sizing grids.
  int multiprocessors() const { return multiprocessors_; }
  void* native() const { return native_; }

 private:
  int device_;
  int multiprocessors_;
  void* native_;
};

/// A stream of a device, which becomes the calling thread's current device.
Stream& stream(Device device, device_api::StreamKind kind);

}  // namespace residua::cuda
