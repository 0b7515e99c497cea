// The paper's warm-up of ResNet-110, told errors by hand.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/optim/schedules/schedule.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

ScheduleOptions options() {
  ScheduleOptions o;
  o.rate = 0.1;
  o.warmup = WarmupKind::until_error;
  o.warmup_rate = 0.01;
  o.warmup_error = 80;
  return o;
}

const RunLength kLength{.total_iterations = 1000, .iterations_per_epoch = 100, .step_unit = StepUnit::iterations};

std::unique_ptr<Schedule> made(const ScheduleOptions& o = options()) { return make_schedule(o, kLength, 128); }

TEST(WarmupUntilError, EndsAfterTheFirstWindowBelowTheError) {
  const auto schedule = made();
  EXPECT_EQ(schedule->training_window(), 100);
  EXPECT_DOUBLE_EQ(schedule->rate(0), 0.01);
  schedule->observe_training(50, 50, 100);  // half of a window: nothing is decided
  EXPECT_DOUBLE_EQ(schedule->rate(50), 0.01);
  schedule->observe_training(100, 110, 100);  // 160 of 200 are wrong, which is 80 %, not below
  EXPECT_DOUBLE_EQ(schedule->rate(100), 0.01);
  schedule->observe_training(200, 159, 200);  // 79.5 %, of this window alone
  EXPECT_DOUBLE_EQ(schedule->rate(200), 0.1);
  EXPECT_EQ(schedule->training_window(), 0);
  schedule->observe_training(300, 200, 200);  // for good
  EXPECT_DOUBLE_EQ(schedule->rate(300), 0.1);
  EXPECT_DOUBLE_EQ(schedule->rate(500), 0.01) << "the falls are where they are without a warm-up";
}

TEST(WarmupUntilError, AWindowWithoutImagesDecidesNothing) {
  const auto schedule = made();
  schedule->observe_training(100, 0, 0);  // every step overflowed
  EXPECT_DOUBLE_EQ(schedule->rate(100), 0.01);
}

TEST(WarmupUntilError, GoesOnInTheMiddleOfAWindow) {
  const auto one = made();
  one->observe_training(100, 190, 200);
  one->observe_training(130, 10, 60);
  const auto other = made();
  other->restore(one->state());
  for (const auto& schedule : {one.get(), other.get()}) {
    schedule->observe_training(200, 140, 140);  // 150 of 200
    EXPECT_DOUBLE_EQ(schedule->rate(200), 0.1);
  }
  const auto third = made();
  third->restore(one->state());
  EXPECT_DOUBLE_EQ(third->rate(201), 0.1) << "a warm-up that has ended stays so";
}

TEST(WarmupUntilError, KeepsTheStateOfItsSchedule) {
  ScheduleOptions o = options();
  o.name = "plateau";
  const auto one = made(o);
  one->observe_training(100, 0, 200);
  for (int i = 0; i < 8; ++i) {
    one->observe(50);
  }
  const auto other = made(o);
  other->restore(one->state());
  EXPECT_LT(one->rate(150), 0.1);
  EXPECT_DOUBLE_EQ(other->rate(150), one->rate(150));
}

// As of a run that was begun without it, or with it and goes on without.
TEST(WarmupUntilError, TheStateOfAnotherWarmupSaysNothing) {
  ScheduleOptions plain = options();
  plain.warmup = WarmupKind::linear;
  plain.name = "plateau";
  const auto before = made(plain);
  for (int i = 0; i < 8; ++i) {
    before->observe(0);
  }
  ScheduleOptions o = options();
  o.name = "plateau";
  const auto now = made(o);
  now->restore(before->state());
  EXPECT_DOUBLE_EQ(now->rate(0), 0.01) << "the warm-up has not ended";
  const auto without = made(plain);
  without->restore(now->state());
  EXPECT_DOUBLE_EQ(without->rate(0), 0.1);
}

TEST(WarmupUntilError, BadStatesAndOptionsAreRefused) {
  EXPECT_TRUE(fails_with(
      [] {
        made()->restore({.name = "until-error, step", .numbers = {0, 1}});
      },
      {"until-error", "wanted 3"}));
  EXPECT_TRUE(fails_with([] { made()->restore({.name = "until-error, step", .numbers = {0, -1, 5}}); }, {"until-error"}));
  ScheduleOptions o = options();
  o.warmup_iterations = 5;
  EXPECT_TRUE(fails_with([&] { made(o); }, {"warmup-iterations", "until-error"}));
  o = options();
  o.warmup_error = 0;
  EXPECT_TRUE(fails_with([&] { made(o); }, {"warmup-error"}));
}

}  // namespace
}  // namespace residua::test
