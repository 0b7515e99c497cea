#include "core/ops/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Form { plain, relu, add_relu };

constexpr float kEpsilon = 1e-5f;

struct Sizes {
  Shape shape;
  double low, high;  // of x
  int64_t group = 0;
};

/// Mean and biased variance of each channel of elements [begin, end) of x.
std::pair<HostArray, HostArray> statistics(const HostArray& x, size_t begin, size_t end, size_t channels) {
  const double rows = static_cast<double>((end - begin) / channels);
  HostArray mean(channels);
  HostArray variance(channels);
  for (size_t i = begin; i < end; ++i) {
    mean[i % channels] += x[i] / rows;
  }
  for (size_t i = begin; i < end; ++i) {
    const double d = x[i] - mean[i % channels];
    variance[i % channels] += d * d / rows;
  }
  return {mean, variance};
}

/// All outputs, and in `pre_activation` what the ReLU is applied to. Inputs: x, gamma, beta, then running mean and variance in
/// evaluation, then the residual. Several groups have the mean of their means and of their unbiased variances as outputs.
std::vector<HostArray> reference(std::span<const HostArray> in, const Sizes& z, Form form, Mode mode,
                                 HostArray* pre_activation) {
  const HostArray& x = in[0];
  const auto channels = static_cast<size_t>(z.shape.dim(-1));
  const size_t image = x.size() / static_cast<size_t>(z.shape.dim(0));
  const size_t group = z.group == 0 ? x.size() : image * static_cast<size_t>(z.group);
  const size_t groups = (x.size() + group - 1) / group;
  HostArray mean;
  HostArray variance;
  HostArray committed_mean(channels);
  HostArray committed_variance(channels);
  HostArray y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % channels;
    if (i % group == 0) {
      const size_t end = std::min(i + group, x.size());
      std::tie(mean, variance) = mode == Mode::train ? statistics(x, i, end, channels) : std::pair{in[3], in[4]};
      const double n = static_cast<double>((end - i) / channels);
      for (size_t k = 0; k < channels; ++k) {
        committed_mean[k] += mean[k] / static_cast<double>(groups);
        committed_variance[k] += variance[k] * (groups > 1 ? n / (n - 1) : 1) / static_cast<double>(groups);
      }
    }
    y[i] = in[1][c] * (x[i] - mean[c]) / std::sqrt(variance[c] + static_cast<double>(kEpsilon)) + in[2][c];
    if (form == Form::add_relu) {
      y[i] += in.back()[i];
    }
    if (pre_activation != nullptr) {
      pre_activation->push_back(y[i]);
    }
    if (form != Form::plain) {
      y[i] = std::max(y[i], 0.0);
    }
  }
  if (mode == Mode::train) {
    return {y, committed_mean, committed_variance};
  }
  return {y};
}

