#include "core/ops/augment_input.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

TEST(AugmentInput, MirrorsShiftsAndNormalizesAnImageAsItIs) {
  for (const Device device : test_devices()) {
    // Five bytes of something else, then 1 x 2 pixels.
    const Tensor source = from_values({11}, std::vector<float>{9, 9, 9, 9, 9, 10, 20, 30, 40, 50, 60}, DType::u8, device);
    const Tensor image =
        from_values({1, kAugmentImageFields}, std::vector<float>{5, 1, 2, 0, 0, 1, 2, 1, 2, 0, 0, 0, 1, 1}, DType::i64, device);
    const InputFormat format{.height = 1,
                             .width = 2,
                             .channels = 4,
                             .dtype = DType::f32,
                             .mean = full({3}, 10.0f, DType::f32, device),
                             .inverse_std = full({3}, 0.5f, DType::f32, device)};
    // Mirrored, then moved by one: the left pixel of y is outside.
    EXPECT_EQ(augment_input(source, image, {}, format).to_vector(), (std::vector<float>{0, 0, 0, 0, 15, 20, 25, 0}));
    const Tensor shift = from_values({1, 3}, std::vector<float>{2, 0, -4}, DType::f32, device);
    EXPECT_EQ(augment_input(source, image, shift, format).to_vector(), (std::vector<float>{0, 0, 0, 0, 16, 20, 23, 0}));
  }
}

TEST(AugmentInput, NamesWhatIsWrong) {
  const Tensor source = zeros({12}, DType::u8);
  const Tensor images = zeros({2, kAugmentImageFields}, DType::i64);
  InputFormat format{.height = 1,
                     .width = 1,
                     .channels = 3,
                     .dtype = DType::f32,
                     .mean = zeros({3}, DType::f32),
                     .inverse_std = zeros({3}, DType::f32)};
  const auto call = [&] { augment_input(source, images, {}, format); };
  call();
  EXPECT_TRUE(fails_with(
      [&] {
        augment_input(source, zeros({2, 3}, DType::i64), {}, format);
      },
      {"augment_input:", "images is [2, 3]", "[2, 14]"}));
  EXPECT_TRUE(fails_with(
      [&] {
        augment_input(source, images, zeros({3, 3}, DType::f32), format);
      },
      {"color_shift is [3, 3]", "[2, 3]"}));
  format.channels = 2;
  EXPECT_TRUE(fails_with(call, {"channels is 2", "wanted 3"}));
  format.channels = 3;
  format.mean = zeros({1, 2, 3}, DType::f32);
  EXPECT_TRUE(fails_with(call, {"mean is [1, 2, 3]", "[1, 1, 3]"}));
}

}  // namespace
}  // namespace residua::test
