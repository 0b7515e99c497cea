#pragma once

#include "core/nn/layers.h"
#include "core/ops/batch_norm.h"
#include "core/ops/pooling.h"

namespace residua {

/// A convolution's output that waits for its batch normalization. The next layer does that work on the way in, or one of the
/// norm functions below does. In training it holds the statistics of x, which the convolution took on the way.
struct PendingNorm {
  Tensor x;
  BatchNormTensors norm;
  Mode mode;
  const BatchNorm2d* layer;  // whose norm it is
};

/// conv(x), for `norm` to normalize. A block reads in the order in which data flows:
///   y = conv_bn(conv1, bn1, x, mode);
///   y = conv_bn(conv2, bn2, y, mode);
///   return norm_add_relu(y, x);
/// Fails in training when the output is a single row, which has no variance.
PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const Tensor& x, Mode mode);
/// conv(relu(the norm that x waits for)), for `norm` to normalize: core/ops/batch_norm_relu_conv2d.h.
PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const PendingNorm& x, Mode mode);

/// The norm that x waits for, in the forms of core/ops/batch_norm.h and core/ops/batch_norm_relu_max_pool.h.
Tensor norm(const PendingNorm& x);
Tensor norm_relu(const PendingNorm& x);
Tensor norm_add_relu(const PendingNorm& x, const Tensor& residual);
Tensor norm_relu_max_pool(const PendingNorm& x, PoolOptions options);

}  // namespace residua
