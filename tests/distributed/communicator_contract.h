#pragma once

#include "core/device/device.h"
#include "core/distributed/communicator.h"

namespace residua::test {

/// Throws Error, which says what is wrong, unless the communicator exchanges host values as its header promises. All ranks call
/// this together.
void check_host_contract(Communicator& communicator);
/// The same for tensors of `device`.
void check_tensor_contract(Communicator& communicator, Device device);

/// A tensor with these bytes, queued on the compute stream, and the bytes of a tensor.
Tensor tensor_of(const std::string& bytes, Shape shape, DType dtype, Device device);
std::string bytes_of(const Tensor& x);

}  // namespace residua::test
