#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// y = a + b for two tensors of the same shape and floating type.
Tensor add(const Tensor& a, const Tensor& b);

}  // namespace residua
