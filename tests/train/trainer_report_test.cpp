// What a run reports, against training by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "core/autograd/tape.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

/// A run's steps from the network's forward and backward, with the formulas of SGD and of running statistics in plain loops.
class TrainingByHand {
 public:
  explicit TrainingByHand(SmallRun& run)
      : run_(run), network_(run.network()), store_(*network_.module), format_(input_format(network_, DType::f32, Device{})) {
    initialize(store_, static_cast<uint64_t>(run.config.training.seed));
    for (const Parameter* p : store_.parameters()) {
      const std::vector<float> logical = to_logical(*p, p->master);
      first_[p->name] = {logical.begin(), logical.end()};
    }
  }

  struct Result {
    double loss = 0;
    double top1_error = 0;
  };

  Result step(const std::vector<int64_t>& images, double rate) {
    const Batch batch = batch_of(*run_.training, images);
    format_.height = batch.height;
    format_.width = batch.width;
    const double smoothing = run_.config.training.label_smoothing;
    const Tensor logits = network_.module->forward(prepare_input(batch.images, batch.views, format_), Mode::train);
    Result result;
    const auto classes = static_cast<size_t>(network_.classes());
    for (size_t i = 0; i < images.size(); ++i) {
      const std::span<const float> row = logits.span<float>().subspan(i * classes, classes);
      const int32_t label = batch.labels.span<int32_t>()[i];
      const auto share = 1.0 / static_cast<double>(images.size());
      result.loss += share * cross_entropy(row, label, smoothing);
      result.top1_error += share * (*std::ranges::max_element(row) > row[static_cast<size_t>(label)] ? 100 : 0);
    }
    backward(softmax_cross_entropy(logits, batch.labels, static_cast<float>(smoothing)).loss);
    for (Parameter* p : store_.parameters()) {
      update(*p, rate);
    }
    store_.masters_changed();
    store_.zero_grad();
    for (const RunningStatistics* s : store_.statistics()) {
      commit(*s);
    }
    return result;
  }

  /// Whether a file of weights holds what this training has come to. A sum that is rounded in another order can flip a ReLU,
  /// which moves single numbers far: a tensor as a whole is to be within 5 % of the way that it went.
  void expect_in(const std::string& path) {
    const Safetensors file = load_safetensors(path);
    const auto expect = [&](const std::string& name, std::span<const double> wanted) {
      ASSERT_NE(file.find(name), nullptr) << name;
      const std::vector<float> got = file.find(name)->to_floats();
      const std::vector<double>& first = first_.at(name);
      ASSERT_EQ(got.size(), wanted.size()) << name;
      double error = 0, way = 0;
      for (size_t i = 0; i < wanted.size(); ++i) {
        error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
        way += (wanted[i] - first[i]) * (wanted[i] - first[i]);
      }
      EXPECT_GT(way, 0) << name;
      EXPECT_LE(std::sqrt(error), 0.05 * std::sqrt(way)) << name;
    };
    for (const Parameter* p : store_.parameters()) {
      const std::vector<float> logical = to_logical(*p, p->master);
      expect(p->name, std::vector<double>(logical.begin(), logical.end()));
    }
    for (const auto& [name, numbers] : running_) {
      expect(name, numbers);
    }
  }

