#pragma once

#include "core/kernels/convolution.h"
#include "cuda/libraries/autotune.h"

namespace residua::cuda {

/// A convolution of stride 2 that reads few channels equals one of stride 1 on blocks of 2 x 2 pixels, which has four times the
/// channels. The blocks of x begin at row and column -padding or, if that is odd, one before, and end with the last window.
/// They hold the padding as zeros. The kernel gets the same zero row and column before it. For the networks' first
/// convolution, 7x7 on 4 channels becomes 4x4 on 16, for which cuDNN has more engines.
///
/// The zeros of the kernel are multiplied by one more row and column of pixels, and 0 * infinity is NaN. So a value of x that
/// is not finite also spoils the outputs whose windows end just before it or begin just after it.
///
/// There is a form for 16-bit types, stride 2, 2 or 4 channels and kernels larger than 2 x 2; any size and padding.
bool has_space_to_depth(DType dtype, const ConvolutionShape& shape);
/// The same without an input activation, which would have to come before the padding.
bool has_space_to_depth(const ConvolutionForward& args);
bool has_space_to_depth(const ConvolutionBackwardWeights& args);

/// The convolution of the blocks: stride 1, no padding.
ConvolutionShape space_to_depth(const ConvolutionShape& shape);

/// Runs `args` by a plan for the same contract with the shape of the blocks. The blocks are in workspaces for this call.
void run_space_to_depth(const ConvolutionForward& args, const Plan<ConvolutionForward>& plan, Stream& stream);
void run_space_to_depth(const ConvolutionBackwardWeights& args, const Plan<ConvolutionBackwardWeights>& plan, Stream& stream);

}  // namespace residua::cuda
