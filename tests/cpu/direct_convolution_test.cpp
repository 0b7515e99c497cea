#include "core/cpu/direct_convolution.h"

#include "tests/cpu/convolution_passes.h"

namespace residua::test {
namespace {

constexpr ConvolutionShape kShapes[] = {
    {1, 1, 1, 16, 16, 1, 1, 1, 0},    // one product
    {2, 5, 4, 16, 32, 3, 3, 1, 1},    //
    {3, 9, 8, 16, 48, 3, 3, 2, 1},    // stride 2, odd and even
    {4, 7, 7, 32, 16, 3, 3, 2, 1},    //
    {2, 12, 13, 16, 16, 7, 7, 2, 3},  // the stem
    {5, 6, 7, 16, 32, 1, 1, 2, 0},    // pixels that no window reaches
    {2, 11, 10, 16, 16, 3, 2, 3, 0},  // a kernel that is not square, and rows left over
    {1, 5, 6, 16, 16, 2, 2, 3, 2},    // a stride longer than the kernel, wide padding
    {2, 20, 19, 16, 16, 5, 5, 1, 2},  // several blocks of rows
};
/// Without a gradient of x, whose channels would have to fill panels.
constexpr ConvolutionShape kFirstLayers[] = {
    {2, 9, 10, 3, 16, 3, 3, 1, 1},
    {3, 16, 15, 4, 32, 7, 7, 2, 3},
    {2, 8, 7, 1, 16, 5, 5, 2, 2},
};

template <class T>
class DirectConvolution : public ::testing::Test {
 protected:
  static constexpr DType kType = dtype_of<T>;

  static void run_forward(Isa level, const ConvolutionShape& s, const T* x, const T* w, T* y) {
    run_at(level, cpu::DirectForward{.pass = {.dtype = kType,
                                              .shape = s,
                                              .x = x,
                                              .w = w,
                                              .y = y,
                                              .activation = kNoInputActivation,
                                              .statistics = kNoOutputStatistics}});
  }
  static void run_backward_data(Isa level, const ConvolutionShape& s, const T* dy, const T* w, T* dx) {
    run_at(level,
           cpu::DirectBackwardData{.pass = {.dtype = kType, .shape = s, .dy = dy, .w = w, .dx = dx, .sums = kNoGradientSums}});
  }
  static void run_backward_weights(Isa level, const ConvolutionShape& s, const T* x, const T* dy, float* dw) {
    run_at(level, cpu::DirectBackwardWeights{.pass = {.dtype = kType,
                                                      .dw_dtype = DType::f32,
                                                      .shape = s,
                                                      .x = x,
                                                      .dy = dy,
                                                      .dw = dw,
                                                      .activation = kNoInputActivation}});
  }
};

using FloatTypes = ::testing::Types<float, f16, bf16>;
TYPED_TEST_SUITE(DirectConvolution, FloatTypes);

TYPED_TEST(DirectConvolution, IsTheConvolution) {
  using T = TypeParam;
  Random random("direct");
  const auto hold = [&](const ConvolutionShape& s, bool with_dx) {
    expect_convolution<T>(
        s, 40, random, [&](Isa level, const T* x, const T* w, T* y) { this->run_forward(level, s, x, w, y); },
        [&](Isa level, const T* dy, const T* w, T* dx) { this->run_backward_data(level, s, dy, w, dx); },
        [&](Isa level, const T* x, const T* dy, float* dw) { this->run_backward_weights(level, s, x, dy, dw); }, with_dx);
  };
  for (const ConvolutionShape& s : kShapes) {
    hold(s, true);
  }
  for (const ConvolutionShape& s : kFirstLayers) {
    hold(s, false);
  }
}

}  // namespace
}  // namespace residua::test
