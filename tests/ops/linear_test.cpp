#include "core/ops/linear.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

TEST(Linear, GivesTheTypeAskedFor) {
  const Tensor x = full({2, 3}, 1.0f, DType::bf16);
  const Tensor w = full({5, 3}, 1.0f, DType::bf16);
  const Tensor bias = full({5}, 0.001f, DType::f32);
  EXPECT_EQ(linear(x, w, bias).dtype(), DType::f32);
  EXPECT_EQ(linear(x, w, bias).to_vector(), std::vector<float>(10, 3.001f));
  const Tensor narrow = linear(x, w, bias, DType::bf16);
  EXPECT_EQ(narrow.dtype(), DType::bf16);
  EXPECT_EQ(narrow.to_vector(), std::vector<float>(10, 3.0f));
}

TEST(Linear, NamesWhatIsWrong) {
  const Tensor x = zeros({2, 3}, DType::f32);
  const Tensor w = zeros({5, 3}, DType::f32);
  EXPECT_TRUE(fails_with([&] { linear(x, zeros({5, 4}, DType::f32), {}); }, {"linear:", "w is [5, 4]", "[5, 3]"}));
  EXPECT_TRUE(fails_with([&] { linear(x, w, zeros({4}, DType::f32)); }, {"bias is [4]", "[5]"}));
  EXPECT_TRUE(fails_with([&] { linear(x, w, zeros({5}, DType::bf16)); }, {"bias", "bf16", "wanted f32"}));
  EXPECT_TRUE(fails_with([&] { linear(zeros({2, 1, 1, 3}, DType::f32), w, {}); }, {"x is [2, 1, 1, 3]", "2 dimensions"}));
  EXPECT_TRUE(fails_with([&] { linear(x, w, {}, DType::i32); }, {"y_dtype is i32"}));
}

}  // namespace
}  // namespace residua::test
