#include "core/ops/batch_norm_relu_max_pool.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "core/ops/relu.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr PoolOptions kPool{.window = 3, .stride = 2, .padding = 1};

struct Inputs {
  Tensor x, gamma, beta;

  BatchNormTensors parameters() const {
    return {.gamma = gamma, .beta = beta, .running_mean = {}, .running_var = {}, .batch_mean = {}, .batch_var = {}};
  }
};

Inputs draw(const Shape& shape, Device device) {
  Random random("inputs");
  const auto leaf = [&](const Shape& of, const Values& values) {
    HostArray host(static_cast<size_t>(of.size()));
    values(random, host);
    Tensor t = to_tensor(host, of, DType::f32, device);
    t.set_requires_grad(true);
    return t;
  };
  const Shape channels{shape.dim(-1)};
  return {leaf(shape, uniform(-1, 1)), leaf(channels, away_from_zero(0.5, 1.5)), leaf(channels, uniform(-0.5, 0.5))};
}

std::vector<double> doubles(const Tensor& t) {
  const std::vector<float> v = t.to_vector();
  return {v.begin(), v.end()};
}

TEST(BatchNormReluMaxPool, IsTheComposition) {
  Random random("projection");
  for (const Device device : test_devices()) {
    for (const Shape& shape : {Shape{2, 5, 7, 24}, Shape{1, 12, 9, 64}}) {
      const Inputs a = draw(shape, device);
      const Inputs b = draw(shape, device);
      const Tensor y = batch_norm_relu_max_pool(a.x, a.parameters(), kPool, Mode::train);
      const Tensor z = max_pool(batch_norm_relu(b.x, b.parameters(), Mode::train), kPool);
      EXPECT_TRUE(close(y, doubles(z), 1e-6));
      const Tensor projection = to_tensor(draw_projection(y.size(), DType::f32, random), y.shape(), DType::f32, device);
      backward(projected(y, projection));
      backward(projected(z, projection));
      EXPECT_TRUE(close(a.x.grad(), doubles(b.x.grad()), 1e-5));
      EXPECT_TRUE(close(a.gamma.grad(), doubles(b.gamma.grad()), 1e-5));
      EXPECT_TRUE(close(a.beta.grad(), doubles(b.beta.grad()), 1e-5));
    }
  }
}

TEST(BatchNormReluMaxPool, TakesATensorAtAnyAddress) {
  Random random("projection");
  for (const Device device : test_devices()) {
    const Inputs aligned = draw({2, 7, 6, 16}, device);
    Inputs shifted = draw({2, 7, 6, 16}, device);
    shifted.x = empty({aligned.x.size() + 1}, DType::f32, device).slice(1, aligned.x.shape());
    shifted.x.copy_from(aligned.x);
    shifted.x.set_requires_grad(true);
    const Tensor y = batch_norm_relu_max_pool(aligned.x, aligned.parameters(), kPool, Mode::train);
    const Tensor z = batch_norm_relu_max_pool(shifted.x, shifted.parameters(), kPool, Mode::train);
    EXPECT_TRUE(close(z, doubles(y), 1e-6));
    const Tensor projection = to_tensor(draw_projection(y.size(), DType::f32, random), y.shape(), DType::f32, device);
    backward(projected(y, projection));
    backward(projected(z, projection));
    EXPECT_TRUE(close(shifted.x.grad(), doubles(aligned.x.grad()), 1e-5));
    EXPECT_TRUE(close(shifted.gamma.grad(), doubles(aligned.gamma.grad()), 1e-5));
  }
}

/// x [1, 2, 4, channels] with the same values in each channel, through two windows, which share a column of x, with statistics
/// that change nothing; and the gradient of x where that of y is 2 and 3.
struct Pooled {
  std::vector<float> y, dx;
};
Pooled pool_unchanged(const std::vector<float>& values, int64_t channels, Device device) {
  std::vector<float> x;
  for (const float v : values) {
    x.insert(x.end(), static_cast<size_t>(channels), v);
  }
  const auto all = [&](float value) { return full({channels}, value, DType::f32, device); };
  BatchNormTensors p{
      .gamma = all(1), .beta = all(0), .running_mean = all(0), .running_var = all(1), .batch_mean = {}, .batch_var = {}};
  p.epsilon = 0;
  Tensor leaf = from_values({1, 2, 4, channels}, x, DType::f32, device);
  leaf.set_requires_grad(true);
  const Tensor y = batch_norm_relu_max_pool(leaf, p, kPool, Mode::evaluate);
  std::vector<float> dy(static_cast<size_t>(channels), 2.0f);
  dy.resize(static_cast<size_t>(2 * channels), 3.0f);
  backward(projected(y, from_values({1, 1, 2, channels}, dy, DType::f32, device)));
  return {y.to_vector(), leaf.grad().to_vector()};
}

