#pragma once

#include "core/nn/layers.h"
#include "core/ops/batch_norm.h"
#include "core/ops/pooling.h"

namespace residua {

/// The output of a convolution whose batch normalization is still to be applied. The next layer applies it while reading x, or
/// one of the norm functions below does. In training with one group it has the statistics of x, which the convolution computed;
/// of several ranks, those of this rank's x.
struct PendingNorm {
  Tensor x;
  BatchNormTensors norm;
  Mode mode;
  const BatchNorm2d* layer;  // the layer that the norm belongs to
};

/// conv(x), with `norm` pending. A block reads in the order in which data flows:
/// @code
/// y = conv_bn(conv1, bn1, x, mode);
/// y = conv_bn(conv2, bn2, y, mode);
/// return norm_add_relu(y, x);
/// @endcode
/// Throws Error in training if the output is a single row of a single rank, which has no variance.
PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const Tensor& x, Mode mode);
/// conv(relu(x with its pending norm applied)), with `norm` pending. See core/ops/batch_norm_relu_conv2d.h.
PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const PendingNorm& x, Mode mode);

/// Applies the pending norm of x, in the forms of core/ops/batch_norm.h and core/ops/batch_norm_relu_max_pool.h.
Tensor norm(const PendingNorm& x);
Tensor norm_relu(const PendingNorm& x);
Tensor norm_add_relu(const PendingNorm& x, const Tensor& residual);
Tensor norm_relu_max_pool(const PendingNorm& x, PoolOptions options);

}  // namespace residua
