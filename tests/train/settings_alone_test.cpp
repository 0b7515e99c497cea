// The settings whose reach a run's results do not show: the rest of settings_reach_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "tests/data/gate.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/short_run.h"
#include "tools/cli/train_command.h"

namespace residua::test {
namespace {

TEST(SettingsAlone, WorkersReadOnThreadsOfTheirOwn) {
  for (const int workers : {0, 2}) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("workers", {std::to_string(workers)}).set("iterations", {"2"});
    run.network();
    std::mutex mutex;
    std::set<std::thread::id> readers;
    run.training = std::make_shared<WatchedSource>(run.training, [&](int64_t, int64_t) {
      const std::lock_guard lock(mutex);
      readers.insert(std::this_thread::get_id());
    });
    ASSERT_EQ(run.train(), 0);
    EXPECT_EQ(readers.contains(std::this_thread::get_id()), workers == 0);
  }
}

TEST(SettingsAlone, ReadTimeoutEndsARunWhoseReaderIsStuck) {
  const TemporaryFolder folder;
  const auto gate = std::make_shared<Gate>();
  {
    SmallRun run(folder.path());
    run.set("workers", {"2"}).set("read-timeout", {"2"}).set("evaluate-every", {"100"});
    run.network();
    run.training = std::make_shared<WatchedSource>(run.training, [gate](int64_t reads, int64_t) {
      if (reads >= 3 * 16) {
        gate->wait();
      }
    });
    EXPECT_TRUE(fails_with([&] { run.train(); }, {"no image has been read for 2 seconds", "These files are being read"}));
  }  // ends, although two threads wait
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 3);
  gate->open();
  gate->until_passed(2);
}

TEST(SettingsAlone, WeightsAreTheFirstOnes) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder / "one").set("iterations", {"1"}).set("seed", {"3"}).train(), 0);
  SmallRun run(folder / "two");
  const Tensor& got = run.set("weights", {folder / "one/last.safetensors"}).trainer().store().parameter("fc.weight").master;
  EXPECT_EQ(got.to_vector(), load_safetensors(folder / "one/last.safetensors").find("fc.weight")->to_floats());
}

TEST(SettingsAlone, BottleneckStrideIsTheNetworks) {
  std::vector<std::vector<float>> outputs;
  for (const char* stride : {"conv3x3", "conv1x1"}) {
    SmallRun run("no folder");
    Network& network = run.set("model", {"resnet50"}).set("bottleneck-stride", {stride}).set("crop-size", {"32"}).network();
    ParameterStore store(*network.module, {.purpose = Purpose::inference});
    initialize(store, 1);
    outputs.push_back(network.module->forward(full({1, 64, 64, 3}, 0.5f, DType::f32), Mode::evaluate).to_vector());
  }
  EXPECT_TRUE(std::isfinite(outputs[0][0]));
  EXPECT_NE(outputs[0], outputs[1]);
}

TEST(SettingsAlone, TheRecipeGivesWhatIsLeftOpen) {
  std::vector<ShortRun> runs;
  for (const char* recipe : {"photos", "small-images"}) {
    runs.push_back(short_run({{"recipe", {recipe}}}, [](SmallRun& run) { run.settings.reset("augment"); }));
  }
  ASSERT_TRUE(runs[0].ended_well() && runs[1].ended_well()) << runs[0].error << runs[1].error;
  EXPECT_NE(runs[0].last, runs[1].last);
}

TEST(SettingsAlone, TheOutputIsTheRunsFolder) {
  const TemporaryFolder folder;
  SmallRun run(folder / "one");
  ASSERT_EQ(run.set("output", {folder / "two"}).set("iterations", {"1"}).train(), 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "one"));
  EXPECT_TRUE(std::filesystem::exists(folder / "two/last.safetensors"));
}

TEST(SettingsAlone, ResumeFindsTheCheckpoint) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"1"}).train(), 0);
  const std::string output = folder.path();
  const auto checkpoint = [&](std::vector<const char*> arguments) {
    TrainCommand command;
    arguments.insert(arguments.begin(), {"train-imagenet", "--output", output.c_str()});
    read_train_command(command, static_cast<int>(arguments.size()), arguments.data());
    return command.checkpoint;
  };
  EXPECT_EQ(checkpoint({"--resume", "auto"}), newest_checkpoint(folder.path()));
  EXPECT_EQ(checkpoint({}), "");
}

/// How many threads train-imagenet has once it trains.
int threads_of_the_tool(int threads) {
  const TemporaryFolder folder;
  const std::string command = fmt::format(
      "cd {} && echo $$ && exec " RESIDUA_BINARY_DIR
      "/train-imagenet --dataset synthetic --synthetic-images 32 --crop-size 8 -b 8 --workers 0 --log-every 1 --device cpu "
      "--iterations 100000 --output run --threads {}",
      folder.path(), threads);
  FILE* out = ::popen(command.c_str(), "r");
  char line[4096];
  const pid_t pid = std::fgets(line, sizeof line, out) != nullptr ? std::stoi(line) : 0;
  int found = 0;
  while (pid > 0 && found == 0 && std::fgets(line, sizeof line, out) != nullptr) {
    if (std::string(line).find("loss") == std::string::npos) {
      continue;
    }
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string key; status >> key && found == 0;) {
      if (key == "Threads:") {
        status >> found;
      }
    }
    ::kill(pid, SIGKILL);
  }
  ::pclose(out);
  return found;
}

TEST(SettingsAlone, ThreadsAreTheDevices) {
  const int one = threads_of_the_tool(1);
  EXPECT_GE(one, 1);
  EXPECT_EQ(threads_of_the_tool(4), one + 3);
}

}  // namespace
}  // namespace residua::test
