#include "core/nn/conv_bn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/autograd/tape.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/ops/batch_norm.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr double kEpsilon = 1e-5;

/// [N, H, W, C] in double precision.
struct Array {
  int64_t batch, height, width, channels;
  HostArray values;

  Array(int64_t n, int64_t h, int64_t w, int64_t c)
      : batch(n), height(h), width(w), channels(c), values(static_cast<size_t>(n * h * w * c)) {}
  double& at(int64_t n, int64_t h, int64_t w, int64_t c) {
    return values[static_cast<size_t>(((n * height + h) * width + w) * channels + c)];
  }
  double at(int64_t n, int64_t h, int64_t w, int64_t c) const { return const_cast<Array*>(this)->at(n, h, w, c); }
};

/// The definition of the cross-correlation; w [K, R, S, C].
Array convolve(const Array& x, const HostArray& w, int64_t filters, int64_t kernel, int64_t stride, int64_t padding) {
  Array y(x.batch, (x.height + 2 * padding - kernel) / stride + 1, (x.width + 2 * padding - kernel) / stride + 1, filters);
  for (int64_t n = 0; n < y.batch; ++n) {
    for (int64_t p = 0; p < y.height; ++p) {
      for (int64_t q = 0; q < y.width; ++q) {
        for (int64_t k = 0; k < filters; ++k) {
          for (int64_t r = 0; r < kernel; ++r) {
            for (int64_t s = 0; s < kernel; ++s) {
              const int64_t h = p * stride + r - padding;
              const int64_t v = q * stride + s - padding;
              for (int64_t c = 0; h >= 0 && h < x.height && v >= 0 && v < x.width && c < x.channels; ++c) {
                y.at(n, p, q, k) += x.at(n, h, v, c) * w[static_cast<size_t>(((k * kernel + r) * kernel + s) * x.channels + c)];
              }
            }
          }
        }
      }
    }
  }
  return y;
}

struct Norm {
  HostArray gamma, beta, running_mean, running_variance;
};

/// Mean and biased variance of each channel.
std::pair<HostArray, HostArray> batch_statistics(const Array& x) {
  const auto channels = static_cast<size_t>(x.channels);
  const double rows = static_cast<double>(x.values.size() / channels);
  HostArray mean(channels);
  HostArray variance(channels);
  for (size_t i = 0; i < x.values.size(); ++i) {
    mean[i % channels] += x.values[i] / rows;
  }
  for (size_t i = 0; i < x.values.size(); ++i) {
    variance[i % channels] += (x.values[i] - mean[i % channels]) * (x.values[i] - mean[i % channels]) / rows;
  }
  return {mean, variance};
}

Array normalize(const Array& x, const Norm& norm, Mode mode) {
  auto [mean, variance] = batch_statistics(x);
  if (mode == Mode::evaluate) {
    mean = norm.running_mean;
    variance = norm.running_variance;
  }
  Array y = x;
  for (size_t i = 0; i < y.values.size(); ++i) {
    const size_t c = i % mean.size();
    y.values[i] = norm.gamma[c] * (x.values[i] - mean[c]) / std::sqrt(variance[c] + kEpsilon) + norm.beta[c];
  }
  return y;
}

Array relu(Array x) {
  std::ranges::transform(x.values, x.values.begin(), [](double v) { return std::max(v, 0.0); });
  return x;
}

/// Two convolutions with norms of the same number of channels, so that any two of their tensors could be taken for each other.
struct Block : Module {
  Block()
      : conv1({.in_channels = 3, .out_channels = 5, .kernel = 3, .stride = 2, .padding = 1}),
        conv2({.in_channels = 5, .out_channels = 5, .kernel = 3, .stride = 1, .padding = 1}),
        bn1(5),
        bn2(5) {
    add_child("conv1", conv1);
    add_child("bn1", bn1);
    add_child("conv2", conv2);
    add_child("bn2", bn2);
  }
  Tensor forward(const Tensor& x, Mode mode) override {
    PendingNorm y = conv_bn(conv1, bn1, x, mode);
    y = conv_bn(conv2, bn2, y, mode);
    return norm(y);
  }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }

  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;
};

/// The block with all values drawn, and the same values in double precision.
struct Case {
  Case() : store(block), x(2, 7, 5, 3) {
    Random random("two layers");
    do {
      draw_values(random);
    } while (near_the_kink());
    set(block.conv1.weight.master, w1);
    set(block.conv2.weight.master, w2);
    set_norm(block.bn1, first);
    set_norm(block.bn2, second);
    store.masters_changed();
  }

