// Runs that are stopped, and runs that go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "core/data/digest.h"
#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

TEST(Trainer, ARunMadeLongerEndsAsIfItHadBeenWhole) {
  const TemporaryFolder whole;
  const TemporaryFolder parts;
  ASSERT_EQ(SmallRun(whole.path()).train(), 0);
  ASSERT_EQ(SmallRun(parts.path()).set("iterations", {"3"}).train(), 0);
  ASSERT_EQ(SmallRun(parts.path()).resume(newest_checkpoint(parts.path())).train(), 0);
  for (const std::string& file : {checkpoint_name(6), std::string(kLastFile), std::string(kBestFile)}) {
    EXPECT_TRUE(read_bytes(parts / file) == read_bytes(whole / file)) << file;
  }
  EXPECT_EQ(timeless_log_of(parts.path(), "validation"), timeless_log_of(whole.path(), "validation"));
}

// A report is of all steps since the one before, whatever stopped the run in between.
TEST(Trainer, AReportHoldsTheStepsBeforeACutToo) {
  const TemporaryFolder folder;
  const auto set = [](SmallRun& run) -> SmallRun& {
    return run.set("log-every", {"3"}).set("evaluate-every", {"100"}).set("warmup", {"until-error"});
  };
  SmallRun whole(folder / "whole");
  ASSERT_EQ(set(whole).train(), 0);
  {
    SmallRun cut(folder / "parts");
    set(cut).network();  // whose mean image reads all
    volatile std::sig_atomic_t stop = 0;
    cut.training =
        std::make_shared<WatchedSource>(cut.training, [&](int64_t reads, int64_t) { stop = reads >= 4 * 16 ? SIGTERM : 0; });
    ASSERT_EQ(cut.train(stop), SIGTERM);
  }
  const RunState state = run_state(load_checkpoint(newest_checkpoint(folder / "parts")));
  ASSERT_EQ(state.iteration, 5);
  EXPECT_EQ(state.unreported.images, 2 * 16);
  EXPECT_EQ(state.schedule.numbers.at(2), 5 * 16) << "the schedule knows of every image";
  {
    SmallRun rest(folder / "parts");
    ASSERT_EQ(set(rest).resume(newest_checkpoint(folder / "parts")).train(), 0);
  }
  for (const char* key : {"iteration", "loss", "top1_error", "top5_error"}) {
    EXPECT_EQ(logged(folder / "parts", "train", key), logged(folder / "whole", "train", key)) << key;
  }
  const RunState end = run_state(load_checkpoint(newest_checkpoint(folder / "parts")));
  EXPECT_EQ(end.schedule.numbers.at(2), 6 * 16);
}

TEST(Trainer, ASignalSavesTheStateAndIsReturned) {
  const TemporaryFolder folder;
  const auto stopped_by_read = [&](int64_t read) {
    SmallRun run(folder / std::to_string(read));
    run.network();  // whose mean image reads all
    volatile std::sig_atomic_t stop = 0;
    run.training =
        std::make_shared<WatchedSource>(run.training, [&](int64_t reads, int64_t) { stop = reads >= read ? SIGTERM : 0; });
    const int signal = run.train(stop);
    const std::string saved = newest_checkpoint(run.config.output.folder);
    return std::pair(signal, fs::exists(saved) ? run_state(load_checkpoint(saved)).iteration : 0);
  };
  // In time for the first step, which is done all the same.
  EXPECT_EQ(stopped_by_read(0), std::pair(SIGTERM, int64_t{1}));
  EXPECT_EQ(stopped_by_read(2 * 16 + 5), std::pair(SIGTERM, int64_t{3}));
  // Before the first step there is nothing to save.
  SmallRun run(folder / "never begun");
  const std::sig_atomic_t stop = SIGTERM;
  EXPECT_EQ(run.train(stop), SIGTERM);
  EXPECT_EQ(newest_checkpoint(folder / "never begun"), "");
}

// It does not wait for the images that are left. The run makes the validation when it goes on.
TEST(Trainer, ASignalEndsAValidation) {
  const TemporaryFolder folder;
  volatile std::sig_atomic_t stop = 0;
  int64_t read = 0;
  {
    SmallRun run(folder.path());
    run.network();
    run.validation = std::make_shared<WatchedSource>(run.validation, [&](int64_t reads, int64_t) {
      read = reads + 1;
      stop = SIGTERM;
    });
    ASSERT_EQ(run.train(stop), SIGTERM);
    EXPECT_LT(read, run.validation->size());
    EXPECT_TRUE(run.observer.validations.empty());
  }
  const RunState state = run_state(load_checkpoint(newest_checkpoint(folder.path())));
  EXPECT_EQ(state.iteration, 3);
  EXPECT_EQ(state.validated, 0);
}

