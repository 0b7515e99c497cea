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
  /// Counts a multiply-add as two.
  double flops() const {
    return 2.0 * static_cast<double>(batch * out_height() * out_width() * out_channels) *
           static_cast<double>(kernel_height * kernel_width * in_channels);
  }
  bool operator==(const ConvolutionShape&) const = default;
};

/// Makes a convolution read relu(gamma * (x - mean) * rstd + beta) instead of x. The result is rounded to the type of x and
/// padded with zeros.
struct InputActivation {
  const float* gamma;  // [C], or null to read x itself
  const float* beta;
  const float* mean;
  const float* rstd;
};
inline constexpr InputActivation kNoInputActivation{.gamma = nullptr, .beta = nullptr, .mean = nullptr, .rstd = nullptr};

/// Makes a convolution also compute the BatchNormStatistics of y.
struct OutputStatistics {
  float epsilon;
  float* mean;      // [K], overwritten, or null for no statistics
  float* variance;  // [K], overwritten
  float* rstd;      // [K], overwritten
};
inline constexpr OutputStatistics kNoOutputStatistics{.epsilon = 0, .mean = nullptr, .variance = nullptr, .rstd = nullptr};

/// Makes a backward convolution also compute the BatchNormBackwardReduce sums of its dx. For a convolution whose input is y =
/// relu(gamma * (x - mean) * rstd + beta): its dx is the gradient of y.
struct GradientSums {
  const void* x;        // [N, H, W, C], or null for no sums
  const uint8_t* mask;  // where y > 0, from BatchNormApply; null to compute it from x
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

// core/kernels/composed_convolution.h defines the fused forms by plain kernels. Devices without a faster kernel run those.

/// y = conv(x, w), without bias: batch normalization follows every convolution of these networks.
struct ConvolutionForward {
  DType dtype;  // of x, w and y; sums are fp32
  ConvolutionShape shape;
  const void* x;
  const void* w;
  void* y;  // overwritten
  InputActivation activation;
  OutputStatistics statistics;

  bool fused() const { return activation.gamma != nullptr || statistics.mean != nullptr; }
};

/// dx = the gradient of the input, computed from dy.
struct ConvolutionBackwardData {
  DType dtype;
  ConvolutionShape shape;
  const void* dy;
  const void* w;
  /// Overwritten. With `sums`, elements where y <= 0 become 0. If `sums` has a mask they are unspecified instead, and readers
  /// of dx apply the mask.
  void* dx;
  GradientSums sums;

  bool fused() const { return sums.x != nullptr; }
};

/// dw = the gradient of the weights, computed from x and dy.
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

/// Finds out where a convolution's input activation runs faster over the three passes: fused into them (InputActivation, and
/// GradientSums without a mask), or before them, on a copy of x with a mask.
struct ActivationPlacement {
  DType dtype;
  ConvolutionShape shape;
  bool* inside;  // host memory, written before the call returns
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
