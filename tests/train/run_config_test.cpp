#include "core/train/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/toml_file.h"
#include "models/recipes.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

/// A run's settings, to be given in layers.
struct LayeredRun {
  LayeredRun() { declare(settings, config); }
  LayeredRun& file(const std::string& toml) {
    settings.assign(parse_toml(toml, "file"), Layer::file, "file");
    return *this;
  }
  LayeredRun& flag(const std::string& name, const Words& words) {
    settings.assign(name, words, Layer::command_line);
    return *this;
  }
  LayeredRun& finish(bool photos) {
    settle(settings, config);
    apply_recipe(settings, config, photos);
    return *this;
  }
  std::string error(bool photos) {
    try {
      finish(photos);
      return "";
    } catch (const UsageError& e) {
      return e.what();
    }
  }
  double rate() const { return rate_for_batch(config.schedule, config.training.batch_size); }
  /// The iterations at which the rate changes, at 100 an epoch.
  std::vector<int64_t> falls() const {
    const RunLength length = run_length(config.training, 100);
    const std::unique_ptr<Schedule> schedule = make_schedule(config.schedule, length, config.training.batch_size);
    std::vector<int64_t> found;
    for (int64_t i = 1; i < length.total_iterations; ++i) {
      if (schedule->rate(i) != schedule->rate(i - 1)) {
        found.push_back(i);
      }
    }
    return found;
  }

  RunConfig config;
  Settings settings;
};

TEST(RunConfig, EverySettingIsDeclaredWhole) {
  LayeredRun run;
  EXPECT_GT(run.settings.all().size(), 40U);
  for (const auto& setting : run.settings.all()) {
    EXPECT_FALSE(setting->group.empty()) << setting->name;
    EXPECT_TRUE(setting->help.ends_with(".")) << setting->name << ": " << setting->help;
    EXPECT_TRUE(setting->help[0] >= 'A' && setting->help[0] <= 'Z') << setting->name << ": " << setting->help;
    EXPECT_FALSE(setting->wanted.empty()) << setting->name;
    EXPECT_EQ(setting->default_words, setting->get()) << setting->name;
  }
}

/// Two values for each setting that a file can have; a new setting needs a line here.
const std::vector<std::pair<std::string, std::pair<Words, Words>>> kValues = {
    {"DIR", {{"photos"}, {"a \"b\\"}}},
    {"dataset", {{"cifar10"}, {"synthetic"}}},
    {"synthetic-classes", {{"2"}, {"1000"}}},
    {"synthetic-images", {{"16"}, {"2147483647"}}},
    {"augment", {{"flip"}, {"random-resized-crop"}}},
    {"crop-size", {{"8"}, {"4096"}}},
    {"mean", {{"pixel"}, {"0.5", "0.25", "1"}}},
    {"std", {{"0.5", "0.25", "1"}, {"0.0001", "1", "1"}}},
    {"no-shuffle", {{"true"}, {"false"}}},
    {"allow-nondeterministic", {{"true"}, {"false"}}},
    {"allow-runtime-compilation", {{"true"}, {"false"}}},
    {"workers", {{"0"}, {"1024"}}},
    {"max-bad-images", {{"0"}, {"7"}}},
    {"max-bad-share", {{"0"}, {"0.25"}}},
    {"model", {{"plain20"}, {"resnet1202"}}},
    {"shortcut", {{"A"}, {"C"}}},
    {"shortcut-pad", {{"both"}, {"end"}}},
    {"shortcut-pool", {{"average"}, {"stride"}}},
    {"bottleneck-stride", {{"conv1x1"}, {"conv3x3"}}},
    {"init", {{"fan-out"}, {"fan-in"}}},
    {"weights", {{"w.safetensors"}, {"x"}}},
    {"recipe", {{"photos"}, {"small-images"}}},
    {"batch-size", {{"1"}, {"1048576"}}},
    {"epochs", {{"0.5"}, {"90"}}},
    {"iterations", {{"1"}, {"1000000000000"}}},
    {"label-smoothing", {{"0.1"}, {"1"}}},
    {"precision", {{"bf16"}, {"fp16"}}},
    {"device", {{"cpu"}, {"cuda:1"}}},
    {"cuda-graph", {{"off"}, {"on"}}},
    {"threads", {{"1"}, {"1024"}}},
    {"seed", {{"1"}, {"1000000000000000"}}},
    {"momentum", {{"0"}, {"1"}}},
    {"weight-decay", {{"0"}, {"0.0005"}}},
    {"lr", {{"0.3"}, {"1e-05"}}},
    {"lr-batch-size", {{"1"}, {"1048576"}}},
    {"lr-schedule", {{"plateau"}, {"constant"}}},
    {"lr-steps", {{"1", "2.5"}, {"30"}}},
    {"lr-factor", {{"0.5"}, {"1"}}},
    {"lr-patience", {{"0"}, {"9"}}},
    {"lr-threshold", {{"0"}, {"0.25"}}},
    {"lr-final", {{"0.001"}, {"0.01"}}},
    {"warmup-iterations", {{"1"}, {"1000000000000"}}},
    {"warmup", {{"constant"}, {"linear"}}},
    {"warmup-lr", {{"0.01"}, {"0.02"}}},
    {"output", {{"runs/a"}, {"C:\\x"}}},
    {"log-every", {{"1"}, {"2147483647"}}},
    {"evaluate-every", {{"0.25"}, {"3"}}},
};

