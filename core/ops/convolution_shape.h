#pragma once

#include "core/kernels/convolution.h"
#include "core/ops/check.h"
#include "core/ops/conv2d.h"

namespace residua {

/// The first part of all forms of convolution: checks x [N, H, W, C], w [K, R, S, C] and the options.
ConvolutionShape convolution_shape(const ArgumentCheck& check, const Tensor& x, const Tensor& w, Conv2dOptions options);

/// [N, P, Q, K]
Shape convolved_shape(const ConvolutionShape& shape);

/// Where to write the statistics of the output so that `next`, the batch normalization that follows, finds them. Checks its
/// tensors.
OutputStatistics output_statistics(const ArgumentCheck& check, const ConvolutionShape& shape, Device device,
                                   const BatchNormTensors& next);

}  // namespace residua
