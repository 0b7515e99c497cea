// A step over ranks, each with its part of the batch, is the step of one process.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/device/timeline.h"
#include "core/evaluate/all_ranks.h"
#include "tests/support/compare.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_step.h"

namespace residua::test {
namespace {

/// A training whose step is one of several ranks.
struct RankTraining : SmallTraining {
  explicit RankTraining(Communicator& ranks, int64_t most_images = 0)
      : SmallTraining({}, DType::f32, Capture::off),
        of_rank(
            model, store, scaler, sgd,
            {.input = input, .label_smoothing = 0.1f, .most_images = most_images, .capture = Capture::off, .ranks = &ranks}) {
    scaler.set_learning_rate(0.02f);
  }
  TrainStep of_rank;
};

struct Case {
  const char* name;
  std::vector<int64_t> shares;  // images of each rank
  int64_t most_images;          // that a rank passes through the network at once; 0: all
  int64_t group;                // of one process, with the same images in each
};

/// ||a - b|| / ||b||.
double distance(const Tensor& a, const Tensor& b) {
  const std::vector<float> got = a.to_vector();
  const std::vector<float> want = b.to_vector();
  double difference = 0, all = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);  // NaN stays
    all += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(difference / all);
}

Batch labeled_batch(uint64_t seed, int64_t size) {
  Batch batch = random_batch(seed, size);
  batch.labels.span<int32_t>()[1] = 2;
  batch.whole = size;
  return batch;
}

/// Two steps: the second finds what the first has left.
void expect_the_step_of_one_process(const Case& c, Timing timing) {
  constexpr uint64_t kSteps = 2;
  const int64_t images = std::accumulate(c.shares.begin(), c.shares.end(), int64_t{0});
  SmallTraining one({}, DType::f32, Capture::off);
  one.store.set_group_images(c.group);
  one.scaler.set_learning_rate(0.02f);
  for (uint64_t step = 0; step < kSteps; ++step) {
    one.step.train(labeled_batch(step, images));
  }
  const MetricsTotals of_one = one.step.metrics().totals();
  EXPECT_EQ(of_one.images, static_cast<int64_t>(kSteps) * images);

  const auto train_rank = [&](Communicator& ranks) {
    SCOPED_TRACE(fmt::format("{}, {}, rank {}", c.name, timing == Timing::early ? "early" : "late", ranks.rank()));
    const int64_t first = std::accumulate(c.shares.begin(), c.shares.begin() + ranks.rank(), int64_t{0});
    RankTraining t(ranks, c.most_images);
    for (uint64_t step = 0; step < kSteps; ++step) {
      t.of_rank.train(rows_of(labeled_batch(step, images), first, c.shares[static_cast<size_t>(ranks.rank())]));
    }
    EXPECT_EQ(t.of_rank.state().accepted_steps, static_cast<int64_t>(kSteps));
    constexpr double kRounding = 1e-2;  // it may turn the sign of a ReLU's input, which changes a gradient by a thousandth
    EXPECT_LT(distance(t.store.matrices().gradient, one.store.matrices().gradient), kRounding);
    EXPECT_LT(distance(t.store.vectors().gradient, one.store.vectors().gradient), kRounding);
    for (const Tensor StatisticsArena::*member : {&StatisticsArena::running_mean, &StatisticsArena::running_variance}) {
      EXPECT_LT(distance(t.store.statistics_arena().*member, one.store.statistics_arena().*member), kRounding);
    }
    const MetricsTotals all = totals_of_all(ranks, t.of_rank.metrics().totals());
    EXPECT_EQ(all.images, of_one.images);
    EXPECT_EQ(all.top1_errors, of_one.top1_errors);
    EXPECT_EQ(all.top5_errors, of_one.top5_errors);
    EXPECT_NEAR(all.loss, of_one.loss, kRounding * of_one.loss);
  };
  run_ranks(std::ssize(c.shares), train_rank, timing);
}

TEST(TrainStepOfRanks, IsTheStepOfOneProcess) {
  for (const Case& c : {Case{.name = "two ranks", .shares = {3, 3}, .most_images = 0, .group = 3},
                        Case{.name = "parts of different size", .shares = {3, 3, 2}, .most_images = 0, .group = 3},
                        Case{.name = "two passes each", .shares = {4, 4}, .most_images = 2, .group = 2},
                        Case{.name = "passes of different size", .shares = {4, 3}, .most_images = 2, .group = 2}}) {
    expect_the_step_of_one_process(c, Timing::early);
    expect_the_step_of_one_process(c, Timing::late);
  }
}

bool all_finite(const Tensor& x) {
  return std::ranges::all_of(x.to_vector(), [](float value) { return std::isfinite(value); });
}

// The images of rank 0 are as the mean, so its layers give zeros, whatever their weights.
TEST(TrainStepOfRanks, AVarianceThatOverflowsOnOneRankSpoilsTheStepOfAll) {
  run_ranks(2, [](Communicator& ranks) {
    SCOPED_TRACE(ranks.rank());
    RankTraining t(ranks);
    const Tensor& weight = t.store.parameter("layer1.0.conv1.weight").master;
    std::vector<float> values = weight.to_vector();
    std::ranges::transform(values, values.begin(), [](float value) { return 1e22f * value; });
    weight.copy_from(values);
    t.store.masters_changed();
    Batch batch = labeled_batch(1, kBatch);
    batch.whole = 2 * kBatch;
    if (ranks.leads()) {
      batch.images = full(batch.images.shape(), 127.0f, DType::u8);
      for (SampleView& view : views_in(batch.views)) {
        std::ranges::fill(view.color_shift, 0.0f);
      }
    }
    const std::vector<float> weights = t.weights();
    const std::vector<float> statistics = t.statistics();
    t.of_rank.train(batch);
    EXPECT_EQ(all_finite(t.store.statistics_arena().batch_variance), ranks.leads());
    EXPECT_TRUE(all_finite(t.store.matrices().gradient) && all_finite(t.store.vectors().gradient));
    EXPECT_EQ(t.of_rank.state().skipped_steps, 1);
    EXPECT_EQ(t.weights(), weights);
    EXPECT_EQ(t.statistics(), statistics);
    EXPECT_EQ(t.of_rank.metrics().totals().images, 0);
  });
}

/// Rank 0 of two, whose sums take as long as a span of their own.
class Spanned final : public Communicator {
 public:
  Spanned() : Communicator(0, 2) {}
  std::vector<std::string> gather(const std::string& value) override { return {value, value}; }
  void sum(const Tensor&) override {}
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override { const profile::Span span("the sums end"); }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }
};

TEST(TrainStepOfRanks, TheTraceShowsHowLongItWaitsForTheSums) {
  Spanned ranks;
  RankTraining t(ranks);
  profile::Timeline timeline;
  timeline.start();
  t.of_rank.train(labeled_batch(0, kBatch));
  timeline.stop();
  const nlohmann::json events = timeline.events(0);
  const auto span = [&](const char* name) {  // its number: spans are noted at their ends
    std::vector<size_t> found;
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].at("name") == name) {
        found.push_back(i);
      }
    }
    EXPECT_EQ(found.size(), 1u) << name;
    return found.at(0);
  };
  const size_t waiting = span("waiting for the ranks");
  const size_t sums = span("the sums end");
  EXPECT_GT(waiting, sums);
  EXPECT_LE(events[waiting].at("ts").get<double>(), events[sums].at("ts").get<double>());
}

}  // namespace
}  // namespace residua::test