  void draw_values(Random& random) {
    const auto draw = [&](size_t size, double low, double high) {
      HostArray values(size);
      uniform(low, high)(random, values);
      std::ranges::transform(values, values.begin(), [](double v) { return static_cast<double>(static_cast<float>(v)); });
      return values;
    };
    x.values = draw(x.values.size(), -1, 1);
    w1 = draw(5 * 3 * 3 * 3, -1, 1);
    w2 = draw(5 * 3 * 3 * 5, -1, 1);
    // No two of these ranges meet, nor do those of the batches' statistics.
    first = {.gamma = draw(5, 0.5, 0.9),
             .beta = draw(5, 0.1, 0.3),
             .running_mean = draw(5, 2, 3),
             .running_variance = draw(5, 20, 30)};
    second = {.gamma = draw(5, 1.5, 1.9),
              .beta = draw(5, -0.9, -0.7),
              .running_mean = draw(5, -8, -7),
              .running_variance = draw(5, 70, 80)};
  }
  /// Whether fp32, or a finite difference, may put a value on the ReLU's other side.
  bool near_the_kink() const {
    const auto near = [&](Mode mode) {
      const Array y = normalize(first_output(), first, mode);
      return std::ranges::any_of(y.values, [](double v) { return std::fabs(v) < 1e-3; });
    };
    return near(Mode::train) || near(Mode::evaluate);
  }

  static void set(const Tensor& tensor, const HostArray& values) {
    tensor.copy_from(std::vector<float>(values.begin(), values.end()));
  }
  static void set_norm(const BatchNorm2d& layer, const Norm& norm) {
    set(layer.weight.master, norm.gamma);
    set(layer.bias.master, norm.beta);
    set(layer.statistics.running_mean, norm.running_mean);
    set(layer.statistics.running_variance, norm.running_variance);
  }
  Tensor input() const { return to_tensor(x.values, {x.batch, x.height, x.width, x.channels}, DType::f32, {}); }

  Array first_output() const { return convolve(x, w1, 5, 3, 2, 1); }
  Array second_output(Mode mode) const { return convolve(relu(normalize(first_output(), first, mode)), w2, 5, 3, 1, 1); }

  Block block;
  ParameterStore store;
  Array x;
  HostArray w1, w2;
  Norm first, second;
};

class ConvBnTest : public ::testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, ConvBnTest, ::testing::Values(Mode::train, Mode::evaluate),
                         [](const auto& mode) { return mode.param == Mode::train ? "train" : "evaluate"; });

TEST_P(ConvBnTest, NormsFollowTheirConvolutionsInOrder) {
  Case c;
  const Array wanted = normalize(c.second_output(GetParam()), c.second, GetParam());
  EXPECT_TRUE(close(c.block.forward(c.input(), GetParam()), wanted.values, 1e-5));
}

TEST_P(ConvBnTest, StatisticsOfTheBatchAreEachLayersOwn) {
  Case c;
  for (const BatchNorm2d* layer : {&c.block.bn1, &c.block.bn2}) {
    Case::set(layer->statistics.batch_mean, HostArray(5, 123));
  }
  c.block.forward(c.input(), GetParam());
  if (GetParam() == Mode::evaluate) {
    for (const BatchNorm2d* layer : {&c.block.bn1, &c.block.bn2}) {
      EXPECT_TRUE(close(layer->statistics.batch_mean, HostArray(5, 123), 0.0)) << "evaluation wrote statistics of the batch";
    }
  } else {
    const auto first = batch_statistics(c.first_output());
    const auto second = batch_statistics(c.second_output(Mode::train));
    EXPECT_TRUE(close(c.block.bn1.statistics.batch_mean, first.first, 1e-5));
    EXPECT_TRUE(close(c.block.bn1.statistics.batch_variance, first.second, 1e-5));
    EXPECT_TRUE(close(c.block.bn2.statistics.batch_mean, second.first, 1e-5));
    EXPECT_TRUE(close(c.block.bn2.statistics.batch_variance, second.second, 1e-5));
    // 2 x 4 x 3 rows.
    EXPECT_TRUE(close(c.block.bn1.statistics.bessel_correction, HostArray(5, 24.0 / 23.0), 1e-6));
    EXPECT_TRUE(close(c.block.bn2.statistics.bessel_correction, HostArray(5, 24.0 / 23.0), 1e-6));
  }
  EXPECT_TRUE(close(c.block.bn1.statistics.running_mean, c.first.running_mean, 0.0)) << "only a step's commit changes these";
  EXPECT_TRUE(close(c.block.bn2.statistics.running_variance, c.second.running_variance, 0.0));
}

