#pragma once

#include "core/ops/batch_norm.h"
#include "core/ops/check.h"

namespace residua {

/// x viewed as [rows, channels], and the statistics to normalize it with.
struct NormStatistics {
  int64_t rows, channels;
  Tensor mean, rstd;  // f32 [channels]
};

/// The first part of all forms of batch normalization: checks x and the parameters, then computes the batch statistics
/// (Mode::train) or takes the running ones (Mode::evaluate).
NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode);

}  // namespace residua
