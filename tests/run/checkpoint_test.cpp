#include "core/run/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/io/atomic_file.h"
#include "core/io/safetensors_digest.h"
#include "tests/support/compare.h"
#include "tests/support/host_arrays.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"

namespace residua::test {
namespace {

const std::string kGolden = RESIDUA_SOURCE_DIR "/tests/run/golden/";

std::vector<HostArray> two_arrays() {
  return {host_array<float>("weight.a", {2, 1}, std::vector<float>{1.5f, -2}),
          host_array<float>("velocity.a", {2, 1}, std::vector<float>{3, 4})};
}

const nlohmann::json kState = {{"iteration", 5}, {"best_error", 12.3456789012345678}, {"classes", {"cat", "dög"}}};

void save(const std::string& path, const nlohmann::json& state = kState) {
  const std::vector<HostArray> arrays = two_arrays();
  save_checkpoint(path, state, views(arrays));
}

TEST(Checkpoint, HoldsItsStateAndItsArraysByteForByte) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  save(path);
  const Checkpoint loaded = load_checkpoint(path);
  EXPECT_EQ(loaded.path, path);
  EXPECT_EQ(loaded.format, kCheckpointFormat);
  EXPECT_EQ(loaded.state, kState);
  const std::vector<HostArray> saved = two_arrays();
  ASSERT_EQ(loaded.arrays.size(), saved.size());
  for (const HostArray& want : saved) {
    const auto got = std::ranges::find(loaded.arrays, want.name, &HostArray::name);
    ASSERT_NE(got, loaded.arrays.end()) << want.name;
    EXPECT_EQ(got->dtype, want.dtype);
    EXPECT_EQ(got->shape, want.shape);
    EXPECT_EQ(got->bytes, want.bytes);
  }
  EXPECT_TRUE(is_checkpoint(load_safetensors_metadata(path)));
  EXPECT_EQ(load_safetensors_metadata(path).at("residua.checkpoint_format"), "3");
}

TEST(Checkpoint, OfANewerFormatIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  const auto save_as = [&](const std::string& format) {
    const std::vector<HostArray> arrays = two_arrays();
    save_with_digest(path, views(arrays), {{"residua.checkpoint_format", format}, {"residua.train_state", kState.dump()}});
  };
  save_as("3");
  EXPECT_EQ(load_checkpoint(path).state, kState);
  save_as("4");
  EXPECT_TRUE(fails_with([&] { load_checkpoint(path); }, {path, "format 4", "up to 3", "newer version"}));
  for (const char* damaged : {"x", "0", "-"}) {
    save_as(damaged);
    EXPECT_TRUE(fails_with([&] { load_checkpoint(path); }, {path, fmt::format("checkpoint format '{}'", damaged)}));
  }
}

TEST(Checkpoint, WeightsAreNoneAndTheRightFileIsNamed) {
  const TemporaryFolder folder;
  const std::string weights = folder / "best.safetensors";
  const std::vector<HostArray> arrays = two_arrays();
  save_safetensors(weights, views(arrays), {{"model", "resnet18"}});
  EXPECT_FALSE(is_checkpoint(load_safetensors_metadata(weights)));
  EXPECT_TRUE(fails_with([&] { load_checkpoint(weights); },
                         {weights, "holds weights", "resume from a checkpoint", "start a new run from these"}));
  save(folder / "checkpoint.safetensors");
  EXPECT_TRUE(fails_with([&] { load_checkpoint(weights); }, {weights, "resume from " + folder / "checkpoint.safetensors"}));
}

TEST(Checkpoint, ThatIsDamagedSaysWhatANewRunCanBeginFrom) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  save(path);
  const std::string whole = read_bytes(path);
  write_bytes(path, whole.substr(0, whole.size() - 3));
  EXPECT_TRUE(fails_with([&] { load_checkpoint(path); }, {path, "cut short"}));
  write_bytes(folder / "best.safetensors", "");
  EXPECT_TRUE(fails_with([&] { load_checkpoint(path); },
                         {path, "cut short", "start from the weights in " + folder / "best.safetensors"}));
  const std::vector<HostArray> arrays = two_arrays();
  save_safetensors(path, views(arrays), {{"residua.train_state", "[1]"}});  // of the first format, which has no digest
  EXPECT_TRUE(fails_with([&] { load_checkpoint(path); }, {path, "state is damaged", "start from the weights in"}));
  save_safetensors(path, views(arrays), {{"residua.checkpoint_format", "3"}, {"residua.train_state", kState.dump()}});
  EXPECT_TRUE(fails_with([&] { load_checkpoint(path); }, {path, "lacks the digest", "start from the weights in"}));
}