/// Each form of the norm that ends a block is the norm and the simple operations behind it.
TEST_P(ConvBnTest, EndsOfABlock) {
  Case c;
  const Array y = normalize(c.first_output(), c.first, GetParam());
  Array residual = y;
  std::iota(residual.values.begin(), residual.values.end(), -50.0);
  std::ranges::transform(residual.values, residual.values.begin(), [](double v) { return v / 32; });
  Array sum = y;
  std::ranges::transform(y.values, residual.values, sum.values.begin(), std::plus());
  const auto pending = [&] { return conv_bn(c.block.conv1, c.block.bn1, c.input(), GetParam()); };
  const Tensor added = to_tensor(residual.values, {y.batch, y.height, y.width, y.channels}, DType::f32, {});
  EXPECT_TRUE(close(norm(pending()), y.values, 1e-5));
  EXPECT_TRUE(close(norm_relu(pending()), relu(y).values, 1e-5));
  EXPECT_TRUE(close(norm_add_relu(pending(), added), relu(sum).values, 1e-5));
  // Windows of 2 x 2 at stride 2 over 4 x 3: the last column has windows of one pixel's width by padding.
  const Array activated = relu(y);
  Array pooled(y.batch, 3, 2, y.channels);
  for (int64_t n = 0; n < pooled.batch; ++n) {
    for (int64_t p = 0; p < 3; ++p) {
      for (int64_t q = 0; q < 2; ++q) {
        for (int64_t k = 0; k < pooled.channels; ++k) {
          for (int64_t h = std::max<int64_t>(2 * p - 1, 0); h < std::min<int64_t>(2 * p + 1, y.height); ++h) {
            for (int64_t v = std::max<int64_t>(2 * q - 1, 0); v < std::min<int64_t>(2 * q + 1, y.width); ++v) {
              pooled.at(n, p, q, k) = std::max(pooled.at(n, p, q, k), activated.at(n, h, v, k));
            }
          }
        }
      }
    }
  }
  const Tensor got = norm_relu_max_pool(pending(), {.window = 2, .stride = 2, .padding = 1});
  EXPECT_EQ(got.shape(), (Shape{2, 3, 2, 5}));
  EXPECT_TRUE(close(got, pooled.values, 1e-5));
}

/// The derivative of sum(projection * output) by finite differences of the double-precision reference.
TEST_P(ConvBnTest, GradientsAreThoseOfTheReference) {
  Case c;
  const Mode mode = GetParam();
  const Tensor y = c.block.forward(c.input(), mode);
  Random random("projection");
  const HostArray projection = draw_projection(y.size(), DType::f32, random);
  backward(projected(y, to_tensor(projection, y.shape(), DType::f32, {})));
  const auto loss = [&] {
    const HostArray out = normalize(c.second_output(mode), c.second, mode).values;
    return std::inner_product(out.begin(), out.end(), projection.begin(), 0.0);
  };
  const auto check = [&](const char* what, const Tensor& gradient, HostArray& values) {
    HostArray wanted;
    for (double& value : values) {
      constexpr double kStep = 1e-6;
      const double before = value;
      value = before + kStep;
      const double above = loss();
      value = before - kStep;
      wanted.push_back((above - loss()) / (2 * kStep));
      value = before;
    }
    EXPECT_TRUE(close(gradient, wanted, 1e-4)) << what;
  };
  check("conv1", c.block.conv1.weight.value.grad(), c.w1);
  check("gamma of bn1", c.block.bn1.weight.value.grad(), c.first.gamma);
  check("beta of bn1", c.block.bn1.bias.value.grad(), c.first.beta);
  check("gamma of bn2", c.block.bn2.weight.value.grad(), c.second.gamma);
  check("beta of bn2", c.block.bn2.bias.value.grad(), c.second.beta);
}

TEST(ConvBn, RefusesToTrainOnASingleRow) {
  Conv2d conv({.in_channels = 2, .out_channels = 3, .kernel = 1});
  BatchNorm2d layer(3);
  ParameterStore conv_store(conv);
  ParameterStore norm_store(layer);
  initialize(conv_store, 0);
  initialize(norm_store, 0);
  const Tensor x = full({1, 1, 1, 2}, 1.0f, DType::f32);
  EXPECT_TRUE(fails_with([&] { conv_bn(conv, layer, x, Mode::train); }, {"at least 2 values per channel"}));
  EXPECT_NO_THROW(conv_bn(conv, layer, x, Mode::evaluate));
}

}  // namespace
}  // namespace residua::test
