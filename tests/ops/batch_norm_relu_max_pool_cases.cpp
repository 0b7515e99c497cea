#include "core/ops/batch_norm_relu_max_pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr float kEpsilon = 1e-5f;
constexpr size_t kNone = std::numeric_limits<size_t>::max();

constexpr PoolOptions kOfTheStem{.window = 3, .stride = 2, .padding = 1};

struct Sizes {
  int64_t n, h, w, c;
  PoolOptions pool = kOfTheStem;
  double low = -1, high = 1;  // of x
  int64_t group = 0;
  bool small_gamma = false;  // of which backward takes some channels' sums from x, the others' from y

  int64_t pooled(int64_t size) const { return (size + 2 * pool.padding - pool.window) / pool.stride + 1; }
  /// Elements of x in a group.
  size_t group_size() const { return static_cast<size_t>((group > 0 ? group : n) * h * w * c); }
  Shape in() const { return {n, h, w, c}; }
  Shape out() const { return {n, pooled(h), pooled(w), c}; }
};

/// For each output the pixels of its window, by index of x.
std::vector<std::vector<size_t>> windows(const Sizes& z) {
  std::vector<std::vector<size_t>> all;
  const auto [window, stride, padding] = z.pool;
  for (int64_t n = 0; n < z.n; ++n) {
    for (int64_t p = 0; p < z.pooled(z.h); ++p) {
      for (int64_t q = 0; q < z.pooled(z.w); ++q) {
        for (int64_t c = 0; c < z.c; ++c) {
          auto& pixels = all.emplace_back();
          for (int64_t i = p * stride - padding; i < p * stride - padding + window; ++i) {
            for (int64_t j = q * stride - padding; j < q * stride - padding + window; ++j) {
              if (i >= 0 && i < z.h && j >= 0 && j < z.w) {
                pixels.push_back(static_cast<size_t>(((n * z.h + i) * z.w + j) * z.c + c));
              }
            }
          }
        }
      }
    }
  }
  return all;
}

/// What is pooled, before the ReLU, and the statistics of each group, one after the other.
struct Normalized {
  HostArray y, mean, variance, rows;  // `rows` of each group
};

Normalized normalize(const Sizes& z, std::span<const HostArray> in, Mode mode) {
  const HostArray& x = in[0];
  const auto channels = static_cast<size_t>(z.c);
  const size_t groups = (x.size() + z.group_size() - 1) / z.group_size();
  Normalized r{HostArray(x.size()), HostArray(groups * channels), HostArray(groups * channels), HostArray(groups)};
  const auto table = [&](size_t i) { return i / z.group_size() * channels + i % channels; };
  for (size_t i = 0; i < x.size(); ++i) {
    r.rows[i / z.group_size()] += 1 / static_cast<double>(channels);
  }
  for (size_t i = 0; i < x.size() && mode == Mode::train; ++i) {
    r.mean[table(i)] += x[i] / r.rows[i / z.group_size()];
  }
  for (size_t i = 0; i < x.size() && mode == Mode::train; ++i) {
    const double d = x[i] - r.mean[table(i)];
    r.variance[table(i)] += d * d / r.rows[i / z.group_size()];
  }
  for (size_t k = 0; k < r.mean.size() && mode == Mode::evaluate; ++k) {
    r.mean[k] = in[3][k % channels];
    r.variance[k] = in[4][k % channels];
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % channels;
    r.y[i] = in[1][c] * (x[i] - r.mean[table(i)]) / std::sqrt(r.variance[table(i)] + static_cast<double>(kEpsilon)) + in[2][c];
  }
  return r;
}