/// Whether the file is refused, with its path in the reason.
bool is_refused(const std::string& path) {
  try {
    load_checkpoint(path);
    return false;
  } catch (const UsageError& error) {
    return std::string(error.what()).find(path) != std::string::npos;
  }
}

TEST(Checkpoint, EverySingleBitFlipIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint-5.safetensors";
  save(path);
  std::string bytes = read_bytes(path);
  int64_t refused = 0;
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    write_bytes(path, bytes);
    EXPECT_TRUE(is_refused(path)) << "bit " << bit;
    ++refused;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  write_bytes(path, bytes);
  EXPECT_EQ(load_checkpoint(path).state, kState);
  RecordProperty("refused", std::to_string(refused));
}

TEST(Checkpoint, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint-5.safetensors";
  save(path);
  const std::string whole = read_bytes(path);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    write_bytes(path, whole.substr(0, bytes));
    EXPECT_TRUE(is_refused(path)) << bytes << " bytes";
  }
  write_bytes(path, whole + std::string(1, '\0'));
  EXPECT_TRUE(is_refused(path));
}

// A quotation of the digest's key in the state is not taken for it.
TEST(Checkpoint, ADigestInTheStateIsNone) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  const nlohmann::json state = {{"a", R"("residua.digest":"00000000000000000000000000000000")"}};
  save(path, state);
  EXPECT_EQ(load_checkpoint(path).state, state);
}

TEST(Checkpoint, ASwappedFileIsRefused) {
  const TemporaryFolder folder;
  save(folder / "checkpoint-5.safetensors");
  EXPECT_NO_THROW(load_checkpoint(folder / "checkpoint-5.safetensors"));
  std::filesystem::rename(folder / "checkpoint-5.safetensors", folder / "checkpoint-50.safetensors");
  EXPECT_TRUE(fails_with([&] { load_checkpoint(folder / "checkpoint-50.safetensors"); },
                         {"checkpoint-50.safetensors is not what its name says", "iteration 5"}));
  std::filesystem::rename(folder / "checkpoint-50.safetensors", folder / "kept.safetensors");
  EXPECT_NO_THROW(load_checkpoint(folder / "kept.safetensors"));
}

TEST(Checkpoint, TheNewestSoundOneIsFoundAndTheReasonsAgainstOthersAreTold) {
  const TemporaryFolder folder;
  EXPECT_EQ(find_checkpoint(folder.path()).path, "");
  EXPECT_EQ(find_checkpoint(folder / "missing").path, "");
  save(folder / "checkpoint.safetensors", {{"iteration", 2000}});  // of an older version
  EXPECT_EQ(find_checkpoint(folder.path()).path, folder / "checkpoint.safetensors");
  for (const int iteration : {900, 1000, 1100, 99}) {
    save(folder / checkpoint_name(iteration), {{"iteration", iteration}});
  }
  write_bytes(folder / "checkpoint-x.safetensors", "no checkpoint");
  write_bytes(folder / "checkpoint-7", "no checkpoint");
  const std::vector<std::string> all = checkpoints_in(folder.path());
  EXPECT_EQ(all, (std::vector<std::string>{folder / "checkpoint-1100.safetensors", folder / "checkpoint-1000.safetensors",
                                           folder / "checkpoint-900.safetensors", folder / "checkpoint-99.safetensors",
                                           folder / "checkpoint.safetensors"}));
  EXPECT_EQ(find_checkpoint(folder.path()).path, all[0]);
  {
    TestFileSystem bad_sector(TestFileSystem::Fault::fail, 2);
    const ScopedFileSystem in_force(bad_sector);
    const FoundCheckpoint found = find_checkpoint(folder.path());
    EXPECT_EQ(bad_sector.operations().at(2), "read");
    EXPECT_EQ(found.path, all[1]);
    ASSERT_EQ(found.passed_over.size(), 1U);
    EXPECT_THAT(found.passed_over[0], ::testing::HasSubstr(all[0]));
  }
  std::filesystem::resize_file(all[0], 10);
  std::filesystem::copy_file(all[2], all[1], std::filesystem::copy_options::overwrite_existing);
  const FoundCheckpoint found = find_checkpoint(folder.path());
  EXPECT_EQ(found.path, all[2]);
  ASSERT_EQ(found.passed_over.size(), 2U);
  EXPECT_THAT(found.passed_over[0], ::testing::HasSubstr(all[0]));
  EXPECT_THAT(found.passed_over[1], ::testing::HasSubstr("iteration 900"));
  for (const std::string& path : all) {
    write_bytes(path, "damaged");
  }
  EXPECT_TRUE(fails_with([&] { find_checkpoint(folder.path()); }, {"no checkpoint that can be read", all[0], all[4]}));
}

