#include "core/train/auto_threads.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <vector>

namespace residua::test {
namespace {

/// Steps on a machine where a step with n threads takes seconds(n).
struct Simulated {
  explicit Simulated(int64_t most) : threads(most) {}

  void steps(int count, const std::function<double(int64_t)>& seconds) {
    for (int i = 0; i < count; ++i) {
      time += seconds(threads.threads());
      if (const auto change = threads.after_step(seconds(threads.threads()))) {
        changes.push_back(*change);
      }
    }
  }

  AutoThreads threads;
  std::vector<AutoThreads::Change> changes;
  double time = 0;
};

double quiet(int64_t threads) { return 1.0 / static_cast<double>(threads); }
/// One of two threads shares its core.
double busy(int64_t threads) { return threads == 1 ? 1.0 : 2.4; }

TEST(AutoThreads, StayOnAQuietMachineAndCostLittle) {
  Simulated run(2);
  run.steps(1000, quiet);
  EXPECT_EQ(run.threads.threads(), 2);
  EXPECT_TRUE(run.changes.empty());
  EXPECT_LE(run.time, 1.005 * 1000 * quiet(2)) << "one trial of three steps";
}

TEST(AutoThreads, GoDownOnAMachineThatIsBusyFromTheBeginning) {
  Simulated run(2);
  run.steps(20, busy);
  EXPECT_EQ(run.threads.threads(), 1);
  ASSERT_EQ(run.changes.size(), 1);
  EXPECT_EQ(run.changes[0].from, 2);
  EXPECT_EQ(run.changes[0].to, 1);
  EXPECT_EQ(run.changes[0].seconds_before, busy(2));
  EXPECT_EQ(run.changes[0].seconds, busy(1));
  const double before = run.time;
  run.steps(10000, busy);
  EXPECT_EQ(run.threads.threads(), 1);
  EXPECT_EQ(run.changes.size(), 1);
  EXPECT_LE(run.time - before, 1.02 * 10000 * busy(1)) << "trials of two threads become rare";
}

TEST(AutoThreads, FollowTheMachine) {
  Simulated run(2);
  for (int i = 0; i < 3; ++i) {
    run.steps(1000, quiet);
    EXPECT_EQ(run.threads.threads(), 2);
    run.steps(30, busy);
    EXPECT_EQ(run.threads.threads(), 1) << "soon";
    run.steps(100, busy);
  }
  EXPECT_EQ(run.changes.size(), 5);
}

TEST(AutoThreads, FindTheFastestOfMany) {
  // Four of eight processors are busy.
  const auto seconds = [](int64_t threads) { return threads <= 4 ? quiet(threads) : 0.5; };
  Simulated run(8);
  run.steps(200, [&](int64_t threads) { return seconds(threads) + 0.05 * static_cast<double>(threads > 4 ? threads : 0); });
  EXPECT_EQ(run.threads.threads(), 4);
}

TEST(AutoThreads, OneSlowStepIsNoReason) {
  Simulated run(2);
  run.steps(100, quiet);
  const double before = run.time;
  run.steps(1, [](int64_t) { return 50.0; });
  run.steps(99, quiet);
  EXPECT_NEAR(run.time - before, 50 + 99 * quiet(2), 1e-9) << "no trial";
}

TEST(AutoThreads, OfOneProcessorAreOne) {
  Simulated run(1);
  run.steps(100, quiet);
  EXPECT_EQ(run.threads.threads(), 1);
}

}  // namespace
}  // namespace residua::test
