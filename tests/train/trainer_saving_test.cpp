// When a run saves, that it goes on as if it had not, and what it does when it cannot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// The log without what differs from run to run: times, and what depends on them.
std::vector<nlohmann::json> whole_log_of(const std::string& folder) {
  std::vector<nlohmann::json> records;
  for (const char* type : {"train", "validation", "clean_train", "skipped_image"}) {
    for (nlohmann::json& record : timeless_log_of(folder, type)) {
      record.erase("images_per_second");
      record.erase("data_wait");
      records.push_back(std::move(record));
    }
  }
  return records;
}

void expect_same_run(const std::string& one, const std::string& other) {
  const std::string newest = fs::path(newest_checkpoint(one)).filename();
  for (const std::string& file :
       {newest, std::string(kLastFile), std::string(kBestFile), std::string(kEvaluationFile), std::string(kConfigFile)}) {
    if (file != kConfigFile || fs::exists(one + "/" + file)) {
      EXPECT_TRUE(read_bytes(one + "/" + file) == read_bytes(other + "/" + file)) << file;
    }
  }
  EXPECT_EQ(whole_log_of(one), whole_log_of(other));
}

using Flags = std::vector<std::pair<std::string, Words>>;

struct Kind {
  const char* name;
  Flags flags;
};

/// Epochs of 4 batches: step 7 is in the middle of the second. Reports and validations are out of step with it.
const Flags kCommon = {{"iterations", {"20"}}, {"evaluate-every", {"1.25"}}, {"log-every", {"3"}}, {"clean-train", {"8"}}};
const std::vector<Kind> kKinds = {
    {"plateau, passes, ghost groups",
     {{"lr-schedule", {"plateau"}}, {"lr-patience", {"1"}}, {"lr", {"0.2"}}, {"accumulate", {"2"}}, {"bn-group", {"4"}}}},
    {"fp16, augmentation, exact statistics",
     {{"precision", {"fp16"}}, {"augment", {"pad-crop"}}, {"exact-bn", {"40"}}, {"warmup", {"until-error"}}}}};

class SavedRuns : public testing::TestWithParam<std::string> {};

TEST_P(SavedRuns, TwentyStepsAreSevenAndThirteen) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(kind.name);
    const TemporaryFolder folder;
    const auto prepare = [&](SmallRun& run) -> SmallRun& {
      for (const Flags* flags : {&kCommon, &kind.flags}) {
        for (const auto& [name, words] : *flags) {
          run.set(name, words);
        }
      }
      return run.set("workers", {GetParam()});
    };
    SmallRun whole(folder / "whole");
    ASSERT_EQ(prepare(whole).train(), 0);
    {
      SmallRun seven(folder / "parts");
      volatile std::sig_atomic_t stop = 0;
      prepare(seven).set("checkpoint-every", {"7"});
      seven.observer.on_trained = [&](const TrainRecord& record) { stop = record.iteration >= 9 ? SIGTERM : 0; };
      ASSERT_EQ(seven.train(stop), SIGTERM);
      ASSERT_TRUE(fs::exists((folder / "parts/") + checkpoint_name(7)));
    }
    SmallRun thirteen(folder / "parts");
    ASSERT_EQ(prepare(thirteen).resume((folder / "parts/") + checkpoint_name(7)).train(), 0);
    EXPECT_THAT(thirteen.observer.notes, Not(Contains(HasSubstr("the last bits will differ"))));
    expect_same_run(folder / "whole", folder / "parts");
    EXPECT_FALSE(fs::exists((folder / "parts/") + checkpoint_name(9))) << "of the way that was left";
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, SavedRuns, testing::Values("0", "1", "4"));

TEST(TrainerSaving, SavesBetweenValidationsAndKeepsTheNewest) {
  const TemporaryFolder folder;
  const auto iterations = [&](const std::string& every, const std::string& keep) {
    fs::remove_all(folder.path());
    std::set<std::string> seen;
    SmallRun run(folder.path());
    run.set("log-every", {"1"}).set("evaluate-every", {"100"}).set("iterations", {"7"});
    run.set("checkpoint-every", {every}).set("keep-checkpoints", {keep});
    run.observer.on_trained = [&](const TrainRecord&) {
      for (const std::string& path : checkpoints_in(folder.path())) {
        seen.insert(fs::path(path).filename());
      }
    };
    EXPECT_EQ(run.train(), 0);
    return std::pair(seen, checkpoints_in(folder.path()).size());
  };
  const auto [each_second, kept] = iterations("2", "3");
  EXPECT_THAT(each_second, testing::IsSupersetOf({checkpoint_name(2), checkpoint_name(4)}));
  EXPECT_THAT(each_second, Not(Contains(checkpoint_name(3))));
  EXPECT_EQ(kept, 3U);
  EXPECT_EQ(iterations("10m", "2").first.size(), 0U);
  const auto [timed, one] = iterations("0.0000001m", "1");
  EXPECT_FALSE(timed.empty());
  EXPECT_EQ(one, 1U);
}

