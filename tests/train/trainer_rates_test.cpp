// The learning rates of a run's log, against rates by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/train/short_run.h"

namespace residua::test {
namespace {

/// The learning rates of a run that reports every step.
std::vector<double> rates(const Flags& flags) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("log-every", {"1"}).set("evaluate-every", {"100"});
  run.validates = false;
  for (const auto& [name, words] : flags) {
    run.set(name, words);
  }
  EXPECT_EQ(run.train(), 0);
  const std::vector<double> iterations = logged(folder.path(), "train", "iteration");
  for (size_t i = 0; i < iterations.size(); ++i) {
    EXPECT_EQ(iterations[i], static_cast<double>(i + 1));
  }
  return logged(folder.path(), "train", "lr");
}

void expect_rates(const Flags& flags, const std::vector<double>& wanted) {
  const std::vector<double> got = rates(flags);
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], wanted[i], 1e-8) << "step " << i + 1 << " of " << testing::PrintToString(flags);
  }
}

TEST(TrainerRates, AreThoseOfTheScheduleStepByStep) {
  expect_rates({{"lr-schedule", {"constant"}}}, {0.05, 0.05, 0.05, 0.05, 0.05, 0.05});
  expect_rates({{"lr-schedule", {"step"}}, {"lr-steps", {"2", "5"}}}, {0.05, 0.05, 0.005, 0.005, 0.005, 0.0005});
  // Half and three quarters of six: three and four.
  expect_rates({{"lr-schedule", {"step"}}, {"lr-factor", {"0.5"}}}, {0.05, 0.05, 0.05, 0.025, 0.0125, 0.0125});
  // In epochs of four steps.
  expect_rates({{"lr-schedule", {"step"}}, {"epochs", {"1.5"}}, {"lr-steps", {"0.5", "1"}}},
               {0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005});
  // 0.001 + 0.049 * (1 + cos(30 degrees * step)) / 2
  expect_rates({{"lr-schedule", {"cosine"}}, {"lr-final", {"0.001"}}},
               {0.05, 0.0467176224, 0.03775, 0.0255, 0.01325, 0.0042823776});
}

TEST(TrainerRates, AreThoseOfTheWarmup) {
  expect_rates({{"warmup-iterations", {"3"}}}, {0.005, 0.02, 0.035, 0.05, 0.05, 0.05});
  expect_rates({{"warmup-iterations", {"2"}}, {"warmup", {"constant"}}, {"warmup-lr", {"0.01"}}},
               {0.01, 0.01, 0.05, 0.05, 0.05, 0.05});
  expect_rates({{"warmup-iterations", {"2"}}, {"lr-schedule", {"step"}}, {"lr-steps", {"4"}}},
               {0.005, 0.0275, 0.05, 0.05, 0.005, 0.005});
}

TEST(TrainerRates, AreInProportionToASmallerBatch) {
  expect_rates({{"lr-batch-size", {"64"}}, {"lr", {"0.4"}}, {"iterations", {"2"}}}, {0.1, 0.1});
  expect_rates({{"lr-batch-size", {"8"}}, {"lr", {"0.4"}}, {"iterations", {"2"}}}, {0.4, 0.4});
}

// One report covers two steps: its rate is that of the second.
TEST(TrainerRates, OfAReportIsThatOfItsLastStep) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("lr-schedule", {"step"}).set("lr-steps", {"3"}).train(), 0);
  // After 3 there is a validation, and a report before it.
  EXPECT_THAT(logged(folder.path(), "train", "iteration"), testing::ElementsAre(2, 3, 4, 6));
  EXPECT_THAT(logged(folder.path(), "train", "lr"),
              testing::ElementsAre(0.05, 0.05, testing::DoubleNear(0.005, 1e-12), testing::DoubleNear(0.005, 1e-12)));
}

/// The rates that errors at each second step lead to. `told`: whether one fell while the count of bad ones stood, and the rate
/// fell before and after that.
struct PlateauRates {
  std::vector<double> rates;
  bool told = false;
};
PlateauRates plateau_rates(const std::vector<double>& errors, int patience) {
  PlateauRates wanted;
  double rate = 0.2;
  double least = 1e9;
  int bad = 0;
  bool improved_late = false;
  for (const double error : errors) {
    wanted.rates.insert(wanted.rates.end(), 2, rate);  // the two steps before this validation
    if (error < 0.9999 * least) {
      improved_late = improved_late || bad > 0;
      least = error;
      bad = 0;
    } else if (++bad > patience) {
      rate *= 0.5;
      bad = 0;
    }
  }
  wanted.told = improved_late && wanted.rates.back() < 0.2;
  return wanted;
}

TEST(TrainerRates, OfThePlateauFollowTheErrorsOfTheLog) {
  bool told = false;
  for (int seed = 0; seed < 10 && !told; ++seed) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("lr-schedule", {"plateau"}).set("lr-patience", {"1"}).set("lr-factor", {"0.5"}).set("lr", {"0.2"});
    run.set("iterations", {"24"}).set("evaluate-every", {"0.5"}).set("log-every", {"1"}).set("seed", {std::to_string(seed)});
    ASSERT_EQ(run.train(), 0);
    const std::vector<double> errors = logged(folder.path(), "validation", "top1_error");
    ASSERT_EQ(errors.size(), 12U);
    const PlateauRates wanted = plateau_rates(errors, 1);
    EXPECT_THAT(logged(folder.path(), "train", "lr"), testing::Pointwise(testing::DoubleNear(1e-12), wanted.rates));
    told = wanted.told;
  }
  EXPECT_TRUE(told) << "no run whose errors rise and then fall, and whose rate falls";
}

}  // namespace
}  // namespace residua::test