/// Saves a generation and removes those that are too old, as a run does.
void save_generation(const std::string& folder, int iteration) {
  save(folder + "/" + checkpoint_name(iteration), {{"iteration", iteration}});
  const std::vector<std::string> kept = {checkpoint_name(iteration - 1), checkpoint_name(iteration)};
  remove_other_checkpoints(folder, kept);
}

/// What happens to a save at an operation of its own.
struct Mishap {
  const char* name;
  TestFileSystem::Fault fault;
  std::optional<TestFileSystem::Names> power_loss;
};
constexpr std::array kMishaps = {
    Mishap{"a failure", TestFileSystem::Fault::fail, {}}, Mishap{"a kill", TestFileSystem::Fault::stop, {}},
    Mishap{"a power loss", TestFileSystem::Fault::stop, TestFileSystem::Names::as_synced},
    Mishap{"a power loss after the names were written", TestFileSystem::Fault::stop, TestFileSystem::Names::as_changed}};

/// The iteration of the checkpoint that a run would go on from after a mishap at operation `at` of saving the third generation.
int64_t found_after(const Mishap& mishap, int64_t at, std::vector<std::string>* operations = nullptr) {
  const TemporaryFolder folder;
  save_generation(folder.path(), 9);
  save_generation(folder.path(), 10);
  TestFileSystem files(mishap.fault, at);
  files.watch(folder.path());
  {
    const ScopedFileSystem in_force(files);
    try {
      save_generation(folder.path(), 11);
    } catch (const Error&) {
    }
  }
  if (operations != nullptr) {
    *operations = files.operations();
  }
  if (mishap.power_loss) {
    files.lose_power(*mishap.power_loss);
  }
  if (mishap.fault == TestFileSystem::Fault::fail) {  // the program is still there to tidy up
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path() << " at " << at;
    }
  }
  const FoundCheckpoint found = find_checkpoint(folder.path());
  EXPECT_TRUE(found.passed_over.empty()) << found.passed_over.front();
  const Checkpoint checkpoint = load_checkpoint(found.path);
  EXPECT_EQ(checkpoint.arrays.size(), 2U);
  EXPECT_GE(checkpoints_in(folder.path()).size(), 2U) << "a generation is gone before its successor is safe";
  return checkpoint.state.at("iteration").get<int64_t>();
}