TEST(TrainerSaving, ARequestSavesOnceAndTheRunGoesOn) {
  const TemporaryFolder folder;
  volatile std::sig_atomic_t request = 0;
  SmallRun run(folder.path());
  run.set("log-every", {"1"}).set("evaluate-every", {"100"});
  run.save_request = &request;
  run.observer.on_trained = [&](const TrainRecord& record) { request = record.iteration == 2 ? 1 : request; };
  ASSERT_EQ(run.train(), 0);
  EXPECT_EQ(request, 0);
  EXPECT_THAT(run.observer.notes, Contains(HasSubstr("saving the state at iteration 2")));
  EXPECT_EQ(checkpoints_in(folder.path()),
            (std::vector<std::string>{folder / checkpoint_name(6), folder / checkpoint_name(2)}));
}

// A folder with weights and no checkpoint is not started over.
TEST(TrainerSaving, TheFirstCheckpointComesBeforeTheFirstWeights) {
  const auto expect_order = [](bool validates, int signal) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("iterations", {"3"});
    run.validates = validates;
    volatile std::sig_atomic_t stop = 0;
    run.observer.on_trained = [&](const TrainRecord&) { stop = signal; };
    TestFileSystem files;
    {
      const ScopedFileSystem in_force(files);
      ASSERT_EQ(run.train(stop), signal);
    }
    const auto place = [&](const std::string& name) {
      return std::ranges::find(files.operations(), "rename temporary " + name) - files.operations().begin();
    };
    EXPECT_LT(place(checkpoint_name(signal == 0 ? 3 : 2)), place(kLastFile));
    EXPECT_LT(place(kLastFile), static_cast<std::ptrdiff_t>(files.operations().size()));
  };
  expect_order(true, 0);
  expect_order(false, 0);
  expect_order(true, SIGTERM);
}

/// A disk without space for new files while `full`.
class FullDisk final : public FileSystem {
 public:
  ssize_t write(int descriptor, const void* data, size_t bytes) override {
    errno = ENOSPC;
    return full ? -1 : FileSystem::write(descriptor, data, bytes);
  }
  ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset) override {
    errno = ENOSPC;
    return full ? -1 : FileSystem::write_at(descriptor, data, bytes, offset);
  }
  std::atomic<bool> full = false;
};

SmallRun& often_saved(SmallRun& run) {
  return run.set("checkpoint-every", {"1"}).set("log-every", {"1"}).set("iterations", {"10"});
}

TEST(TrainerSaving, ADiskThatIsFullForAWhileCostsNothing) {
  const TemporaryFolder folder;
  SmallRun whole(folder / "whole");
  ASSERT_EQ(often_saved(whole).train(), 0);
  FullDisk disk;
  SmallRun run(folder / "run");
  often_saved(run).trainer();
  {
    const ScopedFileSystem in_force(disk);
    run.observer.on_trained = [&](const TrainRecord& record) {
      disk.full = record.iteration >= 4 && record.iteration < 8;
      if (record.iteration == 6) {
        EXPECT_NO_THROW(load_checkpoint(newest_checkpoint(folder / "run")));
      }
    };
    ASSERT_EQ(run.train(), 0);
  }
  EXPECT_THAT(run.observer.notes, Contains(AllOf(HasSubstr("a save failed"), HasSubstr("No space left"))));
  EXPECT_THAT(run.observer.notes, Contains(HasSubstr("the last one succeeded")));
  const std::vector<nlohmann::json> failed = log_of(folder / "run", "save_failed");
  ASSERT_FALSE(failed.empty());
  EXPECT_THAT(failed[0].at("message").get<std::string>(), HasSubstr("No space left"));
  EXPECT_LT(failed[0].at("iteration"), 10) << "told as soon as it is known";
  EXPECT_GE(failed.back().at("failures"), failed.size());
  expect_same_run(folder / "whole", folder / "run");
}

