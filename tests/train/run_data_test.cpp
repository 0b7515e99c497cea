// Which images a run trains on, validates on and tests on.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/data/digest.h"
#include "core/nn/state_dict.h"
#include "core/train/actions.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

std::set<std::string> names(const ImageSource& source) {
  std::set<std::string> all;
  for (int64_t i = 0; i < source.size(); ++i) {
    all.insert(source.name(i));
  }
  return all;
}

RunData data_of(const std::string& holdout, const std::string& seed = "0") {
  SmallRun run("no folder");
  run.set("holdout", {holdout}).set("seed", {seed});
  return open_data(run.config);
}

TEST(RunData, HoldsOutTrainingImagesForValidation) {
  const RunData all = data_of("0");
  ASSERT_EQ(all.test, nullptr);
  const RunData data = data_of("20");
  EXPECT_EQ(data.train->size(), 44);
  EXPECT_EQ(data.validation->size(), 20);
  EXPECT_EQ(names(*data.test), names(*all.validation));
  std::set<std::string> both = names(*data.train);
  both.merge(names(*data.validation));
  EXPECT_EQ(both, names(*all.train));
  EXPECT_EQ(both.size(), 64U) << "none is in both";
  // Not the first ones, which are of one class in many sets, and not every third.
  std::set<int64_t> steps;
  int64_t before = -1;
  for (int64_t i = 0; i < 64; ++i) {
    if (names(*data.validation).contains(all.train->name(i))) {
      steps.insert(i - before);
      before = i;
    }
  }
  EXPECT_GT(steps.size(), 3U);
}

TEST(RunData, TheHoldoutIsTheSameInEveryRun) {
  EXPECT_EQ(names(*data_of("20").validation), names(*data_of("20", "7").validation));
  EXPECT_NE(set_digest(*data_of("20").train), set_digest(*data_of("21").train));
  EXPECT_TRUE(fails_with([] { data_of("64"); }, {"holdout", "64", "fewer than the 64 training images"}));
}

TEST(RunData, CleanImagesAreSpreadOverTheSet) {
  const RunData data = data_of("0");
  const auto clean = clean_images(data.train, 16);
  ASSERT_EQ(clean->size(), 16);
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(clean->name(i), data.train->name(4 * i));
  }
  EXPECT_EQ(clean_images(data.train, 0), nullptr);
  EXPECT_EQ(clean_images(data.train, 1000)->size(), 64);
}

TEST(RunData, TheTestSetIsEvaluatedOnceAtTheEnd) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.training = nullptr;
  ASSERT_EQ(run.set("holdout", {"20"}).train(), 0);
  EXPECT_EQ(run.observer.validations.size(), 3U);
  for (const EvaluationRecord& record : run.observer.validations) {
    EXPECT_EQ(record.images, 20);
  }
  ASSERT_EQ(run.observer.evaluations.size(), 1U);
  const EvaluationRecord& test = run.observer.evaluations.front();
  EXPECT_EQ(test.type, "test");
  EXPECT_EQ(test.iteration, 6);
  const Measured wanted = measured_one_by_one(folder / kLastFile, *run.test);
  EXPECT_EQ(test.images, run.test->size());
  EXPECT_NEAR(test.loss, wanted.loss, 1e-4 * wanted.loss);
  EXPECT_NEAR(test.top1_error, wanted.top1_error, 1e-9);
}

TEST(RunData, ARunThatHasEndedIsNotTestedAgain) {
  const TemporaryFolder folder;
  for (const bool resumed : {false, true}) {
    SmallRun run(folder.path());
    run.training = nullptr;
    run.set("holdout", {"20"});
    if (resumed) {
      run.resume(newest_checkpoint(folder.path()));
    }
    ASSERT_EQ(run.train(), 0);
  }
  EXPECT_EQ(logged(folder.path(), "test", "iteration"), std::vector<double>{6});
}

TEST(RunData, TheCleanErrorIsThatOfTheImagesAlone) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.set("clean-train", {"16"}).set("augment", {"pad-crop"}).set("label-smoothing", {"0.3"}).train(), 0);
  ASSERT_EQ(run.observer.evaluations.size(), 2U);
  const EvaluationRecord& clean = run.observer.evaluations.back();
  EXPECT_EQ(clean.type, "clean_train");
  EXPECT_EQ(clean.iteration, 6);
  const Measured wanted = measured_one_by_one(folder / kLastFile, *clean_images(run.training, 16));
  EXPECT_EQ(clean.images, 16);
  EXPECT_NEAR(clean.loss, wanted.loss, 1e-4 * wanted.loss);
  EXPECT_NEAR(clean.top1_error, wanted.top1_error, 1e-9);
  EXPECT_EQ(logged(folder.path(), "clean_train", "iteration"), logged(folder.path(), "validation", "iteration"));
}

}  // namespace
}  // namespace residua::test
