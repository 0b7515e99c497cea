#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/pooling.h"

// y = max_pool(relu(gamma * (x - mean) * rstd + beta)): what follows the first convolution of an ImageNet network. The
// activation itself, four times as large as y, is never in memory, and neither is its gradient.
namespace residua {

/// The index of an output that is not above 0: no gradient goes through it.
inline constexpr uint8_t kNoWinner = 255;

/// Ties and NaN as in MaxPoolForward.
struct BatchNormReluMaxPoolForward {
  DType dtype;
  PoolShape shape;  // window <= 15
  const void* x;    // [N, H, W, C]
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  void* y;         // [N, P, Q, C], overwritten
  uint8_t* index;  // [N, P, Q, C] or null: winner's place in its window, row * window + column, or kNoWinner; overwritten
};

/// With g [N, H, W, C] = the sum of dy over the windows that the pixel has won and xhat = (x - mean) * rstd:
/// sum_g = sum over pixels of g (the gradient of beta), sum_g_xhat = sum over pixels of g * xhat (that of gamma).
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

/// dx = gamma * rstd * (g - sum_g / rows - xhat * sum_g_xhat / rows), rows = N * H * W.
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
