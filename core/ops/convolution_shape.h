#pragma once

#include "core/kernels/convolution.h"
#include "core/ops/check.h"
#include "core/ops/conv2d.h"

namespace residua {

/// The part that all forms of convolution begin with: checks x [N, H, W, C], w [K, R, S, C] and the options.
ConvolutionShape convolution_shape(const ArgumentCheck& check, const Tensor& x, const Tensor& w, Conv2dOptions options);

/// [N, P, Q, K]
Shape convolved_shape(const ConvolutionShape& shape);

/// Where the statistics of the output go that `next`, of its channels, is to read.
OutputStatistics output_statistics(const ArgumentCheck& check, const ConvolutionShape& shape, Device device,
                                   const BatchNormTensors& next);

}  // namespace residua
