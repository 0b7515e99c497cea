#pragma once

#include "core/cpu/stream.h"
#include "core/kernels/convolution.h"

/// Winograd's algorithm F(4x4, 3x3) for activations in NHWC (Lavin and Gray 2016, arXiv:1509.09308).
///
/// It computes a 3x3 convolution with stride 1 and padding 1 in tiles of 4x4 outputs, from 6x6 inputs each:
///   y = A^T ((G w G^T) * (B^T x B)) A, where * multiplies element by element and sums over the channels.
/// So each of 36 elements is a matrix product [tiles, C] x [C, K]: a quarter of the multiplications of the plain sum. The
/// gradient of w is G^T (sum over tiles of (B^T x B) * (A dy A^T)) G. Channels are multiples of 16.
namespace residua::cpu {

/// y = conv(x, w).
struct WinogradConvolution {
  DType dtype;  // of x, w and y; sums are fp32
  ConvolutionShape shape;
  bool flipped;  // w is [C, 3, 3, K] with its taps in reverse order: computes a gradient of x from one of y
  const void* x;
  const void* w;
  void* y;  // overwritten
};

/// dw = the gradient of the weights.
struct WinogradWeights {
  DType dtype;  // of x and dy
  DType dw_dtype;
  ConvolutionShape shape;
  const void* x;
  const void* dy;
  void* dw;  // overwritten
};

void run(const WinogradConvolution& args, Stream& stream);
void run(const WinogradWeights& args, Stream& stream);

}  // namespace residua::cpu
