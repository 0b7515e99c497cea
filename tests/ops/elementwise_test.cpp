#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd/tape.h"
#include "core/ops/add.h"
#include "core/ops/cast.h"
#include "core/ops/relu.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Relu, KeepsNaNAndHasNoGradientAtZero) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      SCOPED_TRACE(fmt::format("{} on {}", name(dtype), device.string()));
      Tensor x = from_values(
          {9}, std::vector<float>{std::nanf(""), 0.0f, -0.0f, -kInfinity, kInfinity, 2.0f, 0.0f, -1.0f, 1.0f}, dtype, device);
      x.set_requires_grad(true);
      const Tensor y = relu(x);
      const std::vector<float> values = y.to_vector();
      EXPECT_TRUE(std::isnan(values[0]));
      EXPECT_EQ(std::vector<float>(values.begin() + 1, values.end()), (std::vector<float>{0, 0, 0, kInfinity, 2, 0, 0, 1}));
      backward(projected(y, full({9}, 3.0f, dtype, device)));
      const std::vector<float> dx = x.grad().to_vector();
      EXPECT_EQ(std::vector<float>(dx.begin() + 1, dx.end()), (std::vector<float>{0, 0, 0, 3, 3, 0, 0, 3}));
    }
  }
}

TEST(Add, GivesBothInputsTheGradient) {
  Tensor a = full({3}, 1.0f, DType::f32);
  a.set_requires_grad(true);
  const Tensor y = add(a, a);
  EXPECT_EQ(y.to_vector(), (std::vector<float>{2, 2, 2}));
  backward(projected(y, from_values({3}, std::vector<float>{1, 2, 3})));
  EXPECT_EQ(a.grad().to_vector(), (std::vector<float>{2, 4, 6}));
}

TEST(Add, NamesWhatIsWrong) {
  const Tensor a = zeros({2, 3}, DType::f32);
  EXPECT_TRUE(fails_with([&] { add(a, zeros({3, 2}, DType::f32)); }, {"add:", "b is [3, 2]", "[2, 3]"}));
  EXPECT_TRUE(fails_with([&] { add(a, zeros({2, 3}, DType::f16)); }, {"add:", "b is", "f16", "wanted f32"}));
}

TEST(Cast, RoundsToNearestEvenAndKeepsWhatIsNotANumber) {
  for (const Device device : test_devices()) {
    const Tensor x = from_values({6}, std::vector<float>{1.00390625f, 1.01171875f, kInfinity, -kInfinity, 3e38f, std::nanf("")},
                                 DType::f32, device);
    std::vector<float> y = cast(x, DType::bf16).to_vector();
    EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 4), (std::vector<float>{1.0f, 1.015625f, kInfinity, -kInfinity}));
    EXPECT_TRUE(std::isnan(y[5])) << device.string();
    y = cast(x, DType::f16).to_vector();
    EXPECT_EQ(y[4], kInfinity) << device.string();
    EXPECT_TRUE(std::isnan(y[5])) << device.string();
  }
}

TEST(Cast, ToTheSameTypeIsTheTensorItself) {
  const Tensor x = zeros({3}, DType::f32);
  EXPECT_EQ(cast(x, DType::f32).data(), x.data());
  EXPECT_TRUE(fails_with([&] { cast(x, DType::u8); }, {"cast:", "u8"}));
  EXPECT_TRUE(fails_with([&] { cast(zeros({3}, DType::i32), DType::f32); }, {"cast:", "i32"}));
}

}  // namespace
}  // namespace residua::test
