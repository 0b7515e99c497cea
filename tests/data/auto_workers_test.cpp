#include "core/data/auto_workers.h"

#include <gtest/gtest.h>

namespace residua::test {
namespace {

TEST(AutoWorkers, DoubleWhileTheCallerWaits) {
  AutoWorkers workers(6);
  EXPECT_EQ(workers.after_batch(100.0, 9.0), 1) << "the first batch does not count";
  EXPECT_EQ(workers.after_batch(100.4, 0.4), 1) << "too early to tell";
  EXPECT_EQ(workers.after_batch(100.5, 0.0), 2);
  EXPECT_EQ(workers.after_batch(101.1, 0.1), 4);
  EXPECT_EQ(workers.after_batch(101.7, 0.1), 6) << "not more than there are cores";
  EXPECT_EQ(workers.after_batch(102.3, 0.1), 6);
}

TEST(AutoWorkers, StayWhileTheCallerHardlyWaits) {
  AutoWorkers workers(8);
  workers.after_batch(0, 1);
  for (int i = 1; i <= 100; ++i) {
    ASSERT_EQ(workers.after_batch(0.1 * i, 0.0029), 1) << "2.9 % of the time";
  }
  EXPECT_EQ(workers.after_batch(11.0, 0.04), 2) << "4 % of the last second";
}

TEST(AutoWorkers, TheStartOfAnEpochDoesNotCount) {
  AutoWorkers workers(8);
  workers.after_batch(0, 0);
  workers.restart();
  EXPECT_EQ(workers.after_batch(10, 9), 1);
  EXPECT_EQ(workers.after_batch(11, 0), 1);
}

// Each epoch is shorter than the time that a decision takes.
TEST(AutoWorkers, ShortEpochsAddUp) {
  AutoWorkers waiting(8);
  AutoWorkers busy(8);
  for (int epoch = 0; epoch < 10; ++epoch) {
    waiting.restart();
    busy.restart();
    for (int batch = 0; batch <= 3; ++batch) {
      waiting.after_batch(10.0 * epoch + 0.15 * batch, 0.15);
      busy.after_batch(10.0 * epoch + 0.15 * batch, batch == 0 ? 5 : 0);
    }
  }
  EXPECT_EQ(waiting.after_batch(200, 0), 8);
  EXPECT_EQ(busy.after_batch(200, 0), 1) << "the pause and the first batch of an epoch";
}

}  // namespace
}  // namespace residua::test
