#pragma once

#include "core/ops/batch_norm.h"
#include "core/ops/check.h"

namespace residua {

/// What x is normalized with: x as [rows, channels], and the statistics of the mode.
struct NormStatistics {
  int64_t rows, channels;
  Tensor mean, rstd;  // f32 [channels]
};

/// The part that all forms of batch normalization begin with: checks x and the parameters, and computes the statistics of the
/// batch (Mode::train) or takes the running ones.
NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode);

}  // namespace residua
