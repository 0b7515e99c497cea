#pragma once

#include <cstdint>

#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// BatchNormStatistics from the sums that a cuDNN convolution computes: mean, biased variance and rstd of `rows` values per
/// channel.
struct BatchNormFromSums {
  int64_t rows;
  int64_t channels;
  const float* sum;             // [channels]
  const float* sum_of_squares;  // [channels]
  float epsilon;
  float* mean;      // [channels], overwritten
  float* variance;  // [channels], overwritten
  float* rstd;      // [channels], overwritten
};

void run(const BatchNormFromSums& args, Stream& stream);

}  // namespace residua::cuda
