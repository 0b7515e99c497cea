#pragma once

#include <vector>

#include "core/tensor/tensor.h"

namespace residua::test {

/// x [N, H, W, C] with its columns in reverse order, as f32 on its device.
inline Tensor mirrored(const Tensor& x) {
  const auto width = static_cast<size_t>(x.dim(2));
  const auto channels = static_cast<size_t>(x.dim(3));
  const std::vector<float> from = x.to_vector();
  std::vector<float> to(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t pixel = i / channels;
    const size_t column = pixel % width;
    to[(pixel - column + width - 1 - column) * channels + i % channels] = from[i];
  }
  return from_values(x.shape(), to, DType::f32, x.device());
}

}  // namespace residua::test
