// What a save leaves when something happens to it, on the files of a real run.
#include "core/train/run_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using Fault = TestFileSystem::Fault;
using Names = TestFileSystem::Names;

/// A network in training and its saver, without a run around them.
class SavedRun {
 public:
  explicit SavedRun(const std::string& folder, int64_t keep = 2, Existing existing = Existing::start)
      : settings_(folder),
        training_(settings_.network(), settings_.config, Device{}, DType::f32),
        schedule_(make_schedule(settings_.config.schedule, run_length(settings_.config.training, 4), 16)),
        folder_(folder, existing),
        saver_(folder_, training_, *schedule_, keep) {}

  RunSaver& saver() { return saver_; }
  GradScaler& scaler() { return training_.scaler(); }
  void resume(const std::string& checkpoint) { saver_.resume(checkpoint, state_); }
  /// Saves the state at an iteration, at which the first bias has the iteration's number.
  void save(int64_t iteration, Save what) {
    state_.iteration = iteration;
    std::vector<float> bias = training_.store().parameter("fc.bias").master.to_vector();
    bias[0] = static_cast<float>(iteration);
    training_.store().parameter("fc.bias").master.copy_from(std::span<const float>(bias));
    training_.store().masters_changed();
    saver_.save(state_, what);
  }
  std::optional<std::string> outcome() {
    std::optional<std::string> failure;
    try {
      saver_.finish(state_);
      failure = saver_.take_failure();
    } catch (const Error& error) {
      failure = error.what();
    }
    return failure;
  }

 private:
  SmallRun settings_;
  Training training_;
  std::unique_ptr<Schedule> schedule_;
  RunFolder folder_;
  RunSaver saver_;
  RunState state_;
};

/// The number of the iteration in the weights of a file; -1 if there is no file.
int64_t mark_in(const std::string& path) {
  return fs::exists(path) ? static_cast<int64_t>(load_safetensors(path).find("fc.bias")->span<float>()[0]) : -1;
}

struct Mishap {
  Fault fault;
  std::optional<Names> power_loss;
};
constexpr std::array kMishaps = {Mishap{Fault::fail, {}}, Mishap{Fault::stop, {}}, Mishap{Fault::stop, Names::as_synced},
                                 Mishap{Fault::stop, Names::as_changed}};

/// Saves three generations with a mishap at an operation of the third, and checks what is left.
std::vector<std::string> expect_sound(const Mishap& mishap, int64_t at) {
  const TemporaryFolder folder;
  std::vector<std::string> operations;
  {
    SavedRun run(folder.path());
    run.save(1, Save::best);
    run.save(2, Save::last);
    EXPECT_EQ(run.outcome(), std::nullopt);
    TestFileSystem faulty(mishap.fault, at, ENOSPC);
    faulty.watch(folder.path());
    {
      const ScopedFileSystem in_force(faulty);
      run.save(3, Save::best);
      run.saver().wait();
      run.saver().take_failure();
    }
    operations = faulty.operations();
    if (mishap.power_loss) {
      faulty.lose_power(*mishap.power_loss);
    }
    const FoundCheckpoint found = find_checkpoint(folder.path());
    EXPECT_TRUE(found.passed_over.empty());
    const int64_t iteration = run_state(load_checkpoint(found.path)).iteration;
    EXPECT_TRUE(iteration == 2 || iteration == 3) << iteration;
    const int64_t last = mark_in(folder / kLastFile);
    const int64_t best = mark_in(folder / kBestFile);
    EXPECT_TRUE(last == 2 || last == 3) << last;
    EXPECT_TRUE(best == 1 || best == 3) << best;
    if (iteration == 3) {
      EXPECT_EQ(last, 3);
      EXPECT_EQ(best, 3);
    }
    if (mishap.fault == Fault::fail) {  // the run goes on, and the next save makes up for it
      run.save(4, Save::checkpoint);
      EXPECT_EQ(run.outcome(), std::nullopt);
      EXPECT_EQ(mark_in(folder / kBestFile), 3);
      EXPECT_GE(mark_in(folder / kLastFile), 3);
      EXPECT_EQ(fs::path(find_checkpoint(folder.path()).path).filename(), checkpoint_name(4));
      EXPECT_EQ(checkpoints_in(folder.path()).size(), 2U);
      for (const auto& entry : fs::directory_iterator(folder.path())) {
        EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
      }
    }
  }
  return operations;
}

TEST(RunSaver, WhateverHappensToASaveARunGoesOnFromTheOldStateOrTheNewOne) {
  const std::vector<std::string> operations = expect_sound({Fault::fail, {}}, -1);
  ASSERT_GT(operations.size(), 100U);
  int64_t faults = 0;
  for (const Mishap& mishap : kMishaps) {
    for (size_t at = 0; at < operations.size(); ++at) {
      if (operations[at].starts_with("write ") && at % 40 != 0) {
        continue;  // hundreds that do not differ
      }
      SCOPED_TRACE(fmt::format("operation {}: {}", at, operations[at]));
      expect_sound(mishap, static_cast<int64_t>(at));
      ++faults;
    }
  }
  RecordProperty("faults", std::to_string(faults));
}

