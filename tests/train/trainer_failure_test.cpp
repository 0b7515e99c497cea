// Runs that go wrong: numbers that are not finite, and images that cannot be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Makes some of the run's reads from now on fail; those that its statistics take are over.
std::shared_ptr<const ImageSource> failing(std::shared_ptr<const ImageSource> source, std::function<bool(int64_t read)> fails) {
  return std::make_shared<WatchedSource>(std::move(source), [fails = std::move(fails)](int64_t read, int64_t) {
    if (fails(read)) {
      fail("read {} went wrong", read);
    }
  });
}

TEST(Trainer, ANanLossEndsTheRunWithAdvice) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("lr", {"1e9"}).set("weight-decay", {"1e9"});
  EXPECT_TRUE(fails_with([&] { run.train(); }, {"not finite", "lower the learning rate", "no state has been saved yet"}));
  EXPECT_EQ(newest_checkpoint(folder.path()), "");
  EXPECT_FALSE(fs::exists(folder / kLastFile));
}

TEST(Trainer, WhatIsNotFiniteReplacesNoGoodState) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"3"}).train(), 0);
  const std::string good = read_bytes(newest_checkpoint(folder.path()));
  const std::string last = read_bytes(folder / kLastFile);
  const std::string best = read_bytes(folder / kBestFile);
  // The last step's own loss is still finite: what it does to the weights shows in the validation.
  SmallRun run(folder.path());
  run.set("iterations", {"4"}).set("lr", {"1e9"}).set("weight-decay", {"1e9"}).resume(newest_checkpoint(folder.path()));
  EXPECT_TRUE(fails_with([&] { run.train(); }, {"not finite at iteration 4", "the last good state is in", folder.path()}));
  EXPECT_TRUE(read_bytes(newest_checkpoint(folder.path())) == good);
  EXPECT_TRUE(read_bytes(folder / kLastFile) == last);
  EXPECT_TRUE(read_bytes(folder / kBestFile) == best);
}

TEST(Trainer, ALoaderThatFailsCostsNoStep) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("max-bad-images", {"2"}).set("evaluate-every", {"100"});
  run.network();
  run.training = failing(run.training, [](int64_t read) { return read >= 2 * 16; });
  EXPECT_TRUE(fails_with([&] { run.train(); }, {"3 of 64 images cannot be read", "went wrong"}));
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 2);
}

TEST(Trainer, ARunAfterALoaderFailedGoesOn) {
  const TemporaryFolder whole;
  const TemporaryFolder parts;
  ASSERT_EQ(SmallRun(whole.path()).train(), 0);
  {
    SmallRun run(parts.path());
    run.set("max-bad-images", {"0"});
    run.network();
    run.training = failing(run.training, [](int64_t read) { return read >= 5 * 16; });
    EXPECT_THROW(run.train(), Error);
  }
  ASSERT_EQ(SmallRun(parts.path()).resume(newest_checkpoint(parts.path())).train(), 0);
  EXPECT_TRUE(read_bytes(newest_checkpoint(parts.path())) == read_bytes(newest_checkpoint(whole.path())));
}

TEST(Trainer, AValidationOfNoImagesIsNoResult) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("max-bad-images", {"1000"});
  run.validation = failing(run.validation, [](int64_t) { return true; });
  EXPECT_TRUE(fails_with([&] { run.train(); }, {"33 of 64 images cannot be read", "went wrong"}));
  EXPECT_FALSE(fs::exists(folder / kBestFile));
  EXPECT_TRUE(fs::exists(newest_checkpoint(folder.path())));
}

TEST(Trainer, BadImagesAreInTheLogWithTheirIteration) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("max-bad-images", {"1000"}).set("evaluate-every", {"100"});
  run.network();
  // In the third batch, and at the end of validation.
  run.training = failing(run.training, [](int64_t read) { return read == 2 * 16 + 3; });
  run.validation = failing(run.validation, [&](int64_t read) { return read == 63; });
  ASSERT_EQ(run.train(), 0);
  const std::vector<nlohmann::json> skipped = log_of(folder.path(), "skipped_image");
  ASSERT_EQ(skipped.size(), 2U);
  EXPECT_EQ(skipped[0].at("iteration"), 4);
  EXPECT_THAT(skipped[0].at("message").get<std::string>(), HasSubstr("read 35 went wrong"));
  EXPECT_EQ(skipped[1].at("iteration"), 6);
  EXPECT_THAT(skipped[1].at("message").get<std::string>(), HasSubstr("read 63 went wrong"));
  EXPECT_THAT(run.observer.notes, testing::Contains(HasSubstr("1 training images could not be read and were replaced")));
}

TEST(Trainer, StepsThatAllOverflowHaveNoLoss) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("precision", {"fp16"}).set("iterations", {"1"});
  run.validates = false;
  ParameterStore& store = run.trainer().store();
  // Weights so large that fp16 overflows.
  const Tensor& classifier = store.parameter("fc.weight").master;
  classifier.copy_from(full(classifier.shape(), 6e4f, DType::f32));
  store.masters_changed();
  const std::vector<float> before = store.matrices().master.to_vector();
  ASSERT_EQ(run.train(), 0);
  EXPECT_EQ(log_of(folder.path(), "train").at(0).at("loss"), "NaN");
  EXPECT_THAT(run.observer.notes, testing::Contains(HasSubstr("the loss scale is now 32768")));
  EXPECT_EQ(store.matrices().master.to_vector(), before);
}

}  // namespace
}  // namespace residua::test
