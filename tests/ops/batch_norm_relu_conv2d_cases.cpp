#include "core/ops/batch_norm_relu_conv2d.h"

#include <algorithm>
#include <cmath>

#include "tests/support/convolution_reference.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr float kEpsilon = 1e-3f;

/// Of x [rows, channels]: per channel the mean, the biased variance and 1 / sqrt(variance + epsilon).
struct Statistics {
  HostArray mean, variance, rstd;

  Statistics(const HostArray& x, size_t channels) : mean(channels), variance(channels), rstd(channels) {
    const double rows = static_cast<double>(x.size() / channels);
    for (size_t i = 0; i < x.size(); ++i) {
      mean[i % channels] += x[i] / rows;
    }
    for (size_t i = 0; i < x.size(); ++i) {
      variance[i % channels] += (x[i] - mean[i % channels]) * (x[i] - mean[i % channels]) / rows;
    }
    finish();
  }
  Statistics(HostArray running_mean, HostArray running_variance)
      : mean(std::move(running_mean)), variance(std::move(running_variance)), rstd(mean.size()) {
    finish();
  }

 private:
  void finish() {
    for (size_t c = 0; c < rstd.size(); ++c) {
      rstd[c] = 1 / std::sqrt(variance[c] + static_cast<double>(kEpsilon));
    }
  }
};

/// What the ReLU is applied to, and the statistics that it is normalized with.
struct Normalized {
  HostArray y;
  Statistics statistics;

  Normalized(std::span<const HostArray> in, size_t channels, Mode mode)
      : statistics(mode == Mode::train ? Statistics(in[0], channels) : Statistics(in[4], in[5])) {
    for (size_t i = 0; i < in[0].size(); ++i) {
      const size_t c = i % channels;
      y.push_back(in[1][c] * (in[0][i] - statistics.mean[c]) * statistics.rstd[c] + in[2][c]);
    }
  }
};

struct Form {
  ConvolutionShape shape;
  Mode mode;
  ActivationPlace place;
  bool statistics;  // of y are outputs

  size_t channels() const { return static_cast<size_t>(shape.in_channels); }
};

std::vector<HostArray> reference(const Form& form, std::span<const HostArray> in) {
  const ConvolutionShape& s = form.shape;
  const Normalized normalized(in, form.channels(), form.mode);
  HostArray y(static_cast<size_t>(s.batch * s.out_height() * s.out_width() * s.out_channels));
  for_each_product(s, [&](size_t i, size_t j, size_t o) { y[o] += std::max(normalized.y[i], 0.0) * in[3][j]; });
  if (!form.statistics) {
    return {y};
  }
  const Statistics of(y, static_cast<size_t>(s.out_channels));
  return {y, of.mean, of.variance, of.rstd};
}

/// The gradients of x, gamma, beta and w: those of the convolution, then the two passes of algorithm 1.
std::vector<HostArray> gradients(const Form& form, std::span<const HostArray> in, const HostArray& dy) {
  const size_t channels = form.channels();
  const Normalized normalized(in, channels, form.mode);
  const Statistics& of = normalized.statistics;
  HostArray g(in[0].size());
  HostArray dw(in[3].size());
  for_each_product(form.shape, [&](size_t i, size_t j, size_t o) {
    g[i] += normalized.y[i] > 0 ? dy[o] * in[3][j] : 0.0;
    dw[j] += dy[o] * std::max(normalized.y[i], 0.0);
  });
  const auto xhat = [&](size_t i) { return (in[0][i] - of.mean[i % channels]) * of.rstd[i % channels]; };
  HostArray dgamma(channels);
  HostArray dbeta(channels);
  for (size_t i = 0; i < g.size(); ++i) {
    dbeta[i % channels] += g[i];
    dgamma[i % channels] += g[i] * xhat(i);
  }
  const double rows = static_cast<double>(g.size() / channels);
  HostArray dx(g.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const size_t c = i % channels;
    const double through_statistics = form.mode == Mode::train ? (dbeta[c] + xhat(i) * dgamma[c]) / rows : 0.0;
    dx[i] = in[1][c] * of.rstd[c] * (g[i] - through_statistics);
  }
  std::vector<HostArray> all{dx, dgamma, dbeta, dw};
  all.resize(in.size());
  return all;
}

std::string name(ActivationPlace place) {
  switch (place) {
    case ActivationPlace::fastest: return "fastest";
    case ActivationPlace::before: return "before";
    case ActivationPlace::inside: return "inside";
  }
  return "?";
}