void expect_pooled(const std::vector<float>& x, const std::vector<float>& y, const std::vector<float>& dx) {
  for (const Device device : test_devices()) {
    for (const int64_t channels : {5, 8, 16, 24}) {
      const Pooled got = pool_unchanged(x, channels, device);
      const auto expect = [&](const std::vector<float>& each, const std::vector<float>& want, const char* what) {
        for (size_t i = 0; i < each.size(); ++i) {
          const float wanted = want[i / static_cast<size_t>(channels)];
          EXPECT_TRUE(each[i] == wanted || (std::isnan(wanted) && std::isnan(each[i])))
              << what << " " << i << " of " << channels << " channels is " << each[i] << ", wanted " << wanted;
        }
      };
      expect(got.y, y, "y");
      expect(got.dx, dx, "dx");
    }
  }
}

TEST(BatchNormReluMaxPool, GivesTheGradientOfEqualValuesToTheFirst) {
  expect_pooled({1, 5, 7, 7, 5, 5, 7, 7}, {5, 7}, {0, 2, 3, 0, 0, 0, 0, 0});
}

TEST(BatchNormReluMaxPool, HasNoGradientWhereNothingIsAboveZero) {
  expect_pooled({-1, -5, 0, -7, -0.0f, -5, -3, 0}, {0, 0}, {0, 0, 0, 0, 0, 0, 0, 0});
}

TEST(BatchNormReluMaxPool, ANaNWins) {
  for (const Device device : test_devices()) {
    for (const int64_t channels : {int64_t{3}, int64_t{8}, int64_t{16}}) {
      const auto all = [&](float value) { return full({channels}, value, DType::f32, device); };
      const BatchNormTensors p{
          .gamma = all(1), .beta = all(0), .running_mean = all(0), .running_var = all(1), .batch_mean = {}, .batch_var = {}};
      const Tensor x = full({1, 3, 3, channels}, 100.0f, DType::f32);
      x.data<float>()[channels + 1] = std::nanf("");
      const std::vector<float> y = batch_norm_relu_max_pool(x.to(device), p, kPool, Mode::evaluate).to_vector();
      for (int64_t i = 0; i < std::ssize(y); ++i) {
        EXPECT_EQ(std::isnan(y[static_cast<size_t>(i)]), i == 1 || i == channels + 1) << i;
      }
    }
  }
}

TEST(BatchNormReluMaxPool, IsTheCompositionWhereValuesAreEqualOrNaN) {
  Random random("ties");
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const int64_t channels : {int64_t{8}, int64_t{16}}) {
        SCOPED_TRACE(fmt::format("{} channels of {} on {}", channels, name(dtype), device.string()));
        const auto all = [&](float value) { return full({channels}, value, DType::f32, device); };
        BatchNormTensors p{
            .gamma = all(1), .beta = all(0), .running_mean = all(0), .running_var = all(1), .batch_mean = {}, .batch_var = {}};
        p.epsilon = 0;
        const Shape shape{2, 9, 8, channels};
        std::vector<float> values(static_cast<size_t>(shape.size()));
        for (float& value : values) {
          const int64_t drawn = random.integer(-3, 30);
          value = drawn > 28 ? std::nanf("") : drawn == 28 ? -INFINITY : static_cast<float>(drawn % 3);
        }
        Tensor x = from_values(shape, values, dtype, device);
        Tensor z = from_values(shape, values, dtype, device);
        x.set_requires_grad(true);
        z.set_requires_grad(true);
        const Tensor got = batch_norm_relu_max_pool(x, p, kPool, Mode::evaluate);
        const Tensor want = max_pool(relu(z), kPool);
        EXPECT_TRUE(close(got, doubles(want), 0.0));
        std::vector<float> dy(static_cast<size_t>(got.size()));
        for (float& g : dy) {
          g = static_cast<float>(random.integer(-16, 16));
        }
        backward(projected(got, from_values(got.shape(), dy, dtype, device)));
        backward(projected(want, from_values(got.shape(), dy, dtype, device)));
        const std::vector<float> dx = x.grad().to_vector();
        const std::vector<float> dz = z.grad().to_vector();
        for (size_t i = 0; i < dx.size(); ++i) {
          if (std::isfinite(values[i])) {  // the gradient of the others is NaN, through the normalization
            EXPECT_EQ(dx[i], dz[i]) << i;
          }
        }
      }
    }
  }
}

TEST(BatchNormReluMaxPool, NamesWhatIsWrong) {
  const BatchNormTensors p = draw({1, 4, 4, 8}, {}).parameters();
  const Tensor x = zeros({1, 4, 4, 8}, DType::f32);
  const auto pool = [&](const Tensor& of, PoolOptions options, Mode mode) {
    return [=] { batch_norm_relu_max_pool(of, p, options, mode); };
  };
  EXPECT_TRUE(fails_with(pool(x, {.window = 17, .stride = 1}, Mode::train),
                         {"batch_norm_relu_max_pool:", "window is 17", "wanted 1 to 16"}));
  EXPECT_TRUE(fails_with(pool(zeros({4, 3}, DType::f32), kPool, Mode::train), {"batch_norm_relu_max_pool:", "4 dimensions"}));
  EXPECT_TRUE(fails_with(pool(x, kPool, Mode::evaluate), {"batch_norm_relu_max_pool:", "running_mean", "undefined"}));
}

}  // namespace
}  // namespace residua::test
