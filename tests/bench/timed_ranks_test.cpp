// What step-bench says of ranks: when their sums start, and how long they wait.
#include "bench/ranks/timed_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench/ranks/rank_times.h"
#include "core/device/timeline.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_step.h"

namespace residua::test {
namespace {

using bench::of_all_ranks;
using bench::RankTimes;
using bench::StepClock;
using bench::StepTimes;
using bench::TimedRanks;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Ranks whose sums take at least `kSumSeconds` after the last of them has started.
constexpr double kSumSeconds = 3e-3;
class SlowRanks final : public Communicator {
 public:
  explicit SlowRanks(int64_t world) : Communicator(0, world) {}
  std::vector<std::string> gather(const std::string&) override { fail("a call"); }
  void sum(const Tensor&) override {}
  void broadcast(const Tensor&) override { fail("a call"); }
  void gather_rows(const Tensor&) override { fail("a call"); }
  void finish() override {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < kSumSeconds) {
    }
  }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }
};

struct Timed {
  Timed(Communicator& ranks, int64_t world, Device device = {}, Capture capture = Capture::off)
      : clock(device), timed(ranks, clock, world), training(device, DType::f32, capture) {
    Batch batch = random_batch(1);
    batch.whole = kBatch * world;
    TrainStep step(training.model, training.store, training.scaler, training.sgd,
                   {.input = training.input, .capture = capture, .ranks = &timed});
    for (int i = 0; i < kUntimed; ++i) {
      step.train(batch);
    }
    clock.next_step();
    for (int i = 0; i < 3; ++i) {
      step.train(batch);
      clock.next_step();
    }
  }

  static constexpr int kUntimed = 4;  // enough for a graph of each upload
  StepClock clock;
  TimedRanks timed;
  SmallTraining training;
};

TEST(TimedRanks, WaitAsLongAsTheSpanOfATrace) {
  SlowRanks ranks(2);
  profile::Timeline timeline;
  timeline.start();
  Timed run(ranks, 2);
  timeline.stop();
  std::vector<double> spans;
  for (const auto& event : timeline.events(0)) {
    if (event["name"] == "waiting for the ranks") {
      spans.push_back(event["dur"].get<double>() * 1e-6);
    }
  }
  const std::vector<StepTimes> steps = run.clock.steps();
  ASSERT_EQ(steps.size(), 3) << "not the one before the first next_step()";
  ASSERT_EQ(spans.size(), Timed::kUntimed + 3);
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_GE(steps[i].waited, kSumSeconds);
    EXPECT_LE(steps[i].waited, spans[Timed::kUntimed + i]);
    EXPECT_LE(steps[i].waits_at.value() + steps[i].waited, steps[i].seconds);
  }
}

TEST(TimedRanks, NoteEachSumOfAStep) {
  for (const Device device : test_devices()) {
    OneProcess alone;
    Timed run(alone, 2, device);
    EXPECT_FALSE(run.timed.alone());
    const ParameterStore& store = run.training.store;
    const int64_t gradients = store.matrices().gradient.bytes() + store.vectors().gradient.bytes();
    for (const StepTimes& step : run.clock.steps()) {
      ASSERT_GE(step.sums.size(), 5) << "buckets, loss, statistics";
      int64_t bytes = 0;
      double before = 0;
      for (const StepTimes::Sum& sum : step.sums) {
        EXPECT_GE(sum.start, before) << "in their order";
        before = sum.start;
        bytes += sum.bytes;
      }
      EXPECT_EQ(bytes, gradients + 4 + store.statistics_arena().pass_means.bytes());
      EXPECT_GT(step.sums.back().start, step.sums.front().start) << "not all at the end of the backward pass";
      EXPECT_GE(step.waits_at.value(), before);
    }
  }
}

