// The network's input in a run that starts from weights, in one that goes on, and in an evaluation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "core/io/safetensors.h"
#include "core/nn/state_dict.h"
#include "core/run/checkpoint.h"
#include "core/run/run_folder.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/layered_run.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr int64_t kImage = 16 * 16 * 3;

/// Other training images than a small run's.
std::shared_ptr<const ImageSource> other_images() {
  return open_synthetic(Split::train, {.image_size = 16, .classes = 4, .images = 64, .seed = 5});
}

/// The input of a small run on other images, with these settings on the command line.
InputDescription input_with(const std::vector<Assignment>& settings, const std::vector<Assignment>& in_file = {},
                            const std::string& checkpoint = {}) {
  SmallRun run("no folder");
  run.training = other_images();
  run.settings.assign(in_file, Layer::file, "the test");
  for (const Assignment& setting : settings) {
    run.set(setting.key, setting.words);
  }
  return run.resume(checkpoint).network().input;
}

/// The weights of a small run of one step; its checkpoint is beside them.
std::string weights_of(const std::string& folder, const std::vector<Assignment>& settings) {
  SmallRun run(folder);
  for (const Assignment& setting : settings) {
    run.set(setting.key, setting.words);
  }
  EXPECT_EQ(run.set("iterations", {"1"}).train(), 0);
  return folder + "/last.safetensors";
}

const std::vector<Assignment> kGiven = {{"mean", {"0.5", "0.2", "0.8"}}, {"std", {"0.2", "0.4", "1"}}};

TEST(RunInput, FineTuningTakesMeanAndDeviationFromTheWeights) {
  const TemporaryFolder folder;
  const std::string weights = weights_of(folder / "first", kGiven);
  const InputDescription measured = input_with({});
  EXPECT_THAT(measured.mean, SizeIs(kImage));
  const InputDescription input = input_with({{"weights", {weights}}});
  EXPECT_THAT(input.mean, ElementsAre(127.5f, 51.0f, 204.0f));
  EXPECT_THAT(input.std, ElementsAre(51.0f, 102.0f, 255.0f));
  // What the user gives wins, each for itself.
  const InputDescription mean = input_with({{"weights", {weights}}, {"mean", {"0", "0.4", "1"}}});
  EXPECT_THAT(mean.mean, ElementsAre(0.0f, 102.0f, 255.0f));
  EXPECT_EQ(mean.std, input.std);
  const InputDescription std = input_with({{"weights", {weights}}}, {{"std", {"1", "1", "0.6"}}});
  EXPECT_EQ(std.mean, input.mean);
  EXPECT_THAT(std.std, ElementsAre(255.0f, 255.0f, 153.0f));
  EXPECT_EQ(input_with({{"weights", {weights}}}, {{"mean", {"pixel"}}}).mean, measured.mean);
}

TEST(RunInput, ARecipeDoesNotWinOverTheFirstWeights) {
  const TemporaryFolder folder;
  const std::string weights = weights_of(folder / "first", kGiven);
  SmallRun run("no folder");
  run.settings.assign({{"mean", {"pixel"}}, {"std", {"1", "1", "1"}}}, Layer::recipe, "a recipe");
  const InputDescription& input = run.set("weights", {weights}).network().input;
  EXPECT_THAT(input.mean, ElementsAre(127.5f, 51.0f, 204.0f));
  EXPECT_THAT(input.std, ElementsAre(51.0f, 102.0f, 255.0f));
}

TEST(RunInput, FineTuningTakesTheMeanImageToo) {
  const TemporaryFolder folder;
  const std::string weights = weights_of(folder / "first", {});
  const std::vector<float> image = load_safetensors(weights).find("input.mean")->to_floats();
  ASSERT_THAT(image, SizeIs(kImage));
  EXPECT_EQ(input_with({{"weights", {weights}}}).mean, image);
  EXPECT_NE(input_with({}).mean, image) << "that of the other images";
  const std::vector<float> means = input_with({{"weights", {weights}}, {"crop-size", {"24"}}}).mean;
  ASSERT_THAT(means, SizeIs(3)) << "an image of another size";
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (size_t i = c; i < image.size(); i += 3) {
      sum += image[i];
    }
    EXPECT_NEAR(means[c], sum / 256, 1e-4);
  }
}

