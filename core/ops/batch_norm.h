#pragma once

#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

/// The tensors of one batch normalization layer, all f32 [C].
struct BatchNormTensors {
  Tensor gamma;
  Tensor beta;
  Tensor running_mean;  // read in Mode::evaluate; nothing here writes them
  Tensor running_var;
  Tensor batch_mean;       // written in Mode::train and read again by the backward, which must come before the next forward of
  Tensor batch_var;        // this layer; biased variance. Where undefined, the op allocates its own
  Tensor batch_rstd = {};  // 1 / sqrt(batch_var + epsilon); where defined, these three are the statistics of x already, as
                           // conv2d leaves them for its `next`
  float epsilon = 1e-5f;
};

/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta per channel of x [..., C], with the mean and biased variance over
/// the other dimensions (Mode::train) or the running ones (Mode::evaluate). Statistics and sums are kept in fp32. Ioffe and
/// Szegedy 2015, algorithms 1 and 2.
Tensor batch_norm(const Tensor& x, const BatchNormTensors& p, Mode mode);

/// relu(batch_norm(x)) in one pass.
Tensor batch_norm_relu(const Tensor& x, const BatchNormTensors& p, Mode mode);

/// relu(batch_norm(x) + residual) in one pass; residual has the shape and type of x.
Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const BatchNormTensors& p, Mode mode);

}  // namespace residua