OpCase make(const Sizes& z, Form form, Mode mode) {
  const int64_t channels = z.shape.dim(-1);
  const double size = static_cast<double>(z.shape.size());
  // The errors grow with 1 / sqrt(variance), so a few rows must not happen to be alike.
  const bool few = z.shape.size() / channels < 4;
  const Values around_one = uniform(0.5, 1.5);
  std::string sizes;
  for (const int64_t s : z.shape.sizes()) {
    sizes += (sizes.empty() ? "" : "x") + std::to_string(s);
  }
  OpCase c{
      .op = form == Form::plain  ? "batch_norm"
            : form == Form::relu ? "batch_norm_relu"
                                 : "batch_norm_add_relu",
      .name = fmt::format("{}_{}{}", mode == Mode::train ? "train" : "evaluate", sizes, z.high > 2 ? "_far_from_zero" : "") +
              (z.group > 0 ? fmt::format("_groups_of_{}", z.group) : ""),
      .inputs = {{.name = "x", .shape = z.shape, .values = few ? distinct() : uniform(z.low, z.high)},
                 {.name = "gamma", .shape = {channels}, .values = around_one, .dtype = DType::f32},
                 {.name = "beta", .shape = {channels}, .values = uniform(-0.5, 0.5), .dtype = DType::f32}},
      .run =
          [form, mode, channels, group = z.group](std::span<const Tensor> in) {
            BatchNormTensors p{.gamma = in[1],
                               .beta = in[2],
                               .running_mean = {},
                               .running_var = {},
                               .batch_mean = {},
                               .batch_var = {},
                               .batch_rstd = {}};
            p.epsilon = kEpsilon;
            p.group_images = group;
            std::vector<Tensor> statistics;
            if (mode == Mode::train) {
              p.batch_mean = empty({channels}, DType::f32, in[0].device());
              p.batch_var = empty({channels}, DType::f32, in[0].device());
              statistics = {p.batch_mean, p.batch_var};
            } else {
              p.running_mean = in[3];
              p.running_var = in[4];
            }
            std::vector<Tensor> out{form == Form::plain  ? batch_norm(in[0], p, mode)
                                    : form == Form::relu ? batch_norm_relu(in[0], p, mode)
                                                         : batch_norm_add_relu(in[0], in.back(), p, mode)};
            out.insert(out.end(), statistics.begin(), statistics.end());
            return out;
          },
      .reference = [=](std::span<const HostArray> in) { return reference(in, z, form, mode, nullptr); },
      .f32_tolerance = mode == Mode::train ? 2.0 : 1.0,  // a mean near 0 has the rounding errors of terms far from it
      .flops = 8 * size};
  if (mode == Mode::evaluate) {
    c.inputs.push_back({"running_mean", {channels}, uniform(z.low, z.high), false, DType::f32});
    c.inputs.push_back({"running_var", {channels}, uniform(0.5, 2.0), false, DType::f32});
  }
  if (form == Form::add_relu) {
    c.inputs.push_back({"residual", z.shape, uniform(-1, 1)});
  }
  if (form != Form::plain) {
    c.usable = [=](std::span<const HostArray> in) {
      HostArray pre_activation;
      reference(in, z, form, mode, &pre_activation);
      return std::ranges::none_of(pre_activation, [](double v) { return std::fabs(v) < 1e-4; });
    };
  }
  if (z.high > 2) {
    // Differences of numbers this much larger than they keep so many bits fewer.
    c.tolerance = std::max(std::fabs(z.low), std::fabs(z.high));
    c.gradient_tolerance = 4 * c.tolerance;
  }
  if (few) {
    // A difference of nearly equal terms; of a single row each is 1 / sqrt(epsilon) = 316 large, and the difference is 0.
    c.gradient_tolerance = z.shape.size() == channels ? 1000 : 40;
  }
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Form form : {Form::plain, Form::relu, Form::add_relu}) {
    for (const Sizes& z : std::initializer_list<Sizes>{
             {{1, 1, 1, 1}, -1, 1},
             {{2, 1, 1, 3}, -1, 1},
             {{1, 3, 5, 1}, -1, 1},
             {{2, 3, 5, 7}, -1, 1},
             {{3, 5, 3, 17}, -1, 1},
             {{5, 33}, -1, 1},
             {{2, 4, 4, 64}, -1, 1},
             {{4, 17, 16, 17}, -1, 1},
             {{3, 11, 7, 13}, -1, 1},
             {{3, 5, 7, 264}, -1, 1},
             {{2, 9, 8, 24}, 98, 102},
             {{5, 3, 5, 7}, -1, 1, 2},
             {{7, 2, 3, 17}, -1, 1, 3},
             {{4, 3, 3, 64}, -1, 1, 2},
             {{3, 5, 7, 24}, -1, 1, 1},
             {{14, 33}, -1, 1, 9},
             {{3, 2, 2, 5}, -1, 1, 4},
             {{5, 9, 8, 24}, 98, 102, 3},
         }) {
      all.push_back(make(z, form, Mode::train));
    }
    for (const Sizes& z : std::initializer_list<Sizes>{
             {{1, 1, 1, 1}, -1, 1}, {{2, 3, 5, 7}, -1, 1}, {{3, 2, 3, 64}, -1, 1}, {{5, 3, 5, 7}, -1, 1, 2}}) {
      all.push_back(make(z, form, Mode::evaluate));
    }
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
