// What a run measures on its validation images, and what it keeps as the best.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "core/data/subset.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

/// A run whose validation errors fall and rise again.
void set_restless(SmallRun& run, int seed, const std::string& iterations) {
  run.set("seed", {std::to_string(seed)});
  run.set("iterations", {iterations}).set("evaluate-every", {"0.5"}).set("lr", {"0.1"}).set("augment", {"flip"});
}

/// Whether the first least error is neither the first, nor the last, nor followed by its like alone.
bool tells_the_best(const std::vector<double>& errors) {
  const auto least = std::ranges::min_element(errors);
  return least != errors.begin() && *least < *errors.begin() && least != errors.end() - 1 && errors.back() > *least;
}

TEST(TrainerValidation, BestHoldsTheWeightsOfTheFirstLeastError) {
  bool told = false;
  for (int seed = 0; seed < 10 && !told; ++seed) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    set_restless(run, seed, "16");
    ASSERT_EQ(run.train(), 0);
    const std::vector<double> errors = logged(folder.path(), "validation", "top1_error");
    ASSERT_EQ(errors.size(), 8U);
    const auto at = static_cast<size_t>(std::ranges::min_element(errors) - errors.begin());  // the first
    const std::string iteration = fmt::format("{}", 2 * (at + 1));
    EXPECT_EQ(load_safetensors(folder / kBestFile).metadata.at("iteration"), iteration) << testing::PrintToString(errors);
    EXPECT_NEAR(measured_one_by_one(folder / kBestFile, *run.validation).top1_error, errors[at], 1e-9);
    EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).best_error, errors[at]);
    EXPECT_EQ(load_safetensors(folder / kLastFile).metadata.at("iteration"), "16");
    told = tells_the_best(errors);
    if (told) {  // then the best weights are those of a run that ends there
      const TemporaryFolder until_best;
      SmallRun shorter(until_best.path());
      set_restless(shorter, seed, iteration);
      ASSERT_EQ(shorter.train(), 0);
      EXPECT_TRUE(read_bytes(folder / kBestFile) == read_bytes(until_best / kLastFile));
    }
  }
  EXPECT_TRUE(told) << "no run whose error falls and rises";
}

// An error as low as the least so far is not better.
TEST(TrainerValidation, OfEqualErrorsTheFirstIsTheBest) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("lr", {"1e-30"}).set("weight-decay", {"0"}).set("evaluate-every", {"0.25"}).set("iterations", {"3"});
  std::vector<int64_t> only = {0};
  run.validation = std::make_shared<Subset>(run.validation, only);
  ASSERT_EQ(run.train(), 0);
  const std::vector<double> errors = logged(folder.path(), "validation", "top1_error");
  ASSERT_THAT(errors, testing::SizeIs(3));
  const auto least = std::ranges::min_element(errors) - errors.begin();
  EXPECT_EQ(load_safetensors(folder / kBestFile).metadata.at("iteration"), fmt::format("{}", least + 1));
}

// 64 images in batches of 16 have in a batch, and from it, what each has alone.
TEST(TrainerValidation, IsWhatEachImageAloneGives) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("label-smoothing", {"0.3"}).set("augment", {"pad-crop"}).set("batch-size", {"24"});
  ASSERT_EQ(run.train(), 0);
  const Measured wanted = measured_one_by_one(folder / kLastFile, *run.validation);
  EXPECT_NEAR(logged(folder.path(), "validation", "loss").back(), wanted.loss, 1e-4 * wanted.loss);
  EXPECT_NEAR(logged(folder.path(), "validation", "top1_error").back(), wanted.top1_error, 1e-9);
}

// Neither augmentation nor label smoothing nor shuffling is of validation.
TEST(TrainerValidation, IsTheSameWhateverTheTraining) {
  const TemporaryFolder cut;
  std::string checkpoint;
  {
    volatile std::sig_atomic_t stop = 0;
    SmallRun run(cut.path());
    run.set("log-every", {"1"});
    run.observer.on_trained = [&](const TrainRecord& record) { stop = record.iteration == 3 ? SIGTERM : 0; };
    ASSERT_EQ(run.train(stop), SIGTERM);
    checkpoint = newest_checkpoint(cut.path());
    ASSERT_EQ(run_state(load_checkpoint(checkpoint)).validated, 0) << "a validation of these weights is due";
  }
  const Measured wanted = measured_one_by_one(cut / kLastFile, *SmallRun(cut.path()).validation);
  std::vector<EvaluationRecord> all;
  const auto validate = [&](const std::string& name, const std::string& word) {
    const TemporaryFolder folder;
    volatile std::sig_atomic_t stop = 0;
    SmallRun run(folder.path());
    run.set(name, {word}).resume(checkpoint);
    run.observer.on_evaluated = [&](const EvaluationRecord& record) {
      all.push_back(record);
      stop = SIGTERM;
    };
    ASSERT_EQ(run.train(stop), SIGTERM);
    EXPECT_EQ(all.back().iteration, 3) << name << " " << word;
    EXPECT_NEAR(all.back().loss, wanted.loss, 1e-4 * wanted.loss) << name << " " << word;
    EXPECT_NEAR(all.back().top1_error, wanted.top1_error, 1e-9) << name << " " << word;
    EXPECT_EQ(all.back().loss, all.front().loss) << name << " " << word;
  };
  for (const std::string& view : Registry<ViewKind>::names()) {
    validate("augment", view);
  }
  validate("label-smoothing", "0.3");
  validate("no-shuffle", "true");
  validate("weight-decay", "0.1");
  EXPECT_EQ(all.size(), Registry<ViewKind>::names().size() + 3);
}

// The statistics of training are no part of an evaluation's, nor the other way round.
TEST(TrainerValidation, LeavesTheTrainingAsItIs) {
  const TemporaryFolder often;
  const TemporaryFolder once;
  ASSERT_EQ(SmallRun(often.path()).set("evaluate-every", {"0.25"}).train(), 0);
  ASSERT_EQ(SmallRun(once.path()).set("evaluate-every", {"100"}).train(), 0);
  EXPECT_TRUE(read_bytes(often / kLastFile) == read_bytes(once / kLastFile));
}

}  // namespace
}  // namespace residua::test