// The best weights of a failed save are gone from the network by the time of the next one.
TEST(RunSaver, BestWeightsOfAFailedSaveAreWrittenByTheNextOne) {
  const TemporaryFolder folder;
  SavedRun run(folder.path());
  {
    TestFileSystem full(Fault::stop, 0, ENOSPC);
    const ScopedFileSystem in_force(full);
    run.save(1, Save::best);
    run.saver().wait();
    const std::optional<std::string> failure = run.saver().take_failure();
    ASSERT_TRUE(failure);
    EXPECT_THAT(*failure, testing::HasSubstr("No space left"));
    EXPECT_TRUE(run.saver().has_best());
    run.save(2, Save::checkpoint);
    EXPECT_THAT(run.outcome().value_or(""), testing::HasSubstr("last state could not be saved"));
    EXPECT_EQ(run.saver().failures(), 3);
    run.saver().take_failure();
  }
  run.save(3, Save::checkpoint);
  EXPECT_EQ(run.outcome().has_value(), false);
  EXPECT_EQ(mark_in(folder / kBestFile), 1);
  EXPECT_EQ(mark_in(folder / kLastFile), 3);
}

TEST(RunSaver, KeepsTheNewestGenerationsThatAreItsOwn) {
  const TemporaryFolder folder;
  SavedRun run(folder.path());
  for (const int64_t iteration : {90, 100, 1000, 1100}) {
    run.save(iteration, Save::checkpoint);
    EXPECT_EQ(run.outcome(), std::nullopt);
  }
  EXPECT_EQ(checkpoints_in(folder.path()),
            (std::vector<std::string>{folder / checkpoint_name(1100), folder / checkpoint_name(1000)}));
}

// A stop between two bad steps in a row does not make them two rows.
TEST(RunSaver, AResumedRunKnowsHowManyStepsWereSkippedInARow) {
  const TemporaryFolder folder;
  {
    SavedRun run(folder.path());
    run.scaler().restart(/*skipped_steps=*/5, /*skipped_in_a_row=*/3);
    run.save(1, Save::checkpoint);
    EXPECT_EQ(run.outcome(), std::nullopt);
  }
  SavedRun run(folder.path(), 2, Existing::resume);
  run.resume(folder / checkpoint_name(1));
  EXPECT_EQ(run.scaler().read().skipped_steps, 5);
  EXPECT_EQ(run.scaler().read().skipped_in_a_row, 3);
}

// The newer ones are damaged, or the user goes back: they are no generations of this run.
TEST(RunSaver, GoesOnFromAnOlderCheckpointWithoutTheNewerOnes) {
  const TemporaryFolder folder;
  {
    SavedRun run(folder.path(), 3);
    for (const int64_t iteration : {1, 2, 3}) {
      run.save(iteration, Save::checkpoint);
      EXPECT_EQ(run.outcome(), std::nullopt);
    }
  }
  SavedRun run(folder.path(), 2, Existing::resume);
  run.resume(folder / checkpoint_name(2));
  EXPECT_EQ(run.saver().newest_checkpoint(), folder / checkpoint_name(2));
  run.save(4, Save::checkpoint);
  EXPECT_EQ(run.outcome(), std::nullopt);
  EXPECT_EQ(checkpoints_in(folder.path()),
            (std::vector<std::string>{folder / checkpoint_name(4), folder / checkpoint_name(2)}));
}

// With one to keep, the older one is all that the run has until then.
TEST(RunSaver, AnOlderCheckpointIsRemovedOnceTheNewerIsSynced) {
  const TemporaryFolder folder;
  SavedRun run(folder.path(), 1);
  run.save(1, Save::checkpoint);
  EXPECT_EQ(run.outcome(), std::nullopt);
  TestFileSystem files;
  {
    const ScopedFileSystem in_force(files);
    run.save(2, Save::checkpoint);
    EXPECT_EQ(run.outcome(), std::nullopt);
  }
  const std::vector<std::string>& operations = files.operations();
  const auto renamed = std::ranges::find(operations, "rename temporary " + checkpoint_name(2));
  const auto synced = std::find(renamed, operations.end(), "sync");
  EXPECT_NE(std::find(synced, operations.end(), "remove " + checkpoint_name(1)), operations.end());
  EXPECT_EQ(std::find(operations.begin(), synced, "remove " + checkpoint_name(1)), synced);
  EXPECT_EQ(checkpoints_in(folder.path()), std::vector<std::string>{folder / checkpoint_name(2)});
}

/// Rank 1 of two. Rank 0 has nothing to say.
class SecondRank final : public Communicator {
 public:
  SecondRank() : Communicator(1, 2) {}
  std::vector<std::string> gather(const std::string&) override { return {"", ""}; }
  void sum(const Tensor&) override {}
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override {}
  [[noreturn]] void abort(int) override { fail("abort was called"); }
};

/// Bytes that this thread's allocations hold.
size_t bytes_in_use() {
  const struct mallinfo2 memory = ::mallinfo2();
  return memory.uordblks + memory.hblkhd;
}

// A copy would take as much memory as the weights and their velocities, and would stay for the next save.
TEST(RunSaver, ARankThatWritesNothingCopiesNothing) {
  const TemporaryFolder folder;
  SmallRun settings(folder.path());
  Training training(settings.network(), settings.config, Device{}, DType::f32);
  const auto schedule = make_schedule(settings.config.schedule, run_length(settings.config.training, 4), 16);
  const RunFolder of_rank_0(folder.path());
  SecondRank rank;
  RunSaver saver(of_rank_0, training, *schedule, 2, &rank);
  RunState state;
  const size_t before = bytes_in_use();
  saver.save(state, Save::last);
  EXPECT_LT(bytes_in_use(), before + static_cast<size_t>(training.store().matrices().master.bytes()));
  EXPECT_TRUE(checkpoints_in(folder.path()).empty());
}

}  // namespace
}  // namespace residua::test
