#pragma once

#include "core/device/profile.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/convolution.h"
#include "core/kernels/relu.h"

/// Fused convolutions composed of plain kernels, for any device.
namespace residua {

/// Runs a kernel that the profiler shows separately.
template <class Args, class Stream>
void run_part(const Args& args, Stream& stream) {
  const profile::Timer timer(typeid(Args));
  run(args, stream);
}

/// Applies the input activation to a copy of x, then runs `args` on the copy.
template <class Args, class Stream>
void run_on_activated_copy(Args args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  const int64_t rows = s.batch * s.in_height * s.in_width;
  const device_api::Workspace x(stream.device(), rows * s.in_channels * size_bytes(args.dtype));
  const InputActivation& a = args.activation;
  run_part(BatchNormApply{.dtype = args.dtype,
                          .rows = rows,
                          .group_rows = rows,
                          .channels = s.in_channels,
                          .x = args.x,
                          .residual = nullptr,
                          .gamma = a.gamma,
                          .beta = a.beta,
                          .mean = a.mean,
                          .rstd = a.rstd,
                          .activation = Activation::relu,
                          .y = x.data(),
                          .mask = nullptr},
           stream);
  args.x = x.data();
  args.activation = kNoInputActivation;
  run(args, stream);
}

template <class Stream>
void run_composed(const ConvolutionForward& args, Stream& stream) {
  if (args.activation.gamma != nullptr) {
    run_on_activated_copy(args, stream);
    return;
  }
  ConvolutionForward plain = args;
  plain.statistics = kNoOutputStatistics;
  run(plain, stream);
  const ConvolutionShape& s = args.shape;
  const int64_t rows = s.batch * s.out_height() * s.out_width();
  const OutputStatistics& to = args.statistics;
  run_part(BatchNormStatistics{.dtype = args.dtype,
                               .rows = rows,
                               .group_rows = rows,
                               .channels = s.out_channels,
                               .x = args.y,
                               .epsilon = to.epsilon,
                               .mean = to.mean,
                               .variance = to.variance,
                               .rstd = to.rstd},
           stream);
}

template <class Stream>
void run_composed(const ConvolutionBackwardData& args, Stream& stream) {
  ConvolutionBackwardData plain = args;
  plain.sums = kNoGradientSums;
  run(plain, stream);
  const ConvolutionShape& s = args.shape;
  const int64_t rows = s.batch * s.in_height * s.in_width;
  const GradientSums& to = args.sums;
  if (to.mask == nullptr) {
    const int64_t size = rows * s.in_channels;
    const device_api::Workspace y(stream.device(), size * size_bytes(args.dtype));
    run_part(BatchNormApply{.dtype = args.dtype,
                            .rows = rows,
                            .group_rows = rows,
                            .channels = s.in_channels,
                            .x = to.x,
                            .residual = nullptr,
                            .gamma = to.gamma,
                            .beta = to.beta,
                            .mean = to.mean,
                            .rstd = to.rstd,
                            .activation = Activation::relu,
                            .y = y.data(),
                            .mask = nullptr},
             stream);
    run_part(ReluBackward{.dtype = args.dtype, .size = size, .y = y.data(), .dy = args.dx, .dx = args.dx}, stream);
  }
  run_part(BatchNormBackwardReduce{.dtype = args.dtype,
                                   .rows = rows,
                                   .group_rows = rows,
                                   .channels = s.in_channels,
                                   .x = to.x,
                                   .dy = args.dx,
                                   .more = nullptr,
                                   .mask = to.mask,
                                   .mean = to.mean,
                                   .rstd = to.rstd,
                                   .sum_g = to.sum_g,
                                   .sum_g_xhat = to.sum_g_xhat,
                                   .g = nullptr},
           stream);
}

template <class Stream>
void run_composed(const ConvolutionBackwardWeights& args, Stream& stream) {
  run_on_activated_copy(args, stream);
}

}  // namespace residua
