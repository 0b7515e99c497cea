#pragma once

#include "core/device/profile.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/convolution.h"
#include "core/kernels/relu.h"

/// The fused forms of convolution as compositions of plain kernels, for any device.
namespace residua {

/// Runs a kernel that the profiler is to see by itself.
template <class Args, class Stream>
void run_part(const Args& args, Stream& stream) {
  const profile::Timer timer(typeid(Args));
  run(args, stream);
}

/// Runs `args` with its activation applied to a copy of x first.
template <class Args, class Stream>
void run_on_activated_copy(Args args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  const int64_t rows = s.batch * s.in_height * s.in_width;
  const device_api::Workspace x(stream.device(), rows * s.in_channels * size_bytes(args.dtype));
  const InputActivation& a = args.activation;
  run_part(BatchNormApply{args.dtype, rows, s.in_channels, args.x, nullptr, a.gamma, a.beta, a.mean, a.rstd, Activation::relu,
                          x.data(), nullptr},
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
  const OutputStatistics& to = args.statistics;
  run_part(BatchNormStatistics{args.dtype, s.batch * s.out_height() * s.out_width(), s.out_channels, args.y, to.epsilon,
                               to.mean, to.variance, to.rstd},
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
    run_part(BatchNormApply{args.dtype, rows, s.in_channels, to.x, nullptr, to.gamma, to.beta, to.mean, to.rstd,
                            Activation::relu, y.data(), nullptr},
             stream);
    run_part(ReluBackward{args.dtype, size, y.data(), args.dx, args.dx}, stream);
  }
  run_part(BatchNormBackwardReduce{args.dtype, rows, s.in_channels, to.x, args.dx, nullptr, to.mask, to.mean, to.rstd, to.sum_g,
                                   to.sum_g_xhat, nullptr},
           stream);
}

template <class Stream>
void run_composed(const ConvolutionBackwardWeights& args, Stream& stream) {
  run_on_activated_copy(args, stream);
}

}  // namespace residua