OpCase make(const Form& form) {
  const ConvolutionShape& s = form.shape;
  const Shape in_channels{s.in_channels};
  OpCase c{
      .op = "batch_norm_relu_conv2d",
      .name = fmt::format("{}_{}_n{}_{}x{}x{}_to_{}_kernel_{}x{}_stride_{}_padding_{}{}",
                          form.mode == Mode::train ? "train" : "evaluate", name(form.place), s.batch, s.in_height, s.in_width,
                          s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.stride, s.padding,
                          form.statistics ? "_with_statistics" : ""),
      // Away from the ReLU's kink: a device may round the normalization's scale to the type of x.
      .inputs = {{.name = "x", .shape = {s.batch, s.in_height, s.in_width, s.in_channels}, .values = away_from_zero(0.5, 1)},
                 {.name = "gamma", .shape = in_channels, .values = away_from_zero(0.5, 1.5), .dtype = DType::f32},
                 {.name = "beta", .shape = in_channels, .values = uniform(-0.1, 0.1), .dtype = DType::f32},
                 {.name = "w",
                  .shape = {s.out_channels, s.kernel_height, s.kernel_width, s.in_channels},
                  .values = uniform(-1, 1)}},
      .run =
          [form](std::span<const Tensor> in) {
            const auto vector = [&](int64_t size) { return empty({size}, DType::f32, in[0].device()); };
            BatchNormTensors p{
                .gamma = in[1], .beta = in[2], .running_mean = {}, .running_var = {}, .batch_mean = {}, .batch_var = {}};
            p.epsilon = kEpsilon;
            if (form.mode == Mode::evaluate) {
              p.running_mean = in[4];
              p.running_var = in[5];
            }
            BatchNormTensors next = p;
            next.batch_mean = vector(form.shape.out_channels);
            next.batch_var = vector(form.shape.out_channels);
            next.batch_rstd = vector(form.shape.out_channels);
            const Tensor y = batch_norm_relu_conv2d(in[0], p, in[3], {form.shape.stride, form.shape.padding}, form.mode,
                                                    form.statistics ? &next : nullptr, form.place);
            return form.statistics ? std::vector{y, next.batch_mean, next.batch_var, next.batch_rstd} : std::vector{y};
          },
      .reference = [form](std::span<const HostArray> in) { return reference(form, in); },
      .reference_gradients = [form](std::span<const HostArray> in, const HostArray& dy) { return gradients(form, in, dy); },
      .usable =
          [form](std::span<const HostArray> in) {
            const Normalized normalized(in, form.channels(), form.mode);
            return std::ranges::all_of(normalized.y, [](double v) { return std::fabs(v) > 4e-3; });
          },
      .tolerance = 4,  // the activation is rounded on the way, and the statistics are of y as it is stored
      .gradient_tolerance = 8,
      .f32_tolerance = s.in_channels >= 32 ? 10.0 : 1.0,  // Winograd's algorithm, as in conv2d_cases.cpp
      .flops = s.flops()};
  if (form.mode == Mode::evaluate) {
    c.inputs.push_back({"running_mean", in_channels, uniform(-0.5, 0.5), false, DType::f32});
    c.inputs.push_back({"running_var", in_channels, uniform(0.5, 2.0), false, DType::f32});
  }
  return c;
}

std::vector<OpCase> cases() {
  const ConvolutionShape odd{.batch = 2,
                             .in_height = 5,
                             .in_width = 4,
                             .in_channels = 7,
                             .out_channels = 5,
                             .kernel_height = 3,
                             .kernel_width = 3,
                             .stride = 1,
                             .padding = 1};
  std::vector<OpCase> all{
      make({odd, Mode::train, ActivationPlace::fastest, true}), make({odd, Mode::train, ActivationPlace::before, false}),
      make({odd, Mode::train, ActivationPlace::inside, false}), make({odd, Mode::evaluate, ActivationPlace::fastest, false})};
  for (const ActivationPlace place : {ActivationPlace::before, ActivationPlace::inside}) {
    for (const ConvolutionShape& s : {ConvolutionShape{.batch = 3,
                                     .in_height = 6,
                                     .in_width = 5,
                                     .in_channels = 17,
                                     .out_channels = 7,
                                     .kernel_height = 1,
                                     .kernel_width = 1,
                                     .stride = 1,
                                     .padding = 0},
                                      ConvolutionShape{.batch = 2,
                                      .in_height = 7,
                                      .in_width = 8,
                                      .in_channels = 12,
                                      .out_channels = 9,
                                      .kernel_height = 3,
                                      .kernel_width = 3,
                                      .stride = 2,
                                      .padding = 1},
                                      ConvolutionShape{.batch = 2,
                                      .in_height = 8,
                                      .in_width = 9,
                                      .in_channels = 64,
                                      .out_channels = 32,
                                      .kernel_height = 3,
                                      .kernel_width = 3,
                                      .stride = 1,
                                      .padding = 1}}) {
      all.push_back(make({s, Mode::train, place, true}));
    }
    all.push_back(make({odd, Mode::evaluate, place, false}));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
