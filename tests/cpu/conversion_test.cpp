// The vectorized conversions between float and the 16-bit types, at every instruction set, against those of dtype.h.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/cpu/levels.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

template <class T>
class Conversion : public ::testing::Test {};

using SixteenBitTypes = ::testing::Types<f16, bf16>;
TYPED_TEST_SUITE(Conversion, SixteenBitTypes);

template <class T>
std::vector<T> every_pattern() {
  std::vector<T> all(0x10000);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = T{static_cast<uint16_t>(i)};
  }
  return all;
}

TYPED_TEST(Conversion, EveryPatternBecomesItsFloat) {
  const std::vector<TypeParam> x = every_pattern<TypeParam>();
  for (const Isa level : levels()) {
    std::vector<float> y(x.size(), -1.0f);
    run_at(level, Cast{.x_dtype = dtype_of<TypeParam>,
                       .y_dtype = DType::f32,
                       .size = static_cast<int64_t>(x.size()),
                       .x = x.data(),
                       .y = y.data()});
    for (size_t i = 0; i < x.size(); ++i) {
      const float want = to_float(x[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(y[i])) << level_name(level) << " " << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(want)) << level_name(level) << " " << i;
      }
    }
  }
}

/// Every value of T, what lies halfway to the next one and the floats beside that, and random patterns.
template <class T>
std::vector<float> hard_to_round() {
  std::vector<float> all;
  for (int pattern = 0; pattern <= 0xffff; ++pattern) {
    const float low = to_float(T{static_cast<uint16_t>(pattern)});
    const float high = to_float(T{static_cast<uint16_t>(pattern + 1)});
    const float middle = static_cast<float>((static_cast<double>(low) + static_cast<double>(high)) / 2);
    all.insert(all.end(), {low, std::nextafter(middle, -INFINITY), middle, std::nextafter(middle, INFINITY)});
  }
  Random random("float patterns");
  for (int i = 0; i < 1 << 20; ++i) {
    all.push_back(std::bit_cast<float>(static_cast<uint32_t>(random.integer(0, 0xffffffff))));
  }
  return all;
}

TYPED_TEST(Conversion, FloatsRoundToNearestEven) {
  const std::vector<float> x = hard_to_round<TypeParam>();
  for (const Isa level : levels()) {
    // The processor's own bf16 conversion takes subnormal numbers for 0.
    const bool flushes = dtype_of<TypeParam> == DType::bf16 && level == Isa::avx512bf16;
    std::vector<TypeParam> y(x.size(), TypeParam{1});
    run_at(level, Cast{.x_dtype = DType::f32,
                       .y_dtype = dtype_of<TypeParam>,
                       .size = static_cast<int64_t>(x.size()),
                       .x = x.data(),
                       .y = y.data()});
    for (size_t i = 0; i < x.size(); ++i) {
      const TypeParam want = from_float<TypeParam>(x[i]);
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(to_float(y[i]))) << level_name(level) << " " << i;
      } else if (flushes && std::fabs(x[i]) < 0x1p-126f) {
        ASSERT_EQ(to_float(y[i]), 0.0f) << level_name(level) << " " << x[i];
      } else {
        ASSERT_EQ(y[i].bits, want.bits) << level_name(level) << " " << x[i];
      }
    }
  }
}

TYPED_TEST(Conversion, AMaskBitIsSetWhereTheStoredValueIsPositive) {
  // With mean 0 and scale 1, the value is beta: the smallest floats on either side of what T can hold.
  const float mean = 0.0f;
  const float one = 1.0f;
  std::vector<float> betas;
  for (const float edge : {0.0f, 0x1p-25f, 0x1p-24f, 0x1p-126f, 0x1p-127f, 0x1p-133f, 0x1p-134f, 1.0f}) {
    betas.insert(betas.end(), {std::nextafter(edge, -1.0f), edge, std::nextafter(edge, 2.0f), -edge});
  }
  betas.push_back(NAN);
  const std::vector<TypeParam> x(100, TypeParam{0});
  for (const Isa level : levels()) {
    for (const float beta : betas) {
      std::vector<TypeParam> y(x.size());
      std::vector<uint8_t> mask(13, 0xff);
      run_at(level, BatchNormApply{.dtype = dtype_of<TypeParam>,
                                   .rows = 100,
                                   .group_rows = 100,
                                   .channels = 1,
                                   .x = x.data(),
                                   .residual = nullptr,
                                   .gamma = &one,
                                   .beta = &beta,
                                   .mean = &mean,
                                   .rstd = &one,
                                   .activation = Activation::relu,
                                   .y = y.data(),
                                   .mask = mask.data()});
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(mask[i / 8] >> (i % 8) & 1, to_float(y[i]) > 0.0f ? 1 : 0) << level_name(level) << " " << beta;
      }
      EXPECT_EQ(mask.back() >> 4, 0) << "bits past the end";
    }
  }
}

}  // namespace
}  // namespace residua::test
