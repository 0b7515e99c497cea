#pragma once

#include "core/tensor/tensor.h"

namespace residua {

struct PoolOptions {
  int64_t window = 2;   // pixels, square
  int64_t stride = 2;   // pixels
  int64_t padding = 0;  // pixels on each side, at most window / 2
};

/// y = the maximum of each window of x [N, H, W, C]. y is [N, P, Q, C] with P = floor((H + 2 * padding - window) / stride) + 1.
/// Padding never wins, and the gradient goes to the first of equal values. window <= 16.
Tensor max_pool(const Tensor& x, PoolOptions options);

/// y = the mean of each window; padding counts as zeros.
Tensor average_pool(const Tensor& x, PoolOptions options);

/// y [N, C] = the mean of x [N, H, W, C] over its pixels.
Tensor global_average_pool(const Tensor& x);

}  // namespace residua
