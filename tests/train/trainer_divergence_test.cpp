// Runs that diverge: what they keep, where they go on, and what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>

#include "core/data/sampler.h"
#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kBatch = 16;
constexpr int64_t kBatches = 4;  // of an epoch

/// A small run that validates and saves each epoch. It keeps which images it reads, and acts at some of the reads: read
/// kBatch * n is the first of step n + 1.
struct WatchedRun {
  explicit WatchedRun(const std::string& folder) : run(folder) {
    run.set("iterations", {"12"}).set("evaluate-every", {"1"}).set("log-every", {"7"}).set("max-skipped-steps", {"2"});
  }
  SmallRun& watched() {
    run.network();  // whose mean image reads all
    run.training = std::make_shared<WatchedSource>(run.training, [this](int64_t read, int64_t image) {
      images.push_back(image);
      if (const auto found = at.find(read); found != at.end()) {
        found->second();
      }
    });
    return run;
  }
  /// Sets one element of a parameter.
  std::function<void()> sets(const std::string& name, float value) {
    return [=, this] {
      const Tensor& master = run.trainer().store().parameter(name).master;
      std::vector<float> values = master.to_vector();
      before = values[1];
      values[1] = value;
      master.copy_from(values);
    };
  }

  SmallRun run;
  std::vector<int64_t> images;
  std::map<int64_t, std::function<void()>> at;
  float before = 0;  // the last element that was set
};

/// The images of batches [first, end) of an epoch, by the sampler alone.
std::vector<int64_t> images_of(int64_t epoch, int64_t first, int64_t end) {
  const std::vector<int64_t> order = Sampler({.size = kBatch * kBatches, .seed = 0}).order(epoch);
  return {order.begin() + first * kBatch, order.begin() + end * kBatch};
}

/// Writes the newest checkpoint of a folder with another state, and returns the path of the new file.
std::string edited_checkpoint(const std::string& folder, const std::function<void(nlohmann::json&)>& edit) {
  Checkpoint checkpoint = load_checkpoint(newest_checkpoint(folder));
  edit(checkpoint.state);
  const std::string path = folder + "/edited.safetensors";
  save_checkpoint(path, checkpoint.state, views(checkpoint.arrays), checkpoint.metadata);
  return path;
}

void expect_finite(const std::string& path) {
  for (const HostArray& array : load_safetensors(path).arrays) {
    if (array.dtype == DType::f32) {
      EXPECT_TRUE(std::ranges::all_of(array.span<float>(), [](float value) { return std::isfinite(value); })) << array.name;
    }
  }
}

constexpr const char* kSpoiled = "layer2.0.conv1.weight";

/// Steps 5 and 6 fail. Step 7 is the one after, and the first that a report sees.
WatchedRun& diverging(WatchedRun& watched) {
  watched.run.set("on-divergence", {"rollback"});
  watched.at[4 * kBatch] = watched.sets(kSpoiled, kNan);
  return watched;
}

TEST(Divergence, ARollbackGoesOnWithTheDataAfterTheFailedStep) {
  const TemporaryFolder folder;
  WatchedRun watched(folder / "run");
  ASSERT_EQ(diverging(watched).watched().train(), 0);

  std::vector<int64_t> wanted;
  const auto add = [&](const std::vector<int64_t>& images) { wanted.insert(wanted.end(), images.begin(), images.end()); };
  add(images_of(0, 0, 4));
  add(images_of(1, 0, 3));  // steps 5, 6 and 7
  add(images_of(1, 1, 2));  // step 6 again, to see where it fails
  add(images_of(1, 2, 4));  // from iteration 4 on
  add(images_of(2, 0, 4));
  add(images_of(3, 0, 2));
  EXPECT_EQ(watched.images, wanted);

  const RunState state = run_state(load_checkpoint(newest_checkpoint(folder / "run")));
  EXPECT_EQ(state.iteration, 12);
  EXPECT_EQ(state.epoch, 3);
  EXPECT_EQ(state.batch, 2);
  EXPECT_EQ(state.rollbacks, 1);
  EXPECT_EQ(state.skipped_steps, 2);
  EXPECT_EQ(state.skipped_in_a_row, 0);
  EXPECT_EQ(state.batches_tracked, 12);
  EXPECT_THAT(watched.run.observer.notes, Contains(AllOf(HasSubstr(std::string(kSpoiled) + " has values that are not finite"),
                                                         HasSubstr("back to iteration 4, and on with batch 2 of epoch 1"))));
  const std::vector<nlohmann::json> told = log_of(folder / "run", "rollback");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].at("iteration"), 4);
  EXPECT_EQ(told[0].at("from"), 6);
  EXPECT_EQ(logged(folder / "run", "validation", "iteration"), (std::vector<double>{4, 8, 12}));

  // The same by another way: four good steps, and the rest from that place of the data.
  ASSERT_EQ(SmallRun(folder / "other").set("iterations", {"4"}).set("evaluate-every", {"1"}).train(), 0);
  const std::string edited_file = edited_checkpoint(folder / "other", [](nlohmann::json& state) {
    state["epoch"] = 1;
    state["batch"] = 2;
  });
  SmallRun other(folder / "other");
  other.set("iterations", {"12"}).set("evaluate-every", {"1"}).resume(edited_file);
  ASSERT_EQ(other.train(), 0);
  EXPECT_TRUE(read_bytes(folder / "run/last.safetensors") == read_bytes(folder / "other/last.safetensors"));
}