std::vector<HostArray> reference(const Sizes& z, std::span<const HostArray> in, Mode mode) {
  const Normalized normalized = normalize(z, in, mode);
  HostArray y;
  for (const std::vector<size_t>& pixels : windows(z)) {
    double largest = 0;
    for (const size_t i : pixels) {
      largest = std::max(largest, normalized.y[i]);
    }
    y.push_back(largest);
  }
  if (mode == Mode::evaluate) {
    return {y};
  }
  const size_t groups = normalized.rows.size();
  HostArray mean(static_cast<size_t>(z.c));
  HostArray variance(mean.size());
  for (size_t k = 0; k < normalized.mean.size(); ++k) {
    const double n = normalized.rows[k / mean.size()];
    mean[k % mean.size()] += normalized.mean[k] / static_cast<double>(groups);
    variance[k % mean.size()] += normalized.variance[k] * (groups > 1 ? n / (n - 1) : 1) / static_cast<double>(groups);
  }
  return {y, mean, variance};
}

/// The rules of the two passes of algorithm 1, in double: the gradients of x, gamma and beta.
std::vector<HostArray> gradients(const Sizes& z, std::span<const HostArray> in, const HostArray& dy, Mode mode) {
  const auto channels = static_cast<size_t>(z.c);
  const Normalized normalized = normalize(z, in, mode);
  HostArray g(in[0].size());
  const std::vector<std::vector<size_t>> all = windows(z);
  for (size_t o = 0; o < all.size(); ++o) {
    size_t winner = kNone;
    for (const size_t i : all[o]) {
      if (normalized.y[i] > (winner == kNone ? 0.0 : normalized.y[winner])) {
        winner = i;
      }
    }
    if (winner != kNone) {
      g[winner] += dy[o];
    }
  }
  const auto table = [&](size_t i) { return i / z.group_size() * channels + i % channels; };
  const auto rstd = [&](size_t i) { return 1 / std::sqrt(normalized.variance[table(i)] + static_cast<double>(kEpsilon)); };
  const auto xhat = [&](size_t i) { return (in[0][i] - normalized.mean[table(i)]) * rstd(i); };
  HostArray sums(normalized.mean.size());
  HostArray sums_xhat(normalized.mean.size());
  HostArray dgamma(channels);
  HostArray dbeta(channels);
  for (size_t i = 0; i < g.size(); ++i) {
    sums[table(i)] += g[i];
    sums_xhat[table(i)] += g[i] * xhat(i);
    dbeta[i % channels] += g[i];
    dgamma[i % channels] += g[i] * xhat(i);
  }
  HostArray dx(g.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const double sum = sums[table(i)] + xhat(i) * sums_xhat[table(i)];
    const double through_statistics = mode == Mode::train ? sum / normalized.rows[i / z.group_size()] : 0.0;
    dx[i] = in[1][i % channels] * rstd(i) * (g[i] - through_statistics);
  }
  std::vector<HostArray> result{dx, dgamma, dbeta};
  result.resize(in.size());
  return result;
}

/// Whether rounding can change neither a winner nor the side of the ReLU. Equal x are no matter of rounding.
bool clear_cut(const Sizes& z, std::span<const HostArray> in, Mode mode) {
  const double gap = 4e-6 * std::max(1.0, std::fabs(z.high));
  const HostArray y = normalize(z, in, mode).y;
  return std::ranges::all_of(windows(z), [&](const std::vector<size_t>& pixels) {
    double best = -std::numeric_limits<double>::infinity();
    for (const size_t i : pixels) {
      best = std::max(best, y[i]);
    }
    const auto near = [&](size_t i) { return y[i] != best && best - y[i] < gap; };
    return std::fabs(best) > gap && (best < 0 || std::ranges::none_of(pixels, near));
  });
}

/// Around the limits of BatchNormReluMaxPoolBackwardReduce, and 0.
void small_gammas(Random& random, std::span<double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = i % 5 == 2 ? 0.0 : (i % 2 == 0 ? 1.0 : -1.0) * random.uniform(0.02, 0.3);
  }
}

