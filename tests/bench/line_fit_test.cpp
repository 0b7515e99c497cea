#include "bench/ranks/line_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"

namespace residua::test {
namespace {

using bench::fit_line;
using bench::LineFit;

TEST(LineFit, FindsTheLineThatTimesLieOn) {
  // 20 us + bytes / 4 GB/s
  const LineFit fit = fit_line({{1e3, 20.25e-6}, {1e6, 270e-6}, {64e6, 16020e-6}});
  EXPECT_NEAR(fit.latency_s, 20e-6, 1e-12);
  EXPECT_NEAR(fit.bytes_per_second, 4e9, 1);
  EXPECT_LT(fit.worst_error, 1e-9);
  EXPECT_NEAR(fit.seconds(8e6), 2020e-6, 1e-9);
}

/// Two small sizes at 2 and 4 us and a large one at 100 ms. The best latency for the small ones alone has errors of a third; a
/// fit to seconds would hardly look at them.
TEST(LineFit, CountsSmallSizesAsMuchAsLargeOnes) {
  const LineFit fit = fit_line({{1, 2e-6}, {1, 4e-6}, {1e9, 0.1}});
  // The least (l / 2 - 1)^2 + (l / 4 - 1)^2 is at l = 12 / 5.
  EXPECT_NEAR(fit.latency_s, 2.4e-6, 1e-9);
  EXPECT_NEAR(fit.worst_error, 0.4, 1e-3);
}

TEST(LineFit, HasNoNegativeParts) {
  const LineFit steep = fit_line({{1e6, 0.5e-3}, {2e6, 2e-3}});
  EXPECT_EQ(steep.latency_s, 0);
  // The least (2 x - 1)^2 + (x - 1)^2, with x the milliseconds of 1 MB, is at x = 3 / 5.
  EXPECT_NEAR(1e6 / steep.bytes_per_second, 0.6e-3, 1e-9);
  const LineFit falling = fit_line({{1e6, 2e-3}, {2e6, 1e-3}});
  EXPECT_TRUE(std::isinf(falling.bytes_per_second));
  EXPECT_NEAR(falling.latency_s, 1.2e-3, 1e-9);
}

TEST(LineFit, NeedsTwoSizes) { EXPECT_THROW(fit_line({{1e3, 1e-6}}), Error); }

}  // namespace
}  // namespace residua::test
