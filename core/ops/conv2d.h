#pragma once

#include "core/ops/batch_norm.h"
#include "core/tensor/tensor.h"

namespace residua {

struct Conv2dOptions {
  int64_t stride = 1;
  int64_t padding = 0;  // zeros on each side
};

/// 2-D cross-correlation without bias:
/// y[n, p, q, k] = sum over r, s, c of x[n, p * stride + r - padding, q * stride + s - padding, c] * w[k, r, s, c],
/// with x = 0 outside the image. x [N, H, W, C] and w [K, R, S, C] have the same floating type; y is [N, P, Q, K] with P =
/// floor((H + 2 * padding - R) / stride) + 1, and Q likewise. Sums are fp32.
///
/// If a batch normalization in training follows, pass its tensors as `next`: the statistics of y are then computed here and
/// written to its batch_mean, batch_var and batch_rstd.
Tensor conv2d(const Tensor& x, const Tensor& w, Conv2dOptions options, const BatchNormTensors* next = nullptr);

}  // namespace residua