/// Words that each setting refuses, where it does not take all.
const std::vector<std::pair<std::string, std::vector<Words>>> kRefused = {
    {"dataset", {{"mnist"}}},
    {"synthetic-classes", {{"1"}, {"1001"}}},
    {"synthetic-images", {{"15"}}},
    {"augment", {{"mixup"}}},
    {"crop-size", {{"7"}, {"4097"}}},
    {"workers", {{"-1"}, {"1025"}}},
    {"max-bad-images", {{"-1"}, {"1.5"}}},
    {"max-bad-share", {{"1.5"}}},
    {"model", {{"resnet19"}}},
    {"shortcut", {{"D"}}},
    {"shortcut-pad", {{"middle"}}},
    {"shortcut-pool", {{"max"}}},
    {"bottleneck-stride", {{"conv5x5"}}},
    {"init", {{"fan"}}},
    {"recipe", {{"photo"}}},
    {"batch-size", {{"0"}, {"1.5"}, {"1048577"}}},
    {"epochs", {{"0"}, {"nan"}}},
    {"iterations", {{"0"}, {"-3"}}},
    {"label-smoothing", {{"2"}, {"-0.1"}}},
    {"precision", {{"fp64"}}},
    {"cuda-graph", {{"auto"}}},
    {"threads", {{"-1"}, {"1025"}}},
    {"seed", {{"-1"}}},
    {"momentum", {{"1.5"}, {"nan"}}},
    {"weight-decay", {{"-1"}}},
    {"lr", {{"nan"}, {"inf"}, {"-0.1"}, {"0"}, {"x"}}},
    {"lr-batch-size", {{"0"}}},
    {"lr-schedule", {{"up"}}},
    {"lr-steps", {{"5", "3"}, {"1", "nan"}, {"0"}}},
    {"lr-factor", {{"2"}, {"0"}}},
    {"lr-patience", {{"-1"}}},
    {"lr-threshold", {{"1"}}},
    {"lr-final", {{"-1"}}},
    {"warmup-iterations", {{"-1"}}},
    {"warmup", {{"slow"}}},
    {"warmup-lr", {{"0"}}},
    {"log-every", {{"0"}}},
    {"evaluate-every", {{"0"}}},
};

TEST(RunConfig, EverySettingReadsBackFromTheFileThatItWrites) {
  std::vector<std::string> tested;
  for (const auto& [name, values] : kValues) {
    tested.push_back(name);
    for (const Words& words : {values.first, values.second}) {
      LayeredRun run;
      run.flag(name, words);
      LayeredRun back;
      back.file(run.settings.toml());
      EXPECT_EQ(back.settings.find(name)->get(), words) << name << "\n" << run.settings.toml();
      EXPECT_EQ(back.settings.toml(), run.settings.toml()) << name;
    }
    EXPECT_NE(values.first, values.second) << name;
  }
  std::vector<std::string> declared;
  const LayeredRun run;
  for (const auto& setting : run.settings.all()) {
    if (setting->saved) {
      declared.push_back(setting->name);
    }
  }
  EXPECT_THAT(declared, testing::UnorderedElementsAreArray(tested));
}

TEST(RunConfig, EverySettingHoldsItsRange) {
  for (const auto& [name, all] : kRefused) {
    for (const Words& words : all) {
      LayeredRun run;
      try {
        run.flag(name, words);
        ADD_FAILURE() << name << " took " << words[0];
      } catch (const UsageError& error) {
        EXPECT_EQ(error.setting(), name);
        EXPECT_FALSE(error.wanted().empty());
      }
    }
  }
}

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

TEST(RunConfig, ALengthOfALaterLayerWinsInEitherUnit) {
  LayeredRun epochs;
  epochs.file("iterations = 640\nlr = 0.5\n").flag("epochs", {"3"}).finish(false);
  EXPECT_FALSE(epochs.config.training.iterations);
  EXPECT_THAT(epochs.config.training.epochs, Optional(3));
  LayeredRun iterations;
  iterations.file("epochs = 3\n").flag("iterations", {"7"}).finish(true);
  EXPECT_THAT(iterations.config.training.iterations, Optional(7));
  EXPECT_FALSE(iterations.config.training.epochs);
  LayeredRun both;
  both.flag("iterations", {"7"}).flag("epochs", {"3"}).finish(true);
  EXPECT_THAT(both.config.training.iterations, Optional(7));
  LayeredRun file_alone;
  file_alone.file("epochs = 2\n").finish(false);
  EXPECT_FALSE(file_alone.config.training.iterations) << "the recipe's length does not count any more";
  EXPECT_THAT(file_alone.config.training.epochs, Optional(2));
}

