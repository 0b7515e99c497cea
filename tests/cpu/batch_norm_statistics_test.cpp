// What a one-pass variance gets wrong first: channels whose mean is far from 0, and rows unlike the others.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/cpu/levels.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

template <class T>
void expect_statistics(const char* what, int64_t rows, int64_t channels, double tolerance,
                       const std::function<double(int64_t row, int64_t channel)>& value) {
  std::vector<T> x(static_cast<size_t>(rows * channels));
  for (int64_t i = 0; i < rows * channels; ++i) {
    x[static_cast<size_t>(i)] = from_float<T>(static_cast<float>(value(i / channels, i % channels)));
  }
  for (const Isa level : levels()) {
    std::vector<float> mean(static_cast<size_t>(channels)), variance(mean.size()), rstd(mean.size());
    run_at(level, BatchNormStatistics{.dtype = dtype_of<T>,
                                      .rows = rows,
                                      .group_rows = rows,
                                      .channels = channels,
                                      .x = x.data(),
                                      .epsilon = 1e-5f,
                                      .mean = mean.data(),
                                      .variance = variance.data(),
                                      .rstd = rstd.data()});
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = [&](int64_t r) { return static_cast<double>(to_float(x[static_cast<size_t>(r * channels + c)])); };
      double want_mean = 0.0;
      double want_variance = 0.0;
      for (int64_t r = 0; r < rows; ++r) {
        want_mean += at(r) / static_cast<double>(rows);
      }
      for (int64_t r = 0; r < rows; ++r) {
        want_variance += (at(r) - want_mean) * (at(r) - want_mean) / static_cast<double>(rows);
      }
      const auto i = static_cast<size_t>(c);
      ASSERT_NEAR(mean[i], want_mean, 1e-6 * (std::fabs(want_mean) + std::sqrt(want_variance)))
          << what << ", " << level_name(level) << ", channel " << c << " of " << channels;
      ASSERT_NEAR(variance[i], want_variance, tolerance * want_variance)
          << what << ", " << level_name(level) << ", channel " << c << " of " << channels;
      ASSERT_NEAR(rstd[i] * std::sqrt(want_variance + 1e-5), 1.0, tolerance)
          << what << ", " << level_name(level) << ", channel " << c << " of " << channels;
    }
  }
}

TEST(BatchNormStatistics, HoldForAnyNumberOfRowsAndChannels) {
  Random random("shapes");
  const auto value = [&](int64_t, int64_t c) { return static_cast<double>(c % 7) + random.uniform(-1.0, 1.0); };
  for (const int64_t channels : {1, 2, 3, 8, 15, 16, 17, 48, 64, 65, 80, 128, 1000}) {
    for (const int64_t rows : {1, 2, 7, 16, 129, 1000}) {
      expect_statistics<float>("f32", rows, channels, 3e-6, value);
    }
    expect_statistics<f16>("f16", 1001, channels, 3e-6, value);
    expect_statistics<bf16>("bf16", 1001, channels, 3e-6, value);
  }
}

TEST(BatchNormStatistics, HoldFarFromZero) {
  Random random("far");
  expect_statistics<float>("mean 1000", 5000, 20, 1e-5, [&](int64_t, int64_t) { return 1000.0 + random.uniform(-1.0, 1.0); });
  expect_statistics<float>("mean 1e5", 5000, 20, 1e-4, [&](int64_t, int64_t) { return 1e5 + random.uniform(-1.0, 1.0); });
  expect_statistics<bf16>("bf16, mean 50", 5000, 20, 1e-5, [&](int64_t, int64_t) { return 50.0 + random.uniform(-1.0, 1.0); });
}

TEST(BatchNormStatistics, HoldWhereTheFirstRowsAreUnlikeTheOthers) {
  Random random("outliers");
  expect_statistics<float>("one row of 1000", 50000, 16, 3e-5,  // its square, 1e6, rounds off a little of each small one
                           [&](int64_t r, int64_t) { return r == 0 ? 1000.0 : random.uniform(-1.0, 1.0); });
  expect_statistics<float>("a dark first image", 8 * 1024, 64, 1e-5,
                           [&](int64_t r, int64_t) { return r < 1024 ? -300.0 : 20.0 + random.uniform(-1.0, 1.0); });
}

TEST(BatchNormStatistics, OfAConstantAreExact) {
  for (const Isa level : levels()) {
    const std::vector<float> x(3 * 1000, 0.1f);
    float mean[3], variance[3], rstd[3];
    run_at(level, BatchNormStatistics{.dtype = DType::f32,
                                      .rows = 1000,
                                      .group_rows = 1000,
                                      .channels = 3,
                                      .x = x.data(),
                                      .epsilon = 0.25f,
                                      .mean = mean,
                                      .variance = variance,
                                      .rstd = rstd});
    for (int c = 0; c < 3; ++c) {
      EXPECT_FLOAT_EQ(mean[c], 0.1f) << level_name(level);
      EXPECT_LT(variance[c], 1e-15f) << level_name(level);
      EXPECT_FLOAT_EQ(rstd[c], 2.0f) << level_name(level);
    }
  }
}

}  // namespace
}  // namespace residua::test
