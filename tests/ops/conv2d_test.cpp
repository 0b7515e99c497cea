#include "core/ops/conv2d.h"

#include <gtest/gtest.h>

#include "core/autograd/tape.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

TEST(Conv2d, IsACrossCorrelation) {
  const Tensor x = from_values({1, 2, 3, 1}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const Tensor w = from_values({1, 2, 2, 1}, std::vector<float>{1, 10, 100, 1000});
  EXPECT_EQ(conv2d(x, w, {}).to_vector(), (std::vector<float>{5421, 6532}));
}

TEST(Conv2d, GradientsIn16BitsAreThoseOfF32) {
  Random random("conv2d in 16 bits");
  const auto draw = [&](const Shape& shape) { return draw_projection(shape.size(), DType::bf16, random); };
  const Shape x_shape{2, 6, 5, 16}, w_shape{8, 3, 3, 16}, y_shape{2, 3, 3, 8};
  const HostArray x = draw(x_shape), w = draw(w_shape), dy = draw(y_shape);
  const auto gradients = [&](DType dtype) {
    std::vector<Tensor> leaves{to_tensor(x, x_shape, dtype, {}), to_tensor(w, w_shape, dtype, {})};
    for (Tensor& leaf : leaves) {
      leaf.set_requires_grad(true);
    }
    backward(projected(conv2d(leaves[0], leaves[1], {.stride = 2, .padding = 1}), to_tensor(dy, y_shape, dtype, {})));
    return std::vector{leaves[0].grad().to_vector(), leaves[1].grad().to_vector()};
  };
  const std::vector<std::vector<float>> full = gradients(DType::f32);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const std::vector<std::vector<float>> half = gradients(dtype);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(close(half[i], std::vector<double>(full[i].begin(), full[i].end()), type_tolerance(dtype))) << name(dtype);
    }
  }
}

TEST(Conv2d, WeightGradientsKeepTheirBitsInAWiderBuffer) {
  // 2^8 + 1 has nine bits: bf16 holds eight.
  const Tensor x = full({1, 257, 1, 1}, 1.0f, DType::bf16);
  Tensor w = full({1, 1, 1, 1}, 1.0f, DType::bf16);
  w.set_requires_grad(true);
  const Tensor buffer = zeros({1, 1, 1, 1}, DType::f32);
  w.set_grad_buffer(buffer);
  backward(projected(conv2d(x, w, {}), full({1, 257, 1, 1}, 1.0f, DType::bf16)));
  EXPECT_EQ(buffer.item(), 257.0);
}

TEST(Conv2d, NamesWhatIsWrong) {
  const Tensor x = zeros({2, 5, 5, 3}, DType::f32);
  const Tensor w = zeros({4, 3, 3, 3}, DType::f32);
  EXPECT_TRUE(fails_with(
      [&] {
        conv2d(x, zeros({4, 3, 3, 8}, DType::f32), {});
      },
      {"conv2d:", "w is [4, 3, 3, 8] f32 on cpu", "wanted", "[4, 3, 3, 3]"}));
  EXPECT_TRUE(fails_with([&] { conv2d(x, zeros({4, 3, 3, 3}, DType::bf16), {}); }, {"w is", "bf16", "wanted f32"}));
  EXPECT_TRUE(fails_with([&] { conv2d(zeros({2, 5, 3}, DType::f32), w, {}); }, {"x is [2, 5, 3]", "4 dimensions"}));
  EXPECT_TRUE(fails_with([&] { conv2d(Tensor(), w, {}); }, {"conv2d:", "x is undefined"}));
  EXPECT_TRUE(fails_with([&] { conv2d(zeros({0, 5, 5, 3}, DType::f32), w, {}); }, {"x is [0, 5, 5, 3]", "non-empty"}));
  EXPECT_TRUE(fails_with([&] { conv2d(x, w, {.stride = 0}); }, {"stride is 0", "wanted 1"}));
  EXPECT_TRUE(fails_with([&] { conv2d(x, w, {.padding = -1}); }, {"padding is -1", "wanted 0"}));
  EXPECT_TRUE(fails_with([&] { conv2d(x, zeros({4, 7, 7, 3}, DType::f32), {}); }, {"window 7 x 7", "padding 0"}));
}

}  // namespace
}  // namespace residua::test
