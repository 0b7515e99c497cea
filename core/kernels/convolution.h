#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// Sizes of a 2-D convolution (cross-correlation): x [N, H, W, C], w [K, R, S, C], y [N, P, Q, K].
struct ConvolutionShape {
  int64_t batch, in_height, in_width, in_channels;
  int64_t out_channels, kernel_height, kernel_width;
  int64_t stride, padding;

  int64_t out_height() const { return (in_height + 2 * padding - kernel_height) / stride + 1; }
  int64_t out_width() const { return (in_width + 2 * padding - kernel_width) / stride + 1; }
  /// Multiply-adds count as two.
  double flops() const {
    return 2.0 * static_cast<double>(batch * out_height() * out_width() * out_channels) *
           static_cast<double>(kernel_height * kernel_width * in_channels);
  }
  bool operator==(const ConvolutionShape&) const = default;
};

/// What a convolution reads in place of x: relu(gamma * (x - mean) * rstd + beta), rounded to the type of x, with zeros around
/// it.
struct InputActivation {
  const float* gamma;  // [C], or null: x as it is
  const float* beta;
  const float* mean;
  const float* rstd;
};
inline constexpr InputActivation kNoInputActivation{.gamma = nullptr, .beta = nullptr, .mean = nullptr, .rstd = nullptr};

/// What BatchNormStatistics gives of y, taken on the way.
struct OutputStatistics {
  float epsilon;
  float* mean;      // [K], overwritten, or null: none of the three
  float* variance;  // [K], overwritten
  float* rstd;      // [K], overwritten
};
inline constexpr OutputStatistics kNoOutputStatistics{.epsilon = 0, .mean = nullptr, .variance = nullptr, .rstd = nullptr};

/// For a convolution that follows y = relu(gamma * (x - mean) * rstd + beta), whose dx is thus dy: what
/// BatchNormBackwardReduce gives of it, taken on the way.
struct GradientSums {
  const void* x;        // [N, H, W, C], or null: no sums
  const uint8_t* mask;  // where y > 0, from BatchNormApply; or null: found from x
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* rstd;
  float* sum_g;       // [C], overwritten
  float* sum_g_xhat;  // [C], overwritten
};
inline constexpr GradientSums kNoGradientSums{.x = nullptr,
                                              .mask = nullptr,
                                              .gamma = nullptr,
                                              .beta = nullptr,
                                              .mean = nullptr,
                                              .rstd = nullptr,
                                              .sum_g = nullptr,
                                              .sum_g_xhat = nullptr};

// What the fused forms mean, and what they are where a device has no faster way, is core/kernels/composed_convolution.h.

/// y = conv(x, w), without bias: every convolution of these networks is followed by batch normalization.
struct ConvolutionForward {
  DType dtype;  // of x, w and y; sums are kept in fp32
  ConvolutionShape shape;
  const void* x;
  const void* w;
  void* y;  // overwritten
  InputActivation activation;
  OutputStatistics statistics;

  bool fused() const { return activation.gamma != nullptr || statistics.mean != nullptr; }
};

/// dx = gradient of the input from dy.
struct ConvolutionBackwardData {
  DType dtype;
  ConvolutionShape shape;
  const void* dy;
  const void* w;
  void* dx;  // overwritten. Where y is not above 0, sums with a mask leave anything (who reads dx applies it), without one 0
  GradientSums sums;

  bool fused() const { return sums.x != nullptr; }
};

/// dw = gradient of the weights from x and dy.
struct ConvolutionBackwardWeights {
  DType dtype;  // of x and dy
  DType dw_dtype;
  ConvolutionShape shape;
  const void* x;
  const void* dy;
  void* dw;  // [K, R, S, C] dw_dtype, overwritten
  InputActivation activation;

  bool fused() const { return activation.gamma != nullptr; }
};

/// Where the activation of a convolution's input is faster over the three passes: inside them (InputActivation, and
/// GradientSums without a mask), or before them, on a copy of x with a mask.
struct ActivationPlacement {
  DType dtype;
  ConvolutionShape shape;
  bool* inside;  // host memory, overwritten when the call returns
};

namespace cpu {
void run(const ConvolutionForward& args, Stream& stream);
void run(const ConvolutionBackwardData& args, Stream& stream);
void run(const ConvolutionBackwardWeights& args, Stream& stream);
void run(const ActivationPlacement& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const ConvolutionForward& args, Stream& stream);
void run(const ConvolutionBackwardData& args, Stream& stream);
void run(const ConvolutionBackwardWeights& args, Stream& stream);
void run(const ActivationPlacement& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