TEST(TrainerSaving, ADiskThatStaysFullEndsInAnErrorAndKeepsTheLastCheckpoint) {
  const TemporaryFolder folder;
  FullDisk disk;
  SmallRun run(folder.path());
  often_saved(run).set("evaluate-every", {"100"});
  run.validates = false;
  run.trainer();
  {
    const ScopedFileSystem in_force(disk);
    run.observer.on_trained = [&](const TrainRecord& record) { disk.full = record.iteration >= 4; };
    EXPECT_TRUE(fails_with([&] { run.train(); }, {"last state could not be saved", "No space left"}));
  }
  EXPECT_EQ(run.observer.steps.back().iteration, 10) << "it trained to its end";
  const RunState state = run_state(load_checkpoint(newest_checkpoint(folder.path())));
  EXPECT_TRUE(state.iteration == 3 || state.iteration == 2) << state.iteration;
}

/// A disk that refuses one write of a new file.
class MomentarilyFullDisk final : public FileSystem {
 public:
  ssize_t write(int descriptor, const void* data, size_t bytes) override {
    errno = ENOSPC;
    return full.exchange(false) ? -1 : FileSystem::write(descriptor, data, bytes);
  }
  std::atomic<bool> full = false;
};

TEST(TrainerSaving, AFailureOfTheLastSaveIsToldThoughItsRepetitionSucceeds) {
  const TemporaryFolder folder;
  MomentarilyFullDisk disk;
  SmallRun run(folder.path());
  run.set("checkpoint-every", {"6"});
  run.validates = false;
  run.trainer();
  {
    const ScopedFileSystem in_force(disk);
    run.observer.on_trained = [&](const TrainRecord& record) { disk.full = record.iteration == 6; };
    ASSERT_EQ(run.train(), 0);
  }
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 6);
  EXPECT_THAT(run.observer.notes, Contains(AllOf(HasSubstr("a save failed"), HasSubstr("No space left"))));
  ASSERT_EQ(log_of(folder.path(), "save_failed").size(), 1U);
}

TEST(TrainerSaving, AnotherMachineAndOtherSettingsAreNoted) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"2"}).train(), 0);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(threads + 1);
  SmallRun rest(folder.path());
  rest.changes = {{.name = "lr", .before = "0.05", .now = "0.01"}};
  rest.set("lr", {"0.01"}).set("iterations", {"3"}).resume(newest_checkpoint(folder.path()));
  EXPECT_EQ(rest.train(), 0);
  omp_set_num_threads(threads);
  EXPECT_THAT(rest.observer.notes,
              Contains(AllOf(HasSubstr("the last bits will differ"), HasSubstr(fmt::format("{} before", threads)))));
  EXPECT_THAT(rest.observer.notes, Contains("lr is now 0.01; the run had 0.05"));
  const std::vector<nlohmann::json> logged = log_of(folder.path(), "setting");
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_EQ(logged[0].at("name"), "lr");
  EXPECT_EQ(logged[0].at("iteration"), 2);
  EXPECT_EQ(logged[0].at("now"), "0.01");
}

// All that a run resumes from is in the one file.
TEST(TrainerSaving, ACheckpointAloneIsEnough) {
  const TemporaryFolder folder;
  SmallRun whole(folder / "whole");
  ASSERT_EQ(whole.train(), 0);
  ASSERT_GT(whole.network().input.mean.size(), 3U) << "a mean image";
  ASSERT_EQ(SmallRun(folder / "half").set("iterations", {"3"}).train(), 0);
  fs::create_directory(folder / "alone");
  fs::rename(folder / "half/" + checkpoint_name(3), folder / "alone/" + checkpoint_name(3));
  SmallRun rest(folder / "alone");
  int64_t read = 0;
  rest.training = std::make_shared<WatchedSource>(rest.training, [&](int64_t, int64_t) { ++read; });
  rest.resume((folder / "alone/") + checkpoint_name(3)).network();
  EXPECT_EQ(read, 0) << "images measured again";
  ASSERT_EQ(rest.resume((folder / "alone/") + checkpoint_name(3)).train(), 0);
  EXPECT_TRUE(read_bytes((folder / "alone/") + kLastFile) == read_bytes((folder / "whole/") + kLastFile));
}

}  // namespace
}  // namespace residua::test
