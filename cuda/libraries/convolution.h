#pragma once

#include <memory>
#include <vector>

#include "core/kernels/convolution.h"
#include "cuda/libraries/autotune.h"
#include "cuda/libraries/cudnn_graph.h"

namespace residua::cuda {

/// The candidates for a convolution: cuDNN's plans for the form. For a fused form also "composed", its composition of plain
/// kernels, which always exists. For a convolution with a space-to-depth form also "space-to-depth, PLAN", with cuDNN's plans
/// for the blocks; they come last, so that without timing the first candidate is still a direct plan.
std::vector<Candidate<ConvolutionForward>> convolution_candidates(const ConvolutionForward& args, const CudnnDevice& device,
                                                                  const device_api::PlanOptions& options);
std::vector<Candidate<ConvolutionBackwardData>> convolution_candidates(const ConvolutionBackwardData& args,
                                                                       const CudnnDevice& device,
                                                                       const device_api::PlanOptions& options);
std::vector<Candidate<ConvolutionBackwardWeights>> convolution_candidates(const ConvolutionBackwardWeights& args,
                                                                          const CudnnDevice& device,
                                                                          const device_api::PlanOptions& options);

}  // namespace residua::cuda
