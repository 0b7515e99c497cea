#pragma once

#include "core/base/error.h"
#include "core/device/built_with_cuda.h"
#include "core/device/device_api.h"
#include "core/device/profile.h"

namespace residua {

/// Runs a kernel contract on a device's current stream. The stream's namespace picks the overload: `cpu::run(args, stream)`
/// or `cuda::run(args, stream)`.
template <class Args>
void run(Device device, const Args& args) {
  const profile::Timer timer(typeid(Args));
  if (device.type == Device::Type::cpu) {
    run(args, cpu::current_stream(device));
    return;
  }
  if constexpr (kBuiltWithCuda) {
    run(args, cuda::current_stream(device));
    if (profile::active() != nullptr) {
      device_api::synchronize(device);  // the timer is to see the kernel's end
    }
  } else {
    fail("device {} was asked for, but this build has no CUDA: configure with -DRESIDUA_CUDA=ON", device.string());
  }
}

}  // namespace residua
