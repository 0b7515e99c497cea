#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

enum class Activation : uint8_t { none, relu };

// The rows may be divided into groups of `group_rows`, which have statistics of their own; the last may have fewer rows. For
// one group, group_rows = rows. Ghost batch normalization: Hoffer, Hubara and Soudry 2017.

/// Per-channel batch statistics of x: mean, biased variance, and rstd = 1 / sqrt(variance + epsilon).
/// Ioffe and Szegedy 2015, algorithm 1.
struct BatchNormStatistics {
  DType dtype;
  int64_t rows;        // N * H * W
  int64_t group_rows;  // at least 1
  int64_t channels;
  const void* x;  // [rows, channels]
  float epsilon;
  float* mean;      // [groups, channels], overwritten
  float* variance;  // [groups, channels], overwritten
  float* rstd;      // [groups, channels], overwritten
};

/// y = activation(gamma * (x - mean) * rstd + beta [+ residual]).
struct BatchNormApply {
  DType dtype;
  int64_t rows, group_rows, channels;
  const void* x;         // [rows, channels]
  const void* residual;  // [rows, channels] or null
  const float* gamma;    // [channels]
  const float* beta;     // [channels]
  const float* mean;     // [groups, channels]
  const float* rstd;     // [groups, channels]
  Activation activation;
  void* y;  // [rows, channels], overwritten; may be x or residual
  /// Overwritten, or null: bit i (lowest first) is set if y[i] > 0. The bits of each group start at a whole byte.
  uint8_t* mask;
};

/// Let xhat = (x - mean) * rstd, and g = dy + more (rounded to `dtype`) where the mask is set (everywhere if it is null), 0
/// elsewhere. Computes sum_g = the sum of g over the rows of a group, and sum_g_xhat = the sum of g * xhat. Added up over
/// groups, they are the gradients of beta and gamma. g is also the gradient of the residual.
struct BatchNormBackwardReduce {
  DType dtype;
  int64_t rows, group_rows, channels;
  const void* x;
  const void* dy;
  const void* more;     // null for 0; if given, g must be too
  const uint8_t* mask;  // or null
  const float* mean;
  const float* rstd;
  float* sum_g;       // [groups, channels], overwritten
  float* sum_g_xhat;  // [groups, channels], overwritten
  void* g;            // [rows, channels], overwritten, or null; may be dy or more
};

/// Let g = dy where the mask is set (everywhere if it is null), 0 elsewhere. Computes
/// dx = gamma * rstd * (g - sum_g / n - xhat * sum_g_xhat / n), with n = the rows of the group.
struct BatchNormBackwardApply {
  DType dtype;
  int64_t rows, group_rows, channels;
  const void* x;
  const void* dy;
  const uint8_t* mask;  // or null
  const float* gamma;
  const float* mean;
  const float* rstd;
  const float* sum_g;       // [groups, channels]
  const float* sum_g_xhat;  // [groups, channels]
  void* dx;                 // overwritten; may be dy
};

/// Updates the running statistics: running = (1 - momentum) * running + momentum * batch. The Bessel correction n / (n - 1)
/// makes batch variances unbiased. Does nothing if `state->found_inf` is set, so a skipped step leaves no trace. One launch
/// updates all layers.
struct BatchNormCommit {
  int64_t channels;  // summed over all layers
  float momentum;
  const StepState* state;          // or null: no step is skipped
  const float* batch_mean;         // [channels]
  const float* batch_variance;     // [channels]
  const float* bessel_correction;  // [channels], n / (n - 1) of the layer that the channel belongs to; null for 1
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
