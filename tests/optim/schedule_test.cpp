#include "core/optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace residua::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The CIFAR recipe of He et al. 2015, section 4.2, with the warm-up of ResNet-110.
TEST(ScheduleTest, StepsAreThePapers) {
  const Schedule schedule({.rate = 0.1,
                           .boundaries = {32'000, 48'000},
                           .warmup = WarmupKind::constant,
                           .warmup_iterations = 400,
                           .warmup_rate = 0.01});
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.01);
  EXPECT_DOUBLE_EQ(schedule.rate(399), 0.01);
  EXPECT_DOUBLE_EQ(schedule.rate(400), 0.1);
  EXPECT_DOUBLE_EQ(schedule.rate(31'999), 0.1);
  EXPECT_DOUBLE_EQ(schedule.rate(32'000), 0.01);
  EXPECT_DOUBLE_EQ(schedule.rate(47'999), 0.01);
  EXPECT_NEAR(schedule.rate(48'000), 0.001, 1e-17);
  EXPECT_NEAR(schedule.rate(1'000'000), 0.001, 1e-17);
}

TEST(ScheduleTest, ConstantStaysTheSame) {
  const Schedule schedule({.kind = ScheduleKind::constant, .rate = 0.3});
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.3);
  EXPECT_DOUBLE_EQ(schedule.rate(123'456), 0.3);
}

TEST(ScheduleTest, LinearWarmupMeetsTheSchedule) {
  const Schedule schedule({.kind = ScheduleKind::constant, .rate = 0.5, .warmup_iterations = 10, .warmup_rate = 0.1});
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.rate(5), 0.3);
  EXPECT_DOUBLE_EQ(schedule.rate(10), 0.5);
}

TEST(ScheduleTest, CosineGoesFromEndToEnd) {
  const Schedule schedule({.kind = ScheduleKind::cosine,
                           .rate = 1.0,
                           .final_rate = 0.2,
                           .total_iterations = 110,
                           .warmup_iterations = 10,
                           .warmup_rate = 0.0});
  EXPECT_DOUBLE_EQ(schedule.rate(5), 0.5);
  EXPECT_DOUBLE_EQ(schedule.rate(10), 1.0);
  EXPECT_NEAR(schedule.rate(60), 0.6, 1e-12);
  EXPECT_NEAR(schedule.rate(35), 0.2 + 0.8 * 0.5 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(schedule.rate(110), 0.2, 1e-12);
  EXPECT_NEAR(schedule.rate(500), 0.2, 1e-12);
}

TEST(ScheduleTest, PlateauWaitsForPatience) {
  Schedule schedule({.kind = ScheduleKind::plateau, .rate = 0.1, .patience = 2});
  for (const double error : {0.9, 0.8, 0.8, 0.81}) {
    schedule.observe(error);
    EXPECT_DOUBLE_EQ(schedule.rate(0), 0.1);
  }
  schedule.observe(kNan);
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.01);
  schedule.observe(0.7);
  schedule.observe(0.7);
  schedule.observe(0.7);
  EXPECT_DOUBLE_EQ(schedule.rate(0), 0.01);
  schedule.observe(0.69999);  // less than the threshold better
  EXPECT_NEAR(schedule.rate(0), 0.001, 1e-17);
}

TEST(ScheduleTest, PlateauGoesOnFromItsState) {
  const ScheduleOptions options{.kind = ScheduleKind::plateau, .rate = 0.1, .patience = 1};
  Schedule first(options);
  Schedule second(options);
  for (const double error : {0.5, 0.6, 0.7, 0.6}) {
    first.observe(error);
  }
  second.restore(first.state());
  EXPECT_EQ(second.state(), first.state());
  EXPECT_DOUBLE_EQ(second.rate(0), 0.01);
  first.observe(0.6);
  second.observe(0.6);
  EXPECT_DOUBLE_EQ(second.rate(0), first.rate(0));
  EXPECT_NEAR(second.rate(0), 0.001, 1e-17);
}

TEST(ScheduleTest, OnlyPlateauListens) {
  Schedule schedule({.kind = ScheduleKind::step, .rate = 0.1, .patience = 0});
  for (int i = 0; i < 5; ++i) {
    schedule.observe(1.0);
  }
  EXPECT_DOUBLE_EQ(schedule.rate(3), 0.1);
}

TEST(ScheduleTest, BadStatesAreRefused) {
  Schedule schedule({.kind = ScheduleKind::plateau});
  EXPECT_THROW(schedule.restore(std::vector<double>{1.0, 2.0}), Error);
  EXPECT_THROW(schedule.restore(std::vector<double>{kNan, 0.0, 0.0}), Error);
  EXPECT_THROW(schedule.restore(std::vector<double>{0.5, -1.0, 0.0}), Error);
  EXPECT_THROW(schedule.restore(std::vector<double>{0.5, 0.0, 0.5}), Error);
}

TEST(ScheduleTest, BadOptionsAreRefused) {
  EXPECT_THROW(Schedule({.rate = kNan}), UsageError);
  EXPECT_THROW(Schedule({.rate = -0.1}), UsageError);
  EXPECT_THROW(Schedule({.boundaries = {10, 10}}), UsageError);
  EXPECT_THROW(Schedule({.boundaries = {-1}}), UsageError);
  EXPECT_THROW(Schedule({.factor = 0.0}), UsageError);
  EXPECT_THROW(Schedule({.patience = -1}), UsageError);
  EXPECT_THROW(Schedule({.warmup_iterations = -1}), UsageError);
  EXPECT_THROW(Schedule({.kind = ScheduleKind::cosine, .total_iterations = 5, .warmup_iterations = 5}), UsageError);
}

TEST(ScheduleTest, NamesAreParsed) {
  EXPECT_EQ(parse_schedule("cosine"), ScheduleKind::cosine);
  EXPECT_EQ(parse_warmup("constant"), WarmupKind::constant);
  EXPECT_THROW(parse_schedule("poly"), UsageError);
  EXPECT_THROW(parse_warmup(""), UsageError);
}

}  // namespace
}  // namespace residua::test