TEST(Trainer, ResumeRefusesAnotherModelSeedOrBatchSize) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"1"}).train(), 0);
  const auto resume = [&](const std::string& name, const std::string& word) {
    SmallRun run(folder.path());
    run.set("iterations", {"1"}).set(name, {word}).resume(newest_checkpoint(folder.path())).trainer();
  };
  EXPECT_TRUE(
      fails_with([&] { resume("model", "resnet32"); }, {"is a checkpoint of the model resnet20", "this run trains resnet32"}));
  EXPECT_TRUE(fails_with([&] { resume("seed", "5"); }, {"with seed 0", "this run has seed 5"}));
  EXPECT_TRUE(fails_with([&] { resume("batch-size", "8"); }, {"batch size 16", "batch size 8"}));
  EXPECT_TRUE(fails_with([&] { SmallRun(folder.path()).resume(folder / kLastFile).trainer(); }, {"last.safetensors"}));
  EXPECT_NO_THROW(resume("lr", "0.1"));
}

TEST(Trainer, ResumeRefusesOtherImages) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"1"}).train(), 0);
  const auto resume = [&](auto change) {
    SmallRun run(folder.path());
    change(run);
    run.resume(newest_checkpoint(folder.path())).trainer();
  };
  // As many, with other names.
  EXPECT_TRUE(fails_with([&] { resume([](SmallRun& run) { run.training = run.validation; }); }, {"other training images"}));
  EXPECT_TRUE(fails_with([&] { resume([](SmallRun& run) { run.validation = run.training; }); }, {"other validation images"}));
}

TEST(Trainer, ResumeAndWeightsRefuseOtherClassNames) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"1"}).train(), 0);
  std::vector<std::string> names = SmallRun(folder.path()).training->class_names();
  ASSERT_EQ(names.size(), 4U);
  const auto begin = [&](const std::string& checkpoint, const std::string& weights) {
    const TemporaryFolder other;
    SmallRun run(checkpoint.empty() ? other.path() : folder.path());
    run.set("weights", {weights}).resume(checkpoint);
    run.training = std::make_shared<RenamedSource>(run.training, names);
    run.trainer();
  };
  const std::string before = names[2];
  const std::string differ = fmt::format("class 2 was {:?} and is \"renamed\"", before);
  names[2] = "renamed";
  EXPECT_TRUE(fails_with([&] { begin(newest_checkpoint(folder.path()), ""); }, {"checkpoint-1.safetensors", differ}));
  EXPECT_TRUE(fails_with([&] { begin("", folder / kLastFile); }, {"last.safetensors", differ}));
  names[2] = before;
  EXPECT_NO_THROW(begin(newest_checkpoint(folder.path()), ""));
  EXPECT_NO_THROW(begin("", folder / kLastFile));
}

TEST(Trainer, WhatIsSavedIsWhatTheNetworkHolds) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.set("iterations", {"3"}).train(), 0);
  const StateSnapshot now = snapshot(run.trainer().store());
  EXPECT_EQ(now.batches_tracked, 3);
  const Safetensors last = load_safetensors(folder / kLastFile);
  EXPECT_EQ(last.arrays.size(), weight_arrays(now).size() + 1);
  EXPECT_EQ(last.find("input.mean")->to_floats(), run.network().input.mean);
  for (const HostArrayView& array : weight_arrays(now)) {
    ASSERT_NE(last.find(array.name), nullptr) << array.name;
    EXPECT_TRUE(std::ranges::equal(last.find(array.name)->bytes, array.bytes)) << array.name;
  }
  EXPECT_EQ(last.metadata.at("iteration"), "3");
  const Checkpoint checkpoint = load_checkpoint(newest_checkpoint(folder.path()));
  const std::vector<HostArrayView> wanted = checkpoint_arrays(now);
  EXPECT_EQ(checkpoint.arrays.size(), wanted.size() + 1);
  EXPECT_EQ(checkpoint.find("input.mean")->to_floats(), run.network().input.mean);
  for (const HostArrayView& array : wanted) {
    const auto found = std::ranges::find(checkpoint.arrays, array.name, &HostArray::name);
    ASSERT_NE(found, checkpoint.arrays.end()) << array.name;
    EXPECT_TRUE(std::ranges::equal(found->bytes, array.bytes)) << array.name;
  }
  const RunState state = run_state(checkpoint);
  EXPECT_EQ(state.model, "resnet20, shortcut A, end, stride, conv3x3, 4 classes");
  EXPECT_EQ(state.images, 64);
  EXPECT_EQ(state.train_set, set_digest(*run.training));
  EXPECT_EQ(state.validation_set, set_digest(*run.validation));
  EXPECT_EQ(state.class_names, run.training->class_names());
}

TEST(Trainer, AFinishedRunThatIsResumedStaysAsItIs) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"3"}).train(), 0);
  const std::string checkpoint = read_bytes(newest_checkpoint(folder.path()));
  const std::string log = read_bytes(folder / kLogFile);
  SmallRun again(folder.path());
  ASSERT_EQ(again.set("iterations", {"3"}).resume(newest_checkpoint(folder.path())).train(), 0);
  EXPECT_THAT(again.observer.notes, testing::Contains("resumed at iteration 3 of 3: nothing left to do"));
  EXPECT_TRUE(again.observer.steps.empty());
  EXPECT_TRUE(read_bytes(newest_checkpoint(folder.path())) == checkpoint);
  EXPECT_EQ(read_bytes(folder / kLogFile), log);
}

}  // namespace
}  // namespace residua::test
