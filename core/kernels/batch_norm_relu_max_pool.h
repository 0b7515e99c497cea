#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/pooling.h"

// y = max_pool(relu(gamma * (x - mean) * rstd + beta)): the layers after the first convolution of an ImageNet network. Neither
// the activation, four times as large as y, nor its gradient is ever stored in memory.
namespace residua {

// What the kernels take: this window and stride, channels that are a multiple, tensors of fewer elements that begin at
// multiples of so many bytes. core/ops composes others of two ops.
inline constexpr int64_t kFusedPoolWindow = 3;
inline constexpr int64_t kFusedPoolStride = 2;
inline constexpr int64_t kFusedPoolChannels = 8;
inline constexpr int64_t kFusedPoolElements = int64_t{1} << 30;
inline constexpr uintptr_t kFusedPoolAlignment = 16;

/// The index of an output that is not positive. No gradient flows through it.
inline constexpr uint8_t kNoWinner = 255;

/// Handles ties and NaN like MaxPoolForward.
struct BatchNormReluMaxPoolForward {
  DType dtype;
  PoolShape shape;
  int64_t group_images;  // images that share statistics; the last group may have fewer; one group: shape.batch
  const void* x;         // [N, H, W, C]
  const float* gamma;
  const float* beta;
  const float* mean;  // [groups, channels]
  const float* rstd;  // [groups, channels]
  void* y;            // [N, P, Q, C], overwritten
  uint8_t* index;     // [N, P, Q, C], overwritten, or null: the winner's row * window + column in its window, or kNoWinner
};

/// Limits within which (y - beta) / gamma is xhat almost as exactly as x gives it: gamma at least the first, and beta at most
/// so many times gamma. Rounding y to its type changes the quotient by up to that rounding times |xhat| + |beta / gamma|, and
/// f16 has fewer digits below 6e-5.
inline constexpr float kLeastGamma = 0x1p-8f;
inline constexpr float kMostBetaPerGamma = 4;

/// Let g [N, H, W, C] = the sum of dy over the windows where the pixel is the maximum, and xhat = (x - mean) * rstd. Computes
/// sum_g = the sum of g over the pixels of a group, and sum_g_xhat = the sum of g * xhat. Added up over groups, they are the
/// gradients of beta and gamma. Both are sums over the positive y, whose winner has xhat = (y - beta) / gamma: x and the index
/// are read only for channels whose gamma or beta is beyond these limits.
struct BatchNormReluMaxPoolBackwardReduce {
  DType dtype;
  PoolShape shape;
  int64_t group_images;
  const void* x;
  const void* y;   // [N, P, Q, C], of forward
  const void* dy;  // [N, P, Q, C]
  const uint8_t* index;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  float* sum_g;       // [groups, channels], overwritten
  float* sum_g_xhat;  // [groups, channels], overwritten
};

/// dx = gamma * rstd * (g - sum_g / n - xhat * sum_g_xhat / n), with n = the pixels of the group.
struct BatchNormReluMaxPoolBackwardApply {
  DType dtype;
  PoolShape shape;
  int64_t group_images;
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
