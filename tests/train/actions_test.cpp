#include "core/train/actions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/data/data_errors.h"
#include "core/data/subset.h"
#include "core/data/worker_count.h"
#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using testing::HasSubstr;

TEST(Actions, OneBatchIsLearnedByHeartInEveryPrecision) {
  for (const DType precision : {DType::f32, DType::bf16, DType::f16}) {
    SmallRun run("no folder");
    run.set("precision", {precision == DType::f32 ? "fp32" : precision == DType::bf16 ? "bf16" : "fp16"});
    const double loss = overfit_batch(run.network(), run.training, run.config, Device{}, precision, 40, run.observer);
    EXPECT_FALSE(std::isnan(loss)) << name(precision);
    EXPECT_LT(loss, 0.3) << name(precision);
    EXPECT_THAT(run.observer.notes.back(), HasSubstr(fmt::format("iteration 40: loss {:.5f}", loss)));
  }
}

TEST(Actions, ABatchThatDivergesIsToldOf) {
  SmallRun run("no folder");
  run.set("lr", {"1e9"}).set("weight-decay", {"1e9"});
  EXPECT_TRUE(fails_with([&] { overfit_batch(run.network(), run.training, run.config, Device{}, DType::f32, 9, run.observer); },
                         {"not finite", "lower the learning rate"}));
}

TEST(Actions, WeightsAreEvaluatedAsEachImageAlone) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.train(), 0);
  const Measured wanted = measured_one_by_one(folder / kBestFile, *run.validation);
  const Safetensors file = read_weights(folder / kBestFile);
  Network network = network_from_weights(file, {}, DType::f32);
  const Metrics got = evaluate_weights(file, network, run.validation, run.config, Device{}, DType::f32, run.observer);
  EXPECT_EQ(got.images, 64);
  EXPECT_NEAR(got.loss, wanted.loss, 1e-4 * wanted.loss);
  EXPECT_NEAR(got.top1_error, wanted.top1_error, 1e-9);
}

/// Three of 64 images cannot be read.
std::shared_ptr<const ImageSource> without_some(std::shared_ptr<const ImageSource> source) {
  return std::make_shared<WatchedSource>(std::move(source), [](int64_t, int64_t image) {
    if (image % 25 == 7) {
      fail("image {} is missing", image);
    }
  });
}

// They are 4.7 %.
TEST(Actions, AnEvaluationHoldsTheLimitsOfBadImages) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.set("iterations", {"1"}).train(), 0);
  const auto validation = without_some(run.validation);
  const auto evaluate = [&](const std::string& images, const std::string& share) {
    run.set("max-bad-images", {images}).set("max-bad-share", {share});
    const Safetensors file = read_weights(folder / kLastFile);
    Network network = network_from_weights(file, {}, DType::f32);
    return evaluate_weights(file, network, validation, run.config, Device{}, DType::f32, run.observer).images;
  };
  EXPECT_EQ(evaluate("3", "0.05"), 61);
  EXPECT_THAT(run.observer.notes.back(), HasSubstr("3 of the 64 images could not be read and were ignored"));
  EXPECT_TRUE(fails_with([&] { evaluate("2", "0.05"); }, {"3 of 64 images cannot be read; wanted at most 2"}));
  EXPECT_TRUE(fails_with([&] { evaluate("3", "0.04"); }, {"3 of 64 images cannot be read; wanted at most 2"}));
}

// Each rank is within the limits of its own images, or has none.
TEST(Actions, AnEvaluationOfRanksHoldsTheLimitsOfBadImagesTogether) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.set("iterations", {"1"}).train(), 0);
  const Safetensors file = read_weights(folder / kLastFile);
  const auto validation = without_some(run.validation);
  const auto three = std::make_shared<Subset>(validation, std::vector<int64_t>{7, 32, 0});
  struct Case {
    std::shared_ptr<const ImageSource> images;
    int64_t world, bad;
    const char* share;  // that allows as many
  };
  for (const auto& [images, world, bad, share] : {Case{validation, 2, 3, "0.05"}, Case{three, 4, 2, "0.7"}}) {
    const auto evaluate = [&](Communicator& ranks) {
      Network network = network_from_weights(file, {}, DType::f32);
      return evaluate_weights(file, network, images, run.config, Device{}, DType::f32, run.observer, {}, &ranks).images;
    };
    run.set("max-bad-images", {std::to_string(bad)}).set("max-bad-share", {share});
    run_ranks(world, [&](Communicator& ranks) { EXPECT_EQ(evaluate(ranks), images->size() - bad) << ranks.rank(); });
    EXPECT_THAT(run.observer.notes.back(),
                HasSubstr(fmt::format("{} of the {} images could not be read and were ignored", bad, images->size())));
    run.set("max-bad-images", {std::to_string(bad - 1)});
    std::vector<std::string> told;
    run_ranks(world, [&](Communicator& ranks) {
      try {
        evaluate(ranks);
      } catch (const TooManyBadImages& error) {
        told.emplace_back(error.what());
      }
    });
    ASSERT_EQ(std::ssize(told), world) << "all end together";
    EXPECT_THAT(told[0],
                HasSubstr(fmt::format("{} of {} images cannot be read; wanted at most {}", bad, images->size(), bad - 1)));
    EXPECT_THAT(told, testing::Each(told[0]));
  }
}

TEST(Actions, TheLoaderAloneIsTimedWithTheThreadsThatItFinds) {
  SmallRun run("no folder");
  run.set("workers", {"auto"});
  EXPECT_GT(loader_speed(run.training, run.config, run.network().input, Device{}, run.observer), 0);
  EXPECT_EQ(run.observer.notes.back(), fmt::format("loader threads: {}", one_worker_a_core()));
}

TEST(Actions, TheLoaderAloneReadsAnEpoch) {
  SmallRun run("no folder");
  run.network();
  int64_t read = 0;
  run.training = std::make_shared<WatchedSource>(run.training, [&](int64_t, int64_t) { ++read; });
  const double speed = loader_speed(run.training, run.config, run.network().input, Device{}, run.observer);
  EXPECT_GT(speed, 0);
  EXPECT_EQ(read, 64);
}

}  // namespace
}  // namespace residua::test
