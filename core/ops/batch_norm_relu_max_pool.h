#pragma once

#include "core/ops/batch_norm.h"
#include "core/ops/mode.h"
#include "core/ops/pooling.h"
#include "core/tensor/tensor.h"

namespace residua {

/// y = max_pool(batch_norm_relu(x, p, mode), options) for x [N, H, W, C]. The networks' windows of 3 with stride 2, over a
/// multiple of 8 channels, have kernels that do not store the activation (core/kernels/batch_norm_relu_max_pool.h). There the
/// maximum is taken before rounding: values that only rounding to 16 bits would make equal are no tie, and the larger one wins.
///
/// Memory traffic, after the first convolution of an ImageNet network at 224 pixels, in 16 bits, per image: x and the
/// activation have A = 1.61 MB each, y 0.40 MB, the index 0.20 MB, and the mask of batch_norm_relu 0.10 MB. Forward does not
/// write the activation and the mask, nor read the activation again: 2 A + 0.1 MB less. Backward does not write the
/// activation's gradient, nor read it twice with the mask. Its sums read y and dy instead of x: 4 A - 0.6 MB less. Together
/// this is 9.2 MB less per image, and each pass needs A less memory while it runs.
Tensor batch_norm_relu_max_pool(const Tensor& x, const BatchNormTensors& p, PoolOptions options, Mode mode);

}  // namespace residua
