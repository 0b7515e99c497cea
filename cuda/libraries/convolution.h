#pragma once

#include <memory>
#include <vector>

#include "core/kernels/convolution.h"
#include "cuda/libraries/autotune.h"
#include "cuda/libraries/cudnn_graph.h"

namespace residua::cuda {

/// The candidates for a convolution on a device: the plans that cuDNN has for the form and, of a fused form, the composition of
/// plain kernels ("composed"), which always exists.
std::vector<Candidate<ConvolutionForward>> convolution_candidates(const ConvolutionForward& args, const CudnnDevice& device,
                                                                  const device_api::PlanOptions& options);
std::vector<Candidate<ConvolutionBackwardData>> convolution_candidates(const ConvolutionBackwardData& args,
                                                                       const CudnnDevice& device,
                                                                       const device_api::PlanOptions& options);
std::vector<Candidate<ConvolutionBackwardWeights>> convolution_candidates(const ConvolutionBackwardWeights& args,
                                                                          const CudnnDevice& device,
                                                                          const device_api::PlanOptions& options);

}  // namespace residua::cuda