 private:
  void update(const Parameter& p, double rate) {
    const std::vector<float> gradient = p.value.grad().to_vector();
    const std::span<float> weight = p.master.span<float>();
    std::vector<double>& velocity = velocities_[p.name];
    velocity.resize(weight.size(), 0.0);
    const SgdOptions& sgd = run_.config.sgd;
    for (size_t i = 0; i < weight.size(); ++i) {
      velocity[i] = static_cast<double>(sgd.momentum) * velocity[i] + static_cast<double>(gradient[i]) +
                    static_cast<double>(sgd.weight_decay) * static_cast<double>(weight[i]);
      weight[i] = static_cast<float>(static_cast<double>(weight[i]) - rate * velocity[i]);
    }
  }
  /// A tenth of the batch, nine tenths of what was.
  void commit(const RunningStatistics& s) {
    const std::vector<float> mean = s.batch_mean.to_vector();
    const std::vector<float> variance = s.batch_variance.to_vector();
    const std::vector<float> bessel = s.bessel_correction.to_vector();
    std::vector<double>& running_mean = running_[s.name + ".running_mean"];
    std::vector<double>& running_variance = running_[s.name + ".running_var"];
    running_mean.resize(mean.size(), 0.0);
    running_variance.resize(mean.size(), 1.0);
    first_[s.name + ".running_mean"].resize(mean.size(), 0.0);
    first_[s.name + ".running_var"].resize(mean.size(), 1.0);
    for (size_t c = 0; c < mean.size(); ++c) {
      running_mean[c] = 0.9 * running_mean[c] + 0.1 * static_cast<double>(mean[c]);
      running_variance[c] =
          0.9 * running_variance[c] + 0.1 * static_cast<double>(variance[c]) * static_cast<double>(bessel[c % bessel.size()]);
    }
  }

  SmallRun& run_;
  Network& network_;
  ParameterStore store_;
  InputFormat format_;
  std::map<std::string, std::vector<double>> velocities_;
  std::map<std::string, std::vector<double>> running_;
  std::map<std::string, std::vector<double>> first_;  // of all, before the first step
};

void set_by_hand(SmallRun& run, const std::string& log_every) {
  run.set("no-shuffle", {"true"}).set("augment", {"none"}).set("label-smoothing", {"0.2"});
  run.set("momentum", {"0.8"}).set("weight-decay", {"0.02"});
  run.set("lr-schedule", {"step"}).set("lr-steps", {"2"}).set("lr-factor", {"0.5"}).set("lr", {"0.02"});
  run.set("iterations", {"4"}).set("log-every", {log_every});
  run.validates = false;
}

TEST(TrainerSteps, AreWhatTheFormulasSay) {
  const TemporaryFolder one;
  const TemporaryFolder two;
  SmallRun each(one.path());
  SmallRun pairs(two.path());
  SmallRun reference("no folder");
  set_by_hand(each, "1");
  set_by_hand(pairs, "2");
  set_by_hand(reference, "1");
  ASSERT_EQ(each.train(), 0);
  ASSERT_EQ(pairs.train(), 0);

  TrainingByHand by_hand(reference);
  const std::vector<double> rates = {0.02, 0.02, 0.01, 0.01};
  std::vector<TrainingByHand::Result> wanted;
  for (size_t i = 0; i < rates.size(); ++i) {
    std::vector<int64_t> images(16);
    std::iota(images.begin(), images.end(), static_cast<int64_t>(16 * i));
    wanted.push_back(by_hand.step(images, rates[i]));
  }
  const auto expect_reports = [&](const std::string& folder, size_t steps) {
    const std::vector<double> losses = logged(folder, "train", "loss");
    const std::vector<double> errors = logged(folder, "train", "top1_error");
    ASSERT_EQ(losses.size(), wanted.size() / steps);
    for (size_t report = 0; report < losses.size(); ++report) {
      double loss = 0;
      double error = 0;
      for (size_t i = report * steps; i < (report + 1) * steps; ++i) {
        loss += wanted[i].loss / static_cast<double>(steps);
        error += wanted[i].top1_error / static_cast<double>(steps);
      }
      EXPECT_NEAR(losses[report], loss, 1e-4 * loss) << "report " << report << " over " << steps;
      EXPECT_NEAR(errors[report], error, 1e-9) << "report " << report << " over " << steps;
    }
  };
  expect_reports(one.path(), 1);
  expect_reports(two.path(), 2);
  by_hand.expect_in(one / kLastFile);
  by_hand.expect_in(two / kLastFile);
}

TEST(TrainerReports, TheObserverHearsWhatTheLogHolds) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.train(), 0);
  const std::vector<double> losses = logged(folder.path(), "train", "loss");
  ASSERT_EQ(run.observer.steps.size(), losses.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_EQ(run.observer.steps[i].loss, losses[i]);
    EXPECT_EQ(run.observer.totals[i], 6);
  }
  EXPECT_THAT(logged(folder.path(), "train", "epoch"), testing::ElementsAre(0.5, 0.75, 1.0, 1.5));
  EXPECT_THAT(logged(folder.path(), "validation", "iteration"), testing::ElementsAre(3, 6));
  EXPECT_EQ(run.observer.validations.size(), 2U);
}