TEST(Checkpoint, WhateverHappensToASaveTheOldOrTheNewOneIsFound) {
  std::vector<std::string> operations;
  EXPECT_EQ(found_after(kMishaps[0], -1, &operations), 11);
  EXPECT_EQ(operations.back(), "remove checkpoint-9.safetensors");
  ASSERT_GE(operations.size(), 10U);
  for (const Mishap& mishap : kMishaps) {
    SCOPED_TRACE(mishap.name);
    int news = 0;
    for (size_t at = 0; at < operations.size(); ++at) {
      SCOPED_TRACE(fmt::format("at operation {}: {}", at, operations[at]));
      const int64_t found = found_after(mishap, static_cast<int64_t>(at));
      EXPECT_TRUE(found == 10 || found == 11) << found;
      news += found == 11 ? 1 : 0;
    }
    EXPECT_GT(news, 0);
    EXPECT_LT(news, static_cast<int>(operations.size()));
  }
  // As kMishaps[2] shows: without the sync of the folder, the new one would be gone.
  EXPECT_EQ(found_after(kMishaps[2], static_cast<int64_t>(operations.size()) - 1), 11);
}

/// The value of element `i` of array number `number` in the golden files.
float golden(size_t number, size_t i) { return static_cast<float>(number) + static_cast<float>(i) / 128.0f; }

/// A file that the code before formats had versions wrote: ResNet(cifar stem, blocks 1 and 1, width 4, shortcut B, 3 classes).
TEST(Checkpoint, OfTheFirstFormatIsReadByteForByte) {
  const Checkpoint checkpoint = load_checkpoint(kGolden + "checkpoint_format1.safetensors");
  EXPECT_EQ(checkpoint.format, 1);
  EXPECT_EQ(checkpoint.state,
            nlohmann::json::parse(
                R"({"batch":5,"batch_size":16,"batches_tracked":1234,"best_error":12.5,"epoch":3,"good_steps":99,"images":333,)"
                R"("iteration":67,"loss_scale":4096.0,"model":"tiny, shortcut B, end, stride, conv3x3, 3 classes",)"
                R"("schedule":[null,2.0,1.0],"seed":11,"validated":60})"));
  const std::vector<std::pair<std::string, std::vector<int64_t>>> parameters = {
      {"conv1.weight", {4, 3, 3, 3}},
      {"bn1.weight", {4}},
      {"bn1.bias", {4}},
      {"layer1.0.conv1.weight", {4, 4, 3, 3}},
      {"layer1.0.bn1.weight", {4}},
      {"layer1.0.bn1.bias", {4}},
      {"layer1.0.conv2.weight", {4, 4, 3, 3}},
      {"layer1.0.bn2.weight", {4}},
      {"layer1.0.bn2.bias", {4}},
      {"layer2.0.conv1.weight", {8, 4, 3, 3}},
      {"layer2.0.bn1.weight", {8}},
      {"layer2.0.bn1.bias", {8}},
      {"layer2.0.conv2.weight", {8, 8, 3, 3}},
      {"layer2.0.bn2.weight", {8}},
      {"layer2.0.bn2.bias", {8}},
      {"layer2.0.downsample.0.weight", {8, 4, 1, 1}},
      {"layer2.0.downsample.1.weight", {8}},
      {"layer2.0.downsample.1.bias", {8}},
      {"fc.weight", {3, 8}},
      {"fc.bias", {3}},
  };
  const std::vector<std::pair<std::string, int64_t>> norms = {{"bn1", 4},          {"layer1.0.bn1", 4},
                                                              {"layer1.0.bn2", 4}, {"layer2.0.bn1", 8},
                                                              {"layer2.0.bn2", 8}, {"layer2.0.downsample.1", 8}};
  std::vector<HostArray> arrays = checkpoint.arrays;
  EXPECT_EQ(arrays.size(), 2 * parameters.size() + 2 * norms.size());
  size_t number = 1;
  const auto check = [&](const std::string& name, const std::vector<int64_t>& shape) {
    SCOPED_TRACE(name);
    const HostArray& array = named(arrays, name);
    EXPECT_EQ(array.shape, shape);
    const auto values = array.span<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], golden(number, i)) << i;
    }
    ++number;
  };
  for (const auto& [name, shape] : parameters) {
    check("weight." + name, shape);
    check("velocity." + name, shape);
  }
  for (const auto& [name, channels] : norms) {
    check("running_mean." + name, {channels});
    check("running_variance." + name, {channels});
  }
}

}  // namespace
}  // namespace residua::test
