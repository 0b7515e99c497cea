#pragma once

#include "core/kernels/batch_norm.h"
#include "core/kernels/convolution.h"
#include "core/kernels/fill.h"
#include "core/kernels/profile.h"

/// The fused forms of convolution as compositions of plain kernels, for any device.
namespace residua {

/// Runs a kernel that the profiler is to see by itself.
template <class Args, class Stream>
void run_part(const Args& args, Stream& stream) {
  const profile::Timer timer(typeid(Args));
  run(args, stream);
}

/// out = relu(scale * x + bias), x and out [rows, channels].
template <class Stream>
void apply_activation(const InputActivation& activation, DType dtype, int64_t rows, int64_t channels, const void* x, void* out,
                      Stream& stream) {
  const device_api::Workspace constants(stream.device(), 2 * channels * int64_t{sizeof(float)});
  auto* zeros = static_cast<float*>(constants.data());
  float* ones = zeros + channels;
  run_part(Fill{DType::f32, channels, 0, zeros}, stream);
  run_part(Fill{DType::f32, channels, 1, ones}, stream);
  run_part(BatchNormApply{dtype, rows, channels, x, nullptr, activation.scale, activation.bias, zeros, ones, Activation::relu,
                          out, nullptr},
           stream);
}

/// Runs `args` with its activation applied to a copy of x first.
template <class Args, class Stream>
void run_on_activated_copy(Args args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  const int64_t rows = s.batch * s.in_height * s.in_width;
  const device_api::Workspace x(stream.device(), rows * s.in_channels * size_bytes(args.dtype));
  apply_activation(args.activation, args.dtype, rows, s.in_channels, args.x, x.data(), stream);
  args.x = x.data();
  args.activation = kNoInputActivation;
  run(args, stream);
}

template <class Stream>
void run_composed(const ConvolutionForward& args, Stream& stream) {
  if (args.activation.scale != nullptr) {
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
  const GradientSums& to = args.sums;
  run_part(BatchNormBackwardReduce{args.dtype, s.batch * s.in_height * s.in_width, s.in_channels, to.x, args.dx, to.mask,
                                   to.mean, to.rstd, to.sum_g, to.sum_g_xhat},
           stream);
}

template <class Stream>
void run_composed(const ConvolutionBackwardWeights& args, Stream& stream) {
  run_on_activated_copy(args, stream);
}

}  // namespace residua
