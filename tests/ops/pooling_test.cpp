#include "core/ops/pooling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "core/ops/zero_pad_shortcut.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

/// Shapes whose channels fill packs and do not, of the networks' window and others.
struct Pool {
  int64_t n, h, w, c;
  PoolOptions options;

  int64_t out(int64_t size) const { return (size + 2 * options.padding - options.window) / options.stride + 1; }
};
const Pool kPools[] = {{2, 13, 11, 24, {.window = 3, .stride = 2, .padding = 1}},
                       {1, 8, 9, 8, {.window = 3, .stride = 2}},
                       {2, 7, 6, 5, {.window = 3, .stride = 2, .padding = 1}},
                       {1, 7, 6, 16, {.window = 3, .stride = 1, .padding = 1}},
                       {1, 9, 8, 8, {.window = 4, .stride = 3, .padding = 2}}};

/// Max pooling and its gradient for dy = 1, 2, 3, ..., with the rules for ties and NaN spelt out.
struct Pooled {
  std::vector<float> y, dx;

  Pooled(const Pool& z, const std::vector<float>& x, const std::vector<float>& dy) : dx(x.size()) {
    const int64_t height = z.out(z.h);
    const int64_t width = z.out(z.w);
    for (int64_t o = 0; o < z.n * height * width * z.c; ++o) {
      const int64_t c = o % z.c, q = o / z.c % width, p = o / z.c / width % height, n = o / z.c / width / height;
      size_t winner = x.size();
      for (int64_t i = 0; i < z.options.window * z.options.window; ++i) {
        const int64_t h = p * z.options.stride - z.options.padding + i / z.options.window;
        const int64_t w = q * z.options.stride - z.options.padding + i % z.options.window;
        if (h < 0 || h >= z.h || w < 0 || w >= z.w) {
          continue;
        }
        const auto at = static_cast<size_t>(((n * z.h + h) * z.w + w) * z.c + c);
        const bool wins = winner == x.size() || (!std::isnan(x[winner]) && (std::isnan(x[at]) || x[at] > x[winner]));
        winner = wins ? at : winner;
      }
      y.push_back(x[winner]);
      dx[winner] += dy[static_cast<size_t>(o)];
    }
  }
};

TEST(MaxPool, GivesTheGradientToTheFirstOfEqualValuesAndToTheFirstNaN) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const Pool& z : kPools) {
        SCOPED_TRACE(
            fmt::format("{} x {} x {} of {}, window {} on {}", z.h, z.w, z.c, name(dtype), z.options.window, device.string()));
        Random random(fmt::format("ties {} {}", z.h, z.w));
        std::vector<float> values(static_cast<size_t>(z.n * z.h * z.w * z.c));
        for (float& value : values) {
          const int64_t drawn = random.integer(-2, 30);
          value = drawn > 28 ? std::nanf("") : drawn > 20 ? -INFINITY : static_cast<float>(drawn % 3);
          value = value == 0 && drawn > 9 ? -0.0f : value;
        }
        std::vector<float> dy(static_cast<size_t>(z.n * z.out(z.h) * z.out(z.w) * z.c));
        for (float& g : dy) {
          g = static_cast<float>(random.integer(-16, 16));
        }
        const Pooled want(z, values, dy);
        Tensor x = from_values({z.n, z.h, z.w, z.c}, values, dtype, device);
        x.set_requires_grad(true);
        const Tensor y = max_pool(x, z.options);
        EXPECT_TRUE(close(y, std::vector<double>(want.y.begin(), want.y.end()), 0.0));
        backward(projected(y, from_values(y.shape(), dy, dtype, device)));
        EXPECT_EQ(x.grad().to_vector(), want.dx);
      }
    }
  }
}

TEST(MaxPool, PaddingNeverWins) {
  for (const Device device : test_devices()) {
    for (const int64_t channels : {int64_t{3}, int64_t{16}}) {
      for (const float value : {-100.0f, -INFINITY}) {
        Tensor x = full({1, 3, 3, channels}, value, DType::f32, device);
        x.set_requires_grad(true);
        const Tensor y = max_pool(x, {.window = 3, .stride = 2, .padding = 1});
        EXPECT_EQ(y.to_vector(), std::vector<float>(static_cast<size_t>(4 * channels), value));
        backward(projected(y, full(y.shape(), 1.0f, DType::f32, device)));
        const std::vector<float> dx = x.grad().to_vector();
        for (size_t i = 0; i < dx.size(); ++i) {
          const size_t pixel = i / static_cast<size_t>(channels);
          EXPECT_EQ(dx[i], pixel == 0 || pixel == 1 || pixel == 3 || pixel == 4 ? 1.0f : 0.0f) << i;
        }
      }
    }
  }
}

TEST(AveragePool, CountsPaddingAsZeros) {
  for (const Device device : test_devices()) {
    const Tensor x = full({1, 2, 2, 1}, 9.0f, DType::f32, device);
    EXPECT_EQ(average_pool(x, {.window = 3, .stride = 2, .padding = 1}).to_vector(), (std::vector<float>{4}));
  }
}

TEST(Pooling, NamesWhatIsWrong) {
  const Tensor x = zeros({1, 4, 4, 3}, DType::f32);
  EXPECT_TRUE(fails_with([&] { max_pool(x, {.window = 17, .stride = 1}); }, {"max_pool:", "window is 17", "wanted 1 to 16"}));
  EXPECT_TRUE(fails_with([&] { max_pool(x, {.window = 3, .stride = 1, .padding = 2}); }, {"padding is 2", "wanted 0 to 1"}));
  EXPECT_TRUE(fails_with([&] { average_pool(x, {.window = 2, .stride = 0}); }, {"average_pool:", "stride is 0"}));
  EXPECT_TRUE(fails_with([&] { average_pool(x, {.window = 5, .stride = 1}); }, {"x is [1, 4, 4, 3]", "window 5 x 5"}));
  EXPECT_TRUE(fails_with([&] { global_average_pool(zeros({4, 3}, DType::f32)); }, {"global_average_pool:", "4 dimensions"}));
  EXPECT_TRUE(
      fails_with([&] { zero_pad_shortcut(x, {.out_channels = 2}); }, {"zero_pad_shortcut:", "out_channels is 2", "3 to"}));
}

}  // namespace
}  // namespace residua::test
