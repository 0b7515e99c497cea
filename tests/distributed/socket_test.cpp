#include "core/distributed/socket.h"

#include <gtest/gtest.h>

#include <chrono>

namespace residua::test {
namespace {

TEST(DeadlineIn, IsNeverInThePast) {
  const Deadline now = std::chrono::steady_clock::now();
  for (const double seconds : {5.0, 1e6, 1e9, 1e10, 1e300}) {
    EXPECT_GE(deadline_in(seconds), now + std::chrono::seconds(5)) << seconds;
  }
  EXPECT_LT(deadline_in(5), now + std::chrono::minutes(10));
  EXPECT_EQ(deadline_in(0), Deadline::max());
}

}  // namespace
}  // namespace residua::test
