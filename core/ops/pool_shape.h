#pragma once

#include "core/kernels/pooling.h"
#include "core/ops/check.h"
#include "core/ops/pooling.h"

namespace residua {

/// Checks x [N, H, W, C] and the pooling options, and returns the kernels' description of the windows.
PoolShape pool_shape(const ArgumentCheck& check, const Tensor& x, PoolOptions options, int64_t largest_window = 16);

/// [N, P, Q, C]
Shape pooled_shape(const PoolShape& shape);

}  // namespace residua
