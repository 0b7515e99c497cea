#include "core/cpu/winograd.h"

#include <utility>

#include "tests/cpu/convolution_passes.h"

namespace residua::test {
namespace {

constexpr ConvolutionShape kShapes[] = {
    {1, 1, 1, 16, 16, 3, 3, 1, 1},      // one pixel
    {2, 4, 8, 16, 48, 3, 3, 1, 1},      // whole tiles
    {3, 13, 11, 32, 16, 3, 3, 1, 1},    // tiles that stand over the edge
    {1, 3, 18, 64, 80, 3, 3, 1, 1},     // lower than a tile
    {9, 14, 15, 48, 16, 3, 3, 1, 1},    // several blocks of tiles for each thread
    {1, 6, 7, 128, 144, 3, 3, 1, 1},    // threads that share the sums of the weights
    {491, 1, 1, 128, 128, 3, 3, 1, 1},  // and do so for several blocks
};

template <class T>
class Winograd : public ::testing::Test {};

using FloatTypes = ::testing::Types<float, f16, bf16>;
TYPED_TEST_SUITE(Winograd, FloatTypes);

TYPED_TEST(Winograd, IsTheConvolution) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  Random random("winograd");
  for (const ConvolutionShape& s : kShapes) {
    ConvolutionShape backward = s;
    std::swap(backward.in_channels, backward.out_channels);
    expect_convolution<T>(
        s, 200, random,
        [&](Isa level, const T* x, const T* w, T* y) {
          run_at(level, cpu::WinogradConvolution{.dtype = kType, .shape = s, .flipped = false, .x = x, .w = w, .y = y});
        },
        [&](Isa level, const T* dy, const T* w, T* dx) {
          run_at(level, cpu::WinogradConvolution{.dtype = kType, .shape = backward, .flipped = true, .x = dy, .w = w, .y = dx});
        },
        [&](Isa level, const T* x, const T* dy, float* dw) {
          run_at(level, cpu::WinogradWeights{.dtype = kType, .dw_dtype = DType::f32, .shape = s, .x = x, .dy = dy, .dw = dw});
        });
  }
}

}  // namespace
}  // namespace residua::test