// Steps 6 and 7 fail; step 9, the first of the next epoch, is the first that a report sees.
TEST(Divergence, ARollbackGoesBackIntoTheEpochOfTheFailedStep) {
  const TemporaryFolder folder;
  WatchedRun watched(folder.path());
  watched.run.set("on-divergence", {"rollback"}).set("evaluate-every", {"1.25"}).set("log-every", {"9"});
  watched.at[5 * kBatch] = watched.sets(kSpoiled, kNan);
  ASSERT_EQ(watched.watched().train(), 0);

  std::vector<int64_t> wanted;
  const auto add = [&](const std::vector<int64_t>& images) { wanted.insert(wanted.end(), images.begin(), images.end()); };
  add(images_of(0, 0, 4));
  add(images_of(1, 0, 4));
  add(images_of(2, 0, 1));
  add(images_of(1, 2, 3));  // step 7 again
  add(images_of(1, 3, 4));  // from iteration 5 on
  add(images_of(2, 0, 4));
  add(images_of(3, 0, 2));
  EXPECT_EQ(watched.images, wanted);
  EXPECT_THAT(watched.run.observer.notes, Contains(HasSubstr("back to iteration 5, and on with batch 3 of epoch 1")));
}

constexpr int64_t kReadsUntilRollback = (4 + 3 + 1) * kBatch;

TEST(Divergence, ARollbackIsOnDiskBeforeTheNextStep) {
  const TemporaryFolder folder;
  WatchedRun watched(folder.path());
  RunState state;
  diverging(watched).at[kReadsUntilRollback] = [&] { state = run_state(load_checkpoint(newest_checkpoint(folder.path()))); };
  ASSERT_EQ(watched.watched().train(), 0);
  EXPECT_EQ(state.iteration, 4);
  EXPECT_EQ(state.epoch, 1);
  EXPECT_EQ(state.batch, 2);
  EXPECT_EQ(state.rollbacks, 1);
  EXPECT_EQ(state.skipped_steps, 2);
}

TEST(Divergence, TheSecondTimeTheRunStopsAndKeepsTheGoodFiles) {
  const TemporaryFolder folder;
  const std::initializer_list<std::string> told = {"not finite in 2 steps in a row, the last at iteration 7",
                                                   std::string(kSpoiled) + " has values that are not finite",
                                                   "the last good state is in"};
  {
    WatchedRun watched(folder.path());
    diverging(watched).at[kReadsUntilRollback + kBatch] = watched.sets(kSpoiled, kNan);
    SmallRun& run = watched.watched();
    EXPECT_TRUE(fails_with([&] { run.train(); }, told));
    EXPECT_EQ(log_of(folder.path(), "diverged").size(), 1U);
  }
  for (const std::string& file : {newest_checkpoint(folder.path()), folder / kLastFile, folder / kBestFile}) {
    expect_finite(file);
  }
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 4);
  // A run that was killed after its rollback has none left either.
  WatchedRun rest(folder.path());
  rest.run.set("on-divergence", {"rollback"}).resume(newest_checkpoint(folder.path()));
  rest.at[kBatch] = rest.sets(kSpoiled, kNan);
  SmallRun& run = rest.watched();
  EXPECT_TRUE(fails_with([&] { run.train(); }, told));
  EXPECT_THAT(run.observer.notes, Not(Contains(HasSubstr("goes back"))));
}

