// What tells one run's results from another's.
#include "core/train/run_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/version.h"
#include "core/train/training.h"
#include "models/recipes.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/layered_run.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

RunDescription described(const std::string& setting = "seed", const Words& words = {"0"}) {
  SmallRun run("a folder");
  run.training = nullptr;
  run.set(setting, words);
  Network& network = run.network();
  return describe_run(run.settings, run.config, {.train = run.training, .validation = run.validation, .test = run.test},
                      network, Device{}, DType::f32);
}

TEST(RunDescription, TheDigestHoldsWhatChangesResults) {
  const std::string digest = described().digest();
  EXPECT_EQ(described().digest(), digest);
  const std::vector<std::pair<std::string, Words>> other = {
      {"lr", {"0.06"}},       {"model", {"plain20"}},      {"seed", {"1"}},
      {"iterations", {"7"}},  {"augment", {"none"}},       {"mean", {"channel"}},
      {"shortcut", {"B"}},    {"holdout", {"8"}},          {"synthetic-images", {"65"}},
      {"clean-train", {"8"}}, {"evaluate-every", {"0.5"}}, {"no-shuffle", {"true"}}};
  for (const auto& [setting, words] : other) {
    EXPECT_NE(described(setting, words).digest(), digest) << setting;
  }
  const std::vector<std::pair<std::string, Words>> same = {
      {"output", {"elsewhere"}}, {"workers", {"3"}},        {"log-every", {"1"}},   {"shortcut", {"A"}},
      {"threads", {"2"}},        {"max-bad-images", {"7"}}, {"cuda-graph", {"off"}}};
  for (const auto& [setting, words] : same) {
    EXPECT_EQ(described(setting, words).digest(), digest) << setting;
  }
}

TEST(RunDescription, TheDigestHoldsTheFirstWeightsNotTheirPath) {
  const TemporaryFolder folder;
  for (const auto& [name, seed] : {std::pair("a", "1"), std::pair("b", "1"), std::pair("c", "2")}) {
    ASSERT_EQ(SmallRun(folder / name).set("iterations", {"1"}).set("seed", {seed}).train(), 0);
  }
  const auto digest = [&](const char* name) { return described("weights", {folder / name + "/last.safetensors"}).digest(); };
  EXPECT_EQ(digest("a"), digest("b"));
  EXPECT_NE(digest("a"), digest("c"));
  EXPECT_NE(digest("a"), described().digest());
}

// A new setting changes results unless its declaration says otherwise: whoever adds one to this list says so here too.
TEST(RunDescription, TheseSettingsChangeNoResult) {
  SmallRun run("a folder");
  std::vector<std::string> without;
  for (const auto& setting : run.settings.all()) {
    if (!setting->result) {
      without.push_back(setting->name);
    }
  }
  EXPECT_THAT(without, testing::UnorderedElementsAre(
                           "DIR", "dataset", "workers", "max-bad-images", "max-bad-share", "read-timeout", "rank-timeout",
                           "trace", "recipe", "device", "cuda-graph", "allow-nondeterministic", "allow-runtime-compilation",
                           "deterministic", "threads", "max-skipped-steps", "on-divergence", "output", "resume", "overwrite",
                           "checkpoint-every", "keep-checkpoints", "log-every", "weights"));
}

TEST(RunDescription, SaysWhatTheRunIs) {
  const RunDescription d = described("epochs", {"1.5"});
  const nlohmann::ordered_json json = to_json(d);
  EXPECT_EQ(json["format"], 1);
  EXPECT_EQ(json["version"], version());
  EXPECT_EQ(json["digest"], d.digest());
  EXPECT_EQ(json["model"], "resnet20");
  EXPECT_EQ(json["recipe"], "small-images");
  const std::vector<std::string> deviations = json["deviations"];
  EXPECT_THAT(deviations, testing::IsSupersetOf({"lr: 0.05, the recipe has 0.1", "epochs: 1.5, not the default"}));
  EXPECT_THAT(deviations, testing::Not(testing::Contains(testing::StartsWith("precision"))));
  EXPECT_EQ(json["iterations"], 6);
  EXPECT_EQ(json["iterations_per_epoch"], 4);
  EXPECT_EQ(json["train_images"], 64);
  EXPECT_EQ(json["validation_images"], 16);
  EXPECT_EQ(json["parameters"], 269722 - 6 * 65) << "the paper's 0.27 M for ten classes; four have six rows fewer";
  EXPECT_EQ(json["precision"], "fp32");
  EXPECT_EQ(json["device"], "cpu");
  const nlohmann::ordered_json& c = json["configuration"];
  EXPECT_EQ(c["lr"], 0.05);
  EXPECT_EQ(c["epochs"], 1.5);
  EXPECT_EQ(c["batch-size"], 16);
  EXPECT_EQ(c["shortcut"], "A");
  EXPECT_EQ(c["no-shuffle"], false);
  EXPECT_EQ(c["precision"], "fp32");
  EXPECT_EQ(c["synthetic-images"], 64);
  EXPECT_FALSE(c.contains("output"));
  EXPECT_FALSE(c.contains("lr-patience")) << "of a schedule that is not used";
  EXPECT_FALSE(c.contains("average")) << "of a protocol with one view";
  EXPECT_EQ(described("protocol", {"two-sizes"}).configuration["average"], "softmax");
}

TEST(RunDescription, TheSizeOfTheImagesIsNoDeviation) {
  const RunData data{.train = open_synthetic(Split::train, {.image_size = 24, .classes = 4, .images = 16, .seed = 1}),
                     .validation = nullptr};
  const auto deviations = [&](LayeredRun& run) {
    settle_with_data(run.settings, run.config, data);
    EXPECT_THAT(run.config.input.crop_size, testing::Optional(24));
    return run.settings.deviations(find_recipe(run.config.recipe).settings());
  };
  LayeredRun first;
  first.flag("dataset", {"synthetic"}).flag("lr", {"0.2"});
  const std::vector<std::string> told = deviations(first);
  EXPECT_THAT(told, testing::ElementsAre("lr: 0.2, the recipe has 0.1", "lr-batch-size: unset, the recipe has 128"));
  LayeredRun resumed;
  resumed.file(first.settings.toml());
  EXPECT_EQ(deviations(resumed), told);
  LayeredRun cropped;
  cropped.flag("dataset", {"synthetic"}).flag("crop-size", {"16"});
  settle_with_data(cropped.settings, cropped.config, data);
  EXPECT_THAT(cropped.settings.deviations(find_recipe("small-images").settings()),
              testing::ElementsAre("crop-size: 16, the default is 24"));
}

TEST(RunDescription, TheBatchesAreTheLoaders) {
  for (const char* images : {"16", "20", "64"}) {
    for (const char* batch_size : {"3", "16", "17"}) {
      for (const char* no_shuffle : {"false", "true"}) {
        SmallRun run("a folder");
        run.training = nullptr;
        run.set("synthetic-images", {images}).set("batch-size", {batch_size}).set("no-shuffle", {no_shuffle});
        run.network();
        EXPECT_EQ(batches_per_epoch(run.training->size(), run.config),
                  training_loader(run.training, run.config, run.network().input, Device{})->batches())
            << images << " images in batches of " << batch_size << (run.config.input.no_shuffle ? " in order" : "");
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
