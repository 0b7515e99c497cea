#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// Computes gamma * (x - mean) * rstd + beta as scale * x + bias, for cuDNN, which needs both in the type of x. The bias is
/// computed from the rounded scale, so at x = mean only the bias's own rounding error remains.
struct BatchNormScaleBias {
  DType dtype;  // of scale and bias
  int64_t channels;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  void* scale;  // [channels], overwritten
  void* bias;   // [channels], overwritten
};

void run(const BatchNormScaleBias& args, Stream& stream);

}  // namespace residua::cuda