TEST(Divergence, WithoutACheckpointARunStops) {
  const TemporaryFolder folder;
  WatchedRun watched(folder.path());
  watched.run.set("on-divergence", {"rollback"});
  watched.at[2 * kBatch] = watched.sets(kSpoiled, kNan);
  SmallRun& run = watched.watched();
  EXPECT_TRUE(fails_with([&] { run.train(); }, {"not finite", "no state has been saved yet"}));
}

TEST(Divergence, OneStepLessInARowIsNone) {
  const TemporaryFolder folder;
  WatchedRun watched(folder / "run");
  watched.run.set("iterations", {"6"}).set("evaluate-every", {"100"}).set("log-every", {"2"}).set("max-skipped-steps", {"3"});
  watched.at[2 * kBatch] = watched.sets(kSpoiled, kNan);
  watched.at[4 * kBatch] = [&] { watched.sets(kSpoiled, watched.before)(); };
  ASSERT_EQ(watched.watched().train(), 0);
  const RunState state = run_state(load_checkpoint(newest_checkpoint(folder / "run")));
  EXPECT_EQ(state.iteration, 6);
  EXPECT_EQ(state.skipped_steps, 2);
  EXPECT_EQ(state.rollbacks, 0);
  EXPECT_EQ(state.batches_tracked, 4);
  const std::vector<nlohmann::json> told = log_of(folder / "run", "skipped_steps");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].at("iteration"), 4);
  EXPECT_EQ(told[0].at("steps"), 2);
  EXPECT_EQ(told[0].at("in_a_row"), 2);

  // As if steps 3 and 4 had not been.
  const auto set = [](SmallRun& run) -> SmallRun& { return run.set("evaluate-every", {"100"}); };
  {
    SmallRun first(folder / "other");
    ASSERT_EQ(set(first).set("iterations", {"2"}).train(), 0);
  }
  const std::string edited_file = edited_checkpoint(folder / "other", [](nlohmann::json& edited) {
    edited["iteration"] = 4;
    edited["batch"] = 4;
  });
  SmallRun rest(folder / "other");
  ASSERT_EQ(set(rest).resume(edited_file).train(), 0);
  EXPECT_TRUE(read_bytes(folder / "run/last.safetensors") == read_bytes(folder / "other/last.safetensors"));
}

TEST(Divergence, TheErrorNamesTheFirstOutputAndLargeWeights) {
  const TemporaryFolder folder;
  WatchedRun watched(folder.path());
  watched.run.set("max-skipped-steps", {"1"});
  watched.at[2 * kBatch] = watched.sets("layer2.0.bn1.weight", 3e38f);
  SmallRun& run = watched.watched();
  EXPECT_TRUE(fails_with([&] { run.train(); },
                         {"the loss or a gradient is not finite at iteration 3", "first output that is not finite is that of",
                          "layer2.0.conv2", "layer2.0.bn1.weight has values up to 3e+38"}));
}

TEST(Divergence, WeightsThatAreNotFiniteToBeginWithAreRefused) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"1"}).train(), 0);
  const auto spoil = [](std::vector<HostArray>& arrays, const std::string& name) {
    const auto found = std::ranges::find(arrays, name, &HostArray::name);
    ASSERT_NE(found, arrays.end());
    std::memcpy(found->bytes.data(), &kNan, sizeof kNan);
  };
  Safetensors weights = load_safetensors(folder / kLastFile);
  spoil(weights.arrays, "layer1.0.conv1.weight");
  save_safetensors(folder / "bad.safetensors", views(weights.arrays), weights.metadata);
  const TemporaryFolder other;
  EXPECT_TRUE(fails_with([&] { SmallRun(other.path()).set("weights", {folder / "bad.safetensors"}).trainer(); },
                         {"bad.safetensors", "layer1.0.conv1.weight has the value nan"}));
  for (const char* name : {"weight.fc.bias", "velocity.fc.bias", "running_variance.bn1"}) {
    Checkpoint checkpoint = load_checkpoint(newest_checkpoint(folder.path()));
    spoil(checkpoint.arrays, name);
    save_checkpoint(folder / "bad_checkpoint.safetensors", checkpoint.state, views(checkpoint.arrays), checkpoint.metadata);
    EXPECT_TRUE(fails_with([&] { SmallRun(folder.path()).resume(folder / "bad_checkpoint.safetensors").trainer(); },
                           {"bad_checkpoint.safetensors", name, "not finite"}));
  }
}

}  // namespace
}  // namespace residua::test
