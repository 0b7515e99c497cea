#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// y = max(x, 0), elementwise; NaN stays NaN. The gradient at 0 is 0.
Tensor relu(const Tensor& x);

}  // namespace residua
