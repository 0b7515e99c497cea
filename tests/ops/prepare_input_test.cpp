#include "core/ops/prepare_input.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

TEST(PrepareInput, CutsMirrorsAndNormalizes) {
  const Tensor source = from_values({1, 2, 3, 1}, std::vector<float>{10, 20, 30, 40, 50, 60}, DType::u8);
  const InputFormat format{.height = 2,
                           .width = 2,
                           .channels = 2,
                           .dtype = DType::f32,
                           .mean = full({1}, 10.0f, DType::f32),
                           .inverse_std = full({1}, 0.5f, DType::f32)};
  const auto at = [&](int32_t top, int32_t left, int32_t flip, float shift = 0) {
    const SampleView view{.top = top, .left = left, .flip = flip, .color_shift = {shift, 99, 99}};
    return prepare_input(source, view_tensor({&view, 1}), format).to_vector();
  };
  EXPECT_EQ(at(0, 1, 0), (std::vector<float>{5, 0, 10, 0, 20, 0, 25, 0}));
  EXPECT_EQ(at(0, 1, 1), (std::vector<float>{10, 0, 5, 0, 25, 0, 20, 0}));
  EXPECT_EQ(at(0, 1, 0, 4), (std::vector<float>{7, 0, 12, 0, 22, 0, 27, 0}));
  // Outside of the source is zero after the mean is subtracted, not minus the mean.
  EXPECT_EQ(at(-1, 2, 0), (std::vector<float>{0, 0, 0, 0, 10, 0, 0, 0}));
}

TEST(PrepareInput, NamesWhatIsWrong) {
  const Tensor source = zeros({2, 4, 4, 3}, DType::u8);
  const Tensor views = view_tensor(std::vector<SampleView>(2));
  InputFormat format{.height = 4,
                     .width = 4,
                     .channels = 3,
                     .dtype = DType::f32,
                     .mean = zeros({3}, DType::f32),
                     .inverse_std = zeros({3}, DType::f32)};
  const auto call = [&] { prepare_input(source, views, format); };
  call();
  EXPECT_TRUE(fails_with([&] { prepare_input(source, view_tensor(std::vector<SampleView>(3)), format); },
                         {"prepare_input:", "views is [3, 24]", "[2, 24]"}));
  EXPECT_TRUE(fails_with([&] { prepare_input(source, zeros({2, 24}, DType::i32), format); }, {"views is", "i32", "wanted u8"}));
  EXPECT_TRUE(fails_with(
      [&] {
        prepare_input(zeros({2, 4, 4, 3}, DType::f32), views, format);
      },
      {"source is", "f32", "wanted u8"}));
  format.mean = zeros({4, 5, 3}, DType::f32);
  EXPECT_TRUE(fails_with(call, {"mean is [4, 5, 3]", "[4, 4, 3]"}));
  format.mean = zeros({3}, DType::f32);
  format.channels = 2;
  EXPECT_TRUE(fails_with(call, {"channels is 2", "wanted 3"}));
  format.channels = 3;
  format.height = 0;
  EXPECT_TRUE(fails_with(call, {"height is 0"}));
}

}  // namespace
}  // namespace residua::test
