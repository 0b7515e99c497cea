#include "core/ops/softmax_cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

Tensor labels(const std::vector<float>& values, Device device = {}) {
  return from_values({static_cast<int64_t>(values.size())}, values, DType::i32, device);
}

TEST(SoftmaxCrossEntropy, OfEqualLogitsIsTheLogarithmOfTheClassCount) {
  const SoftmaxCrossEntropy out = softmax_cross_entropy(full({3, 10}, 4.0f, DType::f32), labels({0, 4, 9}));
  EXPECT_NEAR(out.loss.item(), std::log(10.0), 1e-6);
  // Of equal logits the lower index is the better one.
  EXPECT_EQ(out.top1_errors.item(), 2.0);
  EXPECT_EQ(out.top5_errors.item(), 1.0);
}

TEST(SoftmaxCrossEntropy, StaysFiniteForLargeLogits) {
  for (const Device device : test_devices()) {
    Tensor logits = from_values({2, 3}, std::vector<float>{1e4f, 0, -1e4f, -1e30f, 3e38f, 0}, DType::f32, device);
    logits.set_requires_grad(true);
    const SoftmaxCrossEntropy out = softmax_cross_entropy(logits, labels({0, 1}, device));
    EXPECT_EQ(out.loss.item(), 0.0);
    backward(out.loss);
    EXPECT_EQ(logits.grad().to_vector(), std::vector<float>(6, 0.0f));
  }
}

TEST(SoftmaxCrossEntropy, IgnoresRowsWithoutALabel) {
  for (const Device device : test_devices()) {
    Tensor logits = from_values({3, 2}, std::vector<float>{1, 2, 30, 4, 2, 2}, DType::f32, device);
    logits.set_requires_grad(true);
    const SoftmaxCrossEntropy out = softmax_cross_entropy(logits, labels({0, -1, 1}, device));
    EXPECT_NEAR(out.loss.item(), (std::log1p(std::exp(1.0)) + std::log(2.0)) / 2, 1e-6);
    EXPECT_EQ(out.row_loss.to_vector()[1], 0.0f);
    backward(out.loss);
    const std::vector<float> gradient = logits.grad().to_vector();
    EXPECT_EQ(gradient[2], 0.0f);
    EXPECT_EQ(gradient[3], 0.0f);
    EXPECT_NEAR(gradient[4], 0.25f, 1e-6f);

    Tensor none = full({2, 3}, 1.0f, DType::f32, device);
    none.set_requires_grad(true);
    const SoftmaxCrossEntropy nothing = softmax_cross_entropy(none, labels({-1, -1}, device));
    EXPECT_EQ(nothing.loss.item(), 0.0);
    EXPECT_EQ(nothing.top1_errors.item(), 0.0);
    backward(nothing.loss);
    EXPECT_EQ(none.grad().to_vector(), std::vector<float>(6, 0.0f));
  }
}

TEST(SoftmaxCrossEntropy, CountsNaNAsWrongInItsOwnRowAlone) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const int64_t classes : {int64_t{3}, int64_t{16}, int64_t{1000}}) {
        for (const int64_t place : {int64_t{0}, int64_t{1}, classes - 1}) {
          SCOPED_TRACE(fmt::format("{} of {} classes in {} on {}", place, classes, name(dtype), device.string()));
          // The label's logit, of class 0, is the largest. The second row has the NaN, the third has one and no label.
          std::vector<float> logits(static_cast<size_t>(4 * classes), -2.0f);
          std::vector<float> row_labels(4, 0.0f);
          for (size_t r = 0; r < 4; ++r) {
            logits[r * static_cast<size_t>(classes)] = 9.0f;
          }
          row_labels[2] = -1;
          logits[static_cast<size_t>(classes + place)] = logits[static_cast<size_t>(2 * classes + place)] = std::nanf("");
          Tensor z = from_values({4, classes}, logits, dtype, device);
          z.set_requires_grad(true);
          const SoftmaxCrossEntropy out = softmax_cross_entropy(z, from_values({4}, row_labels, DType::i32, device));
          EXPECT_TRUE(std::isnan(out.loss.item()));
          EXPECT_EQ(out.top1_errors.item(), 1.0);
          EXPECT_EQ(out.top5_errors.item(), 1.0);
          const std::vector<float> loss = out.row_loss.to_vector();
          EXPECT_FALSE(std::isnan(loss[0]));
          EXPECT_TRUE(std::isnan(loss[1]));
          EXPECT_EQ(loss[2], 0.0f);
          EXPECT_EQ(loss[3], loss[0]);
          backward(out.loss);
          const std::vector<float> dz = z.grad().to_vector();
          for (size_t i = 0; i < dz.size(); ++i) {
            const size_t row = i / static_cast<size_t>(classes);
            EXPECT_EQ(std::isnan(dz[i]), row == 1) << i;
            EXPECT_TRUE(row != 2 || dz[i] == 0) << i;
          }
        }
      }
    }
  }
}

TEST(SoftmaxCrossEntropy, RanksEqualLogitsByTheirIndex) {
  for (const Device device : test_devices()) {
    for (const int64_t classes : {int64_t{10}, int64_t{1000}}) {
      // Row r has label r, and all logits are equal: r classes come before it.
      std::vector<float> row_labels(10);
      for (size_t r = 0; r < row_labels.size(); ++r) {
        row_labels[r] = static_cast<float>(r);
      }
      const SoftmaxCrossEntropy out = softmax_cross_entropy(full({10, classes}, 0.5f, DType::bf16, device),
                                                            from_values({10}, row_labels, DType::i32, device));
      EXPECT_EQ(out.top1_errors.item(), 9.0) << device.string();
      EXPECT_EQ(out.top5_errors.item(), 5.0) << device.string();
    }
  }
}

TEST(SoftmaxCrossEntropy, ScalesItsGradient) {
  for (const Device device : test_devices()) {
    Tensor logits = from_values({1, 2}, std::vector<float>{0, 0}, DType::f32, device);
    logits.set_requires_grad(true);
    backward(softmax_cross_entropy(logits, labels({0}, device)).loss, 1024.0f);
    EXPECT_EQ(logits.grad().to_vector(), (std::vector<float>{-512, 512}));
  }
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
