#include "core/train/validation_times.h"

#include <gtest/gtest.h>

namespace residua::test {
namespace {

TEST(ValidationTimes, AreEachIntervalAndTheEnd) {
  const ValidationTimes times{.interval = 3, .total = 7};
  EXPECT_FALSE(times.due(0));
  EXPECT_FALSE(times.due(2));
  EXPECT_TRUE(times.due(3));
  EXPECT_TRUE(times.due(6));
  EXPECT_TRUE(times.due(7));
}

TEST(ValidationTimes, LeftCountsThem) {
  for (int64_t total = 1; total <= 13; ++total) {
    for (int64_t interval = 1; interval <= 15; ++interval) {
      const ValidationTimes times{.interval = interval, .total = total};
      int64_t left = 0;
      for (int64_t iteration = total; iteration >= 1; --iteration) {
        left += times.due(iteration) ? 1 : 0;
        EXPECT_EQ(times.left(iteration), left) << iteration << " of " << total << ", interval " << interval;
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