OpCase make(const Sizes& z, Mode mode) {
  OpCase c{
      .op = "batch_norm_relu_max_pool",
      .name = fmt::format("{}_n{}_{}x{}x{}_window_{}_stride_{}_padding_{}{}", mode == Mode::train ? "train" : "evaluate", z.n,
                          z.h, z.w, z.c, z.pool.window, z.pool.stride, z.pool.padding, z.high > 2 ? "_far_from_zero" : "") +
              (z.group > 0 ? fmt::format("_groups_of_{}", z.group) : "") + (z.small_gamma ? "_small_gamma" : ""),
      .inputs = {{.name = "x", .shape = z.in(), .values = uniform(z.low, z.high)},
                 // Of both signs: the largest x is not always the winner.
                 {.name = "gamma",
                  .shape = {z.c},
                  .values = z.small_gamma ? Values(small_gammas) : away_from_zero(0.5, 1.5),
                  .dtype = DType::f32},
                 {.name = "beta", .shape = {z.c}, .values = uniform(-1.0, 0.5), .dtype = DType::f32}},
      .run =
          [=](std::span<const Tensor> in) {
            BatchNormTensors p{
                .gamma = in[1], .beta = in[2], .running_mean = {}, .running_var = {}, .batch_mean = {}, .batch_var = {}};
            p.epsilon = kEpsilon;
            p.group_images = z.group;
            if (mode == Mode::evaluate) {
              p.running_mean = in[3];
              p.running_var = in[4];
              return std::vector{batch_norm_relu_max_pool(in[0], p, z.pool, mode)};
            }
            p.batch_mean = empty({z.c}, DType::f32, in[0].device());
            p.batch_var = empty({z.c}, DType::f32, in[0].device());
            return std::vector{batch_norm_relu_max_pool(in[0], p, z.pool, mode), p.batch_mean, p.batch_var};
          },
      .reference = [=](std::span<const HostArray> in) { return reference(z, in, mode); },
      .reference_gradients = [=](std::span<const HostArray> in, const HostArray& dy) { return gradients(z, in, dy, mode); },
      .usable = [=](std::span<const HostArray> in) { return clear_cut(z, in, mode); }};
  if (z.c % 8 != 0 || z.pool.window != 3 || z.pool.stride != 2) {
    c.dtypes = {DType::f32};  // others are rounded before the maximum, which makes ties
  }
  if (mode == Mode::evaluate) {
    c.inputs.push_back({"running_mean", {z.c}, uniform(z.low, z.high), false, DType::f32});
    c.inputs.push_back({"running_var", {z.c}, uniform(0.5, 2.0), false, DType::f32});
  }
  if (z.high > 2) {
    c.tolerance = std::max(std::fabs(z.low), std::fabs(z.high));
    c.gradient_tolerance = 4 * c.tolerance;
  }
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Sizes& z : std::initializer_list<Sizes>{{1, 2, 2, 8},
                                                     {2, 5, 4, 24},
                                                     {1, 9, 7, 16},
                                                     {2, 6, 6, 64},
                                                     {2, 8, 7, 16},
                                                     {2, 21, 19, 24},
                                                     {2, 7, 8, 8, {.window = 3, .stride = 2, .padding = 0}},
                                                     {2, 5, 5, 8, kOfTheStem, 98, 102},
                                                     {5, 5, 4, 8, kOfTheStem, -1, 1, 2},
                                                     {4, 6, 6, 16, kOfTheStem, -1, 1, 3},
                                                     {2, 6, 7, 64, kOfTheStem, -1, 1, 0, true},
                                                     {3, 6, 6, 16, kOfTheStem, -1, 1, 2, true},
                                                     // Composed of two ops.
                                                     {2, 5, 4, 7},
                                                     {1, 6, 7, 17, {.window = 2, .stride = 2, .padding = 0}},
                                                     {2, 5, 6, 8, {.window = 3, .stride = 1, .padding = 1}},
                                                     {3, 5, 6, 3, {.window = 2, .stride = 3, .padding = 1}, -1, 1, 1}}) {
    all.push_back(make(z, Mode::train));
  }
  for (const Sizes& z : std::initializer_list<Sizes>{{2, 5, 4, 8}, {1, 6, 9, 64}}) {
    all.push_back(make(z, Mode::evaluate));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
