#include "core/ops/conv2d.h"

#include <cmath>

#include "tests/support/convolution_reference.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

/// Of y [rows, channels]: y itself, and per channel its mean, biased variance and 1 / sqrt(variance + epsilon).
std::vector<HostArray> with_statistics(const HostArray& y, size_t channels, double epsilon) {
  const double rows = static_cast<double>(y.size() / channels);
  HostArray mean(channels);
  HostArray variance(channels);
  HostArray rstd(channels);
  for (size_t i = 0; i < y.size(); ++i) {
    mean[i % channels] += y[i] / rows;
  }
  for (size_t i = 0; i < y.size(); ++i) {
    const double d = y[i] - mean[i % channels];
    variance[i % channels] += d * d / rows;
  }
  for (size_t c = 0; c < channels; ++c) {
    rstd[c] = 1 / std::sqrt(variance[c] + epsilon);
  }
  return {y, mean, variance, rstd};
}

OpCase make(const ConvolutionShape& z) {
  const double flops = 2.0 * static_cast<double>(z.batch * z.out_height() * z.out_width() * z.out_channels * z.kernel_height *
                                                 z.kernel_width * z.in_channels);
  return {.op = "conv2d",
          .name = fmt::format("n{}_{}x{}x{}_to_{}_kernel_{}x{}_stride_{}_padding_{}", z.batch, z.in_height, z.in_width,
                              z.in_channels, z.out_channels, z.kernel_height, z.kernel_width, z.stride, z.padding),
          .inputs = {{.name = "x", .shape = {z.batch, z.in_height, z.in_width, z.in_channels}, .values = uniform(-1, 1)},
                     {.name = "w",
                      .shape = {z.out_channels, z.kernel_height, z.kernel_width, z.in_channels},
                      .values = uniform(-1, 1)}},
          .run =
              [z](std::span<const Tensor> in) {
                return std::vector{conv2d(in[0], in[1], {.stride = z.stride, .padding = z.padding})};
              },
          .reference =
              [z](std::span<const HostArray> in) {
                HostArray y(static_cast<size_t>(z.batch * z.out_height() * z.out_width() * z.out_channels));
                for_each_product(z, [&](size_t i, size_t j, size_t o) { y[o] += in[0][i] * in[1][j]; });
                return std::vector<HostArray>{y};
              },
          .reference_gradients =
              [z](std::span<const HostArray> in, const HostArray& dy) {
                HostArray dx(in[0].size());
                HostArray dw(in[1].size());
                for_each_product(z, [&](size_t i, size_t j, size_t o) {
                  dx[i] += dy[o] * in[1][j];
                  dw[j] += dy[o] * in[0][i];
                });
                return std::vector<HostArray>{dx, dw};
              },
          // Winograd's algorithm (3x3, stride 1, from 16 channels on) subtracts before it multiplies.
          .f32_tolerance = z.kernel_height == 3 && z.stride == 1 && z.in_channels >= 16 && z.out_channels >= 16 ? 10.0 : 1.0,
          .flops = flops};
}

/// The same with the statistics of the output for a batch normalization.
OpCase make_with_statistics(const ConvolutionShape& z) {
  constexpr float kEpsilon = 1e-3f;
  OpCase c = make(z);
  c.op = "conv2d";
  c.name += "_with_statistics";
  c.tolerance = 4;  // the statistics are of y as it is stored: a mean near 0 has the rounding errors of terms far from it
  c.run = [z](std::span<const Tensor> in) {
    const auto vector = [&] { return empty({z.out_channels}, DType::f32, in[0].device()); };
    BatchNormTensors norm{};
    norm.batch_mean = vector();
    norm.batch_var = vector();
    norm.batch_rstd = vector();
    norm.epsilon = kEpsilon;
    const Tensor y = conv2d(in[0], in[1], {.stride = z.stride, .padding = z.padding}, &norm);
    return std::vector{y, norm.batch_mean, norm.batch_var, norm.batch_rstd};
  };
  c.reference = [z, plain = c.reference](std::span<const HostArray> in) {
    return with_statistics(plain(in).front(), static_cast<size_t>(z.out_channels), static_cast<double>(kEpsilon));
  };
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const ConvolutionShape& z : std::initializer_list<ConvolutionShape>{
           {1, 1, 1, 1, 1, 1, 1, 1, 0},      // the least there is
           {1, 1, 1, 7, 3, 3, 3, 1, 1},      // mostly padding
           {2, 5, 4, 3, 7, 3, 3, 1, 1},      //
           {3, 6, 5, 17, 7, 1, 1, 1, 0},     //
           {1, 6, 7, 3, 5, 1, 3, 1, 0},      // a kernel that is not square
           {1, 5, 5, 1, 1, 5, 5, 2, 0},      // one output pixel
           {2, 9, 8, 5, 4, 3, 3, 3, 1},      // a stride that leaves rows over
           {1, 7, 6, 7, 5, 3, 3, 2, 1},      // stride 2, odd and even
           {2, 8, 9, 17, 16, 3, 3, 2, 1},    //
           {2, 7, 7, 4, 6, 1, 1, 2, 0},      // the projection shortcut
           {1, 8, 6, 16, 32, 1, 1, 2, 0},    //
           {2, 13, 12, 3, 17, 7, 7, 2, 3},   // the stem
           {1, 12, 13, 4, 16, 7, 7, 2, 3},   //
           {2, 15, 14, 3, 16, 7, 7, 2, 3},   // from here on with pixels enough for the CPU device's own kernels
           {2, 13, 12, 64, 48, 3, 3, 2, 1},  //
           {1, 8, 8, 64, 64, 3, 3, 1, 1},    //
           {3, 13, 11, 32, 48, 3, 3, 1, 1},  // tiles of Winograd's algorithm that stand over the edge
           {5, 9, 12, 16, 16, 3, 3, 1, 1},   //
           {2, 8, 8, 16, 32, 3, 3, 2, 1},    //
           {2, 7, 7, 64, 17, 3, 3, 2, 1},    //
           {2, 5, 5, 64, 32, 1, 1, 1, 0},    //
       }) {
    all.push_back(make(z));
  }
  for (const ConvolutionShape& z : std::initializer_list<ConvolutionShape>{
           {2, 5, 4, 3, 7, 3, 3, 1, 1},
           {2, 8, 9, 17, 16, 3, 3, 2, 1},
           {3, 8, 6, 16, 32, 1, 1, 2, 0},
           {1, 8, 8, 64, 64, 3, 3, 1, 1},
       }) {
    all.push_back(make_with_statistics(z));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