// The reported parts are no longer than the whole, and the log has each part's time.
TEST(TrainerReports, TimesOfTheLogAreThoseOfTheClock) {
  using Clock = std::chrono::steady_clock;
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("clean-train", {"16"});
  run.trainer();
  const Clock::time_point start = Clock::now();
  ASSERT_EQ(run.train(), 0);
  const double whole = std::chrono::duration<double>(Clock::now() - start).count();
  double parts = 0;
  for (const char* type : {"train", "validation", "clean_train"}) {
    for (const double seconds : logged(folder.path(), type, "seconds")) {
      EXPECT_GT(seconds, 0) << type;
      parts += seconds;
    }
  }
  EXPECT_LE(parts, whole);
  const std::vector<double> seconds = logged(folder.path(), "train", "seconds");
  const std::vector<double> speeds = logged(folder.path(), "train", "images_per_second");
  EXPECT_NEAR(seconds.front() * speeds.front(), 32, 1e-9) << "two steps of 16 images";
}

// 64 images in batches of 24: two full ones and, in a fixed order, the 16 that are left.
TEST(TrainerReports, WithoutShufflingAnEpochTrainsEveryImage) {
  for (const bool no_shuffle : {false, true}) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("batch-size", {"24"}).set("no-shuffle", {no_shuffle ? "true" : "false"}).set("iterations", {"3"});
    run.network();
    std::vector<int64_t> read;
    run.training = std::make_shared<WatchedSource>(run.training, [&](int64_t, int64_t image) { read.push_back(image); });
    ASSERT_EQ(run.train(), 0);
    EXPECT_EQ(run.trainer().epoch_images(), no_shuffle ? 64 : 48);
    EXPECT_EQ(logged(folder.path(), "train", "epoch").back(), no_shuffle ? 1.0 : 1.5);
    std::vector<int64_t> in_order(64);
    std::iota(in_order.begin(), in_order.end(), 0);
    ASSERT_GE(read.size(), 64U);
    read.resize(64);
    EXPECT_EQ(read == in_order, no_shuffle);
  }
}

// The log's speed times the time between two reports, which is the test's own, is the number of images between them: 24, 24 and
// 16 in a set of 64. The time is a little longer than the log's, so the least of several epochs counts.
TEST(TrainerReports, TheSpeedCountsTheImagesOfAnIncompleteBatchAlone) {
  using Clock = std::chrono::steady_clock;
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("batch-size", {"24"}).set("no-shuffle", {"true"}).set("iterations", {"18"}).set("log-every", {"1"});
  run.validates = false;
  run.trainer();
  std::vector<double> least(3, std::numeric_limits<double>::infinity());
  Clock::time_point last = Clock::now();
  run.observer.on_trained = [&](const TrainRecord& record) {
    const std::chrono::duration<double> passed = Clock::now() - last;
    const double images = record.images_per_second * passed.count();
    least[static_cast<size_t>(record.iteration - 1) % 3] =
        std::min(least[static_cast<size_t>(record.iteration - 1) % 3], images);
    last = Clock::now();
  };
  ASSERT_EQ(run.train(), 0);
  for (size_t batch = 0; batch < 3; ++batch) {
    const double images = batch == 2 ? 16 : 24;
    EXPECT_GE(least[batch], images * (1 - 1e-9)) << batch;
    EXPECT_LT(least[batch], images * 1.25) << batch;
  }
}

TEST(TrainerReports, ABatchLargerThanTheDataSetIsOneEpoch) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("batch-size", {"1000"}).set("iterations", {"2"}).set("log-every", {"1"}).train(), 0);
  EXPECT_EQ(logged(folder.path(), "train", "epoch").back(), 2.0);
}

}  // namespace
}  // namespace residua::test
