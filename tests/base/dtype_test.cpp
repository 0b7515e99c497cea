#include "core/base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/random.h"

namespace residua::test {
namespace {

/// The value of a 16-bit number of the given layout, from the definition.
double value_of(uint16_t bits, int mantissa_bits, int bias) {
  const int exponent_bits = 15 - mantissa_bits;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) {
    return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  }
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

template <class T>
void expect_all_patterns_exact(int mantissa_bits, int bias) {
  for (int pattern = 0; pattern <= 0xffff; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const double want = value_of(bits, mantissa_bits, bias);
    const float got = to_float(T{bits});
    const T back = from_float<T>(got);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << pattern;
      ASSERT_TRUE(std::isnan(to_float(back))) << pattern;
    } else {
      ASSERT_EQ(static_cast<double>(got), want) << pattern;
      ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << pattern;
      ASSERT_EQ(back.bits, bits) << pattern;
    }
  }
}

TEST(DType, EveryF16IsItsFloat) { expect_all_patterns_exact<f16>(10, 15); }
TEST(DType, EveryBf16IsItsFloat) { expect_all_patterns_exact<bf16>(7, 127); }

/// Between two neighbors the nearer one is right, and halfway the even one.
template <class T>
void expect_nearest_even(uint16_t largest_finite) {
  Random random("rounding");
  for (int pattern = 0; pattern < largest_finite; ++pattern) {
    const T low{static_cast<uint16_t>(pattern)};
    const T high{static_cast<uint16_t>(pattern + 1)};
    const double a = static_cast<double>(to_float(low));
    const double b = static_cast<double>(to_float(high));
    const float middle = static_cast<float>((a + b) / 2);
    const uint16_t even = (pattern & 1) == 0 ? low.bits : high.bits;
    ASSERT_EQ(from_float<T>(middle).bits, even) << pattern;
    ASSERT_EQ(from_float<T>(-middle).bits, even | 0x8000) << pattern;
    ASSERT_EQ(from_float<T>(std::nextafterf(middle, 0.0f)).bits, low.bits) << pattern;
    ASSERT_EQ(from_float<T>(std::nextafterf(middle, INFINITY)).bits, high.bits) << pattern;
    const double between = random.uniform(a, b);
    const uint16_t nearer = between - a < b - between ? low.bits : high.bits;
    if (std::fabs((between - a) - (b - between)) > 1e-3 * (b - a)) {
      ASSERT_EQ(from_float<T>(static_cast<float>(between)).bits, nearer) << pattern;
    }
  }
}

TEST(DType, F16RoundsToNearestEven) { expect_nearest_even<f16>(0x7bff); }
// Past 0x7f00 the float midpoints are still finite; bf16 subnormals have float subnormals as their midpoints.
TEST(DType, Bf16RoundsToNearestEven) { expect_nearest_even<bf16>(0x7f7f); }

TEST(DType, OverflowsToInfinity) {
  EXPECT_EQ(from_float<f16>(65519.0f).bits, 0x7bff);
  EXPECT_EQ(from_float<f16>(65520.0f).bits, 0x7c00);
  EXPECT_EQ(from_float<f16>(-1e30f).bits, 0xfc00);
  EXPECT_EQ(from_float<f16>(INFINITY).bits, 0x7c00);
  EXPECT_EQ(from_float<bf16>(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(from_float<bf16>(-INFINITY).bits, 0xff80);
}

TEST(DType, UnderflowsToASignedZero) {
  EXPECT_EQ(from_float<f16>(0x1p-25f).bits, 0x0000);  // halfway to the least subnormal: to even
  EXPECT_EQ(from_float<f16>(0x1.000002p-25f).bits, 0x0001);
  EXPECT_EQ(from_float<f16>(-0x1p-40f).bits, 0x8000);
  EXPECT_EQ(from_float<f16>(-0.0f).bits, 0x8000);
  EXPECT_EQ(from_float<bf16>(-0.0f).bits, 0x8000);
}

TEST(DType, ANaNStaysANaNWhateverItsPayload) {
  for (const uint32_t payload : {1u, 0x1000u, 0xffffu, 0x400000u, 0x7fffffu}) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float nan = std::bit_cast<float>(sign | 0x7f800000u | payload);
      EXPECT_TRUE(std::isnan(to_float(from_float<bf16>(nan)))) << payload;
      EXPECT_TRUE(std::isnan(to_float(from_float<f16>(nan)))) << payload;
    }
  }
}

TEST(DType, KnowsItsSizesAndNames) {
  EXPECT_EQ(size_bytes(DType::f32), 4);
  EXPECT_EQ(size_bytes(DType::f16), 2);
  EXPECT_EQ(size_bytes(DType::bf16), 2);
  EXPECT_EQ(size_bytes(DType::u8), 1);
  EXPECT_EQ(size_bytes(DType::i32), 4);
  EXPECT_EQ(size_bytes(DType::i64), 8);
  EXPECT_EQ(name(DType::bf16), "bf16");
  EXPECT_TRUE(is_floating(DType::f16));
  EXPECT_FALSE(is_floating(DType::i32));
}

}  // namespace
}  // namespace residua::test
