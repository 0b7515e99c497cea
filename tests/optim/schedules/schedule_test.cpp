#include "core/optim/schedules/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A schedule as a user asks for it: settings by name, over a run of `length`.
std::unique_ptr<Schedule> schedule_of(const std::vector<Assignment>& settings, const RunLength& length,
                                      int64_t batch_size = 1) {
  ScheduleOptions options;
  Settings all;
  declare(all, options);
  all.assign(settings, Layer::command_line, "test");
  return make_schedule(options, length, batch_size);
}

std::string error_of(const std::vector<Assignment>& settings, const RunLength& length) {
  try {
    schedule_of(settings, length);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

std::vector<double> rates(const Schedule& schedule, const std::vector<int64_t>& iterations) {
  std::vector<double> all;
  for (const int64_t i : iterations) {
    all.push_back(schedule.rate(i));
  }
  return all;
}

testing::Matcher<double> near(double x) { return testing::DoubleNear(x, 1e-15); }

// The CIFAR recipe of He et al. 2015, section 4.2, with the warm-up of ResNet-110.
TEST(Schedules, StepsAreThePapers) {
  const auto schedule = schedule_of(
      {{"lr-steps", {"32000", "48000"}}, {"warmup", {"constant"}}, {"warmup-iterations", {"400"}}, {"warmup-lr", {"0.01"}}},
      {.total_iterations = 64'000, .step_unit = StepUnit::iterations});
  EXPECT_THAT(rates(*schedule, {0, 399, 400, 31'999, 32'000, 47'999, 48'000, 1'000'000}),
              ElementsAre(near(0.01), near(0.01), near(0.1), near(0.1), near(0.01), near(0.01), near(0.001), near(0.001)));
}

TEST(Schedules, StepsAreEpochsOrIterationsOrHalfAndThreeQuarters) {
  const RunLength epochs{.total_iterations = 40, .iterations_per_epoch = 10};
  EXPECT_THAT(rates(*schedule_of({{"lr-steps", {"1.5", "3"}}}, epochs), {14, 15, 29, 30}),
              ElementsAre(near(0.1), near(0.01), near(0.01), near(0.001)));
  RunLength iterations = epochs;
  iterations.step_unit = StepUnit::iterations;
  EXPECT_THAT(rates(*schedule_of({{"lr-steps", {"3"}}}, iterations), {2, 3}), ElementsAre(near(0.1), near(0.01)));
  EXPECT_THAT(rates(*schedule_of({{"lr-factor", {"0.5"}}}, epochs), {19, 20, 29, 30}),
              ElementsAre(near(0.1), near(0.05), near(0.05), near(0.025)));
  EXPECT_THAT(rates(*schedule_of({}, {.total_iterations = 3}), {0, 1, 2}), ElementsAre(near(0.1), near(0.1), near(0.1)))
      << "a run too short to be divided";
}

TEST(Schedules, ConstantStaysTheSame) {
  const auto schedule = schedule_of({{"lr-schedule", {"constant"}}, {"lr", {"0.3"}}}, {.total_iterations = 8});
  EXPECT_THAT(rates(*schedule, {0, 7, 123'456}), ElementsAre(0.3, 0.3, 0.3));
}

TEST(Schedules, CosineLineByLine) {
  const auto schedule = schedule_of(
      {{"lr-schedule", {"cosine"}}, {"lr", {"1"}}, {"lr-final", {"0.2"}}, {"warmup-iterations", {"2"}}, {"warmup-lr", {"0.5"}}},
      {.total_iterations = 6});
  // The warm-up is half way at its second step; then 0.2 + 0.8 * (1 + cos(pi * k / 4)) / 2.
  const double root = std::sqrt(0.5);
  EXPECT_THAT(rates(*schedule, {0, 1, 2, 3, 4, 5, 6, 500}),
              ElementsAre(near(0.5), near(0.75), near(1.0), near(0.6 + 0.4 * root), near(0.6), near(0.6 - 0.4 * root),
                          near(0.2), near(0.2)));
}

TEST(Schedules, WarmupMeetsAnySchedule) {
  const RunLength length{.total_iterations = 40, .step_unit = StepUnit::iterations};
  const std::vector<Assignment> linear = {{"lr-steps", {"4", "30"}}, {"warmup-iterations", {"10"}}, {"warmup-lr", {"0.002"}}};
  // The first fall is in the warm-up, which ends at the rate after it.
  EXPECT_THAT(rates(*schedule_of(linear, length), {0, 5, 9, 10, 30}),
              ElementsAre(near(0.002), near(0.006), near(0.0092), near(0.01), near(0.001)));
  EXPECT_THAT(rates(*schedule_of({{"warmup-iterations", {"10"}}, {"lr", {"0.5"}}}, length), {0, 5}),
              ElementsAre(near(0.05), near(0.275)))
      << "it begins at a tenth of the rate";
  EXPECT_THAT(rates(*schedule_of({{"warmup-iterations", {"10"}}, {"warmup", {"constant"}}}, length), {0, 9, 10}),
              ElementsAre(near(0.01), near(0.01), near(0.1)));
}

TEST(Schedules, AWarmupIsShorterThanTheRun) {
  for (const char* name : {"step", "cosine", "plateau", "constant"}) {
    const auto error = [&](const char* iterations) {
      return error_of({{"lr-schedule", {name}}, {"warmup-iterations", {iterations}}}, {.total_iterations = 10});
    };
    EXPECT_THAT(error("10"), AllOf(HasSubstr("warmup-iterations: got '10'"), HasSubstr("fewer than the 10 iterations")))
        << name;
    EXPECT_EQ(error("9"), "") << name;
  }
}

TEST(Schedules, TheRateIsInProportionForSmallerBatches) {
  const RunLength length{.total_iterations = 8};
  const std::vector<Assignment> papers = {{"lr", {"0.1"}}, {"lr-batch-size", {"256"}}};
  EXPECT_EQ(schedule_of(papers, length, 256)->rate(0), 0.1);
  EXPECT_EQ(schedule_of(papers, length, 32)->rate(0), 0.0125);
  EXPECT_EQ(schedule_of(papers, length, 512)->rate(0), 0.1) << "never above";
  EXPECT_EQ(schedule_of({{"lr", {"0.1"}}}, length, 32)->rate(0), 0.1) << "without a batch size it is as given";
}

// 0.1 for 256 images; the warm-up of Goyal et al. 2017, section 2.2, begins there.
TEST(Schedules, LinearScalingFollowsTheBatchBothWays) {
  const RunLength length{.total_iterations = 100, .iterations_per_epoch = 4};
  const std::vector<Assignment> recipe = {
      {"lr", {"0.1"}}, {"lr-batch-size", {"256"}}, {"lr-scaling", {"linear"}}, {"warmup-epochs", {"2.5"}}};
  const auto large = schedule_of(recipe, length, 4096);
  // 1.6 = 0.1 * 16, reached after 10 steps of 0.15.
  EXPECT_THAT(rates(*large, {0, 1, 5, 9, 10, 49, 50, 75}),
              ElementsAre(near(0.1), near(0.25), near(0.85), near(1.45), near(1.6), near(1.6), near(0.16), near(0.016)));
  EXPECT_THAT(rates(*schedule_of(recipe, length, 256), {0, 5, 10}), ElementsAre(near(0.1), near(0.1), near(0.1)));
  EXPECT_THAT(rates(*schedule_of(recipe, length, 32), {0, 5, 10}), ElementsAre(near(0.0125), near(0.0125), near(0.0125)))
      << "a warm-up does not start above its end";
  std::vector<Assignment> given = recipe;
  given.push_back({"warmup-lr", {"0.4"}});
  EXPECT_THAT(rates(*schedule_of(given, length, 4096), {0, 5, 10}), ElementsAre(near(0.4), near(1.0), near(1.6)));
  EXPECT_THAT(error_of({{"warmup-epochs", {"25"}}}, length),
              HasSubstr("warmup-epochs: got '25', wanted fewer than the 100 iterations"));
  EXPECT_THAT(error_of({{"warmup-epochs", {"1"}}, {"warmup", {"until-error"}}}, length), HasSubstr("warmup-epochs: got '1'"));
}

TEST(Schedules, TheScalingIsTold) {
  ScheduleOptions options{.rate = 0.1, .rate_batch_size = 256};
  EXPECT_EQ(describe_scaling(options, 32), "learning rate 0.0125 = 0.1 x 32 / 256");
  EXPECT_EQ(describe_scaling(options, 4096), "") << "it stays";
  options.rate_scaling = RateScaling::linear;
  EXPECT_EQ(describe_scaling(options, 4096), "learning rate 1.6 = 0.1 x 4096 / 256");
  EXPECT_EQ(describe_scaling(options, 256), "");
  options.rate_batch_size.reset();
  EXPECT_EQ(describe_scaling(options, 4096), "");
  EXPECT_EQ(rate_for_batch(options, 4096), 0.1);
}

std::unique_ptr<Schedule> plateau(const char* patience, const char* threshold = "0.0001") {
  return schedule_of({{"lr-schedule", {"plateau"}}, {"lr-patience", {patience}}, {"lr-threshold", {threshold}}},
                     {.total_iterations = 100});
}

/// The rate after each of some errors.
std::vector<double> rates_after(Schedule& schedule, const std::vector<double>& errors) {
  std::vector<double> all;
  for (const double error : errors) {
    schedule.observe(error);
    all.push_back(schedule.rate(3));
  }
  return all;
}

TEST(Schedules, PlateauWaitsForPatience) {
  const auto schedule = plateau("2");
  EXPECT_THAT(rates_after(*schedule, {0.9, 0.8, 0.8, 0.81, kNan}),
              ElementsAre(near(0.1), near(0.1), near(0.1), near(0.1), near(0.01)));
  EXPECT_THAT(rates_after(*schedule, {0.7, 0.7, 0.7, 0.69999}), ElementsAre(near(0.01), near(0.01), near(0.01), near(0.001)))
      << "less than the threshold better is no better";
  const auto demanding = plateau("0", "0.25");
  EXPECT_THAT(rates_after(*demanding, {1.0, 0.8, 0.7}), ElementsAre(near(0.1), near(0.01), near(0.01)));
}

TEST(Schedules, PlateauGoesOnFromItsStateThroughACheckpoint) {
  const std::vector<double> errors = {0.5, 0.6, 0.7, 0.6};
  for (size_t cut = 0; cut <= errors.size(); ++cut) {
    const auto whole = plateau("1");
    const auto first = plateau("1");
    for (const double error : errors) {
      whole->observe(error);
    }
    for (size_t i = 0; i < cut; ++i) {
      first->observe(errors[i]);
    }
    const auto second = plateau("1");
    second->restore(nlohmann::json::parse(nlohmann::json(first->state()).dump()).get<ScheduleState>());
    for (size_t i = cut; i < errors.size(); ++i) {
      second->observe(errors[i]);
    }
    EXPECT_EQ(second->state().numbers, whole->state().numbers) << cut;
    EXPECT_EQ(second->rate(0), whole->rate(0)) << cut;
    EXPECT_THAT(second->rate(0), near(0.01)) << cut;
  }
}

TEST(Schedules, StatesOfCheckpointsWithoutAVersionAreRestored) {
  // As "residua.train_state" holds them: best error, bad observations, plateaus; null for a best error that is not there yet.
  const auto schedule = plateau("5");
  schedule->restore(nlohmann::json::parse("[41.5, 3, 2]").get<ScheduleState>());
  EXPECT_THAT(schedule->state().numbers, ElementsAre(41.5, 3, 2));
  EXPECT_THAT(schedule->rate(0), near(0.001));
  schedule->restore(nlohmann::json::parse("[null, 0, 0]").get<ScheduleState>());
  EXPECT_THAT(schedule->state().numbers, ElementsAre(kInfinity, 0, 0));
  // They hold the same for every schedule.
  for (const char* name : {"step", "cosine", "constant"}) {
    const auto other = schedule_of({{"lr-schedule", {name}}}, {.total_iterations = 8});
    const double before = other->rate(1);
    EXPECT_NO_THROW(other->restore(nlohmann::json::parse("[null, 0, 0]").get<ScheduleState>())) << name;
    EXPECT_EQ(other->rate(1), before) << name;
  }
}

TEST(Schedules, TheStateOfAnotherScheduleSaysNothing) {
  const auto schedule = plateau("5");
  schedule->restore({.name = "step", .numbers = {}});
  EXPECT_THAT(schedule->rate(0), near(0.1));
  EXPECT_EQ(schedule->state().name, "plateau");
  const auto warm = schedule_of({{"lr-schedule", {"plateau"}}, {"lr-patience", {"0"}}, {"warmup-iterations", {"2"}}},
                                {.total_iterations = 8});
  EXPECT_EQ(warm->state().name, "plateau") << "a warm-up has no state of its own";
  warm->restore({.name = "plateau", .numbers = {0.5, 0, 1}});
  EXPECT_THAT(warm->rate(2), near(0.01));
  warm->observe(0.6);
  EXPECT_THAT(warm->rate(2), near(0.001));
}

TEST(Schedules, BadStatesAreRefused) {
  const auto schedule = plateau("5");
  for (const std::vector<double>& bad : std::vector<std::vector<double>>{
           {}, {1.0, 2.0}, {kNan, 0.0, 0.0}, {0.5, -1.0, 0.0}, {0.5, 0.0, 0.5}, {0.5, 0.0, kInfinity}}) {
    EXPECT_THROW(schedule->restore({.name = "plateau", .numbers = bad}), Error);
  }
  EXPECT_THROW(schedule_of({}, {.total_iterations = 8})->restore({.name = "step", .numbers = {1}}), Error);
  for (const char* bad : {"7", "{}", R"({"name": 3, "numbers": []})", R"({"name": "step"})", R"(["a"])"}) {
    EXPECT_THROW(nlohmann::json::parse(bad).get<ScheduleState>(), nlohmann::json::exception) << bad;
  }
}

TEST(Schedules, OnlyPlateauListens) {
  for (const char* name : {"step", "cosine", "constant"}) {
    const auto schedule = schedule_of({{"lr-schedule", {name}}}, {.total_iterations = 100});
    const double before = schedule->rate(3);
    for (int i = 0; i < 20; ++i) {
      schedule->observe(1.0);
    }
    EXPECT_EQ(schedule->rate(3), before) << name;
    EXPECT_TRUE(schedule->state().numbers.empty()) << name;
  }
}

TEST(Schedules, BadOptionsAreRefusedByName) {
  const RunLength length{.total_iterations = 100};
  EXPECT_THAT(error_of({{"lr-schedule", {"cosin"}}}, length), HasSubstr("did you mean cosine?"));
  EXPECT_THAT(error_of({{"lr-steps", {"5", "3"}}}, length), HasSubstr("lr-steps: got '5,3', wanted each larger"));
  EXPECT_THAT(error_of({{"lr-steps", {"0.001", "0.002"}}}, length), HasSubstr("lr-steps"));
  EXPECT_THAT(error_of({{"lr-schedule", {"cosine"}}, {"lr-final", {"0.2"}}}, length), HasSubstr("lr-final"));
  // A library's caller is not held by declarations.
  const auto refused = [&](ScheduleOptions options) {
    try {
      make_schedule(options, length, 1);
      return std::string();
    } catch (const UsageError& error) {
      return error.setting();
    }
  };
  EXPECT_EQ(refused({.rate = kNan}), "lr");
  EXPECT_EQ(refused({.rate = -0.1}), "lr");
  EXPECT_EQ(refused({.name = "poly"}), "lr-schedule");
  EXPECT_EQ(refused({.steps = {-1}}), "lr-steps");
  EXPECT_EQ(refused({.factor = 0.0}), "lr-factor");
  EXPECT_EQ(refused({.warmup_iterations = -1}), "warmup-iterations");
  EXPECT_EQ(refused({.warmup_epochs = -1}), "warmup-epochs");
  EXPECT_EQ(refused({.warmup_rate = kInfinity}), "warmup-lr");
}

TEST(Schedules, EachKindIsNamedInTheHelp) {
  ScheduleOptions options;
  Settings settings;
  declare(settings, options);
  for (const char* name : {"constant: ", "cosine: ", "plateau: ", "step: "}) {
    EXPECT_THAT(settings.find("lr-schedule")->help, HasSubstr(name));
  }
}

}  // namespace
}  // namespace residua::test