/// Ranks that only note what is called.
class NotedRanks final : public Communicator {
 public:
  NotedRanks() : Communicator(0, 2) {}
  std::vector<std::string> gather(const std::string&) override { fail("a call"); }
  void sum(const Tensor& x) override { calls.push_back(fmt::format("sum of {}", x.size())); }
  void broadcast(const Tensor&) override { fail("a call"); }
  void gather_rows(const Tensor&) override { fail("a call"); }
  void finish() override { calls.emplace_back("finish"); }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }

  std::vector<std::string> calls;
};

TEST(TimedRanks, HoldSumsBackUntilTheWait) {
  NotedRanks ranks;
  StepClock clock({});
  TimedRanks timed(ranks, clock, 2);
  clock.next_step();
  timed.hold(true);
  timed.sum(empty({3}, DType::f32));
  timed.sum(empty({5}, DType::f32));
  EXPECT_THAT(ranks.calls, IsEmpty());
  timed.finish();
  EXPECT_THAT(ranks.calls, ElementsAre("sum of 3", "sum of 5", "finish"));
  timed.hold(false);
  timed.sum(empty({7}, DType::f32));
  EXPECT_THAT(ranks.calls, ElementsAre("sum of 3", "sum of 5", "finish", "sum of 7"));
  clock.next_step();
  ASSERT_EQ(clock.steps().size(), 1);
  EXPECT_EQ(clock.steps()[0].sums.size(), 3) << "their start is noted when they could have started";
}

TEST(TimedRanks, SeeNothingOfAStepThatAGraphReplays) {
  for (const Device device : test_devices()) {
    if (device_api::can_capture(device)) {
      OneProcess alone;
      for (const StepTimes& step : Timed(alone, 2, device, Capture::on).clock.steps()) {
        EXPECT_THAT(step.sums, IsEmpty());
        EXPECT_FALSE(step.waits_at.has_value());
        EXPECT_GT(step.seconds, 0);
      }
    }
  }
}

StepTimes step_of(double seconds, double waited) { return {.seconds = seconds, .waits_at = 0, .waited = waited}; }

TEST(RankTimes, AreThoseOfTheSlowestRankAndTheSharesOfEach) {
  run_ranks(2, [](Communicator& ranks) {
    const bool first = ranks.leads();
    const RankTimes times = of_all_ranks(
        ranks, first ? std::vector{step_of(1, 0.5), step_of(4, 0.5)} : std::vector{step_of(2, 1), step_of(3, 1.5)});
    EXPECT_THAT(times.seconds, ElementsAre(2, 4));
    EXPECT_THAT(times.waiting_shares, ElementsAre(0.2, 0.5));
    const RankTimes unseen =
        of_all_ranks(ranks, {first ? step_of(1, 0.5) : StepTimes{.seconds = 1}});  // as of a replayed graph
    EXPECT_THAT(unseen.waiting_shares, IsEmpty());
  });
}

TEST(RankTimes, OfOneProcessNeedNoCall) {
  SlowRanks alone(1);
  const RankTimes times = of_all_ranks(alone, {step_of(3, 0), step_of(1, 0)});
  EXPECT_THAT(times.seconds, ElementsAre(3, 1));
  EXPECT_THAT(times.waiting_shares, IsEmpty());
}

TEST(RankTimes, SumTimesAreMediansOverTheSteps) {
  std::vector<StepTimes> steps;
  for (const double start : {0.3, 0.1, 0.2}) {
    steps.push_back({.seconds = 1, .sums = {{.bytes = 64, .start = start}}, .waits_at = 2 * start});
  }
  const nlohmann::json times = bench::sum_times(steps);
  EXPECT_EQ(times["sums"].size(), 1);
  EXPECT_EQ(times["sums"][0]["bytes"], 64);
  EXPECT_DOUBLE_EQ(times["sums"][0]["start_ms"].get<double>(), 200);
  EXPECT_DOUBLE_EQ(times["waits_at_ms"].get<double>(), 400);
}

}  // namespace
}  // namespace residua::test
