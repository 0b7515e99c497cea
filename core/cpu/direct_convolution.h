#pragma once

#include "core/cpu/stream.h"
#include "core/kernels/convolution.h"

/// Plain sums for convolutions of any kernel and stride, on activations in NHWC and in fp32: the windows of a block of output
/// pixels are gathered into the rows of a matrix, which is multiplied by the weights.
namespace residua::cpu {

/// The passes, without their fused forms.
struct DirectForward {
  ConvolutionForward pass;  // out_channels a multiple of 16
};
struct DirectBackwardData {
  ConvolutionBackwardData pass;  // in_channels a multiple of 16
};
struct DirectBackwardWeights {
  ConvolutionBackwardWeights pass;  // out_channels a multiple of 16
};

void run(const DirectForward& args, Stream& stream);
void run(const DirectBackwardData& args, Stream& stream);
void run(const DirectBackwardWeights& args, Stream& stream);

}  // namespace residua::cpu