TEST(RunInput, WhatTheWeightsDoNotSayIsMeasured) {
  const TemporaryFolder folder;
  Safetensors file = load_safetensors(weights_of(folder / "first", kGiven));
  const InputDescription measured = input_with({});
  save_safetensors(folder / "bare.safetensors", views(file.arrays));  // as torchvision's
  const InputDescription bare = input_with({{"weights", {folder / "bare.safetensors"}}});
  EXPECT_EQ(bare.mean, measured.mean);
  EXPECT_EQ(bare.std, measured.std);
  file.metadata.erase("mean");
  save_safetensors(folder / "half.safetensors", views(file.arrays), file.metadata);
  const InputDescription half = input_with({{"weights", {folder / "half.safetensors"}}});
  EXPECT_EQ(half.mean, measured.mean);
  EXPECT_THAT(half.std, ElementsAre(51.0f, 102.0f, 255.0f));
}

// Colors are drawn for the images that are trained on; a run that goes on has drawn them already.
TEST(RunInput, ColorsAreOfTheRunsOwnImages) {
  const TemporaryFolder folder;
  const std::vector<Assignment> colors = {{"augment", {"scale-crop"}}, {"color-shift", {"measured"}}};
  const std::string weights = weights_of(folder / "first", colors);
  const std::optional<PrincipalColors> first = network_from_weights(read_weights(weights), {}, DType::f32).input.colors;
  ASSERT_TRUE(first);
  std::vector<Assignment> tuned = colors;
  tuned.push_back({"weights", {weights}});
  const InputDescription input = input_with(tuned);
  EXPECT_EQ(input.colors, input_with(colors).colors);
  EXPECT_NE(input.colors, first);
  EXPECT_EQ(input_with(colors, {}, newest_checkpoint(folder / "first")).colors, first);
  EXPECT_FALSE(input_with({}, {}, newest_checkpoint(folder / "first")).colors) << "of a view without colors";
}

TEST(RunInput, ARunThatGoesOnKeepsItsOwn) {
  const TemporaryFolder folder;
  const std::string weights = weights_of(folder / "first", kGiven);
  const std::string checkpoint = newest_checkpoint(folder / "first");
  const std::vector<Assignment> other = {{"mean", {"0", "0", "0"}}, {"std", {"1", "1", "1"}}};
  const InputDescription input = input_with({}, other, checkpoint);
  EXPECT_THAT(input.mean, ElementsAre(127.5f, 51.0f, 204.0f)) << "whatever its file of settings says";
  EXPECT_THAT(input.std, ElementsAre(51.0f, 102.0f, 255.0f));
  const InputDescription given = input_with(other, {}, checkpoint);
  EXPECT_THAT(given.mean, ElementsAre(0, 0, 0)) << "the command line wins";
  EXPECT_THAT(given.std, ElementsAre(255, 255, 255));
  std::filesystem::rename(weights, folder / "moved.safetensors");
  EXPECT_THAT(input_with({}, other, checkpoint).mean, ElementsAre(127.5f, 51.0f, 204.0f)) << "the checkpoint has it";
  // One of an older format has not: without weights beside it, the settings count, not the weights that the run started from.
  const Checkpoint file = load_checkpoint(checkpoint);
  const std::string old = folder / "old.safetensors";
  save_checkpoint(old, file.state, views(file.arrays));
  EXPECT_THAT(input_with({}, other, old).mean, ElementsAre(0, 0, 0));
  EXPECT_EQ(input_with({{"weights", {folder / "moved.safetensors"}}}, {}, old).mean, input_with({}).mean);
  std::filesystem::copy(folder / "moved.safetensors", folder / kLastFile);
  EXPECT_THAT(input_with({}, other, old).mean, ElementsAre(127.5f, 51.0f, 204.0f));
}

TEST(RunInput, AnEvaluationTurnsPhotosAsTheTrainingDid) {
  const TemporaryFolder folder;
  const auto turned = [](const std::string& weights, const Words& flag) {
    LayeredRun run;
    if (!flag.empty()) {
      run.flag("exif", flag);
    }
    return network_of_weights(read_weights(weights), run.config, run.settings, DType::f32).input.turned_by_exif;
  };
  const std::string weights = weights_of(folder / "turned", {{"exif", {"true"}}});
  EXPECT_TRUE(turned(weights, {}));
  EXPECT_FALSE(turned(weights, {"false"}));
  const std::string stored = weights_of(folder / "stored", {});
  EXPECT_FALSE(turned(stored, {}));
  EXPECT_TRUE(turned(stored, {"true"}));
}

}  // namespace
}  // namespace residua::test
