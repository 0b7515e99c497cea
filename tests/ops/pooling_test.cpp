#include "core/ops/pooling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "core/ops/zero_pad_shortcut.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

TEST(MaxPool, GivesTheGradientOfEqualValuesToTheFirst) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    Tensor x = from_values({1, 2, 4, 1}, std::vector<float>{1, 5, 7, 7, 5, 5, 7, 7}, dtype);
    x.set_requires_grad(true);
    const Tensor y = max_pool(x, {.window = 2, .stride = 2});
    EXPECT_EQ(y.to_vector(), (std::vector<float>{5, 7}));
    backward(projected(y, from_values({1, 1, 2, 1}, std::vector<float>{2, 3}, dtype)));
    EXPECT_EQ(x.grad().to_vector(), (std::vector<float>{0, 2, 3, 0, 0, 0, 0, 0})) << name(dtype);
  }
}

TEST(MaxPool, PaddingNeverWinsAndNaNAlwaysDoes) {
  const Tensor x = full({1, 3, 3, 17}, -100.0f, DType::f32);
  EXPECT_EQ(max_pool(x, {.window = 3, .stride = 2, .padding = 1}).to_vector(), std::vector<float>(68, -100.0f));
  x.data<float>()[4] = std::nanf("");
  const std::vector<float> y = max_pool(x, {.window = 3, .stride = 2, .padding = 1}).to_vector();
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i == 4) << i;
  }
}

TEST(MaxPool, TakesMinusInfinity) {
  Tensor x = full({1, 2, 2, 1}, -INFINITY, DType::f32);
  x.set_requires_grad(true);
  const Tensor y = max_pool(x, {.window = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(y.to_vector(), std::vector<float>(1, -INFINITY));
  backward(projected(y, full({1, 1, 1, 1}, 1.0f, DType::f32)));
  EXPECT_EQ(x.grad().to_vector(), (std::vector<float>{1, 0, 0, 0}));
}

TEST(AveragePool, CountsPaddingAsZeros) {
  const Tensor x = full({1, 2, 2, 1}, 9.0f, DType::f32);
  EXPECT_EQ(average_pool(x, {.window = 3, .stride = 2, .padding = 1}).to_vector(), (std::vector<float>{4}));
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
