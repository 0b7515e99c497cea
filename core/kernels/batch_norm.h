#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

enum class Activation : uint8_t { none, relu };

/// Statistics of x over its rows, per channel: mean, variance (biased) and rstd = 1 / sqrt(variance + epsilon).
/// Ioffe and Szegedy 2015, algorithm 1.
struct BatchNormStatistics {
  DType dtype;
  int64_t rows;  // N * H * W
  int64_t channels;
  const void* x;  // [rows, channels]
  float epsilon;
  float* mean;      // [channels], overwritten
  float* variance;  // [channels], overwritten
  float* rstd;      // [channels], overwritten
};

/// y = activation(gamma * (x - mean) * rstd + beta [+ residual]).
struct BatchNormApply {
  DType dtype;
  int64_t rows, channels;
  const void* x;         // [rows, channels]
  const void* residual;  // [rows, channels] or null
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  Activation activation;
  void* y;        // [rows, channels], overwritten; may be x or residual
  uint8_t* mask;  // [ceil(rows * channels / 8)] or null: bit i (lowest first) is set where y[i] > 0; overwritten
};

/// With g = dy + more (rounded to `dtype`) where the mask is set (everywhere if it is null), 0 elsewhere, and
/// xhat = (x - mean) * rstd: sum_g = sum over rows of g (the gradient of beta), sum_g_xhat = sum over rows of g * xhat (that of
/// gamma). g is the residual's gradient.
struct BatchNormBackwardReduce {
  DType dtype;
  int64_t rows, channels;
  const void* x;
  const void* dy;
  const void* more;     // or null: 0; with it g is wanted
  const uint8_t* mask;  // or null
  const float* mean;
  const float* rstd;
  float* sum_g;       // [channels], overwritten
  float* sum_g_xhat;  // [channels], overwritten
  void* g;            // [rows, channels], overwritten, or null; may be dy or more
};

/// With g = dy where the mask is set (everywhere if it is null), 0 elsewhere:
/// dx = gamma * rstd * (g - sum_g / rows - xhat * sum_g_xhat / rows).
struct BatchNormBackwardApply {
  DType dtype;
  int64_t rows, channels;
  const void* x;
  const void* dy;
  const uint8_t* mask;  // or null
  const float* gamma;
  const float* mean;
  const float* rstd;
  const float* sum_g;
  const float* sum_g_xhat;
  void* dx;  // overwritten; may be dy
};

/// running = (1 - momentum) * running + momentum * batch, with batch variances made unbiased by n / (n - 1); nothing when
/// `state->found_inf` is set, so that a skipped step leaves no trace. One launch for all layers.
struct BatchNormCommit {
  int64_t channels;  // of all layers together
  float momentum;
  const StepState* state;
  const float* batch_mean;         // [channels]
  const float* batch_variance;     // [channels], biased
  const float* bessel_correction;  // [channels], n / (n - 1) of the layer
  float* running_mean;             // [channels], updated
  float* running_variance;         // [channels], updated
};

namespace cpu {
void run(const BatchNormStatistics& args, Stream& stream);
void run(const BatchNormApply& args, Stream& stream);
void run(const BatchNormBackwardReduce& args, Stream& stream);
void run(const BatchNormBackwardApply& args, Stream& stream);
void run(const BatchNormCommit& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const BatchNormStatistics& args, Stream& stream);
void run(const BatchNormApply& args, Stream& stream);
void run(const BatchNormBackwardReduce& args, Stream& stream);
void run(const BatchNormBackwardApply& args, Stream& stream);
void run(const BatchNormCommit& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
