#pragma once

#include <cstdint>

#include "core/tensor/device_api.h"
#include "core/tensor/dtype.h"

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

/// y = conv(x, w), without bias: every convolution of these networks is followed by batch normalisation.
struct ConvolutionForward {
  DType dtype;  // of x, w and y; sums are kept in fp32
  ConvolutionShape shape;
  const void* x;
  const void* w;
  void* y;  // overwritten
};

/// dx = gradient of the input from dy.
struct ConvolutionBackwardData {
  DType dtype;
  ConvolutionShape shape;
  const void* dy;
  const void* w;
  void* dx;  // overwritten
};

/// dw = gradient of the weights from x and dy.
struct ConvolutionBackwardWeights {
  DType dtype;  // of x and dy
  DType dw_dtype;
  ConvolutionShape shape;
  const void* x;
  const void* dy;
  void* dw;  // [K, R, S, C] dw_dtype, overwritten
};

namespace cpu {
void run(const ConvolutionForward& args, Stream& stream);
void run(const ConvolutionBackwardData& args, Stream& stream);
void run(const ConvolutionBackwardWeights& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const ConvolutionForward& args, Stream& stream);
void run(const ConvolutionBackwardData& args, Stream& stream);
void run(const ConvolutionBackwardWeights& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
