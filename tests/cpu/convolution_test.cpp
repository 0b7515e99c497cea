#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "core/base/isa.h"
#include "core/ops/cast.h"
#include "core/ops/conv2d.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

/// Whole numbers from `least` to `least` + 3, whose products and sums fp32 holds exactly in any order.
Tensor whole_numbers(const Shape& shape, int least) {
  std::vector<float> values(static_cast<size_t>(shape.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<int>(i * 2654435761U >> 16) % 4 + least);
  }
  return from_values(shape, values);
}

/// The products of a 3x3 convolution with padding 1, as the definition sums them.
std::vector<float> definition(const Tensor& x, const Tensor& w) {
  const std::vector<float> a = x.to_vector(), b = w.to_vector();
  const int64_t rows = x.dim(0) * x.dim(1), height = x.dim(1), width = x.dim(2), channels = x.dim(3), filters = w.dim(0);
  std::vector<float> y;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t first = i / height * height;  // row of the image
    for (int64_t j = 0; j < width; ++j) {
      for (int64_t k = 0; k < filters; ++k) {
        float sum = 0;
        for (int64_t r = 0; r < 3; ++r) {
          for (int64_t s = 0; s < 3; ++s) {
            const int64_t row = i + r - 1, column = j + s - 1;
            for (int64_t c = 0; row >= first && row < first + height && column >= 0 && column < width && c < channels; ++c) {
              sum += a[static_cast<size_t>((row * width + column) * channels + c)] *
                     b[static_cast<size_t>(((k * 3 + r) * 3 + s) * channels + c)];
            }
          }
        }
        y.push_back(sum);
      }
    }
  }
  return y;
}

/// Ends the process with 0 if, with RESIDUA_WINOGRAD=`text`, the convolution is exact; with 2 and a message on a UsageError.
[[noreturn]] void convolve_with(const char* text) {
  setenv("RESIDUA_WINOGRAD", text, 1);
  try {
    const Tensor x = whole_numbers({6, 9, 7, 64}, -1);
    const Tensor w = whole_numbers({32, 3, 3, 64}, -1);
    std::_Exit(conv2d(x, w, {.padding = 1}).to_vector() == definition(x, w) ? 0 : 1);
  } catch (const UsageError& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::_Exit(2);
  }
}

TEST(CpuConvolutionDeathTest, WithoutWinogradSumsWholeNumbersExactly) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(convolve_with("off"), ::testing::ExitedWithCode(0), "");
  if (isa() == Isa::avx2) {  // with AVX-512 it depends on oneDNN's version
    EXPECT_EXIT(convolve_with("on"), ::testing::ExitedWithCode(1), "");
  }
  EXPECT_EXIT(convolve_with("no"), ::testing::ExitedWithCode(2), "RESIDUA_WINOGRAD is 'no', wanted on or off");
}

TEST(CpuConvolution, In16BitsIsThatOfF32Rounded) {
  // bf16 holds sums of 3 to 24 exactly: it rounds away what Winograd's algorithm (from 16 channels on) leaves beside them.
  for (const int64_t channels : {16, 32}) {
    const Tensor x = whole_numbers({9, 6, 5, channels}, 1);
    const Tensor w = zeros({channels, 3, 3, channels}, DType::f32);
    for (int64_t k = 0; k < channels; ++k) {
      w.data<float>()[((k * 3 + 1) * 3 + 1) * channels + k] = 3.0f;
      w.data<float>()[((k * 3 + k % 3) * 3 + k % 2) * channels + (k * 7 + 1) % channels] = 3.0f;
    }
    const Tensor y = conv2d(cast(x, DType::bf16), cast(w, DType::bf16), {.padding = 1});
    EXPECT_EQ(y.dtype(), DType::bf16);
    EXPECT_EQ(y.to_vector(), definition(x, w));
  }
}

}  // namespace
}  // namespace residua::test
