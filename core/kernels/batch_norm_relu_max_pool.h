#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/pooling.h"

// y = max_pool(relu(gamma * (x - mean) * rstd + beta)): the layers after the first convolution of an ImageNet network. Neither
// the activation, four times as large as y, nor its gradient is ever stored in memory.
namespace residua {

/// The index of an output that is not positive. No gradient flows through it.
inline constexpr uint8_t kNoWinner = 255;

/// Handles ties and NaN like MaxPoolForward.
struct BatchNormReluMaxPoolForward {
  DType dtype;
  PoolShape shape;  // window <= 15
  const void* x;    // [N, H, W, C]
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  void* y;         // [N, P, Q, C], overwritten
  uint8_t* index;  // [N, P, Q, C], overwritten, or null: the winner's row * window + column in its window, or kNoWinner
};

/// Let g [N, H, W, C] = the sum of dy over the windows where the pixel is the maximum, and xhat = (x - mean) * rstd. Computes
/// sum_g = the sum of g over pixels (the gradient of beta) and sum_g_xhat = the sum of g * xhat over pixels (the gradient of
/// gamma).
struct BatchNormReluMaxPoolBackwardReduce {
  DType dtype;
  PoolShape shape;
  const void* x;
  const void* dy;  // [N, P, Q, C]
  const uint8_t* index;
  const float* mean;
  const float* rstd;
  float* sum_g;       // [channels], overwritten
  float* sum_g_xhat;  // [channels], overwritten
};

/// dx = gamma * rstd * (g - sum_g / rows - xhat * sum_g_xhat / rows), with rows = N * H * W.
struct BatchNormReluMaxPoolBackwardApply {
  DType dtype;
  PoolShape shape;
  const void* x;
  const void* dy;
  const uint8_t* index;
  const float* gamma;
  const float* mean;
  const float* rstd;
  const float* sum_g;
  const float* sum_g_xhat;
  void* dx;  // overwritten
};

namespace cpu {
void run(const BatchNormReluMaxPoolForward& args, Stream& stream);
void run(const BatchNormReluMaxPoolBackwardReduce& args, Stream& stream);
void run(const BatchNormReluMaxPoolBackwardApply& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const BatchNormReluMaxPoolForward& args, Stream& stream);
void run(const BatchNormReluMaxPoolBackwardReduce& args, Stream& stream);
void run(const BatchNormReluMaxPoolBackwardApply& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
