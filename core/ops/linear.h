#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// y [N, M] = x w^T + bias. x [N, K] and w [M, K] have the same floating type; bias is f32 [M] or undefined. y has type
/// `y_dtype`, f32 by default because logits need the precision. Sums are fp32.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, DType y_dtype = DType::f32);

}  // namespace residua