TEST(RunConfig, LengthsAreInIterations) {
  EXPECT_EQ(run_length({.epochs = 1.5}, 100).total_iterations, 150);
  EXPECT_EQ(run_length({.epochs = 0.001}, 100).total_iterations, 1) << "at least one";
  EXPECT_EQ(run_length({.iterations = 7}, 100).total_iterations, 7);
  EXPECT_EQ(run_length({.iterations = 7}, 100).step_unit, StepUnit::iterations);
  EXPECT_EQ(run_length({.epochs = 2}, 100).step_unit, StepUnit::epochs);
  EXPECT_THROW(run_length({}, 100), UsageError);
}

TEST(RunConfig, StepsAreEpochsUnlessIterationsWereGiven) {
  LayeredRun epochs;
  epochs.flag("epochs", {"4"}).flag("lr-steps", {"1.5", "3"}).finish(false);
  EXPECT_THAT(epochs.falls(), ElementsAre(150, 300));
  LayeredRun iterations;
  iterations.flag("iterations", {"400"}).flag("lr-steps", {"150", "300"}).finish(true);
  EXPECT_THAT(iterations.falls(), ElementsAre(150, 300));
  LayeredRun neither;
  neither.flag("epochs", {"4"}).finish(true);
  EXPECT_THAT(neither.falls(), ElementsAre(200, 300));
  LayeredRun of_file;
  of_file.file("iterations = 400\n").flag("lr-steps", {"150"}).finish(true);
  EXPECT_THAT(of_file.falls(), ElementsAre(150)) << "steps of the command line are in the unit of the length";
}

TEST(RunConfig, StepsNeedALengthWhereTheRecipesIsOfTheOtherUnit) {
  LayeredRun small;
  small.flag("lr-steps", {"80", "120"});
  EXPECT_THAT(small.error(false), AllOf(HasSubstr("lr-steps: got '80,120'"), HasSubstr("the length too")));
  LayeredRun photos;
  photos.flag("lr-steps", {"30", "60"}).finish(true);
  EXPECT_THAT(photos.falls(), ElementsAre(3000, 6000));
}

TEST(RunConfig, StepsOfAFileKeepTheirUnit) {
  const std::string iterations = "iterations = 64000\nlr-steps = [32000, 48000]\n";
  LayeredRun longer;
  longer.file(iterations).flag("iterations", {"50000"}).finish(true);
  EXPECT_THAT(longer.falls(), ElementsAre(32000, 48000));
  LayeredRun other;
  other.file(iterations).flag("epochs", {"200"});
  EXPECT_THAT(other.error(true), AllOf(HasSubstr("32000,48000"), HasSubstr("the file's lr-steps are in iterations")));
  LayeredRun repeated;
  repeated.file(iterations).flag("epochs", {"200"}).flag("lr-steps", {"100"}).finish(true);
  EXPECT_THAT(repeated.falls(), ElementsAre(10000));
  const std::string epochs = "epochs = 90\nlr-steps = [30, 60]\n";
  LayeredRun in_epochs;
  in_epochs.file(epochs).flag("iterations", {"1000"});
  EXPECT_THAT(in_epochs.error(false), HasSubstr("are in epochs"));
  LayeredRun shorter;
  shorter.file(epochs).flag("epochs", {"80"}).finish(false);
  EXPECT_THAT(shorter.falls(), ElementsAre(3000, 6000));
}

TEST(RunConfig, DifferencesToTheRecipeAreTold) {
  LayeredRun run;
  run.flag("epochs", {"9"}).flag("batch-size", {"64"}).flag("lr", {"0.2"}).finish(false);
  EXPECT_THAT(run.settings.differences(find_recipe(run.config.recipe).settings()),
              ElementsAre("batch-size: 64, the recipe has 128", "iterations: unset, the recipe has 64000",
                          "lr: 0.2, the recipe has 0.1", "lr-batch-size: unset, the recipe has 128"));
  LayeredRun plain;
  plain.finish(true);
  EXPECT_THAT(plain.settings.differences(find_recipe("photos").settings()), ElementsAre());
}

TEST(DefaultOutput, IsNamedAfterTheDataHoweverItIsWritten) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  fs::create_directories(folder / "photos/inside");
  fs::create_directory_symlink(folder / "photos", folder / "link");
  const auto name = [&](const std::string& path) { return default_output("resnet18", {.folder = path}); };
  EXPECT_EQ(name(folder / "photos"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos//"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/."), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/inside/.."), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/inside/../"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "link"), "runs/resnet18-link");
  EXPECT_EQ(name("/"), "runs/resnet18-data");
  const fs::path before = fs::current_path();
  fs::current_path(folder / "photos/inside");
  EXPECT_EQ(name("."), "runs/resnet18-inside");
  EXPECT_EQ(name(".."), "runs/resnet18-photos");
  EXPECT_EQ(name("./"), "runs/resnet18-inside");
  fs::current_path(before);
  EXPECT_EQ(default_output("resnet20", {.folder = "x", .name = "cifar10"}), "runs/resnet20-cifar10");
}

}  // namespace
}  // namespace residua::test
