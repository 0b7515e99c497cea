#pragma once

#include "core/base/error.h"
#include "core/device/built_with_cuda.h"
#include "core/device/device_api.h"
#include "core/device/profile.h"

namespace residua {

/// Whether the header of a contract declares a CUDA kernel for it. Residua's own contracts all do.
template <class Args>
concept HasCudaKernel = requires(const Args& args, cuda::Stream& stream) {
  run(args, stream);
};

/// Runs a kernel contract on a device's current stream, by the overload `run(args, stream)` for cpu::Stream or cuda::Stream.
/// Overloads are found in the stream's namespace and in that of the contract. Fails when this build or the contract has no
/// kernel for the device.
template <class Args>
void run(Device device, const Args& args) {
  const profile::Timer timer(typeid(Args));
  if (device.type == Device::Type::cpu) {
    run(args, cpu::current_stream(device));
    return;
  }
  if constexpr (!kBuiltWithCuda) {
    fail("device {} was asked for, but this build has no CUDA: configure with -DRESIDUA_CUDA=ON", device.string());
  } else if constexpr (!HasCudaKernel<Args>) {
    fail("device {}: {} has no CUDA kernel; run it on the CPU, or declare and define run(const {}&, residua::cuda::Stream&)",
         device.string(), profile::contract_name(typeid(Args)), profile::contract_name(typeid(Args)));
  } else {
    run(args, cuda::current_stream(device));
    if (profile::active() != nullptr) {
      device_api::synchronize(device);  // the timer is to see the kernel's end
    }
  }
}

}  // namespace residua
