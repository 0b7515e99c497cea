#include "core/ops/softmax_cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

Tensor labels(const std::vector<float>& values) {
  return from_values({static_cast<int64_t>(values.size())}, values, DType::i32);
}

TEST(SoftmaxCrossEntropy, OfEqualLogitsIsTheLogarithmOfTheClassCount) {
  const SoftmaxCrossEntropy out = softmax_cross_entropy(full({3, 10}, 4.0f, DType::f32), labels({0, 4, 9}));
  EXPECT_NEAR(out.loss.item(), std::log(10.0), 1e-6);
  // Of equal logits the lower index is the better one.
  EXPECT_EQ(out.top1_errors.item(), 2.0);
  EXPECT_EQ(out.top5_errors.item(), 1.0);
}

TEST(SoftmaxCrossEntropy, StaysFiniteForLargeLogits) {
  Tensor logits = from_values({2, 3}, std::vector<float>{1e4f, 0, -1e4f, -1e30f, 3e38f, 0});
  logits.set_requires_grad(true);
  const SoftmaxCrossEntropy out = softmax_cross_entropy(logits, labels({0, 1}));
  EXPECT_EQ(out.loss.item(), 0.0);
  backward(out.loss);
  EXPECT_EQ(logits.grad().to_vector(), std::vector<float>(6, 0.0f));
}

TEST(SoftmaxCrossEntropy, IgnoresRowsWithoutALabel) {
  Tensor logits = from_values({3, 2}, std::vector<float>{1, 2, 30, 4, 2, 2});
  logits.set_requires_grad(true);
  const SoftmaxCrossEntropy out = softmax_cross_entropy(logits, labels({0, -1, 1}));
  EXPECT_NEAR(out.loss.item(), (std::log1p(std::exp(1.0)) + std::log(2.0)) / 2, 1e-6);
  EXPECT_EQ(out.row_loss.to_vector()[1], 0.0f);
  backward(out.loss);
  const std::vector<float> gradient = logits.grad().to_vector();
  EXPECT_EQ(gradient[2], 0.0f);
  EXPECT_EQ(gradient[3], 0.0f);
  EXPECT_NEAR(gradient[4], 0.25f, 1e-6f);

  Tensor none = full({2, 3}, 1.0f, DType::f32);
  none.set_requires_grad(true);
  const SoftmaxCrossEntropy nothing = softmax_cross_entropy(none, labels({-1, -1}));
  EXPECT_EQ(nothing.loss.item(), 0.0);
  EXPECT_EQ(nothing.top1_errors.item(), 0.0);
  backward(nothing.loss);
  EXPECT_EQ(none.grad().to_vector(), std::vector<float>(6, 0.0f));
}

TEST(SoftmaxCrossEntropy, CountsNaNAsWrong) {
  const Tensor logits = from_values({2, 3}, std::vector<float>{1, std::nanf(""), 0, 3, 1, 2});
  const SoftmaxCrossEntropy out = softmax_cross_entropy(logits, labels({0, 0}));
  EXPECT_TRUE(std::isnan(out.loss.item()));
  EXPECT_EQ(out.top1_errors.item(), 1.0);
  EXPECT_EQ(out.top5_errors.item(), 1.0);
}

TEST(SoftmaxCrossEntropy, ScalesItsGradient) {
  Tensor logits = from_values({1, 2}, std::vector<float>{0, 0});
  logits.set_requires_grad(true);
  backward(softmax_cross_entropy(logits, labels({0})).loss, 1024.0f);
  EXPECT_EQ(logits.grad().to_vector(), (std::vector<float>{-512, 512}));
}

TEST(SoftmaxCrossEntropy, NamesWhatIsWrong) {
  const Tensor logits = zeros({2, 3}, DType::f32);
  EXPECT_TRUE(
      fails_with([&] { softmax_cross_entropy(logits, labels({0})); }, {"softmax_cross_entropy:", "labels is [1]", "[2]"}));
  EXPECT_TRUE(fails_with([&] { softmax_cross_entropy(logits, zeros({2}, DType::i64)); }, {"labels", "i64", "wanted i32"}));
  EXPECT_TRUE(fails_with([&] { softmax_cross_entropy(logits, labels({0, 0}), 1.5f); }, {"label_smoothing is 1.5"}));
  EXPECT_TRUE(fails_with([&] { softmax_cross_entropy(logits, labels({0, 0}), std::nanf("")); }, {"label_smoothing is nan"}));
}

}  // namespace
}  // namespace residua::test
