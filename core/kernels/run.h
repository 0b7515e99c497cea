#pragma once

#include "core/kernels/profile.h"
#include "core/tensor/built_with_cuda.h"
#include "core/tensor/device_api.h"
#include "core/tensor/error.h"

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
