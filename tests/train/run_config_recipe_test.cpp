// What a recipe gives, what goes before it, and what is told of the difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/recipes.h"
#include "tests/train/layered_run.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(RunConfig, TheRecipeFollowsTheData) {
  LayeredRun photos;
  photos.finish(true);
  EXPECT_EQ(photos.config.recipe, "photos");
  EXPECT_EQ(photos.config.model.name, "resnet18");
  EXPECT_EQ(photos.config.training.batch_size, 256);
  EXPECT_THAT(photos.config.training.epochs, Optional(120));
  EXPECT_FALSE(photos.config.training.iterations);
  EXPECT_EQ(photos.config.input.view, "scale-crop");
  EXPECT_THAT(photos.config.input.crop_size, Optional(224));
  EXPECT_EQ(photos.rate(), 0.1);
  LayeredRun small;
  small.finish(false);
  EXPECT_EQ(small.config.recipe, "small-images");
  EXPECT_EQ(small.config.model.name, "resnet20");
  EXPECT_EQ(small.config.training.batch_size, 128);
  EXPECT_THAT(small.config.training.iterations, Optional(64000));
  EXPECT_FALSE(small.config.training.epochs);
  EXPECT_EQ(small.config.input.view, "pad-crop");
  EXPECT_FALSE(small.config.input.crop_size);
  EXPECT_EQ(small.rate(), 0.1);
  LayeredRun chosen;
  chosen.flag("recipe", {"small-images"}).flag("batch-size", {"32"}).file("model = \"plain20\"").finish(true);
  EXPECT_EQ(chosen.config.model.name, "plain20");
  EXPECT_EQ(chosen.config.input.view, "pad-crop");
  EXPECT_EQ(chosen.config.training.batch_size, 32);
}

TEST(RunConfig, TheRateIsThePapersForItsBatch) {
  const auto rate = [](bool photos, const char* batch) {
    LayeredRun run;
    run.flag("batch-size", {batch}).finish(photos);
    return run.rate();
  };
  EXPECT_EQ(rate(false, "32"), 0.025);
  EXPECT_EQ(rate(true, "64"), 0.025);
  EXPECT_EQ(rate(true, "512"), 0.1);
  LayeredRun given;
  given.flag("batch-size", {"32"}).flag("lr", {"0.2"}).finish(true);
  EXPECT_EQ(given.rate(), 0.2) << "a rate that is given is taken as it is";
  LayeredRun in_file;
  in_file.file("lr = 0.0125\nbatch-size = 32\n").finish(false);
  EXPECT_EQ(in_file.rate(), 0.0125) << "as config.toml of earlier versions has it";
  LayeredRun both;
  both.file("lr = 0.2\nlr-batch-size = 64\n").flag("batch-size", {"16"}).finish(false);
  EXPECT_EQ(both.rate(), 0.05);
  LayeredRun over;
  over.file("lr = 0.2\nlr-batch-size = 64\n").flag("batch-size", {"16"}).flag("lr", {"0.3"}).finish(false);
  EXPECT_EQ(over.rate(), 0.3);
  LayeredRun proportion;
  proportion.flag("lr", {"0.4"}).flag("lr-batch-size", {"64"}).flag("batch-size", {"16"}).finish(false);
  EXPECT_EQ(proportion.rate(), 0.1);
}

TEST(RunConfig, TheWrittenFileMakesTheSameRun) {
  for (const bool photos : {true, false}) {
    LayeredRun first;
    first.flag("batch-size", {"32"}).flag("lr-schedule", {"cosine"}).finish(photos);
    LayeredRun second;
    second.file(first.settings.toml()).finish(!photos);
    EXPECT_EQ(second.settings.toml(), first.settings.toml());
    EXPECT_EQ(second.rate(), first.rate());
  }
}

