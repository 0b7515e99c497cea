#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

enum class Activation : uint8_t { none, relu };

/// Per-channel batch statistics of x: mean, biased variance, and rstd = 1 / sqrt(variance + epsilon).
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
  uint8_t* mask;  // [ceil(rows * channels / 8)], overwritten, or null: bit i (lowest first) is set if y[i] > 0
};

/// Let xhat = (x - mean) * rstd, and g = dy + more (rounded to `dtype`) where the mask is set (everywhere if it is null), 0
/// elsewhere. Computes sum_g = the sum of g over rows (the gradient of beta) and sum_g_xhat = the sum of g * xhat over rows
/// (the gradient of gamma). g is also the gradient of the residual.
struct BatchNormBackwardReduce {
  DType dtype;
  int64_t rows, channels;
  const void* x;
  const void* dy;
  const void* more;     // null for 0; if given, g must be too
  const uint8_t* mask;  // or null
  const float* mean;
  const float* rstd;
  float* sum_g;       // [channels], overwritten
  float* sum_g_xhat;  // [channels], overwritten
  void* g;            // [rows, channels], overwritten, or null; may be dy or more
};

/// Let g = dy where the mask is set (everywhere if it is null), 0 elsewhere. Computes
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

/// Updates the running statistics: running = (1 - momentum) * running + momentum * batch. The Bessel correction n / (n - 1)
/// makes batch variances unbiased. Does nothing if `state->found_inf` is set, so a skipped step leaves no trace. One launch
/// updates all layers.
struct BatchNormCommit {
  int64_t channels;  // summed over all layers
  float momentum;
  const StepState* state;
  const float* batch_mean;         // [channels]
  const float* batch_variance;     // [channels], biased
  const float* bessel_correction;  // [channels], n / (n - 1) of the layer that the channel belongs to
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
