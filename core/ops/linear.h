#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// y [N, M] = x w^T + bias: x [N, K] and w [M, K] of the same floating type, bias f32 [M] or undefined. y is `y_dtype`, f32
/// unless asked otherwise: logits are worth their bits. Sums are kept in fp32.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, DType y_dtype = DType::f32);

}  // namespace residua