TEST(RunConfig, TheRecipeForImageNetIsThePapers) {
  LayeredRun run;
  run.flag("recipe", {"he2015"}).flag("model", {"plain34"}).flag("shortcut", {"none"}).finish(true);
  const RunConfig& c = run.config;
  EXPECT_EQ(c.input.view, "scale-crop");
  EXPECT_TRUE(c.input.views.at("augment", c.input.view).measures_colors());
  EXPECT_THAT(c.input.crop_size, Optional(224));
  EXPECT_EQ(c.input.mean, MeanKind::pixel);
  EXPECT_THAT(c.input.std, ElementsAre(1, 1, 1));
  EXPECT_EQ(c.weights.initialization, FanMode::fan_in);
  EXPECT_EQ(c.training.batch_size, 256);
  EXPECT_THAT(c.training.iterations, Optional(600000));
  EXPECT_EQ(c.training.label_smoothing, 0);
  EXPECT_EQ(c.sgd.weight_decay, 1e-4f);
  EXPECT_EQ(c.sgd.momentum, 0.9f);
  EXPECT_EQ(run.rate(), 0.1);
  EXPECT_EQ(c.schedule.name, "plateau");
  EXPECT_EQ(c.schedule.factor, 0.1);
  EXPECT_EQ(c.output.evaluate_every, 1);
  EXPECT_THAT(run.settings.deviations(find_recipe("he2015").settings()), ElementsAre());
  LayeredRun cropped;
  cropped.flag("recipe", {"he2015"}).flag("crop-size", {"128"}).flag("mean", {"channel"}).finish(true);
  EXPECT_THAT(cropped.settings.deviations(find_recipe("he2015").settings()),
              ElementsAre("crop-size: 128, the recipe has 224", "mean: channel, the recipe has pixel"));
}

