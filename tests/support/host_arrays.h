#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/io/safetensors.h"
#include "core/tensor/tensor.h"

namespace residua::test {

inline Tensor to_tensor(const HostArray& array) {
  const Tensor tensor = empty(Shape(std::span<const int64_t>(array.shape)), array.dtype);
  std::memcpy(tensor.data(), array.bytes.data(), array.bytes.size());
  return tensor;
}

inline HostArray to_host(std::string name, const Tensor& tensor) {
  const Tensor host = tensor.to(Device{});
  const auto sizes = host.shape().sizes();
  const auto* bytes = static_cast<const std::byte*>(host.data());
  return {.name = std::move(name),
          .dtype = host.dtype(),
          .shape = {sizes.begin(), sizes.end()},
          .bytes = {bytes, bytes + host.bytes()}};
}

/// The array of this name, which must exist.
inline HostArray& named(std::vector<HostArray>& arrays, const std::string& name) {
  const auto found = std::ranges::find(arrays, name, &HostArray::name);
  if (found == arrays.end()) {
    fail("there is no array {}", name);
  }
  return *found;
}

}  // namespace residua::test