TEST(RunConfig, TheRecipeOfTorchvisionIsItsReference) {
  LayeredRun run;
  run.flag("recipe", {"torchvision-v1"}).finish(true);
  const RunConfig& c = run.config;
  EXPECT_EQ(c.input.view, "random-resized-crop");
  EXPECT_THAT(c.input.crop_size, Optional(224));
  EXPECT_THAT(c.input.mean_values, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_THAT(c.input.std, ElementsAre(0.229, 0.224, 0.225));
  EXPECT_EQ(c.weights.initialization, FanMode::fan_out);
  EXPECT_EQ(c.training.batch_size, 256);
  EXPECT_THAT(c.training.epochs, Optional(90));
  EXPECT_EQ(run.falls(), (std::vector<int64_t>{3000, 6000})) << "after 30 and 60 epochs of 100 iterations";
  EXPECT_EQ(c.schedule.factor, 0.1);
  EXPECT_EQ(run.rate(), 0.1);
  EXPECT_EQ(c.sgd.weight_decay, 1e-4f);
  EXPECT_EQ(c.sgd.momentum, 0.9f);
}

TEST(RunConfig, TheRecipeOfLargeBatchesIsThePapers) {
  LayeredRun run;
  run.flag("recipe", {"goyal2017"}).finish(true);
  const RunConfig& c = run.config;
  EXPECT_EQ(c.model.name, "resnet50");
  EXPECT_EQ(c.training.batch_size, 8192);
  EXPECT_EQ(c.training.bn_group, 32);
  EXPECT_THAT(c.training.epochs, Optional(90));
  EXPECT_EQ(c.input.view, "random-resized-crop");
  EXPECT_TRUE(c.weights.zero_gamma);
  EXPECT_TRUE(c.sgd.no_bn_decay);
  EXPECT_EQ(c.sgd.weight_decay, 1e-4f);
  EXPECT_EQ(run.rate(), 3.2);
  const auto schedule = make_schedule(c.schedule, run_length(c.training, 156), c.training.batch_size);
  const auto rate_at = [&](double epoch) { return schedule->rate(static_cast<int64_t>(156 * epoch)); };
  EXPECT_DOUBLE_EQ(rate_at(0), 0.1);
  EXPECT_DOUBLE_EQ(rate_at(2.5), 1.65);
  for (const auto& [epoch, rate] :
       {std::pair(5, 3.2), std::pair(29, 3.2), std::pair(30, 0.32), std::pair(60, 0.032), std::pair(80, 0.0032)}) {
    EXPECT_NEAR(rate_at(epoch), rate, 1e-12) << epoch;
  }
  LayeredRun small;
  small.flag("recipe", {"goyal2017"}).flag("batch-size", {"4096"}).finish(true);
  EXPECT_EQ(small.rate(), 1.6);
  LayeredRun unset;
  unset.finish(true);
  EXPECT_FALSE(unset.config.weights.zero_gamma || unset.config.sgd.no_bn_decay || unset.config.schedule.warmup_epochs);
  EXPECT_EQ(unset.config.schedule.rate_scaling, RateScaling::down);
}

TEST(RunConfig, AWarmupIsInTheUnitOfTheLaterLayer) {
  LayeredRun iterations;
  iterations.flag("recipe", {"goyal2017"}).flag("warmup-iterations", {"7"}).finish(true);
  EXPECT_FALSE(iterations.config.schedule.warmup_epochs);
  EXPECT_EQ(iterations.config.schedule.warmup_iterations, 7);
  LayeredRun none;
  none.flag("recipe", {"goyal2017"}).flag("warmup-iterations", {"0"}).finish(true);
  EXPECT_FALSE(none.config.schedule.warmup_epochs);
  LayeredRun epochs;
  epochs.file("warmup-iterations = 7\n").flag("warmup-epochs", {"2"}).finish(true);
  EXPECT_THAT(epochs.config.schedule.warmup_epochs, Optional(2));
  EXPECT_EQ(epochs.config.schedule.warmup_iterations, 0);
  LayeredRun both;
  both.flag("warmup-iterations", {"7"}).flag("warmup-epochs", {"2"}).finish(true);
  EXPECT_FALSE(both.config.schedule.warmup_epochs);
  EXPECT_EQ(both.config.schedule.warmup_iterations, 7);
  for (LayeredRun* run : {&iterations, &none, &epochs}) {
    LayeredRun back;
    back.file(run->settings.toml()).finish(false);
    EXPECT_EQ(back.config.schedule.warmup_epochs, run->config.schedule.warmup_epochs);
    EXPECT_EQ(back.config.schedule.warmup_iterations, run->config.schedule.warmup_iterations);
  }
}

// Its folder has all settings; the recipe may have changed since.
TEST(RunConfig, ARunThatGoesOnTakesARecipeOnlyFromTheCommandLine) {
  LayeredRun run;
  run.config.output.has_settings = true;
  run.file("recipe = \"photos\"\nbatch-size = 12\n").finish(true);
  EXPECT_EQ(run.config.recipe, "photos");
  EXPECT_EQ(run.config.input.view, InputOptions().view) << "not the recipe's";
  LayeredRun asked;
  asked.config.output.has_settings = true;
  asked.file("batch-size = 12\n").flag("recipe", {"photos"}).finish(true);
  EXPECT_EQ(asked.config.input.view, "scale-crop");
  EXPECT_EQ(asked.config.training.batch_size, 12);
}

TEST(RunConfig, DeviationsFromTheRecipeAreTold) {
  LayeredRun run;
  run.flag("epochs", {"9"}).flag("batch-size", {"64"}).flag("lr", {"0.2"}).finish(false);
  EXPECT_THAT(
      run.settings.deviations(find_recipe(run.config.recipe).settings()),
      ElementsAre("batch-size: 64, the recipe has 128", "iterations: unset, the recipe has 64000",
                  "lr: 0.2, the recipe has 0.1", "lr-batch-size: unset, the recipe has 128", "epochs: 9, not the default"));
  LayeredRun plain;
  plain.flag("model", {"resnet34"}).flag("seed", {"7"}).flag("precision", {"fp32"}).flag("clean-train", {"100"}).finish(true);
  EXPECT_THAT(plain.settings.deviations(find_recipe("photos").settings()), ElementsAre());
}

}  // namespace
}  // namespace residua::test
